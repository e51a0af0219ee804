// The strategy of ResourceQuotas.
#pragma once
#include "apiserver/registry/kinds.hpp"

namespace onebin::apiserver {

StrategyPtr make_resource_quota_strategy(const KindSchema& kind);

}  // namespace onebin::apiserver
