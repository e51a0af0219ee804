// The way to a value, kept as links on the stack and spelt only when something is to be said about it.
#pragma once
#include <string>
#include <string_view>

namespace onebin::apimachinery {

struct JsonPath {
  const JsonPath* parent = nullptr;
  std::string_view name;
  std::ptrdiff_t index = -1;  // of a list's element

  std::string text() const {
    std::string before = parent ? parent->text() : std::string();
    if (index >= 0) return before + "[" + std::to_string(index) + "]";
    if (before.empty()) return std::string(name);
    return name.empty() ? before : before + "." + std::string(name);
  }
};

}  // namespace onebin::apimachinery
