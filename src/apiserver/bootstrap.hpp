// What every cluster has: system namespaces, the `kubernetes` Service and its endpoints, default roles.
#pragma once
#include "apiserver/core.hpp"

namespace onebin::apiserver {

async::Task<Result<void>> bootstrap(Core* core);

}  // namespace onebin::apiserver
