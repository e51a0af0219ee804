// ObjectView: reads the parts of a stored object that lists, watches and indexes decide on, straight from its bytes.
#pragma once
#include <onebin/apimachinery/schema.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/base/bytes.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apiserver {

// Numbers of metav1.ObjectMeta's fields.
namespace meta_field {
inline constexpr std::uint32_t kName = 1, kNamespace = 3, kUid = 5, kResourceVersion = 6, kGeneration = 7, kDeletionTimestamp = 9,
                               kLabels = 11, kAnnotations = 12, kOwnerReferences = 13, kFinalizers = 14;
}

bool is_protobuf(std::string_view bytes);  // has the magic; else JSON

// A view: the bytes must outlive it. Built-ins are protobuf with envelope, custom resources JSON.
class ObjectView {
 public:
  explicit ObjectView(std::string_view stored);
  bool valid() const { return valid_; }
  std::string_view message() const { return message_; }  // bare protobuf; empty for JSON
  std::string_view meta() const { return meta_; }
  std::string_view meta_string(std::uint32_t number) const;
  std::vector<std::pair<std::string_view, std::string_view>> labels() const;
  bool being_deleted() const;

 private:
  std::string_view message_, meta_;
  bool valid_ = false;
};

// A field that field selectors may name: where it lies in the message.
struct SelectableField {
  std::string name;                     // "spec.nodeName"
  std::vector<std::uint32_t> numbers;   // the way to it
  apimachinery::FieldKind kind = apimachinery::FieldKind::String;
  std::vector<std::string> json_path;   // for objects stored as JSON
  // Where the value isn't simply a field's.
  std::string (*custom)(std::string_view message) = nullptr;
};
// `path` is "spec.nodeName"; an empty result's numbers mean that the type has no such field.
SelectableField make_selectable(const apimachinery::TypeSchema& type, std::string_view name, std::string_view path);
std::string field_value(const SelectableField& field, std::string_view stored);
// A string field reached by numbers in a bare message; "" where absent.
std::string_view message_string(std::string_view message, std::initializer_list<std::uint32_t> numbers);

// What a list or watch selects.
struct Filter {
  std::string ns, name;  // "" all
  apimachinery::LabelSelector labels;
  std::vector<std::pair<const SelectableField*, apimachinery::FieldRequirement>> fields;
  bool nothing = false;  // contradicts itself: selects nothing

  bool everything_in_scope() const { return name.empty() && labels.empty() && fields.empty() && !nothing; }
  // `key` is "ns/name" or "name".
  bool matches_key(std::string_view key) const;
  bool matches_object(std::string_view stored) const;  // labels and fields
  bool needs_object() const { return !labels.empty() || !fields.empty(); }
};

bool matches_labels(const apimachinery::LabelSelector& selector, std::string_view stored);

}  // namespace onebin::apiserver
