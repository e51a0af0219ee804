// The kinds that have more than flags: one function each makes its strategy.
#pragma once
#include "apiserver/registry/strategy.hpp"

namespace onebin::apiserver {

using StrategyMaker = StrategyPtr (*)(const KindSchema&);

// Null where the kind needs no code of its own.
StrategyMaker core_strategy(std::string_view kind);
StrategyMaker apps_strategy(std::string_view kind);
StrategyMaker batch_strategy(std::string_view kind);
StrategyMaker other_strategy(std::string_view group, std::string_view kind);

// Flags of every kind, by upstream's strategies.
void set_flags(Strategy& s);

}  // namespace onebin::apiserver
