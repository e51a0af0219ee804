// Texts out of parts, in one call: a chain of operator+ costs a hundred bytes of program a part.
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>

namespace onebin::apiserver {

std::string concat(std::initializer_list<std::string_view> parts);

}  // namespace onebin::apiserver
