// What an evaluation costs, in the units in which Kubernetes states its limits.
// Source: cel-go's runtime cost tracker and cost estimator, with k8s.io/apiserver/pkg/cel/library's.
#pragma once
#include <onebin/cel/program.hpp>

#include "cel/ast.hpp"

namespace onebin::cel {

inline constexpr std::uint64_t kListCost = 10, kMapCost = 30, kObjectCost = 40;
inline constexpr std::uint64_t kMostCost = ~std::uint64_t{0};

// Of one call, its arguments' own cost left out. `overload` is null where several may have applied.
std::uint64_t call_cost(const Expr& call, const Overload* overload, std::span<const Value> args, const Value& result);
// Of a call whose work grows faster than what it is given, before it is made: a lower bound.
std::uint64_t cost_beforehand(const Expr& call, std::span<const Value> args);

// The most that the expression can cost.
std::uint64_t estimate_cost(const Expr& root, const Environment& environment);

}  // namespace onebin::cel
