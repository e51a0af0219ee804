#pragma once
#include <string_view>

namespace onebin::engine {

std::string_view embedded_shim();  // an ELF executable: see shim/main.cc

}  // namespace onebin::engine
