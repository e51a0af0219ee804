#include "job_indexes.hpp"

#include <onebin/base/bytes.hpp>

#include <cstdlib>

namespace onebin::controller {

std::set<int> parse_indexes(std::string_view text, int completions) {
  std::set<int> out;
  if (text.empty()) return out;
  for (const auto& part : split(text, ',')) {
    if (part.empty() || part[0] < '0' || part[0] > '9') continue;
    int first = std::atoi(part.c_str()), last = first;
    if (auto dash = part.find('-'); dash != std::string::npos) last = std::atoi(part.c_str() + dash + 1);
    for (int i = first; i <= last && i < completions; ++i) out.insert(i);
  }
  return out;
}

std::string format_indexes(const std::set<int>& indexes) {
  std::string out;
  for (auto it = indexes.begin(); it != indexes.end();) {
    int first = *it, last = first;
    for (++it; it != indexes.end() && *it == last + 1; ++it) last = *it;
    if (!out.empty()) out += ",";
    out += std::to_string(first);
    if (last == first + 1) out += "," + std::to_string(last);
    else if (last > first) out += "-" + std::to_string(last);
  }
  return out;
}

}  // namespace onebin::controller
