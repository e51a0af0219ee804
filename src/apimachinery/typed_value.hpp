// Values with the types that structured merge needs: what is one leaf, what merges member by member, and by which keys.
// Source: sigs.k8s.io/structured-merge-diff, whose results this reproduces.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_set.hpp>
#include <onebin/apimachinery/schema.hpp>
#include <onebin/base/result.hpp>

#include <optional>
#include <string>
#include <vector>

namespace onebin::apimachinery::typed {

struct Type {
  // Deduced: whatever the value is; objects merge by member, lists are one leaf. Atomic: whatever it is, as one leaf.
  enum class Form : std::uint8_t { Struct, Map, List, Scalar, Deduced, Atomic };
  Form form = Form::Deduced;
  bool atomic = false;                 // Struct, Map, List
  const TypeSchema* type = nullptr;    // Struct
  const FieldSchema* field = nullptr;  // Map, List: describes the items; List: the keys too. Scalar: its kind
};

Type root_type(const TypeSchema* type);  // null: deduced
Type field_type(const FieldSchema& field);
Type item_type(const Type& list_or_map);
// The type of an object's member; `declared`: it is a struct's field. None: the schema doesn't know it.
std::optional<Type> member_type(const Type& object, std::string_view name, bool& declared);

// How a value is walked.
enum class Atom : std::uint8_t { Map, Scalar, List };
Atom atom_of(const Type& type, const Document* value);
bool is_atomic(const Type& type, Atom atom);

// The path element of a list's item; an error's message where it has none.
std::optional<PathElement> item_element(const Type& list, const Document& item, std::string& error);

// A built-in object as Go's structs hold it: what is no pointer is there even if empty; what is empty and omitempty is not.
// Without metadata.managedFields.
Document structured(const TypeSchema& type, const Document& object, int depth = 2);  // 0: a whole object, whose managedFields are left out
// The opposite: nulls and empty structs that only `structured` made are taken out.
void unstructured(const TypeSchema& type, Document& object);

struct Comparison {
  FieldSet removed, modified, added;
};

// "" where the value fits; else upstream's text: `.spec.foo: field not declared in schema`.
std::string validate(const Type& type, const Document& value, bool allow_duplicates);
FieldSet field_set(const Type& type, const Document& value);
// An error where list items have no identity. `implied`: both are built-in objects as they are stored, and compared as
// `structured` would make them, without its copies.
Result<Comparison> compare(const Type& type, const Document& before, const Document& after, bool implied = false);
Result<Document> merge(const Type& type, const Document& base, const Document& changes);
Document remove_items(const Type& type, const Document& value, const FieldSet& items);
// The set with those named fields that lead to a member made members themselves.
FieldSet with_named_fields(const Type& type, const FieldSet& set);
// The set after the schema changed between atomic and granular.
void reconcile(const Type& type, FieldSet& set);

// A struct's field as Go holds it: absent where it would be left out, made up where it always is there. Null pointer: absent.
const Document* go_member(const FieldSchema& field, const Document* value);

// Equal as values; 1 and 1.0 are one.
bool equal(const Document& a, const Document& b);

}  // namespace onebin::apimachinery::typed
