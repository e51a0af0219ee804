// The kinds that have more than flags: one function each makes its strategy.
#pragma once
#include "apiserver/registry/strategy.hpp"

#include <memory>

namespace onebin::apiserver {

struct Served;

using StrategyMaker = StrategyPtr (*)(const KindSchema&);
template <class S>
StrategyPtr make(const KindSchema& k) { return std::make_shared<S>(k); }

// Null where the kind needs no code of its own.
StrategyMaker core_strategy(std::string_view kind);
StrategyMaker apps_strategy(std::string_view kind);
StrategyMaker batch_strategy(std::string_view kind);
StrategyMaker networking_strategy(std::string_view kind);
StrategyMaker certificates_strategy(std::string_view kind);
StrategyMaker resource_strategy(std::string_view kind);
StrategyMaker admissionregistration_strategy(std::string_view kind);
StrategyMaker storage_strategy(std::string_view kind);
StrategyMaker flowcontrol_strategy(std::string_view kind);  // and APIService
StrategyPtr make_autoscaler_strategy(const KindSchema& kind);
void set_autoscaler_conversions(Served& served);
StrategyMaker other_strategy(std::string_view group, std::string_view kind);

// Flags of every kind, by upstream's strategies.
void set_flags(Strategy& s);

}  // namespace onebin::apiserver
