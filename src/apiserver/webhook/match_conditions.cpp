#include "apiserver/webhook/match_conditions.hpp"

#include "apiserver/admission/expressions.hpp"
#include "apiserver/errors.hpp"

namespace onebin::apiserver {

async::Task<Result<bool>> match_conditions_hold(Core* core, const Hook* hook, const AdmissionAttributes* a, const Match* match, const Document* object, const Document* old_object) {
  const Document request = request_for_expressions(*a, *match);
  AuthorizerAnswers answers(*core->security.authorizer, *a->user);
  ExpressionInput::Values values;
  values.object = object;
  values.old_object = old_object;
  values.request = &request;
  values.authorizer = &answers;
  values.attributes = a;
  Matching holds;
  std::string problem;
  do {
    co_await answers.settle();
    holds = evaluate_match_conditions(hook->match_conditions->conditions, ExpressionInput(values), hook->ignore_failures, problem);
  } while (answers.pending());
  if (holds == Matching::Failed) co_return forbidden(a->resource_group, a->resource, a->name, problem);
  co_return holds == Matching::Yes;
}

}  // namespace onebin::apiserver
