// Numbers as Go's encoding/json writes a float64.
#pragma once
#include <string>

namespace onebin::apimachinery {
std::string go_number(double value);  // finite; "0" for what is not
}
