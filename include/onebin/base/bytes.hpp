// Bytes: immutable bytes shared by reference; and the small codecs that everybody needs.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin {

// Null means "none". What it points to never changes.
using Bytes = std::shared_ptr<const std::string>;
inline Bytes make_bytes(std::string s) { return std::make_shared<const std::string>(std::move(s)); }

std::string base64_encode(std::string_view data);
std::optional<std::string> base64_decode(std::string_view text);  // standard alphabet, padding required
std::string base64url_encode(std::string_view data);              // no padding
std::optional<std::string> base64url_decode(std::string_view text);
std::string hex_encode(std::string_view data);
std::string sha256(std::string_view data);      // 32 raw bytes
std::string sha256_hex(std::string_view data);
std::uint64_t fnv1a64(std::string_view data);
std::uint32_t fnv1a32(std::string_view data);

std::vector<std::string> split(std::string_view text, char separator);  // "a,,b" -> {"a","","b"}; "" -> {""}
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);
std::string to_lower(std::string_view text);
bool starts_with(std::string_view text, std::string_view prefix);
bool ends_with(std::string_view text, std::string_view suffix);
bool iequals(std::string_view a, std::string_view b);  // ASCII case folded

}  // namespace onebin
