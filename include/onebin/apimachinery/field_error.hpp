// Field errors: what a validation says about one field, and the Status "Invalid" that a list of them becomes.
// Source of types and texts: metav1.CauseType and the messages that clients match on.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/status.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace onebin::apimachinery {

// "spec.containers[0].ports[name]". A value; cheap enough for paths that lead to an error.
class FieldPath {
 public:
  FieldPath() = default;  // no path; prints "<nil>" by itself, and nothing before a child
  explicit FieldPath(std::string_view root) : text_(root) {}
  FieldPath child(std::string_view name) const;
  FieldPath index(std::size_t i) const;
  FieldPath key(std::string_view k) const;
  const std::string& text() const { return text_; }
  std::string to_string() const { return text_.empty() ? "<nil>" : text_; }

 private:
  std::string text_;
};

enum class FieldErrorType : unsigned char {
  NotFound,
  Required,
  Duplicate,
  Invalid,
  NotSupported,
  Forbidden,
  TooLong,
  TooShort,
  TooMany,
  TooFew,
  Internal,
  TypeInvalid,
};
std::string_view cause_type(FieldErrorType type);  // "FieldValueInvalid"

struct FieldError {
  FieldErrorType type = FieldErrorType::Invalid;
  std::string field;
  Document bad_value;  // shown by the types that show one
  bool omit_value = false;
  std::string detail;

  std::string body() const;       // `Invalid value: "x": must be ...`
  std::string to_string() const;  // field + ": " + body()
};
using FieldErrors = std::vector<FieldError>;

FieldError field_not_found(const FieldPath& path, Document value);
FieldError field_required(const FieldPath& path, std::string detail = {});
FieldError field_duplicate(const FieldPath& path, Document value);
FieldError field_invalid(const FieldPath& path, Document value, std::string detail);
FieldError field_type_invalid(const FieldPath& path, Document value, std::string detail);
FieldError field_not_supported(const FieldPath& path, Document value, const std::vector<std::string>& supported);
FieldError field_forbidden(const FieldPath& path, std::string detail);
FieldError field_too_long(const FieldPath& path, int max_bytes);
FieldError field_too_long_characters(const FieldPath& path, int max);
FieldError field_too_short(const FieldPath& path, Document value, int min);
FieldError field_too_many(const FieldPath& path, int actual, int max);  // actual < 0: not shown
FieldError field_too_few(const FieldPath& path, int actual, int min);
FieldError field_internal(const FieldPath& path, std::string detail);

void append(FieldErrors& to, FieldErrors from);

// "a: ...", or "[a: ..., b: ...]" with repeats left out. "" for an empty list.
std::string aggregate(const FieldErrors& errors);
// The same rule over plain messages.
std::string aggregate_messages(const std::vector<std::string>& messages);

// 422 `Kind.group "name" is invalid: ...` with a cause for each error.
Status invalid(std::string_view group, std::string_view kind, std::string_view name, const FieldErrors& errors);

// Go's %q, which the messages above and many others of Kubernetes are written with.
std::string go_quote(std::string_view text);
// Go's %v of a float64.
std::string go_float(double value);
// encoding/json.Marshal of a value: like dump(), but <, > and & escaped.
std::string go_json(const Document& value);

}  // namespace onebin::apimachinery
