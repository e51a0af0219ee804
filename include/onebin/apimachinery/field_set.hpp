// FieldSet: a set of field paths, as managedFields record them.
// Source: KEP-555 (server-side apply) and the FieldsV1 serialization: "f:name", "k:{…}", "v:…", "i:n", "." for the path itself.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/result.hpp>

#include <compare>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apimachinery {

// One step of a path.
struct PathElement {
  enum class Kind : unsigned char { Field, Key, Value, Index };  // in FieldsV1's order: f, k, v, i
  Kind kind = Kind::Field;
  std::string text;  // Field: the name. Key, Value: compact JSON, keys sorted. Index: decimal.

  static PathElement field(std::string_view name) { return {Kind::Field, std::string(name)}; }
  static PathElement key(const Document& keys);
  static PathElement key(std::string_view name, const Document& value);  // of one key
  static PathElement value(const Document& value);
  static PathElement index(std::size_t i);
  std::string serialize() const;                            // "f:name"
  static Result<PathElement> parse(std::string_view text);  // an unknown prefix is an error
  std::string to_string() const;                            // ".name", `[name="x"]`, `[="v"]`, "[0]"

  bool operator==(const PathElement&) const = default;
  auto operator<=>(const PathElement&) const = default;
};
using FieldPathElements = std::vector<PathElement>;
std::string to_string(const FieldPathElements& path);

// A tree: a node is a member itself or not, and has children.
class FieldSet {
 public:
  bool member = false;
  std::map<PathElement, FieldSet> children;

  bool empty() const { return !member && children.empty(); }  // no empty nodes are kept
  void insert(const FieldPathElements& path);  // the empty path is no member
  bool has(const FieldPathElements& path) const;
  std::size_t size() const;
  bool operator==(const FieldSet&) const = default;

  // In place: what `other` has comes in; goes out; goes out with all below its members.
  void add(FieldSet other);
  void remove(const FieldSet& other);
  void remove_recursively(const FieldSet& other);

  FieldSet union_with(const FieldSet& other) const;
  FieldSet intersection(const FieldSet& other) const;
  FieldSet difference(const FieldSet& other) const;            // exact paths
  FieldSet recursive_difference(const FieldSet& other) const;  // a member of `other` takes all below it along
  // A node's own members first, then what lies below them.
  std::vector<FieldPathElements> paths() const;

  static Result<FieldSet> parse(const Document& fields_v1);
  Document serialize() const;
  std::string to_json() const;  // serialize() as text

 private:
  void append_json(std::string& out) const;
  void collect(FieldPathElements& prefix, std::vector<FieldPathElements>& out) const;
};

}  // namespace onebin::apimachinery
