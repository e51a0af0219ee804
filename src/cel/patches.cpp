#include "cel/map_value.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/cel/patches.hpp>

namespace onebin::cel {
namespace {

void look(const Value& v, const std::string& place, std::string& problems) {
  if (v.is(ValueKind::List) && !v.document()) {
    for (std::size_t i = 0; i < v.size(); ++i) look(v.at(i), place, problems);
    return;
  }
  if (!v.is(ValueKind::Map) || v.document()) return;
  const auto* map = dynamic_cast<const HashMap*>(static_cast<const MapValue*>(v.box()));
  if (!map) return;
  bool object = !map->object_type.empty();
  if (object && map->object_type != place)
    problems += (problems.empty() ? "" : "\n") + ("unexpected type name " + apimachinery::go_quote(map->object_type)) + ", expected " +
                apimachinery::go_quote(place) + ", which matches field name path from root Object type";
  for (const auto& [key, value] : map->entries()) look(value, object ? place + "." + std::string(key.text()) : place, problems);
}

}  // namespace

std::string misplaced_objects(const Value& object) {
  std::string problems;
  look(object, "Object", problems);
  return problems;
}

}  // namespace onebin::cel
