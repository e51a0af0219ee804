// Expressions of admission, evaluated for each request: match conditions, policies' variables, validations, messages, annotations
// and mutations. Source: Kubernetes "Validating Admission Policy"; texts and budgets as
// k8s.io/apiserver/pkg/admission/plugin/cel has them.
#pragma once
#include "apiserver/admission/rule_matching.hpp"
#include "apiserver/authorizer.hpp"

#include <onebin/async/task.hpp>
#include <onebin/cel/admission.hpp>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apiserver {

using cel::Expression;
using cel::ExpressionCompiler;
using cel::ExpressionResult;

// Answers of the authorizer to what expressions ask it. Expressions do not wait: one that asks what is not known yet is
// evaluated again once settle() has found it out.
class AuthorizerAnswers {
 public:
  AuthorizerAnswers(Authorizer& authorizer, const UserInfo& user);  // both outlive it
  const cel::AuthorizerHook& hook() const { return hook_; }
  bool pending() const { return !pending_.empty(); }
  async::Task<void> settle();

 private:
  cel::AuthorizerAnswer answer(const cel::AuthorizerQuery& query);
  Authorizer& authorizer_;
  const UserInfo& user_;
  cel::AuthorizerHook hook_;
  std::map<std::string, cel::AuthorizerAnswer> known_;
  std::vector<cel::AuthorizerQuery> pending_;
};

struct NamedExpression {
  std::string name;
  Expression expression;
};

// The values of one request, for one policy and parameter. Documents that it is made of outlive it.
class ExpressionInput final : public cel::Activation {
 public:
  struct Values {
    const Document* object = nullptr;
    const Document* old_object = nullptr;
    const Document* request = nullptr;
    const Document* params = nullptr;
    const Document* ns = nullptr;                             // null: cluster-scoped
    AuthorizerAnswers* authorizer = nullptr;
    const std::vector<NamedExpression>* variables = nullptr;
    const AdmissionAttributes* attributes = nullptr;          // for authorizer.requestResource
  };
  explicit ExpressionInput(const Values& values);
  ~ExpressionInput() override;
  const cel::Value* find(std::string_view name) const override;
  // What variables took since this was last asked.
  std::int64_t take_variables_cost() const;

 private:
  class LazyVariables;
  cel::Variables values_;
  std::shared_ptr<LazyVariables> variables_;
};

struct ExpressionOutcome {
  cel::Value value;
  std::string error;         // "" = there is a value
  bool out_of_budget = false;  // nothing more is to be evaluated; `error` says why
};
ExpressionOutcome evaluate(const Expression& expression, const ExpressionInput& input, std::int64_t& budget);

// AdmissionRequest as expressions see it: without the objects.
Document request_for_expressions(const AdmissionAttributes& a, const Match& match);
// The members of a Namespace that expressions see.
Document namespace_for_expressions(const Document& ns);

// match conditions: all must hold, and none sees the namespace. One that is false decides, whatever the others; errors count by the failure policy.
struct MatchConditions {
  std::vector<NamedExpression> conditions;
  std::shared_ptr<const void> types;
  bool empty() const { return conditions.empty(); }
};
enum class Matching : unsigned char { Yes, No, Failed };
// `problem` is set for Failed. Errors are forgiven with `ignore`: then it is no match.
Matching evaluate_match_conditions(const std::vector<NamedExpression>& conditions, const ExpressionInput& input, bool ignore, std::string& problem);
// Of a webhook: "matchConditions" of its configuration.
MatchConditions compile_match_conditions(const Document& list);

}  // namespace onebin::apiserver
