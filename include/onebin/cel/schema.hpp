// Types of expressions, and schemas: what an expression is told of the JSON values that it reads. A schema says both how
// an expression sees a value (its type) and what a value becomes when it is read (text of format date-time: a timestamp).
// Source: the Common Expression Language's specification, "Gradual Type Checking"; Kubernetes "Common Expression Language
// in Kubernetes", "OpenAPIv3 types" and "Escaping".
#pragma once
#include <onebin/apimachinery/document.hpp>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::cel {

using apimachinery::Document;
struct Schema;

enum class TypeKind : std::uint8_t {
  Dyn, Error, Null, Bool, Int, Uint, Double, String, Bytes, Timestamp, Duration, List, Map, Object, Opaque, Type, Param,
};

struct Type {
  TypeKind kind = TypeKind::Dyn;
  std::string name;                    // as type() of a value shows it: "int", "google.protobuf.Timestamp", "kubernetes.URL"
  std::vector<const Type*> params;     // List: item; Map: key, value; Type: of what; Opaque: as declared
  const Schema* schema = nullptr;      // Object: its fields; null when it has none
};

// The types that need no pool.
namespace types {
extern const Type dyn, error, null, boolean, integer, uinteger, real, string, bytes, timestamp, duration, type;
extern const Type list, map, optional;  // of dyn: what values say of themselves
extern const Type quantity, url, ip, cidr, format, semver, authorizer, path_check, group_check, resource_check, decision;
}  // namespace types

// "list(map(string, int))", as messages show it.
std::string to_string(const Type& type);
bool same_type(const Type& a, const Type& b);
inline bool is_optional(const Type& type) { return type.kind == TypeKind::Opaque && type.name == "optional_type"; }

struct SchemaField {
  std::string name;     // in JSON
  std::string escaped;  // in expressions; "" when it cannot be written there
  const Schema* schema = nullptr;
};

struct Schema {
  // Dyn: as JSON says. Preserved: kept, but not known (x-kubernetes-preserve-unknown-fields).
  enum class Kind : std::uint8_t { Dyn, IntOrString, Bool, Int, Double, String, Bytes, Duration, Date, DateTime, List, Map, Object, Preserved };
  enum class ListKind : std::uint8_t { Atomic, Set, Map };
  Kind kind = Kind::Dyn;
  ListKind list_kind = ListKind::Atomic;
  bool nullable = false;
  const Type* type = nullptr;        // null: expressions do not see it
  std::int64_t max_elements = 0;     // at most: characters, items, members; for estimates of cost
  std::int64_t min_size = 0;         // at least: bytes in JSON; for estimates of cost
  const Schema* items = nullptr;     // of a list; values of a map
  std::vector<SchemaField> fields;   // of an object, sorted by name
  std::vector<std::string> list_keys;  // of ListKind::Map

  const SchemaField* field(std::string_view name) const;
  const SchemaField* escaped_field(std::string_view escaped) const;
};

// How a property is written in an expression ("a-b": "a__dash__b", "namespace": "__namespace__"); false when it cannot be.
bool escape(std::string_view name, std::string& out);
bool unescape(std::string_view escaped, std::string& out);

// Owner of types and schemas; what it hands out lives and stays in place as long as it does.
class Schemas {
 public:
  Schemas() = default;
  Schemas(const Schemas&) = delete;
  const Type* list_of(const Type* item);
  const Type* map_of(const Type* key, const Type* value);
  const Type* optional_of(const Type* value);
  const Type* type_of(const Type* type);
  const Type* param(std::string name);
  const Type* object(std::string name, const Schema* schema);
  // Of a structural openAPIV3Schema. `resource`: apiVersion, kind and metadata's names are there even if it does not say so.
  // `name` becomes the name of the root's type and the beginning of those within. Never null; without a type when
  // expressions cannot see such a value.
  const Schema* from_openapi(const Document& schema, bool resource, std::string_view name);
  // By hand: a list of name and schema makes an object.
  const Schema* scalar(Schema::Kind kind, const Type& type);
  const Schema* list(const Schema* items);
  const Schema* map(const Schema* values);
  const Schema* object(std::string name, std::vector<SchemaField> fields);

 private:
  const Schema* convert(const Document& schema, bool resource, std::string name, int depth);
  void convert_text(const Document& schema, Schema& out);
  const Schema* convert_object(const Document& schema, bool resource, std::string name, int depth, Schema& out);
  Schema* add(Schema schema);
  std::deque<Type> types_;
  std::deque<Schema> schemas_;
};

}  // namespace onebin::cel
