// The checker: gives each part of an expression its type and each call its overloads.
// Source: the language's specification, "Gradual Type Checking".
#pragma once
#include <onebin/cel/program.hpp>

#include "cel/ast.hpp"

namespace onebin::cel {

// Annotates the tree; types that it makes live in `pool`. Errors are the source's.
void check(Source& source, Expr& root, const Environment& environment, Schemas& pool);

// What is looked at once an expression is sound: literals of times, durations and patterns, formats, mixed lists and maps.
void validate_literals(Source& source, const Expr& root);

}  // namespace onebin::cel
