#include "apiserver/handlers/subresources.hpp"

#include "apiserver/errors.hpp"
#include "apiserver/handlers/objects.hpp"
#include "apiserver/handlers/patch.hpp"
#include "apiserver/handlers/streaming.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/meta.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

// ---- binding

Handling handle_binding(RequestContext* c, std::string name) {
  const KindSchema* kind = api::find_kind("", "v1", "Binding");
  Served* pods = c->core.registry.find("", "v1", "pods");
  if (!kind || !pods) co_return generic_not_found();
  if (c->info.verb != "create") co_return method_not_allowed();
  Result<Document> binding = co_await read_object(c, kind);
  if (!binding) co_return binding.status();
  if (name.empty()) name = apimachinery::name_of(*binding);
  if (apimachinery::name_of(*binding) != name) co_return bad_request("name in URL does not match name in Binding object");
  Result<void> admitted = co_await admit_created_below(c, kind, &*binding);
  if (!admitted) co_return admitted;
  std::string target(apimachinery::get_string(*binding, {"target", "name"})), target_kind(apimachinery::get_string(*binding, {"target", "kind"}));
  bool to_node = target_kind.empty() || target_kind == "Node";
  FieldErrors errors;
  if (!to_node) errors.push_back(field_not_supported(FieldPath("target").child("kind"), target_kind, {"Node", "<empty>"}));
  if (target.empty()) errors.push_back(field_required(FieldPath("target").child("name")));
  else if (to_node)
    for (auto& m : apimachinery::is_dns1123_subdomain(target)) errors.push_back(field_invalid(FieldPath("target").child("name"), target, m));
  if (!errors.empty()) co_return Status(Reason::Unknown, apimachinery::aggregate(errors));  // as upstream: no registry made it
  const Document* b = &*binding;
  WallTime now = c->now;
  UpdateOptions o;
  o.ns = c->info.ns;
  o.name = name;
  o.update_strategy = false;
  o.admission = false;     // the binding was
  o.tracking.skip = true;  // nobody owns what a binding sets
  o.precondition_uid = apimachinery::uid_of(*b);
  std::string key = pods->storage_key(o.ns, name);
  o.make = [b, target, name, now, key](const Document* current) -> Result<Document> {
    std::string_view asked = apimachinery::resource_version_of(*b), actual = apimachinery::resource_version_of(*current);
    if (!asked.empty() && asked != actual)
      return conflict("pods", name, "StorageError: invalid object, Code: 4, Key: " + key + ", ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: ResourceVersion in precondition: " +
                                        std::string(asked) + ", ResourceVersion in object meta: " + std::string(actual));
    if (!apimachinery::deletion_timestamp_of(*current).empty())
      return conflict("pods/binding", name, "pod " + name + " is being deleted, cannot be assigned to a host");
    std::string_view node = apimachinery::get_string(*current, {"spec", "nodeName"});
    if (!node.empty()) return conflict("pods/binding", name, "pod " + name + " is already assigned to node " + apimachinery::go_quote(node));
    const Document& gates = at_path(*current, {"spec", "schedulingGates"});
    if (gates.is_array() && !gates.empty()) return conflict("pods/binding", name, "pod " + name + " has non-empty .spec.schedulingGates");
    Document pod = *current;
    apimachinery::object_at(pod, "spec")["nodeName"] = target;
    Document& meta = apimachinery::object_at(pod, "metadata");
    for (const char* f : {"annotations", "labels"})
      if (const Document* extra = find_member(member(*b, "metadata"), f); extra && extra->is_object())
        for (const auto& [k, v] : extra->items()) apimachinery::object_at(meta, f)[k] = v;
    Document& status = apimachinery::object_at(pod, "status");
    status.erase("nominatedNodeName");
    Document& conditions = apimachinery::array_at(status, "conditions");
    Document scheduled = {{"type", "PodScheduled"}, {"status", "True"}, {"lastTransitionTime", format_rfc3339(now)}};
    Document* before = nullptr;
    for (auto& condition : conditions)
      if (string_at(condition, "type") == "PodScheduled") before = &condition;
    if (before && string_at(*before, "status") == "True") scheduled["lastTransitionTime"] = (*before)["lastTransitionTime"];
    if (before) *before = std::move(scheduled);
    else conditions.push_back(std::move(scheduled));
    return Result<Document>(std::move(pod));
  };
  Result<Written> w = co_await update_object(c, pods, std::move(o));
  if (!w) co_return w.status();
  Document ok = {{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Document::object()}, {"status", "Success"}, {"code", 201}};
  const KindSchema* status = api::find_kind("", "v1", "Status");
  co_return co_await send_document(c, 201, std::move(ok), status ? status->type : nullptr);
}

Handling admit_created_below(RequestContext* c, const KindSchema* kind, Document* object) {
  const AdmissionChain& chain = c->core.security.admission;
  if (!chain.size()) co_return Result<void>();
  AdmissionAttributes a = admission_of(*c, *c->served, Operation::Create, c->info.ns, c->info.name.empty() ? std::string(apimachinery::name_of(*object)) : c->info.name);
  a.group = kind->group;
  a.version = kind->version;
  a.kind = kind->kind;
  a.object = object;
  CO_ASSIGN_OR_RETURN(const Document options, write_options(*c, "CreateOptions"));
  a.options = &options;
  Result<void> r = co_await chain.admit(&a);
  if (!r) co_return r;
  co_return co_await chain.validate(&a);
}

// ---- token

namespace {

// The object that a token is bound to must exist, with the uid if one is named.
Status check_bound(RequestContext& c, const Document& ref, TokenIssuer::Request& q) {
  std::string kind(string_at(ref, "kind")), version(string_at(ref, "apiVersion")), name(string_at(ref, "name")), uid(string_at(ref, "uid"));
  std::string resource = kind == "Pod" ? "pods" : kind == "Secret" ? "secrets" : kind == "Node" ? "nodes" : "";
  if (resource.empty() || (!version.empty() && version != "v1"))
    return bad_request("cannot bind token to object of type " + (version.find('/') == std::string::npos ? "/" + version : version) + ", Kind=" + kind);
  Bytes stored = c.core.cacher.get("", resource, resource == "nodes" ? "" : c.info.ns, name);
  if (!stored) return not_found(resource, name);
  ObjectView view(*stored);
  std::string actual(view.meta_string(meta_field::kUid));
  if (!uid.empty() && uid != actual)
    return conflict(kind, name, "the UID in the bound object reference (" + uid + ") does not match the UID in record. The object might have been deleted and then recreated");
  q.bound_kind = kind;
  q.bound_api_version = "v1";
  q.bound_name = name;
  q.bound_uid = actual;
  if (kind != "Pod") return Status::ok();
  Served* pods = c.core.registry.find("", "v1", "pods");
  Result<Document> pod = decode_stored(*pods, stored);
  if (!pod) return pod.status();
  std::string account(apimachinery::get_string(*pod, {"spec", "serviceAccountName"}));
  if (account != q.service_account)
    return bad_request("cannot bind token for serviceaccount " + apimachinery::go_quote(q.service_account) + " to pod running with different serviceaccount name.");
  q.node_name = apimachinery::get_string(*pod, {"spec", "nodeName"});
  if (Bytes node = q.node_name.empty() ? nullptr : c.core.cacher.get("", "nodes", "", q.node_name))
    q.node_uid = ObjectView(*node).meta_string(meta_field::kUid);
  return Status::ok();
}

}  // namespace

namespace {

bool for_webhook(const Document& ref) {
  std::string_view kind = string_at(ref, "kind");
  return (kind == "ValidatingWebhookConfiguration" || kind == "MutatingWebhookConfiguration") && string_at(ref, "apiVersion") == "admissionregistration.k8s.io/v1";
}

// A token for a webhook attests for which API group it may be used; others attest nothing.
void check_attestations(const Document& spec, FieldErrors& errors) {
  const Document &given = member(spec, "attestations"), &audiences = member(spec, "audiences");
  FieldPath path = FieldPath("spec").child("attestations");
  constexpr const char* kGroups = "admissionReviewAPIGroups";
  if (!for_webhook(member(spec, "boundObjectRef"))) {
    if (given.empty()) return;
    errors.clear();
    errors.push_back(field_invalid(path, given, "attestations may only be specified with a webhook bound object reference"));
    return;
  }
  if (audiences.size() > 1) errors.push_back(field_invalid(FieldPath("spec").child("audiences"), audiences, "must be length 1 when bound to a webhook config"));
  if (given.size() != 1) {
    errors.push_back(field_invalid(path, given, "webhook bound requests require exactly one admissionReviewAPIGroups attestation"));
    return;
  }
  std::string key = given.items().begin().key();
  const Document& values = given.items().begin().value();
  path = path.key(key);
  if (key != kGroups) errors.push_back(field_not_supported(path, key, {kGroups}));
  else if (values.size() != 1) errors.push_back(field_invalid(path, values, "must specify a single value"));
  else if (std::string group = values[0].is_string() ? values[0].get<std::string>() : ""; group.empty()) errors.push_back(field_invalid(path.index(0), group, "may not be an empty string"));
  else if (group != "*")
    for (const auto& m : apimachinery::is_dns1123_subdomain(group)) errors.push_back(field_invalid(path.index(0), group, "must specify a valid API Group: " + m));
}

// What the request says of the account must be so.
Status check_token_names(const RequestContext& c, const Document& request, const std::string& account_uid) {
  std::string_view name = apimachinery::name_of(request), ns = apimachinery::namespace_of(request), uid = apimachinery::uid_of(request);
  FieldErrors errors;
  if (!name.empty() && name != c.info.name) errors.push_back(field_invalid(FieldPath("metadata").child("name"), name, "must match the service account name if specified"));
  else if (!ns.empty() && ns != c.info.ns) errors.push_back(field_invalid(FieldPath("metadata").child("namespace"), ns, "must match the service account namespace if specified"));
  if (!errors.empty()) return apimachinery::invalid("authentication.k8s.io", "TokenRequest", c.info.name, errors);
  if (uid.empty() || uid == account_uid) return Status::ok();
  return conflict("TokenRequest", c.info.name, "the UID in the token request (" + std::string(uid) + ") does not match the UID of the service account (" + account_uid + ")", "authentication.k8s.io");
}

}  // namespace

Handling handle_token(RequestContext* c) {
  if (c->info.verb != "create") co_return method_not_allowed();
  TokenIssuer* issuer = c->core.security.token_issuer.get();
  const KindSchema* kind = api::find_kind("authentication.k8s.io", "v1", "TokenRequest");
  if (!issuer || !kind) co_return Status(Reason::NotFound, "this server issues no service account tokens");
  Result<Document> account = co_await current_object(c, c->served, c->info.ns, c->info.name);
  if (!account) co_return account.status();
  Result<Document> request = co_await read_object(c, kind);
  if (!request) co_return request.status();
  Status named = check_token_names(*c, *request, std::string(apimachinery::uid_of(*account)));
  if (!named) co_return named;
  Document& spec = apimachinery::object_at(*request, "spec");
  TokenIssuer::Request q;
  q.ns = c->info.ns;
  q.service_account = c->info.name;
  q.service_account_uid = apimachinery::uid_of(*account);
  q.expiration_seconds = apimachinery::int_at(spec, "expirationSeconds", 3600);
  FieldErrors errors;
  FieldPath path = FieldPath("spec").child("expirationSeconds");
  if (q.expiration_seconds < 600) errors.push_back(field_invalid(path, q.expiration_seconds, "may not specify a duration less than 10 minutes"));
  if (q.expiration_seconds > (std::int64_t{1} << 32)) errors.push_back(field_invalid(path, q.expiration_seconds, "may not specify a duration larger than 2^32 seconds"));
  check_attestations(spec, errors);
  if (!errors.empty()) co_return apimachinery::invalid("authentication.k8s.io", "TokenRequest", "", errors);
  const Document& audiences = member(spec, "audiences");
  if (audiences.is_array())
    for (const auto& a : audiences)
      if (a.is_string()) q.audiences.push_back(a.get<std::string>());
  if (q.audiences.empty()) q.audiences = issuer->default_audiences();
  Result<void> admitted = co_await admit_created_below(c, kind, &*request);
  if (!admitted) co_return admitted;
  if (const Document* ref = find_member(spec, "boundObjectRef"); ref && ref->is_object()) {
    Status s = check_bound(*c, *ref, q);
    if (!s) co_return s;
  }
  if (std::int64_t most = c->core.options.max_token_expiration_seconds; most > 0 && q.expiration_seconds > most) {
    c->warnings.push_back("requested expiration of " + std::to_string(q.expiration_seconds) + " seconds shortened to " + std::to_string(most) + " seconds");
    q.expiration_seconds = most;
  }
  Result<TokenIssuer::Token> token = issuer->issue(q);
  if (!token) co_return token.status();
  spec["audiences"] = q.audiences;
  spec["expirationSeconds"] = q.expiration_seconds;
  apimachinery::set_meta(*request, "name", c->info.name);
  apimachinery::set_meta(*request, "namespace", c->info.ns);
  apimachinery::set_meta(*request, "uid", q.service_account_uid);
  apimachinery::set_meta(*request, "creationTimestamp", format_rfc3339(c->now));
  (*request)["status"] = {{"token", token->token}, {"expirationTimestamp", format_rfc3339(from_unix(token->expiration_unix_seconds))}};
  co_return co_await send_document(c, 201, std::move(*request), kind->type);
}

Handling handle_part(RequestContext* c, std::string subresource) {
  if (Status s = check_accept(*c); !s && !c->served->custom) co_return s;
  if (c->info.verb == "get") co_return co_await handle_get(c);
  if (c->info.verb == "update") co_return co_await put_object(c, subresource);
  if (c->info.verb == "patch") co_return co_await patch_object(c, subresource);
  if (c->served->custom) co_return method_not_supported(c->info.group, c->info.resource, c->info.verb);
  co_return method_not_allowed();
}

Handling handle_subresource(RequestContext* c) {
  const std::string& sub = c->info.subresource;
  const KindSchema& k = *c->served->kind;
  if (!k.subresource(sub)) {
    if (c->served->custom) co_return not_found(k.plural, c->info.name, k.group);
    co_return generic_not_found();
  }
  if (c->info.name.empty()) co_return generic_not_found();
  if (c->served->namespaced() && c->info.ns.empty()) co_return generic_not_found();
  auto verbs = k.subresource(sub)->verbs;
  bool known = c->request.method != "HEAD" && std::find(verbs.begin(), verbs.end(), c->info.verb) != verbs.end();
  if (!known && sub != "proxy" && !c->served->custom) co_return method_not_allowed();
  bool core_group = k.group.empty();
  if (sub == "proxy") co_return co_await handle_proxy(c);
  if (core_group && k.plural == "pods") {
    if (sub == "log" || sub == "exec" || sub == "attach" || sub == "portforward") co_return co_await handle_pod_stream(c);
    if (sub == "binding") co_return co_await handle_binding(c, c->info.name);
    if (sub == "eviction") co_return co_await handle_eviction(c);
    if (sub == "ephemeralcontainers" || sub == "resize") co_return co_await handle_part(c, sub);
  }
  if (core_group && k.plural == "serviceaccounts" && sub == "token") co_return co_await handle_token(c);
  if (core_group && k.plural == "namespaces" && sub == "finalize") {
    if (c->info.verb != "update") co_return method_not_allowed();
    co_return co_await put_object(c, sub);
  }
  if (sub == "scale") co_return co_await handle_scale(c);
  if (sub == "status" || sub == "approval") co_return co_await handle_part(c, sub);
  co_return generic_not_found();
}

}  // namespace onebin::apiserver
