// Value: what an expression computes with. Texts, lists and maps that come from a Document stay there: the document must
// live, unchanged, as long as the value does.
// Source: the Common Expression Language's specification, "Values".
#pragma once
#include <onebin/cel/schema.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onebin::cel {

enum class ValueKind : std::uint8_t {
  Error, Null, Bool, Int, Uint, Double, String, Bytes, Timestamp, Duration, List, Map, Type, Optional,
  Quantity, Url, Ip, Cidr, Format, Semver, Authorizer, PathCheck, GroupCheck, ResourceCheck, Decision, Preserved,
};

class Value;
using Values = std::vector<Value>;

// A map that is not a document's.
class MapValue {
 public:
  virtual ~MapValue() = default;
  virtual std::size_t size() const = 0;
  virtual bool find(const Value& key, Value& out) const = 0;  // may leave an error in `out`, and true
  virtual Values keys() const = 0;
};

class Value {
 public:
  Value() = default;  // null
  static Value boolean(bool b);
  static Value integer(std::int64_t i);
  static Value uinteger(std::uint64_t u);
  static Value real(double d);
  static Value string(std::string text);
  static Value bytes(std::string text);
  static Value timestamp(std::int64_t seconds, std::int32_t nanos, std::int16_t offset_minutes = 0);  // the offset is how it is shown
  static Value duration(std::int64_t nanoseconds);
  static Value list(Values items);
  static Value map(std::shared_ptr<const MapValue> map);
  static Value map(std::vector<std::pair<Value, Value>> entries);  // a key that repeats replaces
  static Value type(const Type* type);                             // the type must live
  static Value optional_of(Value value);
  static Value optional_none();
  static Value error(std::string message);
  // A value of a document. Null schema: as JSON says.
  static Value of(const Document& document, const Schema* schema = nullptr);
  // What an extension's own type boxes.
  static Value boxed(ValueKind kind, std::shared_ptr<const void> box);

  ValueKind kind() const { return kind_; }
  bool is(ValueKind kind) const { return kind_ == kind; }
  bool is_error() const { return kind_ == ValueKind::Error; }
  bool is_true() const { return kind_ == ValueKind::Bool && scalar_.b; }
  bool is_false() const { return kind_ == ValueKind::Bool && !scalar_.b; }
  std::int64_t as_int() const { return scalar_.i; }  // Int; Duration: nanoseconds; Timestamp: seconds
  std::uint64_t as_uint() const { return scalar_.u; }
  double as_double() const { return scalar_.d; }
  std::int32_t nanos() const { return nanos_; }      // Timestamp
  std::int16_t offset_minutes() const { return offset_; }
  std::string_view text() const;                     // String, Bytes, Error: its message
  const Type* as_type() const { return scalar_.type; }
  const void* box() const { return box_.get(); }
  const std::shared_ptr<const void>& shared_box() const { return box_; }
  const Document* document() const { return in_document_ ? scalar_.doc : nullptr; }
  const Schema* schema() const { return in_document_ ? schema_ : nullptr; }

  // List, Map, String (characters), Bytes.
  std::size_t size() const;
  Value at(std::size_t i) const;                     // List
  bool find(const Value& key, Value& out) const;     // Map; may leave an error in `out`, and true
  Values keys() const;                               // Map
  bool has_optional() const { return box_ != nullptr; }
  const Value& optional_value() const;               // Optional that has one
  const Type& type_of() const;

  // Appends in place where nobody else holds the list, else makes a new one. List.
  static Value appended(Value list, Value item);
  // Map of values with one more member; an error when the key is there.
  static Value inserted(Value map, const Value& key, const Value& value);

  // As JSON: what a patch or an annotation writes. An error message where a value has none.
  bool to_document(Document& out, std::string& problem) const;

 private:
  ValueKind kind_ = ValueKind::Null;
  bool in_document_ = false;
  std::int16_t offset_ = 0;
  std::int32_t nanos_ = 0;
  union {
    bool b;
    std::int64_t i;
    std::uint64_t u;
    double d;
    const Type* type;
    const Document* doc;
  } scalar_{.i = 0};
  const Schema* schema_ = nullptr;
  std::shared_ptr<const void> box_;
};

// Equality of CEL: numbers by value whatever their kind, lists and maps by their members; an error for what cannot be compared.
Value equal(const Value& a, const Value& b);
// -1, 0, 1, or an error.
Value compare(const Value& a, const Value& b);

}  // namespace onebin::cel
