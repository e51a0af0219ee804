// LimitRange: which limits may be set, and that they do not contradict each other.
#pragma once
#include "apiserver/registry/strategy.hpp"

namespace onebin::apiserver {

void validate_limit_range(const Document& object, FieldErrors& errors);

}  // namespace onebin::apiserver
