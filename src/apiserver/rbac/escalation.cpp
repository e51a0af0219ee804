#include "apiserver/rbac/escalation.hpp"

#include "apiserver/admission/gc_fields.hpp"
#include "apiserver/errors.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/string_list.hpp>
#include <onebin/base/bytes.hpp>

#include <set>

namespace onebin::apiserver {
namespace {

using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::string_at;
constexpr char kGroup[] = "rbac.authorization.k8s.io";

std::vector<std::string> strings(const Document& object, std::string_view field) { return apimachinery::string_list(member(object, field)); }

std::vector<PolicyRule> rules_of_role(const Document& role) {
  std::vector<PolicyRule> out;
  const Document& rules = member(role, "rules");
  if (!rules.is_array()) return out;
  for (const auto& r : rules)
    out.push_back({strings(r, "verbs"), strings(r, "apiGroups"), strings(r, "resources"), strings(r, "resourceNames"), strings(r, "nonResourceURLs")});
  return out;
}

bool aggregates(const Document* role) {
  if (!role) return false;
  const Document& selectors = apimachinery::at_path(*role, {"aggregationRule", "clusterRoleSelectors"});
  return selectors.is_array() && !selectors.empty();
}

class EscalationCheck final : public AdmissionPlugin {
 public:
  EscalationCheck(std::shared_ptr<const PolicyStore> policy, Authorizer* authorizer) : policy_(std::move(policy)), authorizer_(authorizer) {}
  std::string_view name() const override { return "RBACEscalation"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override {
    return a.resource_group == kGroup && a.subresource.empty() && a.object && !a.user->in_group(kMastersGroup);
  }

  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    if (only_gc_fields_change(a)) co_return Result<void>();
    if (a.resource == "clusterroles" || a.resource == "roles") co_return co_await check_role(&a);
    if (a.resource == "clusterrolebindings" || a.resource == "rolebindings") co_return co_await check_binding(&a);
    co_return Result<void>();
  }

 private:
  async::Task<bool> may(const AdmissionAttributes* a, std::string verb, std::string resource, std::string name) {
    Attributes q;
    q.user = a->user;
    q.verb = std::move(verb);
    q.ns = a->ns;
    q.group = kGroup;
    q.version = "*";
    q.resource = std::move(resource);
    q.name = std::move(name);
    q.is_resource = true;
    Authorized d = co_await authorizer_->authorize(q);
    co_return d.decision == Decision::Allow;
  }

  std::string object_name(const AdmissionAttributes& a) const { return a.name.empty() ? std::string(apimachinery::name_of(*a.object)) : a.name; }

  // OK when the user holds all of `rules`.
  Status holds(const AdmissionAttributes& a, const std::vector<PolicyRule>& rules) const {
    std::vector<std::string> errors;
    std::vector<PolicyRule> missing = missing_rules(policy_->rules_of(*a.user, a.ns, &errors), rules);
    if (missing.empty()) return Status::ok();
    std::set<std::string> lines;
    for (const auto& r : compact_rules(missing)) lines.insert(describe_rule(r));
    std::string why = "user " + go_quote(a.user->name) + " (groups=" + quoted_list(a.user->groups) +
                      ") is attempting to grant RBAC permissions not currently held:\n" + join({lines.begin(), lines.end()}, "\n");
    if (!errors.empty()) why += "; resolution errors: [" + join(errors, ", ") + "]";
    return forbidden(kGroup, a.resource, object_name(a), why);
  }

  async::Task<Result<void>> check_role(AdmissionAttributes* a) {
    // On a create the request has no name.
    bool escalates = co_await may(a, "escalate", a->resource, a->operation == Operation::Create ? "" : a->name);
    if (escalates) co_return Result<void>();
    Status s = holds(*a, rules_of_role(*a->object));
    if (!s) co_return s;
    const Document* before = a->operation == Operation::Update ? a->old_object() : nullptr;
    if (!aggregates(a->object) && !aggregates(before)) co_return Result<void>();
    PolicyRule all, urls;
    all.verbs = all.api_groups = all.resources = urls.verbs = urls.non_resource_urls = {"*"};
    if (!holds(*a, {all, urls})) co_return forbidden(kGroup, a->resource, object_name(*a), "must have cluster-admin privileges to use the aggregationRule");
    co_return Result<void>();
  }

  async::Task<Result<void>> check_binding(AdmissionAttributes* a) {
    const Document& ref = member(*a->object, "roleRef");
    api::rbac::v1::RoleRef role{std::string(string_at(ref, "apiGroup")), std::string(string_at(ref, "kind")), std::string(string_at(ref, "name"))};
    std::string resource = role.kind == "ClusterRole" ? "clusterroles" : role.kind == "Role" ? "roles" : "";
    if (resource.empty()) co_return Result<void>();  // validation refuses it
    bool binds = co_await may(a, "bind", resource, role.name);
    if (binds) co_return Result<void>();
    auto rules = policy_->referenced(role, a->ns);
    if (!rules) co_return rules.status();
    co_return Result<void>(holds(*a, **rules));
  }

  std::shared_ptr<const PolicyStore> policy_;
  Authorizer* authorizer_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_escalation_check(std::shared_ptr<const PolicyStore> policy, Authorizer* authorizer) {
  return std::make_unique<EscalationCheck>(std::move(policy), authorizer);
}

}  // namespace onebin::apiserver
