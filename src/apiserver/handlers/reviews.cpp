// Kinds that are asked, not stored: access and token reviews, bindings, component statuses.
#include "apiserver/errors.hpp"
#include "apiserver/handlers/objects.hpp"
#include "apiserver/handlers/subresources.hpp"
#include "apiserver/user_document.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/format_errors.hpp>
#include <onebin/apimachinery/managed_fields.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/base/bytes.hpp>

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

// What a review asks about, and which of its selectors could not be read, wholly or in part: what cannot be read is left out,
// which makes it a wider question.
struct Question {
  Attributes attributes;
  std::vector<std::string> ignored;
};

void read_labels(const Document& selector, Question& q) {
  bool failed = false, some = false;
  if (std::string_view raw = string_at(selector, "rawSelector"); !raw.empty()) {
    failed = !apimachinery::LabelSelector::parse(raw);
    if (!failed) q.attributes.label_selector = raw;
  }
  const Document& requirements = member(selector, "requirements");
  if (requirements.is_array() && !requirements.empty()) {
    apimachinery::LabelSelector read;
    for (const auto& r : requirements) {
      auto one = apimachinery::LabelSelector::from_document({{"matchExpressions", Document::array({r})}});
      if (!one) failed = true;
      else for (const auto& x : one->requirements()) read.add(x);
    }
    some = !read.empty();
    q.attributes.label_selector = read.to_string();
  }
  if (failed) q.ignored.push_back("labelSelector");
  if (failed && some) q.ignored.back() += " partially";
}

void read_fields(const Document& selector, Question& q) {
  bool failed = false;
  std::vector<apimachinery::FieldRequirement> read;
  if (std::string_view raw = string_at(selector, "rawSelector"); !raw.empty()) {
    failed = !apimachinery::FieldSelector::parse(raw);
    if (!failed) q.attributes.field_selector = raw;
  }
  const Document& requirements = member(selector, "requirements");
  if (requirements.is_array() && !requirements.empty()) {
    for (const auto& r : requirements) {
      std::string_view op = string_at(r, "operator");
      const Document& values = member(r, "values");
      if ((op != "In" && op != "NotIn") || !values.is_array() || values.size() != 1 || !values[0].is_string()) failed = true;
      else read.push_back({std::string(string_at(r, "key")), values[0].get<std::string>(), op == "In"});
    }
    q.attributes.field_selector = apimachinery::FieldSelector(read).to_string();
  }
  if (failed) q.ignored.push_back("fieldSelector");
  if (failed && !read.empty()) q.ignored.back() += " partially";
}

Question question_of(const Document& spec, const UserInfo& user) {
  Question q;
  Attributes& a = q.attributes;
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
    read_fields(member(r, "fieldSelector"), q);
    read_labels(member(r, "labelSelector"), q);
    return q;
  }
  const Document& n = member(spec, "nonResourceAttributes");
  a.verb = string_at(n, "verb");
  a.path = string_at(n, "path");
  return q;
}

void check_selector(const Document& selector, bool labels, const FieldPath& path, FieldErrors& errors) {
  if (!selector.is_object()) return;
  std::string_view raw = string_at(selector, "rawSelector");
  const Document& requirements = member(selector, "requirements");
  bool listed = requirements.is_array() && !requirements.empty();
  FieldPath list = path.child("requirements");
  if (!raw.empty() && listed) errors.push_back(field_invalid(path.child("rawSelector"), raw, "may not specified at the same time as requirements"));
  if (raw.empty() && !listed) errors.push_back(field_required(list, "when " + path.text() + " is specified, requirements or rawSelector is required"));
  for (std::size_t i = 0; listed && i < requirements.size(); ++i) {
    const Document& r = requirements[i];
    FieldPath at = list.index(i);
    apimachinery::LabelSelectorValidation options;
    options.allow_unknown_operators = true;
    if (labels) {
      apimachinery::append(errors, apimachinery::validate_label_requirement(r, at, options));
      continue;
    }
    std::string_view op = string_at(r, "operator");
    bool valued = !member(r, "values").empty();
    if (string_at(r, "key").empty()) errors.push_back(field_required(at.child("key"), "must be specified"));
    if ((op == "In" || op == "NotIn") && !valued) errors.push_back(field_required(at.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"));
    if ((op == "Exists" || op == "DoesNotExist") && valued) errors.push_back(field_forbidden(at.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
  }
}

void check_question(const Document& spec, FieldErrors& errors) {
  const Document &resource = member(spec, "resourceAttributes"), &other = member(spec, "nonResourceAttributes");
  if (resource.is_object() == other.is_object()) {
    Document given;
    if (other.is_object()) given = {{"Path", string_at(other, "path")}, {"Verb", string_at(other, "verb")}};
    errors.push_back(field_invalid(FieldPath("spec"), std::move(given), "exactly one of nonResourceAttributes or resourceAttributes must be specified"));
  }
  FieldPath path("spec.resourceAttributes");
  check_selector(member(resource, "fieldSelector"), false, path.child("fieldSelector"), errors);
  check_selector(member(resource, "labelSelector"), true, path.child("labelSelector"), errors);
}

// Of metadata a review has nothing, but for what is written about it, and the namespace of a local one.
bool bare(const Document& metadata, bool local) {
  if (!metadata.is_object()) return true;
  for (const auto& [key, value] : metadata.items()) {
    bool nothing = value.is_null() || value == "" || value == 0 || (value.is_structured() && value.empty());
    if (key != "managedFields" && !(local && key == "namespace") && !nothing) return false;
  }
  return true;
}

Handling access_review(RequestContext* c, Document body) {
  const KindSchema& k = *c->served->kind;
  Document& spec = apimachinery::object_at(body, "spec");
  FieldErrors errors;
  check_question(spec, errors);
  bool self = k.kind == "SelfSubjectAccessReview", local = k.kind == "LocalSubjectAccessReview";
  UserInfo user = self ? c->user : user_of(spec, "groups");
  if (!self && user.name.empty() && user.groups.empty())
    errors.push_back(field_invalid(FieldPath("spec").child("user"), "", "at least one of user or group must be specified"));
  if (const Document& meta = member(body, "metadata"); !bare(meta, local))
    errors.push_back(field_invalid(FieldPath("metadata"), meta, local ? "must be empty except for namespace" : "must be empty"));
  if (local) {
    const Document &resource = member(spec, "resourceAttributes"), &other = member(spec, "nonResourceAttributes");
    if (resource.is_object() && string_at(resource, "namespace") != c->info.ns)
      errors.push_back(field_invalid(FieldPath("spec.resourceAttributes.namespace"), string_at(resource, "namespace"), "must match metadata.namespace"));
    if (other.is_object()) errors.push_back(field_invalid(FieldPath("spec.nonResourceAttributes"), other, "disallowed on this kind of request"));
  }
  if (!errors.empty()) co_return apimachinery::invalid(k.group, "", "", errors);  // upstream names no kind here
  Question q = question_of(spec, user);
  Authorized d = co_await c->core.authorize(q.attributes);
  Document status = {{"allowed", d.decision == Decision::Allow}};
  if (d.decision == Decision::Deny) status["denied"] = true;
  if (!d.reason.empty()) status["reason"] = d.reason;
  std::string wrong;
  for (const auto& selector : q.ignored) {
    auto words = split(selector, ' ');
    wrong += (wrong.empty() ? "" : "; ") + std::string("spec.resourceAttributes.") + words[0] + (words.size() > 1 ? " partially" : "") + " ignored due to parse error";
  }
  if (!wrong.empty()) status["evaluationError"] = wrong;
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
  Status ns_ok = check_namespace(*c->served, c->info.ns, *body);
  if (!ns_ok) co_return ns_ok;
  if (k.kind == "SelfSubjectRulesReview") co_return co_await rules_review(c, std::move(*body));
  if (k.kind == "SelfSubjectReview") {
    Document review = {{"kind", k.kind}, {"apiVersion", std::string(k.group) + "/" + std::string(k.version)}, {"status", {{"userInfo", user_document(c->user)}}}};
    apimachinery::set_meta(review, "creationTimestamp", format_rfc3339(c->now));
    co_return co_await send_document(c, 201, std::move(review), k.type, c->served);
  }
  apimachinery::track_update(c->served->managed, nullptr, *body, manager_of(*c), c->now);
  if (k.kind == "TokenReview") co_return co_await token_review(c, std::move(*body));
  if (k.kind == "SubjectAccessReview" || k.kind == "SelfSubjectAccessReview" || k.kind == "LocalSubjectAccessReview") co_return co_await access_review(c, std::move(*body));
  co_return generic_not_found();
}

}  // namespace onebin::apiserver
