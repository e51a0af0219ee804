#include "apiserver/admission/policies.hpp"

#include "apiserver/errors.hpp"
#include "apiserver/respond.hpp"

#include <onebin/api/admissionregistration_v1.hpp>
#include <onebin/api/document.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;
namespace v1 = api::admissionregistration::v1;

constexpr std::string_view kGroup = "admissionregistration.k8s.io";

template <class T>
Document document_of(const Bytes& stored) {
  Result<T> object = api::from_protobuf<T>(*stored);
  return object ? api::to_document(*object) : Document();
}

std::shared_ptr<const AdmissionPolicy> compile_policy(const Document& d, bool mutating) {
  auto p = std::make_shared<AdmissionPolicy>();
  const Document& spec = member(d, "spec");
  p->name = apimachinery::name_of(d);
  p->match = MatchCriteria::of_policy(member(spec, "matchConstraints"));
  p->ignore = string_at(spec, "failurePolicy") == "Ignore";
  p->reinvoke = string_at(spec, "reinvocationPolicy") == "IfNeeded";
  p->param_version = string_at(member(spec, "paramKind"), "apiVersion");
  p->param_kind = string_at(member(spec, "paramKind"), "kind");
  ExpressionCompiler compiler;
  ExpressionCompiler::Scope scope;
  scope.params = !p->param_kind.empty();
  for (const Document& v : member(spec, "variables")) {
    std::string name(string_at(v, "name"));
    Expression e = compiler.add_variable(name, string_at(v, "expression"), scope);
    p->variables.push_back({std::move(name), std::move(e)});
  }
  for (const Document& c : member(spec, "matchConditions"))
    p->conditions.push_back({std::string(string_at(c, "name")), compiler.compile(string_at(c, "expression"), scope, ExpressionResult::Bool)});
  ExpressionCompiler::Scope without = scope;
  without.authorizer = false;
  for (const Document& v : member(spec, "validations")) {
    PolicyValidation& out = p->validations.emplace_back();
    out.expression = compiler.compile(string_at(v, "expression"), scope, ExpressionResult::Bool);
    out.message = trim(string_at(v, "message"));
    out.reason = string_at(v, "reason");
    std::string_view message = string_at(v, "messageExpression");
    out.has_message_expression = !message.empty();
    if (out.has_message_expression) out.message_expression = compiler.compile(message, without, ExpressionResult::Text);
  }
  for (const Document& a : member(spec, "auditAnnotations"))
    p->annotations.push_back({std::string(string_at(a, "key")), compiler.compile(string_at(a, "valueExpression"), scope, ExpressionResult::TextOrNull)});
  ExpressionCompiler::Scope patching = scope;
  patching.patches = true;
  if (mutating)
    for (const Document& m : member(spec, "mutations")) {
      bool patch = string_at(m, "patchType") == "JSONPatch";
      std::string_view text = string_at(member(m, patch ? "jsonPatch" : "applyConfiguration"), "expression");
      p->mutations.push_back({patch, compiler.compile(text, patching, patch ? ExpressionResult::JsonPatches : ExpressionResult::Configuration)});
    }
  p->types = compiler.types();
  return p;
}

std::shared_ptr<const PolicyBinding> read_binding(const Document& d) {
  auto b = std::make_shared<PolicyBinding>();
  const Document& spec = member(d, "spec");
  b->name = apimachinery::name_of(d);
  b->policy = string_at(spec, "policyName");
  if (const Document* match = find_member(spec, "matchResources"); match && match->is_object()) {
    b->matches_all = false;
    b->match = MatchCriteria::of_policy(*match);
  }
  b->param_ref = member(spec, "paramRef");
  b->actions = member(spec, "validationActions");
  return b;
}

const Served* served_kind(const Registry& registry, const std::string& api_version, const std::string& kind) {
  std::size_t slash = api_version.find('/');
  std::string group = slash == std::string::npos ? "" : api_version.substr(0, slash);
  std::string version = slash == std::string::npos ? api_version : api_version.substr(slash + 1);
  for (const Served* s : registry.resources(group, version))
    if (s->kind->kind == kind) return s;
  return nullptr;
}

Status configuration(std::string text) { return Status(Reason::Unknown, std::move(text)); }

}  // namespace

AdmissionPolicies::AdmissionPolicies(Lister& lister, bool mutating) : mutating_(mutating) {
  lister.subscribe(kGroup, mutating ? "mutatingadmissionpolicies" : "validatingadmissionpolicies",
                   [this](std::string_view, std::string_view name, const Bytes&, const Bytes& now) { changed_policy(name, now); });
  lister.subscribe(kGroup, mutating ? "mutatingadmissionpolicybindings" : "validatingadmissionpolicybindings",
                   [this](std::string_view, std::string_view name, const Bytes&, const Bytes& now) { changed_binding(name, now); });
}

void AdmissionPolicies::changed_policy(std::string_view name, const Bytes& now) {
  if (now) documents_[std::string(name)] = now;
  else documents_.erase(std::string(name));
  compiled_.erase(std::string(name));
  all_.reset();
}

void AdmissionPolicies::changed_binding(std::string_view name, const Bytes& now) {
  if (now) bindings_[std::string(name)] = now;
  else bindings_.erase(std::string(name));
  all_.reset();
}

std::shared_ptr<const AdmissionPolicies::All> AdmissionPolicies::all() const {
  if (all_) return all_;
  auto all = std::make_shared<All>();
  std::map<std::string, std::vector<std::shared_ptr<const PolicyBinding>>> bound;
  for (const auto& [name, stored] : bindings_) {
    Document d = mutating_ ? document_of<v1::MutatingAdmissionPolicyBinding>(stored) : document_of<v1::ValidatingAdmissionPolicyBinding>(stored);
    auto binding = read_binding(d);
    bound[binding->policy].push_back(std::move(binding));
  }
  for (auto& [name, bindings] : bound) {
    auto at = documents_.find(name);
    if (at == documents_.end()) continue;
    auto& compiled = compiled_[name];
    if (!compiled) compiled = compile_policy(mutating_ ? document_of<v1::MutatingAdmissionPolicy>(at->second) : document_of<v1::ValidatingAdmissionPolicy>(at->second), mutating_);
    auto policy = std::make_shared<AdmissionPolicy>(*compiled);
    policy->bindings = std::move(bindings);
    all->push_back(std::move(policy));
  }
  all_ = all;
  return all_;
}

Result<std::vector<std::shared_ptr<const Document>>> collect_params(const Registry& registry, const Lister& lister, const AdmissionPolicy& policy,
                                                                    const PolicyBinding& binding, const AdmissionAttributes& a) {
  using Params = std::vector<std::shared_ptr<const Document>>;
  if (policy.param_kind.empty() || !binding.param_ref.is_object()) return Params{nullptr};
  const Document& ref = binding.param_ref;
  std::string ns(string_at(ref, "namespace")), name(string_at(ref, "name"));
  const Served* served = served_kind(registry, policy.param_version, policy.param_kind);
  if (!served)
    return configuration("failed to configure policy: failed to find resource referenced by paramKind: '" + policy.param_version + ", Kind=" + policy.param_kind + "'");
  if (served->namespaced()) {
    if (ns.empty()) ns = a.ns;
    if (ns.empty()) return configuration("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources");
  } else if (!ns.empty()) {
    return configuration("paramRef.namespace must not be provided for a cluster-scoped `paramKind`");
  }
  Params out;
  auto take = [&](const Bytes& stored) {
    if (Result<Document> d = decode_stored(*served, stored)) out.push_back(std::make_shared<const Document>(std::move(*d)));
  };
  if (!name.empty()) {
    if (Bytes stored = lister.get(served->group(), served->resource(), ns, name)) take(stored);
  } else {
    auto selector = apimachinery::LabelSelector::from_document(member(ref, "selector"));
    if (!selector) return selector.status();
    lister.for_each(served->group(), served->resource(), ns, [&](std::string_view, std::string_view, const Bytes& stored) {
      if (Result<Document> d = decode_stored(*served, stored); d && selector->matches(apimachinery::labels_of(*d)))
        out.push_back(std::make_shared<const Document>(std::move(*d)));
      return true;
    });
  }
  if (out.empty() && string_at(ref, "parameterNotFoundAction") == "Deny")
    return configuration("no params found for policy binding with `Deny` parameterNotFoundAction");
  return out;
}

Result<std::shared_ptr<const Document>> namespace_of_policy_request(const Registry& registry, const Lister& lister, const AdmissionAttributes& a) {
  std::shared_ptr<const Document> none;
  if (a.ns.empty() || (a.kind == "Namespace" && a.version == "v1" && a.group.empty())) return none;
  const Served* served = registry.find("", "v1", "namespaces");
  Bytes stored = lister.get("", "namespaces", "", a.ns);
  if (!stored || !served) return Status(Reason::NotFound, "namespaces \"" + a.ns + "\" not found");
  Result<Document> d = decode_stored(*served, stored);
  if (!d) return d.status();
  return std::make_shared<const Document>(namespace_for_expressions(*d));
}

}  // namespace onebin::apiserver
