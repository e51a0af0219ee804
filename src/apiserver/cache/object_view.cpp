#include "apiserver/cache/object_view.hpp"

#include "apiserver/cache/stored_json.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>

namespace onebin::apiserver {

using apimachinery::Document;
using apimachinery::FieldKind;
using apimachinery::ProtoReader;

bool is_protobuf(std::string_view bytes) { return bytes.substr(0, 4) == apimachinery::kProtobufMagic; }

ObjectView::ObjectView(std::string_view stored) {
  if (!is_protobuf(stored)) {
    valid_ = !stored.empty();
    return;
  }
  auto envelope = apimachinery::open_envelope(stored);
  if (!envelope) return;
  message_ = envelope->raw;
  ProtoReader r(message_);
  while (r.next()) {
    if (r.number() == 1 && r.wire_type() == 2) {
      meta_ = r.bytes();
      break;
    }
  }
  valid_ = !r.failed();
}

std::string_view ObjectView::meta_string(std::uint32_t number) const {
  ProtoReader r(meta_);
  while (r.next())
    if (r.number() == number && r.wire_type() == 2) return r.bytes();
  return {};
}

bool ObjectView::being_deleted() const {
  ProtoReader r(meta_);
  while (r.next())
    if (r.number() == meta_field::kDeletionTimestamp) return true;
  return false;
}

std::vector<std::pair<std::string_view, std::string_view>> ObjectView::labels() const {
  std::vector<std::pair<std::string_view, std::string_view>> out;
  ProtoReader r(meta_);
  while (r.next()) {
    if (r.number() != meta_field::kLabels || r.wire_type() != 2) continue;
    std::string_view key, value;
    ProtoReader e(r.bytes());
    while (e.next()) {
      if (e.number() == 1) key = e.bytes();
      else if (e.number() == 2) value = e.bytes();
    }
    out.emplace_back(key, value);
  }
  return out;
}

std::string_view message_string(std::string_view message, std::initializer_list<std::uint32_t> numbers) {
  std::string_view at = message;
  for (std::uint32_t n : numbers) {
    ProtoReader r(at);
    std::string_view found;
    while (r.next())
      if (r.number() == n && r.wire_type() == 2) found = r.bytes();
    at = found;
    if (at.empty()) break;
  }
  return at;
}

namespace {

// Appends the numbers that lead to field `index` of `type`.
bool numbers_of(const apimachinery::TypeSchema& type, std::size_t index, std::vector<std::uint32_t>& out) {
  for (const auto& e : type.proto) {
    if (!e.embedded) {
      if (e.first != index) continue;
      out.push_back(e.number);
      return true;
    }
    if (index < e.first || index >= e.first + e.embedded->fields.size()) continue;
    out.push_back(e.number);
    return numbers_of(*e.embedded, index - e.first, out);
  }
  return false;
}

}  // namespace

SelectableField make_selectable(const apimachinery::TypeSchema& type, std::string_view name, std::string_view path) {
  SelectableField f;
  f.name = name;
  f.json_path = split(path, '.');
  const apimachinery::TypeSchema* at = &type;
  for (const auto& part : f.json_path) {
    int index = at ? at->index_of(part) : -1;
    if (index < 0 || !numbers_of(*at, static_cast<std::size_t>(index), f.numbers)) {
      f.numbers.clear();
      return f;
    }
    const auto& field = at->fields[static_cast<std::size_t>(index)];
    f.kind = field.kind;
    at = field.message;
  }
  return f;
}

namespace {

std::string json_value(const SelectableField& field, std::string_view stored) {
  std::string_view text = stored;
  for (const auto& p : field.json_path) text = json_member(text, p);
  if (text.empty()) return {};
  Document d = Document::parse(text, nullptr, false);
  if (d.is_string()) return d.get<std::string>();
  return d.is_null() || d.is_discarded() ? std::string() : std::string(text);
}

}  // namespace

std::string field_value(const SelectableField& field, std::string_view stored) {
  if (!is_protobuf(stored)) return json_value(field, stored);
  std::string_view at = ObjectView(stored).message();
  if (field.custom) return field.custom(at);
  bool number = field.kind == FieldKind::Bool || field.kind == FieldKind::Int32 || field.kind == FieldKind::Int64;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < field.numbers.size(); ++i) {
    ProtoReader r(at);
    std::string_view found;
    while (r.next()) {
      if (r.number() != field.numbers[i]) continue;
      if (r.wire_type() == 2) found = r.bytes();
      else value = r.varint();
    }
    at = found;
  }
  if (field.kind == FieldKind::Bool) return value ? "true" : "false";
  if (number) return std::to_string(static_cast<std::int64_t>(value));
  return std::string(at);
}

bool matches_labels(const apimachinery::LabelSelector& selector, std::string_view stored) {
  if (!is_protobuf(stored)) {
    std::string_view labels = json_member(json_member(stored, "metadata"), "labels");
    return selector.matches(labels.empty() ? Document::object() : Document::parse(labels, nullptr, false));
  }
  auto labels = ObjectView(stored).labels();
  return selector.matches_with([&](std::string_view key) -> std::optional<std::string_view> {
    for (const auto& [k, v] : labels)
      if (k == key) return v;
    return std::nullopt;
  });
}

bool Filter::matches_key(std::string_view key) const {
  if (nothing) return false;
  if (ns.empty() && name.empty()) return true;
  std::size_t slash = key.find('/');
  std::string_view key_ns = slash == std::string_view::npos ? std::string_view() : key.substr(0, slash);
  std::string_view key_name = slash == std::string_view::npos ? key : key.substr(slash + 1);
  return (ns.empty() || key_ns == ns) && (name.empty() || key_name == name);
}

bool Filter::matches_object(std::string_view stored) const {
  for (const auto& [field, requirement] : fields)
    if ((field_value(*field, stored) == requirement.value) != requirement.equal) return false;
  return labels.empty() || matches_labels(labels, stored);
}

}  // namespace onebin::apiserver
