// Formats of strings in OpenAPI schemas. Source: k8s.io/kube-openapi's strfmt, the formats that CRDs may name.
#include <onebin/apimachinery/names.hpp>
#include <onebin/apimachinery/value_schema.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/time.hpp>

#include <re2/re2.h>

#include <arpa/inet.h>

#include <map>
#include <memory>

namespace onebin::apimachinery {
namespace {

struct PatternFormat {
  std::string_view name;
  const char* pattern;
};

constexpr PatternFormat kPatterns[] = {
    {"bsonobjectid", "^[0-9a-fA-F]{24}$"},
    {"email", R"(^(?:[^<>]*<)?[^\s@<>()\[\],;:\\]+@[^\s@<>()\[\],;:\\]+>?$)"},
    {"mac", "^(?:[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}[:-]){4}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{2}[:-]){7}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\\.){2,3}[0-9A-Fa-f]{4})$"},
    {"hostname", R"(^([a-zA-Z0-9\pS\pL]((-?[a-zA-Z0-9\pS\pL]{0,62})?)|([a-zA-Z0-9\pS\pL](([a-zA-Z0-9\pS\pL-]{0,61}[a-zA-Z0-9\pS\pL])?)(\.)){1,}([a-zA-Z\pL]){2,63})$)"},
    {"uuid", "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"},
    {"uuid3", "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$"},
    {"uuid4", "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$"},
    {"uuid5", "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$"},
    {"ssn", R"(^\d{3}[- ]?\d{2}[- ]?\d{4}$)"},
    {"hexcolor", "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"},
    {"rgbcolor", R"(^rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)$)"},
    {"datetime", R"(^\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:?\d{2})?)?$|^-?\d+$)"},
    {"uri", R"(^(?:[a-zA-Z][a-zA-Z0-9+.-]*:[^\s]*|/[^\s]*)$)"},
};

constexpr std::string_view kOthers[] = {"ipv4", "ipv6", "cidr", "isbn", "isbn10", "isbn13", "creditcard", "byte", "password", "date", "duration", "k8sshortname", "k8slongname"};

// "date-time" and "datetime" are one.
std::string normal(std::string_view format) {
  std::string out;
  for (char c : format)
    if (c != '-') out.push_back(c);
  return out;
}

bool matches(const PatternFormat& f, std::string_view text) {
  static std::map<std::string_view, std::unique_ptr<RE2>> compiled;
  auto& re = compiled[f.name];
  if (!re) re = std::make_unique<RE2>(f.pattern, RE2::Quiet);
  return RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *re);
}

bool is_address(int family, std::string_view text) {
  unsigned char bytes[16];
  return inet_pton(family, std::string(text).c_str(), bytes) == 1;
}

bool is_cidr(std::string_view text) {
  auto slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  std::string_view bits = text.substr(slash + 1);
  if (bits.empty() || bits.size() > 3 || bits.find_first_not_of("0123456789") != std::string_view::npos) return false;
  int n = std::stoi(std::string(bits));
  if (is_address(AF_INET, text.substr(0, slash))) return n <= 32;
  return is_address(AF_INET6, text.substr(0, slash)) && n <= 128;
}

bool is_date(std::string_view text) { return text.size() == 10 && static_cast<bool>(parse_rfc3339(std::string(text) + "T00:00:00Z")); }

std::string digits(std::string_view text, std::string_view ignored) {
  std::string out;
  for (char c : text)
    if (ignored.find(c) == std::string_view::npos) out.push_back(c);
  return out;
}

bool is_isbn10(std::string_view text) {
  std::string d = digits(text, " -");
  if (d.size() != 10) return false;
  int sum = 0;
  for (int i = 0; i < 10; ++i) {
    bool ten = i == 9 && (d[9] == 'X' || d[9] == 'x');
    if (!ten && (d[static_cast<std::size_t>(i)] < '0' || d[static_cast<std::size_t>(i)] > '9')) return false;
    sum += (i + 1) * (ten ? 10 : d[static_cast<std::size_t>(i)] - '0');
  }
  return sum % 11 == 0;
}

bool is_isbn13(std::string_view text) {
  std::string d = digits(text, " -");
  if (d.size() != 13 || d.find_first_not_of("0123456789") != std::string::npos) return false;
  int sum = 0;
  for (std::size_t i = 0; i < 13; ++i) sum += (i % 2 ? 3 : 1) * (d[i] - '0');
  return sum % 10 == 0;
}

// Luhn's sum over a number of a length that cards have.
bool is_credit_card(std::string_view text) {
  std::string d;
  for (char c : text)
    if (c >= '0' && c <= '9') d.push_back(c);
  if (d.size() < 13 || d.size() > 16) return false;
  int sum = 0;
  bool twice = false;
  for (auto c = d.rbegin(); c != d.rend(); ++c, twice = !twice) {
    int n = (*c - '0') * (twice ? 2 : 1);
    sum += n > 9 ? n - 9 : n;
  }
  return sum % 10 == 0;
}

bool is_duration(std::string_view text) {
  if (parse_duration(text)) return true;
  // Scala's: "3 days", "1 minute".
  static const RE2 words(R"(^\s*\d+\s*(ns|nano(second)?s?|us|µs|micro(second)?s?|ms|milli(second)?s?|s|sec(ond)?s?|m|min(ute)?s?|h|hrs?|hours?|d|days?|w|wks?|weeks?)\s*$)", RE2::Quiet);
  return RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), words);
}

}  // namespace

bool is_known_format(std::string_view type, std::string_view format) {
  if (type == "integer") return format == "int32" || format == "int64";
  if (type == "number") return format == "float" || format == "double";
  if (!type.empty() && type != "string") return false;
  std::string name = normal(format);
  for (const auto& f : kPatterns)
    if (f.name == name) return true;
  for (auto f : kOthers)
    if (f == name) return true;
  return false;
}

bool matches_format(std::string_view format, std::string_view text) {
  std::string name = normal(format);
  for (const auto& f : kPatterns)
    if (f.name == name) return matches(f, text) && !(name == "hostname" && text.size() > 255);
  if (name == "ipv4") return is_address(AF_INET, text);
  if (name == "ipv6") return is_address(AF_INET6, text);
  if (name == "cidr") return is_cidr(text);
  if (name == "isbn") return is_isbn10(text) || is_isbn13(text);
  if (name == "isbn10") return is_isbn10(text);
  if (name == "isbn13") return is_isbn13(text);
  if (name == "creditcard") return is_credit_card(text);
  if (name == "byte") return !text.empty() && base64_decode(text).has_value();
  if (name == "date") return is_date(text);
  if (name == "duration") return is_duration(text);
  if (name == "k8sshortname") return check_name_format("k8s-short-name", text).empty();
  if (name == "k8slongname") return check_name_format("k8s-long-name", text).empty();
  return true;
}

}  // namespace onebin::apimachinery
