// Kinds that are asked, not stored: access and token reviews, bindings, component statuses.
#include "apiserver/errors.hpp"
#include "apiserver/handlers/objects.hpp"
#include "apiserver/handlers/subresources.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::member;
using apimachinery::string_at;

namespace {

UserInfo user_of(const Document& spec, std::string_view groups_field) {
  UserInfo u;
  u.name = string_at(spec, "user");
  u.uid = string_at(spec, "uid");
  const Document& groups = member(spec, groups_field);
  if (groups.is_array())
    for (const auto& g : groups)
      if (g.is_string()) u.groups.push_back(g.get<std::string>());
  const Document& extra = member(spec, "extra");
  if (extra.is_object())
    for (const auto& [k, v] : extra.items())
      if (v.is_array())
        for (const auto& e : v)
          if (e.is_string()) u.extra[k].push_back(e.get<std::string>());
  return u;
}

Document user_document(const UserInfo& u) {
  Document d = Document::object();
  if (!u.name.empty()) d["username"] = u.name;
  if (!u.uid.empty()) d["uid"] = u.uid;
  if (!u.groups.empty()) d["groups"] = u.groups;
  if (!u.extra.empty()) d["extra"] = u.extra;
  return d;
}

Attributes review_attributes(const Document& spec, const UserInfo& user) {
  Attributes a;
  a.user = &user;
  const Document& r = member(spec, "resourceAttributes");
  if (r.is_object()) {
    a.is_resource = true;
    a.verb = string_at(r, "verb");
    a.ns = string_at(r, "namespace");
    a.group = string_at(r, "group");
    a.version = string_at(r, "version");
    if (a.version.empty()) a.version = "*";
    a.resource = string_at(r, "resource");
    a.subresource = string_at(r, "subresource");
    a.name = string_at(r, "name");
    a.label_selector = string_at(member(r, "labelSelector"), "rawSelector");
    a.field_selector = string_at(member(r, "fieldSelector"), "rawSelector");
    return a;
  }
  const Document& n = member(spec, "nonResourceAttributes");
  a.verb = string_at(n, "verb");
  a.path = string_at(n, "path");
  return a;
}

void check_attributes(const Document& spec, FieldErrors& errors) {
  const Document& other = member(spec, "nonResourceAttributes");
  if (member(spec, "resourceAttributes").is_object() != other.is_object()) return;
  Document given;
  if (other.is_object()) given = {{"Path", string_at(other, "path")}, {"Verb", string_at(other, "verb")}};
  errors.push_back(field_invalid(FieldPath("spec"), std::move(given), "exactly one of nonResourceAttributes or resourceAttributes must be specified"));
}

Handling access_review(RequestContext* c, Document body) {
  const KindSchema& k = *c->served->kind;
  Document& spec = apimachinery::object_at(body, "spec");
  FieldErrors errors;
  check_attributes(spec, errors);
  bool self = k.kind == "SelfSubjectAccessReview", local = k.kind == "LocalSubjectAccessReview";
  UserInfo user = self ? c->user : user_of(spec, "groups");
  if (!self && user.name.empty() && user.groups.empty())
    errors.push_back(field_invalid(FieldPath("spec").child("user"), "", "at least one of user or group must be specified"));
  if (local) {
    if (!member(spec, "resourceAttributes").is_object() || member(spec, "nonResourceAttributes").is_object())
      errors.push_back(field_invalid(FieldPath("spec").child("nonResourceAttributes"), nullptr, "disallowed on this kind of request"));
    if (string_at(member(spec, "resourceAttributes"), "namespace") != c->info.ns)
      errors.push_back(field_invalid(FieldPath("spec").child("resourceAttributes").child("namespace"), string_at(member(spec, "resourceAttributes"), "namespace"), "must match metadata.namespace"));
  }
  if (!errors.empty()) co_return apimachinery::invalid(k.group, "", "", errors);  // upstream names no kind here
  Attributes a = review_attributes(spec, user);
  Authorized d = co_await c->core.authorize(a);
  Document status = {{"allowed", d.decision == Decision::Allow}};
  if (d.decision == Decision::Deny) status["denied"] = true;
  if (!d.reason.empty()) status["reason"] = d.reason;
  body["status"] = std::move(status);
  co_return co_await send_document(c, 201, std::move(body), k.type);
}

Handling rules_review(RequestContext* c, Document body) {
  std::string ns(string_at(member(body, "spec"), "namespace"));
  if (ns.empty()) co_return bad_request("no namespace on request");
  Rules rules = c->core.security.authorizer->rules_for(c->user, ns);
  Document resource = Document::array(), other = Document::array();
  for (const auto& r : rules.resource) {
    Document d = {{"verbs", r.verbs}, {"apiGroups", r.api_groups}, {"resources", r.resources}};
    if (!r.resource_names.empty()) d["resourceNames"] = r.resource_names;
    resource.push_back(std::move(d));
  }
  for (const auto& r : rules.non_resource) other.push_back({{"verbs", r.verbs}, {"nonResourceURLs", r.non_resource_urls}});
  body["spec"] = Document::object();
  body["status"] = {{"resourceRules", std::move(resource)}, {"nonResourceRules", std::move(other)}, {"incomplete", rules.incomplete}};
  if (!rules.error.empty()) body["status"]["evaluationError"] = rules.error;
  co_return co_await send_document(c, 201, std::move(body), c->served->kind->type);
}

Handling token_review(RequestContext* c, Document body) {
  const Document& spec = member(body, "spec");
  Credentials credentials;
  credentials.bearer_token = string_at(spec, "token");
  if (credentials.bearer_token.empty()) co_return bad_request("token is required for TokenReview in authentication");
  const Document& audiences = member(spec, "audiences");
  if (audiences.is_array())
    for (const auto& a : audiences)
      if (a.is_string()) credentials.audiences.push_back(a.get<std::string>());
  Result<std::optional<Authenticated>> found = co_await c->core.security.authenticator->authenticate(credentials);
  Document status = Document::object();
  if (!found) {
    status["error"] = "[invalid bearer token, " + found.status().message() + "]";
  } else if (!*found) {
    status["error"] = "invalid bearer token";
  } else {
    status["authenticated"] = true;
    status["user"] = user_document((*found)->user);
    if (!(*found)->audiences.empty()) status["audiences"] = (*found)->audiences;
  }
  body["status"] = std::move(status);
  co_return co_await send_document(c, 201, std::move(body), c->served->kind->type);
}

Handling component_statuses(RequestContext* c) {
  Document items = Document::array();
  for (const char* name : {"controller-manager", "etcd-0", "scheduler"}) {
    Document condition = {{"type", "Healthy"}, {"status", "True"}, {"message", "ok"}};
    items.push_back({{"metadata", {{"name", name}}}, {"conditions", Document::array({condition})}});
  }
  c->warnings.push_back("v1 ComponentStatus is deprecated in v1.19+");
  if (c->info.verb == "list") {
    Document list = {{"kind", "ComponentStatusList"}, {"apiVersion", "v1"}, {"metadata", Document::object()}, {"items", std::move(items)}};
    Result<Negotiated> n = negotiate_for(*c);
    if (!n) co_return n.status();
    if (n->transform == Transform::Table) {
      std::vector<const Document*> rows;
      for (const auto& i : list["items"]) rows.push_back(&i);
      Document table = table_of(*c->served, rows, c->query.get("includeObject"), {}, n->transform_version, c->now);
      const KindSchema* k = api::find_kind("meta.k8s.io", "v1", "Table");
      Result<std::string> text = encode_document(table, k ? k->type : nullptr, n->format);
      if (!text) co_return text.status();
      co_return co_await send_text(c, 200, n->content_type(), std::move(*text));
    }
    const KindSchema* k = api::find_kind("", "v1", "ComponentStatusList");
    co_return co_await send_document(c, 200, std::move(list), k ? k->type : nullptr);
  }
  if (c->info.verb != "get") co_return Status(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource");
  for (auto& i : items) {
    if (apimachinery::name_of(i) != c->info.name) continue;
    i["kind"] = "ComponentStatus";
    i["apiVersion"] = "v1";
    co_return co_await send_document(c, 200, std::move(i), c->served->kind->type, c->served);
  }
  co_return not_found("componentstatuses", c->info.name);
}

}  // namespace

Handling handle_virtual(RequestContext* c) {
  const KindSchema& k = *c->served->kind;
  if (k.kind == "ComponentStatus") co_return co_await component_statuses(c);
  if (k.kind == "Binding") co_return co_await handle_binding(c, "");
  Result<Document> body = co_await read_object(c, &k);
  if (!body) co_return body.status();
  apimachinery::set_meta(*body, "creationTimestamp", nullptr);
  apimachinery::erase_meta(*body, "creationTimestamp");
  if (k.kind == "TokenReview") co_return co_await token_review(c, std::move(*body));
  if (k.kind == "SelfSubjectRulesReview") co_return co_await rules_review(c, std::move(*body));
  if (k.kind == "SelfSubjectReview") {
    (*body)["status"] = {{"userInfo", user_document(c->user)}};
    apimachinery::set_meta(*body, "creationTimestamp", format_rfc3339(c->now));
    co_return co_await send_document(c, 201, std::move(*body), k.type, c->served);
  }
  if (k.kind == "SubjectAccessReview" || k.kind == "SelfSubjectAccessReview" || k.kind == "LocalSubjectAccessReview") co_return co_await access_review(c, std::move(*body));
  co_return generic_not_found();
}

}  // namespace onebin::apiserver
