#include <onebin/apimachinery/field_error.hpp>

#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <set>

namespace onebin::apimachinery {
namespace {

struct TypeRow {
  const char* cause;
  const char* text;
};
constexpr TypeRow kTypes[] = {
    {"FieldValueNotFound", "Not found"},         {"FieldValueRequired", "Required value"},
    {"FieldValueDuplicate", "Duplicate value"},  {"FieldValueInvalid", "Invalid value"},
    {"FieldValueNotSupported", "Unsupported value"}, {"FieldValueForbidden", "Forbidden"},
    {"FieldValueTooLong", "Too long"},           {"FieldValueTooShort", "Too short"},
    {"FieldValueTooMany", "Too many"},           {"FieldValueTooFew", "Too few"},
    {"InternalError", "Internal error"},         {"FieldValueTypeInvalid", "Invalid value"},
};
const TypeRow& row(FieldErrorType t) { return kTypes[static_cast<std::size_t>(t)]; }

bool shows_value(FieldErrorType t) {
  switch (t) {
    case FieldErrorType::Required: case FieldErrorType::Forbidden: case FieldErrorType::TooLong:
    case FieldErrorType::TooShort: case FieldErrorType::Internal:
      return false;
    default: return true;
  }
}

std::string plural(const char* before, int n, const char* one, const char* many) {
  return std::string(before) + std::to_string(n) + " " + (n == 1 ? one : many);
}

// Length of the valid UTF-8 sequence at `i` and its code point; 0 where there is none.
std::size_t decode_utf8(std::string_view s, std::size_t i, char32_t& cp) {
  auto b = static_cast<unsigned char>(s[i]);
  std::size_t n = b < 0x80 ? 1 : b >= 0xC2 && b < 0xE0 ? 2 : b >= 0xE0 && b < 0xF0 ? 3 : b >= 0xF0 && b < 0xF5 ? 4 : 0;
  if (n == 0 || i + n > s.size()) return 0;
  cp = n == 1 ? b : b & (0xFF >> (n + 1));
  for (std::size_t k = 1; k < n; ++k) {
    auto c = static_cast<unsigned char>(s[i + k]);
    if ((c & 0xC0) != 0x80) return 0;
    cp = (cp << 6) | (c & 0x3F);
  }
  if ((n == 3 && cp < 0x800) || (n == 4 && (cp < 0x10000 || cp > 0x10FFFF)) || (cp >= 0xD800 && cp < 0xE000)) return 0;
  return n;
}

bool printable(char32_t c) {
  if (c < 0x20 || c == 0x7F) return false;
  if (c < 0x7F) return true;
  if (c < 0xA1 || c == 0xAD) return false;
  if ((c >= 0x2000 && c <= 0x200F) || (c >= 0x2028 && c <= 0x202F) || (c >= 0x205F && c <= 0x206F)) return false;
  if (c == 0x1680 || c == 0x3000 || c == 0xFEFF || (c >= 0xE000 && c <= 0xF8FF) || (c >= 0xFFF0 && c <= 0xFFFB)) return false;
  return (c & 0xFFFE) != 0xFFFE && c < 0xE0000;
}

void append_hex(std::string& out, const char* format, unsigned value) {
  char b[16];
  std::snprintf(b, sizeof b, format, value);
  out += b;
}

std::string value_text(const Document& v) {
  if (v.is_string()) return go_quote(v.get_ref<const std::string&>());
  if (v.is_number_float()) return go_float(v.get<double>());
  return go_json(v);
}

}  // namespace

FieldPath FieldPath::child(std::string_view name) const {
  FieldPath p;
  p.text_.reserve(text_.size() + 1 + name.size());
  p.text_ = text_;
  if (!text_.empty()) p.text_ += '.';
  p.text_ += name;
  return p;
}
FieldPath FieldPath::index(std::size_t i) const { return key(std::to_string(i)); }
FieldPath FieldPath::key(std::string_view k) const {
  FieldPath p;
  p.text_ = text_;
  p.text_.append("[").append(k).append("]");
  return p;
}

std::string_view cause_type(FieldErrorType type) { return row(type).cause; }

std::string FieldError::body() const {
  std::string s = row(type).text;
  if (shows_value(type) && !omit_value) s.append(": ").append(value_text(bad_value));
  if (!detail.empty()) s.append(": ").append(detail);
  return s;
}
std::string FieldError::to_string() const { return field + ": " + body(); }

namespace {
FieldError make(FieldErrorType t, const FieldPath& path, Document value, std::string detail) {
  return {t, path.to_string(), std::move(value), false, std::move(detail)};
}
}  // namespace

FieldError field_not_found(const FieldPath& p, Document v) { return make(FieldErrorType::NotFound, p, std::move(v), {}); }
FieldError field_required(const FieldPath& p, std::string d) { return make(FieldErrorType::Required, p, "", std::move(d)); }
FieldError field_duplicate(const FieldPath& p, Document v) { return make(FieldErrorType::Duplicate, p, std::move(v), {}); }
FieldError field_invalid(const FieldPath& p, Document v, std::string d) { return make(FieldErrorType::Invalid, p, std::move(v), std::move(d)); }
FieldError field_type_invalid(const FieldPath& p, Document v, std::string d) {
  return make(FieldErrorType::TypeInvalid, p, std::move(v), std::move(d));
}
FieldError field_not_supported(const FieldPath& p, Document v, const std::vector<std::string>& supported) {
  std::string detail;
  for (const auto& s : supported) detail += (detail.empty() ? "supported values: " : ", ") + go_quote(s);
  return make(FieldErrorType::NotSupported, p, std::move(v), std::move(detail));
}
FieldError field_forbidden(const FieldPath& p, std::string d) { return make(FieldErrorType::Forbidden, p, "", std::move(d)); }
FieldError field_too_long(const FieldPath& p, int max) {
  return make(FieldErrorType::TooLong, p, "<value omitted>", max < 0 ? "value is too long" : plural("may not be more than ", max, "byte", "bytes"));
}
FieldError field_too_long_characters(const FieldPath& p, int max) {
  return make(FieldErrorType::TooLong, p, "<value omitted>",
              max < 0 ? "value is too long" : plural("may not be more than ", max, "character", "characters"));
}
FieldError field_too_short(const FieldPath& p, Document v, int min) {
  return make(FieldErrorType::TooShort, p, std::move(v),
              min < 0 ? "value is too short" : plural("must be at least ", min, "character", "characters"));
}
FieldError field_too_many(const FieldPath& p, int actual, int max) {
  auto e = make(FieldErrorType::TooMany, p, actual, max < 0 ? "has too many items" : plural("must have at most ", max, "item", "items"));
  e.omit_value = actual < 0;
  return e;
}
FieldError field_too_few(const FieldPath& p, int actual, int min) {
  auto e = make(FieldErrorType::TooFew, p, actual, min < 0 ? "has too few items" : plural("must have at least ", min, "item", "items"));
  e.omit_value = actual < 0;
  return e;
}
FieldError field_internal(const FieldPath& p, std::string d) { return make(FieldErrorType::Internal, p, "", std::move(d)); }

void append(FieldErrors& to, FieldErrors from) {
  if (to.empty()) {
    to = std::move(from);
    return;
  }
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

std::string aggregate_messages(const std::vector<std::string>& messages) {
  std::set<std::string_view> seen;
  std::string out;
  for (const auto& m : messages) {
    if (!seen.insert(m).second) continue;
    if (seen.size() > 1) out += ", ";
    out += m;
  }
  return seen.size() > 1 ? "[" + out + "]" : out;
}

std::string aggregate(const FieldErrors& errors) {
  std::vector<std::string> messages;
  messages.reserve(errors.size());
  for (const auto& e : errors) messages.push_back(e.to_string());
  return aggregate_messages(messages);
}

Status invalid(std::string_view group, std::string_view kind, std::string_view name, const FieldErrors& errors) {
  std::string message(kind);
  if (!group.empty()) message.append(".").append(group);
  message.append(" ").append(go_quote(name)).append(" is invalid");
  if (!errors.empty()) message.append(": ").append(aggregate(errors));
  StatusDetails details;
  details.group = group;
  details.kind = kind;
  details.name = name;
  for (const auto& e : errors) details.causes.push_back({std::string(cause_type(e.type)), e.body(), e.field});
  return {Reason::Invalid, std::move(message), std::move(details)};
}

std::string go_quote(std::string_view s) {
  std::string out = "\"";
  for (std::size_t i = 0; i < s.size();) {
    char32_t cp = 0;
    std::size_t n = decode_utf8(s, i, cp);
    if (n == 0) {
      append_hex(out, "\\x%02x", static_cast<unsigned char>(s[i]));
      ++i;
      continue;
    }
    static constexpr std::string_view kFrom = "\a\b\f\n\r\t\v", kTo = "abfnrtv";
    if (auto at = cp < 0x80 ? kFrom.find(static_cast<char>(cp)) : std::string_view::npos; at != std::string_view::npos) {
      out += '\\';
      out += kTo[at];
    } else if (cp == '"' || cp == '\\') {
      out += '\\';
      out += static_cast<char>(cp);
    } else if (printable(cp)) {
      out.append(s.substr(i, n));
    } else if (cp < 0x80) {
      append_hex(out, "\\x%02x", static_cast<unsigned>(cp));
    } else {
      append_hex(out, cp < 0x10000 ? "\\u%04x" : "\\U%08x", static_cast<unsigned>(cp));
    }
    i += n;
  }
  return out + "\"";
}

std::string go_float(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
  char b[64];
  auto sci = std::to_chars(b, b + sizeof b, v, std::chars_format::scientific);
  std::string text(b, sci.ptr);
  auto e = text.find('e');
  int exponent = e == std::string::npos ? 0 : std::atoi(text.c_str() + e + 1);
  if (exponent < -4 || exponent >= 21) return text;
  auto fixed = std::to_chars(b, b + sizeof b, v, std::chars_format::fixed);
  return {b, fixed.ptr};
}

std::string go_json(const Document& value) {
  std::string raw = value.dump(-1, ' ', false, Document::error_handler_t::replace);
  std::string out;
  out.reserve(raw.size());
  for (char c : raw) {
    if (c == '<') out += "\\u003c";
    else if (c == '>') out += "\\u003e";
    else if (c == '&') out += "\\u0026";
    else out += c;
  }
  return out;
}

}  // namespace onebin::apimachinery
