#include "apiserver/registry/print.hpp"

#include <onebin/apimachinery/meta.hpp>

#include <map>

namespace onebin::apiserver {
namespace print {

std::vector<apimachinery::TableColumn> columns(std::initializer_list<std::string_view> specs) {
  std::vector<apimachinery::TableColumn> out;
  for (std::string_view s : specs) {
    apimachinery::TableColumn c;
    c.type = "string";
    for (; !s.empty(); s.remove_suffix(1)) {
      char mark = s.back();
      if (mark == '!') c.format = "name";
      else if (mark == '*') c.priority = 1;
      else if (mark == '#') c.type = "integer";
      else if (mark == '?') c.type = "boolean";
      else break;
    }
    c.name = s;
    c.description = s == "Name" ? "The name of the object, unique among those of its kind in its namespace." : std::string(s) + " of the object.";
    out.push_back(std::move(c));
  }
  return out;
}

std::string text(const Document& o, std::initializer_list<std::string_view> path, std::string_view otherwise) {
  std::string_view v = apimachinery::get_string(o, path);
  return std::string(v.empty() ? otherwise : v);
}
std::int64_t number(const Document& o, std::initializer_list<std::string_view> path) { return apimachinery::get_int(o, path); }

const Document& list(const Document& o, std::initializer_list<std::string_view> path) {
  static const Document none = Document::array();
  const Document& v = apimachinery::at_path(o, path);
  return v.is_array() ? v : none;
}

std::string name(const Document& o) { return std::string(apimachinery::name_of(o)); }
std::string created(const Document& o, WallTime now) { return apimachinery::age(apimachinery::creation_timestamp_of(o), now); }

std::string scalar(const Document& v) {
  if (v.is_string()) return v.get<std::string>();
  if (v.is_null()) return {};
  return v.dump();
}

std::string joined(const Document& l, std::string_view member, std::string_view separator) {
  std::string out;
  bool first = true;
  for (const auto& e : l) {
    if (!first) out += separator;
    first = false;
    out += member.empty() ? scalar(e) : scalar(apimachinery::member(e, member));
  }
  return out;
}

std::string selector(const Document& s) {
  if (!s.is_object()) return "<none>";
  auto parsed = apimachinery::LabelSelector::from_document(s);
  if (!parsed) return "<error>";
  std::string t = parsed->to_string();
  return t.empty() ? "<none>" : t;
}

std::string first_of(const std::vector<std::string>& items, std::size_t max, std::string_view none) {
  if (items.empty()) return std::string(none);
  std::string out;
  for (std::size_t i = 0; i < items.size() && i < max; ++i) out += (i ? "," : "") + items[i];
  if (items.size() > max) out += " + " + std::to_string(items.size() - max) + " more...";
  return out;
}

}  // namespace print

const Printer* find_printer(std::string_view group, std::string_view kind) {
  static const std::map<std::string, Printer> all = [] {
    std::map<std::string, Printer> m;
    print::add_core(m);
    print::add_workloads(m);
    print::add_others(m);
    return m;
  }();
  auto at = all.find(std::string(group) + "/" + std::string(kind));
  return at == all.end() ? nullptr : &at->second;
}

const apimachinery::FieldMask& printed_fields(const KindSchema& kind) {
  using apimachinery::FieldMask;
  static std::map<const KindSchema*, FieldMask> masks;  // made at first use
  auto at = masks.find(&kind);
  if (at != masks.end()) return at->second;
  const Printer* printer = find_printer(kind.group, kind.kind);
  FieldMask mask = printer && !printer->reads.empty() ? FieldMask::of(*kind.type, printer->reads) : FieldMask::without_managed_fields(*kind.type);
  return masks.emplace(&kind, std::move(mask)).first->second;
}

}  // namespace onebin::apiserver
