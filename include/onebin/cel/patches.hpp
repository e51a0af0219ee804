// The objects that expressions of mutating policies make: Object{spec: Object.spec{...}}.
// Source: Kubernetes "Mutating Admission Policy", "ApplyConfiguration".
#pragma once
#include <onebin/cel/value.hpp>

#include <string>

namespace onebin::cel {

// An object's type is named after where it stands: Object.spec for what is at spec. What is wrong, a line each, or "".
std::string misplaced_objects(const Value& object);

}  // namespace onebin::cel
