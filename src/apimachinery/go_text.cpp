#include "go_text.hpp"

#include <onebin/apimachinery/field_error.hpp>

namespace onebin::apimachinery {

std::string go_value(const Document& v) {
  if (v.is_null()) return "<nil>";
  if (v.is_string()) return v.get<std::string>();
  if (v.is_number_float()) return go_float(v.get<double>());
  if (v.is_array()) {
    std::string out = "[";
    for (const auto& e : v) out += (out.size() > 1 ? " " : "") + go_value(e);
    return out + "]";
  }
  if (v.is_object()) {
    std::string out = "map[";
    for (const auto& [k, e] : v.items()) out += (out.size() > 4 ? " " : "") + k + ":" + go_value(e);
    return out + "]";
  }
  return v.dump();
}

}  // namespace onebin::apimachinery
