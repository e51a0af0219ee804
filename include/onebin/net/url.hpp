// URLs and their escapes (RFC 3986), queries as Go's net/url reads them.
#pragma once
#include <onebin/base/result.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onebin::net {

struct Url {
  std::string scheme, userinfo, host;  // host without brackets
  std::uint16_t port = 0;              // the scheme's own when not written
  std::string path, query, fragment;   // raw, path starting with '/' or empty
  std::string target() const;          // path?query, "/" when empty
  std::string authority() const;       // host[:port], port left out when it is the scheme's own
  std::string to_string() const;
};
Result<Url> parse_url(std::string_view text);

std::string percent_encode(std::string_view text);        // everything but unreserved characters
std::string percent_encode_path(std::string_view text);   // keeps '/' and what a path may hold
std::optional<std::string> percent_decode(std::string_view text);  // nullopt: malformed escape

// Pairs in order, decoded ('+' is a space). Malformed pairs are left out, as Go's Query() does.
class Query {
 public:
  Query() = default;
  static Query parse(std::string_view raw);
  std::string_view get(std::string_view name) const;  // first value, or ""
  bool has(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;
  void add(std::string name, std::string value) { pairs_.emplace_back(std::move(name), std::move(value)); }
  void remove(std::string_view name);
  std::string encode() const;
  const std::vector<std::pair<std::string, std::string>>& pairs() const { return pairs_; }

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace onebin::net
