// Schema: what is known of a type of the Kubernetes API, as plain data. Built-in kinds have constant tables made at
// build time from src/api/schema; a CustomResourceDefinition builds the same tables at run time (SchemaArena). Everything
// that reads or writes objects walks these: codecs, pruning, defaulting, validation, patches, apply, OpenAPI.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apimachinery {

struct TypeSchema;

// What one value of a field is. In a Document: Bytes is base64 text; Time, MicroTime, Duration and Quantity are text;
// IntOrString is a number or text; RawExtension, FieldsV1 and Json are any JSON value.
enum class FieldKind : std::uint8_t {
  Bool, Int32, Int64, Double, String, Bytes, Time, MicroTime, Duration, Quantity, IntOrString, RawExtension, FieldsV1, Json, Message,
};

// Single: Go value. Optional: Go pointer (absence is remembered). List: slice. Map: map with string keys.
enum class Cardinality : std::uint8_t { Single, Optional, List, Map };

// How the items of a list are told apart by apply (+listType). Unset counts as Atomic.
enum class ListType : std::uint8_t { Unset, Atomic, Set, Map };

// Whether apply owns a map's or struct's members one by one (+mapType, +structType). Unset counts as Granular.
enum class Atomicity : std::uint8_t { Unset, Granular, Atomic };

// Bits of patchStrategy.
enum PatchStrategy : std::uint8_t { kPatchNone = 0, kPatchMerge = 1, kPatchReplace = 2, kPatchRetainKeys = 4 };

// What few fields have, apart so that the field tables stay small. Text is JSON where a value is meant.
struct FieldRules {
  std::span<const std::string_view> list_map_keys;  // JSON names, in declared order; for ListType::Map
  std::string_view patch_merge_key;                 // for PatchStrategy kPatchMerge of a list of objects
  std::string_view default_json;                    // "" = no default; else the JSON of the value
  std::span<const std::string_view> enum_values;
  std::string_view union_name;     // "" = not in a union; members of one union share it
  std::string_view format;         // OpenAPI format; "" = follows from the kind
  std::string_view pattern;        // "" = none; RE2 syntax
  std::string_view description;
  std::optional<double> minimum, maximum;
  bool exclusive_minimum = false, exclusive_maximum = false;
  std::optional<double> multiple_of;
  std::optional<std::int64_t> min_length, max_length;  // string: characters; list: min_items etc. below
  std::optional<std::int64_t> min_items, max_items;    // also of properties, for a map
  PatchStrategy patch_strategy = kPatchNone;
  const void* extension = nullptr;  // for the owner of a run-time schema (CEL rules and the like); built-ins have none
};
extern const FieldRules kNoRules;

struct FieldSchema {
  std::string_view json_name;
  const TypeSchema* message = nullptr;  // for FieldKind::Message, else null
  const FieldRules* rules = &kNoRules;  // never null
  std::uint16_t proto_number = 0;       // 0: not in protobuf
  FieldKind kind = FieldKind::String;
  Cardinality cardinality = Cardinality::Single;
  ListType list_type = ListType::Unset;
  Atomicity atomicity = Atomicity::Unset;  // of this map or struct field; Unset: the message type's own
  bool omitempty = false;  // as Go's json tag; a struct that is not a pointer is written nevertheless
  bool omitzero = false;   // json tag omitzero
  bool required = false;   // must be there in a valid object
  bool immutable = false;  // an update may not change it
  bool nullable = false;   // null is a value of its own (custom resources)
  bool inlined = false;    // comes from an embedded struct: flat in JSON, nested in protobuf
  bool nonempty = false;   // a string that may not be empty (with required)

  bool is_list() const { return cardinality == Cardinality::List; }
  bool is_map() const { return cardinality == Cardinality::Map; }
  bool is_message() const { return kind == FieldKind::Message; }
};

// One entry of a message on the wire: a field, or an embedded struct, whose fields belong to the same JSON object.
struct ProtoEntry {
  std::uint16_t number = 0;
  std::uint16_t first = 0;              // index into TypeSchema::fields: of the field; of the first embedded field
  const TypeSchema* embedded = nullptr;  // null: a field
};

// The JSON form of a message. All but Object are messages whose JSON is not an object of their fields.
enum class Shape : std::uint8_t {
  Object,
  Array,          // fields[0] is the element (any kind; its cardinality is Single): JSON array. ExtraValue, Verbs; arrays in arrays
  Map,            // fields[0] is the value, likewise: JSON object with any keys. Maps in maps or arrays of custom resources
  SchemaOrBool,   // apiextensions JSONSchemaPropsOrBool: fields {allows, schema}
  SchemaOrArray,  // JSONSchemaPropsOrArray: {schema, jSONSchemas}
  SchemaOrStrings,  // JSONSchemaPropsOrStringArray: {schema, property}
};

// a < b, for names, most of which differ in their first character.
inline bool name_less(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty() || a[0] == b[0]) return a < b;
  return static_cast<unsigned char>(a[0]) < static_cast<unsigned char>(b[0]);
}

struct TypeSchema {
  std::string_view name;       // "io.k8s.api.core.v1.PodSpec": the OpenAPI definition's name
  std::string_view go_name;    // "PodSpec"
  std::span<const FieldSchema> fields;        // in declaration order, embedded structs' fields in their place
  std::span<const std::uint16_t> by_name;     // indices into fields, sorted by json_name
  std::span<const ProtoEntry> proto;          // sorted by number
  std::span<const std::uint8_t> by_number;    // number -> 1 + index into proto; 0 = none; shorter than 256 numbers
  Shape shape = Shape::Object;
  Atomicity atomicity = Atomicity::Unset;
  bool preserve_unknown = false;   // members that are not in fields are kept (custom resources)
  bool embedded_resource = false;  // x-kubernetes-embedded-resource
  bool no_protobuf = false;        // upstream gives it no protobuf form (Table); the numbers here are for use in the process only
  bool has_type_meta = false;      // kind and apiVersion are its first two fields (never in protobuf's message)
  bool has_object_meta = false;    // has metadata of type ObjectMeta
  std::string_view description;
  const void* extension = nullptr;

  // Null when there is none. Case-sensitive, as the API is.
  const FieldSchema* field(std::string_view json_name) const;
  int index_of(std::string_view json_name) const;  // -1 when none
  const ProtoEntry* entry(std::uint32_t number) const {
    if (number >= by_number.size() || by_number[number] == 0) return nullptr;
    return &proto[by_number[number] - 1u];
  }
};

struct SubresourceSchema {
  std::string_view name;  // "status"
  std::string_view group, version, kind;  // of the body: {"autoscaling", "v1", "Scale"}
  std::span<const std::string_view> verbs;
};

// A kind at one served version. One without a resource (Status, DeleteOptions, a list) has an empty plural.
struct KindSchema {
  std::string_view group, version, kind;
  std::string_view plural, singular;
  std::span<const std::string_view> short_names, categories, verbs;
  std::span<const SubresourceSchema> subresources;
  bool namespaced = false;
  std::string_view list_kind;  // "PodList"; "" when it can't be listed
  // One storage identity, however many versions are served (DESIGN.md, rule 4).
  std::string_view storage_group, storage_version;
  std::string_view storage_prefix;  // "/registry/pods/": keys are prefix [namespace/] name
  const TypeSchema* type = nullptr;

  std::string api_version() const { return group.empty() ? std::string(version) : std::string(group) + "/" + std::string(version); }
  const SubresourceSchema* subresource(std::string_view name) const;
  bool has_verb(std::string_view verb) const;
};

// Owner of schemas built at run time; what it hands out lives and stays in place as long as it does.
class SchemaArena {
 public:
  std::string_view keep(std::string_view text);
  std::span<const std::string_view> keep(const std::vector<std::string>& texts);
  const FieldRules* keep(FieldRules rules);  // its own texts must be kept already
  // For recursive types: declare first, define later. `define` builds by_name, proto and by_number.
  TypeSchema* declare(std::string_view name);
  void define(TypeSchema* type, std::vector<FieldSchema> fields);
  KindSchema* kind(KindSchema kind);

 private:
  std::deque<std::string> texts_;
  std::deque<std::vector<std::string_view>> lists_;
  std::deque<FieldRules> rules_;
  std::deque<TypeSchema> types_;
  std::deque<std::vector<FieldSchema>> fields_;
  std::deque<std::vector<std::uint16_t>> indices_;
  std::deque<std::vector<ProtoEntry>> protos_;
  std::deque<std::vector<std::uint8_t>> numbers_;
  std::deque<KindSchema> kinds_;
};

}  // namespace onebin::apimachinery
