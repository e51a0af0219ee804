// Sets of completion indexes in the API's compressed form: "1,3-5,7".
#pragma once
#include <set>
#include <string>
#include <string_view>

namespace onebin::controller {

std::set<int> parse_indexes(std::string_view text, int completions);  // those below `completions`; malformed parts are left out
std::string format_indexes(const std::set<int>& indexes);

}  // namespace onebin::controller
