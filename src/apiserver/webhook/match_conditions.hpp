// matchConditions of webhooks: expressions that must hold for a request to reach the webhook.
#pragma once
#include "apiserver/core.hpp"
#include "apiserver/webhook/hook_source.hpp"

namespace onebin::apiserver {

// False: the webhook is not called. Forbidden where that cannot be told and the webhook's failurePolicy is Fail; under Ignore
// what cannot be told is false. `object` and `old_object` are as the webhook would see them, null where there is none.
async::Task<Result<bool>> match_conditions_hold(Core* core, const Hook* hook, const AdmissionAttributes* a, const Match* match, const Document* object, const Document* old_object);

}  // namespace onebin::apiserver
