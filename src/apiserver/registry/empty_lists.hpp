// Lists with nothing in them, which storage does not keep apart from none.
#pragma once
#include <onebin/apimachinery/document.hpp>

#include <algorithm>

namespace onebin::apiserver {

// Whether there is one anywhere in a value. Where upstream compares so, it is a change each time that it is written.
inline bool has_empty_list(const apimachinery::Document& value) {
  if (value.is_array() && value.empty()) return true;
  return value.is_structured() && std::any_of(value.begin(), value.end(), [](const apimachinery::Document& v) { return has_empty_list(v); });
}

}  // namespace onebin::apiserver
