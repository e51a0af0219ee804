// Admission policies and their bindings, as plug-ins see them: compiled when they are first needed, found by what binds them.
// Source: Kubernetes "Validating Admission Policy", "Mutating Admission Policy"; behaviour of k8s.io/apiserver's
// admission/plugin/policy.
#pragma once
#include "apiserver/admission/expressions.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onebin::apiserver {

struct PolicyValidation {
  Expression expression, message_expression;
  std::string message;  // trimmed
  std::string reason;
  bool has_message_expression = false;
};
struct PolicyAnnotation {
  std::string key;
  Expression value;
};
struct PolicyMutation {
  bool json_patch = false;
  Expression expression;
};

struct PolicyBinding {
  std::string name, policy;
  MatchCriteria match;
  bool matches_all = true;  // no matchResources
  Document param_ref;       // null: none
  Document actions;         // validationActions
};

struct AdmissionPolicy {
  std::string name;
  MatchCriteria match;
  bool ignore = false;            // failurePolicy
  bool reinvoke = false;          // reinvocationPolicy IfNeeded
  std::string param_version, param_kind;  // "" = no paramKind
  std::vector<NamedExpression> conditions, variables;
  std::vector<PolicyValidation> validations;
  std::vector<PolicyAnnotation> annotations;
  std::vector<PolicyMutation> mutations;
  std::shared_ptr<const void> types;
  std::vector<std::shared_ptr<const PolicyBinding>> bindings;
};

// Those of one kind, validating or mutating.
class AdmissionPolicies {
 public:
  AdmissionPolicies(Lister& lister, bool mutating);  // outlives it
  // Policies that something binds, by name. What it holds stays as it is.
  using All = std::vector<std::shared_ptr<const AdmissionPolicy>>;
  std::shared_ptr<const All> all() const;
  bool empty() const { return bindings_.empty() || documents_.empty(); }

 private:
  struct Known;
  void changed_policy(std::string_view name, const Bytes& now);
  void changed_binding(std::string_view name, const Bytes& now);

  bool mutating_;
  std::map<std::string, Bytes, std::less<>> documents_, bindings_;  // by name, as stored
  mutable std::map<std::string, std::shared_ptr<const AdmissionPolicy>> compiled_;  // without bindings
  mutable std::shared_ptr<const All> all_;                                          // null: to be made
};

// The parameters that a binding gives a policy for a request. One null stands for "without parameters". Errors are of configuration.
Result<std::vector<std::shared_ptr<const Document>>> collect_params(const Registry& registry, const Lister& lister, const AdmissionPolicy& policy,
                                                                    const PolicyBinding& binding, const AdmissionAttributes& a);
// Of the request's namespace, as expressions see it; null for what is in none. NotFound.
Result<std::shared_ptr<const Document>> namespace_of_policy_request(const Registry& registry, const Lister& lister, const AdmissionAttributes& a);

}  // namespace onebin::apiserver
