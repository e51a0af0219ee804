// Go's %v of JSON values, which some of upstream's messages contain.
#pragma once
#include <onebin/apimachinery/document.hpp>

#include <string>

namespace onebin::apimachinery {
std::string go_value(const Document& value);  // map[a:1 b:[x y]]
}
