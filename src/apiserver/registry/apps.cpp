#include "apiserver/registry/kinds.hpp"
namespace onebin::apiserver {
StrategyMaker core_strategy(std::string_view) { return nullptr; }
StrategyMaker apps_strategy(std::string_view) { return nullptr; }
StrategyMaker batch_strategy(std::string_view) { return nullptr; }
StrategyMaker other_strategy(std::string_view, std::string_view) { return nullptr; }
}
