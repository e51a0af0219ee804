// What the extensions' own types box: quantities, URLs, addresses, formats, versions, the authorizer's builders.
#pragma once
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/cel/program.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace onebin::cel {

struct IpBox {
  std::uint8_t size = 0;  // 4 or 16
  std::array<std::uint8_t, 16> bytes{};
  bool operator==(const IpBox&) const = default;
};
struct CidrBox {
  IpBox ip;
  int bits = 0;
  bool operator==(const CidrBox&) const = default;
};
struct UrlBox {
  std::string text, scheme, user, host, path, escaped_path, query;
};
struct FormatBox {
  const char* key;   // "dns1123Label"
  const char* name;  // "DNS1123Label"
  std::uint64_t regex_size;
  std::vector<std::string> (*check)(std::string_view text);
};
struct SemverBox {
  std::uint64_t major = 0, minor = 0, patch = 0;
  std::vector<std::string> pre;
  std::string build;
};
struct AuthorizerBox {
  const AuthorizerHook* hook = nullptr;
  AuthorizerQuery query;
};
struct DecisionBox {
  AuthorizerAnswer answer;
};

template <class T>
const T& box_of(const Value& v) {
  return *static_cast<const T*>(v.box());
}
template <class T>
Value make_boxed(ValueKind kind, T box) {
  return Value::boxed(kind, std::make_shared<const T>(std::move(box)));
}
inline Value make_quantity(apimachinery::Quantity q) { return make_boxed(ValueKind::Quantity, q); }

// Of the same kind.
Value opaque_equal(const Value& a, const Value& b);
std::string opaque_text(const Value& v);
std::string go_duration(std::int64_t nanoseconds);

// netip.ParseAddr and ParsePrefix without zones; the problem as Go words it.
std::optional<IpBox> parse_ip(std::string_view text, std::string& problem);
std::optional<CidrBox> parse_cidr(std::string_view text, std::string& problem);
std::string ip_text(const IpBox& ip);
std::string cidr_text(const CidrBox& cidr);
// net/url.ParseRequestURI, and Parse.
std::optional<UrlBox> parse_url(std::string_view text, std::string& problem);

std::optional<SemverBox> parse_semver(std::string_view text, std::string& problem);
int compare_semver(const SemverBox& a, const SemverBox& b);
std::string semver_text(const SemverBox& v);

const FormatBox* find_format(std::string_view key);

}  // namespace onebin::cel
