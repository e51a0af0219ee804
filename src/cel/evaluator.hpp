// The evaluator: walks a checked tree.
#pragma once
#include <onebin/cel/program.hpp>

#include "cel/ast.hpp"

#include <unordered_map>

namespace re2 {
class RE2;
}

namespace onebin::cel {

// Patterns that are literals, by the call that uses them.
using Patterns = std::unordered_map<const Expr*, std::shared_ptr<const re2::RE2>>;

// What is known before any evaluation becomes a constant. False with the problem of what cannot be ("type conversion error ...").
bool plan(Expr& root, Patterns& patterns, std::string& problem);

Evaluation evaluate(const Expr& root, const Patterns& patterns, const Activation& values, std::uint64_t limit);

}  // namespace onebin::cel
