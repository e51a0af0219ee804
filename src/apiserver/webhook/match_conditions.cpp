#include "apiserver/webhook/match_conditions.hpp"

#include "apiserver/errors.hpp"

namespace onebin::apiserver {

// No expression can be evaluated here: as where one fails, the failurePolicy says whether the request is refused or goes on
// without the webhook.
async::Task<Result<bool>> match_conditions_hold(Core*, const Hook* hook, const AdmissionAttributes* a, const Match*, const Document*, const Document*) {
  if (hook->ignore_failures) co_return false;
  std::string names;
  for (const auto& c : hook->match_conditions) names.append(names.empty() ? "" : ", ").append(apimachinery::string_at(c, "name"));
  co_return forbidden(a->resource_group, a->resource, a->name, "match conditions of webhook " + hook->name + " cannot be evaluated: " + names);
}

}  // namespace onebin::apiserver
