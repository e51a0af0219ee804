#include "engine/reference.hpp"

#include "engine/digest.hpp"

#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::engine {
namespace {

bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool word(char c) { return lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_'; }

// path-component: runs of lower-case letters and digits, between them ".", "_", "__" or any number of "-".
bool valid_component(std::string_view c) {
  if (c.empty() || !lower_or_digit(c.front()) || !lower_or_digit(c.back())) return false;
  for (std::size_t i = 0; i < c.size();) {
    if (lower_or_digit(c[i])) { ++i; continue; }
    std::size_t end = i;
    while (end < c.size() && !lower_or_digit(c[end])) ++end;
    auto gap = c.substr(i, end - i);
    if (gap != "." && gap != "_" && gap != "__" && gap.find_first_not_of('-') != std::string_view::npos) return false;
    i = end;
  }
  return true;
}

// host[:port], the host a name, an IPv4 address or an IPv6 address in brackets.
bool valid_domain(std::string_view d) {
  std::string_view port;
  if (auto colon = d.rfind(':'); colon != std::string_view::npos && d.back() != ']') {
    port = d.substr(colon + 1);
    d = d.substr(0, colon);
    if (port.empty() || port.find_first_not_of("0123456789") != std::string_view::npos) return false;
  }
  bool v6 = d.size() > 2 && d.front() == '[' && d.back() == ']';
  if (v6) return d.substr(1, d.size() - 2).find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos;
  return !d.empty() && std::all_of(d.begin(), d.end(), [](char c) { return lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '-'; });
}

bool valid_tag(std::string_view t) {
  return !t.empty() && t.size() <= 128 && word(t[0]) && std::all_of(t.begin(), t.end(), [](char c) { return word(c) || c == '.' || c == '-'; });
}

}  // namespace

std::string Reference::to_string() const {
  std::string s = name();
  if (!tag.empty()) s += ":" + tag;
  if (!digest.empty()) s += "@" + digest;
  return s;
}

Result<Reference> parse_reference(std::string_view text, const std::string& default_domain) {
  auto bad = [&](const char* why) { return bad_request("invalid image reference \"" + std::string(text.substr(0, 300)) + "\": " + why); };
  Reference r;
  std::string_view rest = text;
  if (auto at = rest.rfind('@'); at != std::string_view::npos) {
    r.digest = std::string(rest.substr(at + 1));
    if (!valid_digest(r.digest)) return bad("bad digest");
    rest = rest.substr(0, at);
  }
  auto slash = rest.rfind('/');
  auto colon = rest.rfind(':');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    r.tag = std::string(rest.substr(colon + 1));
    if (!valid_tag(r.tag)) return bad("bad tag");
    rest = rest.substr(0, colon);
  }
  auto first = rest.find('/');
  std::string_view head = first == std::string_view::npos ? std::string_view() : rest.substr(0, first);
  bool is_domain = head.find_first_of(".:") != std::string_view::npos || head == "localhost" ||
                   std::any_of(head.begin(), head.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (is_domain) {
    r.domain = std::string(head);
    r.path = std::string(rest.substr(first + 1));
  } else {
    r.domain = default_domain;
    r.path = std::string(rest);
  }
  if (r.domain == "index.docker.io") r.domain = "docker.io";
  if (r.domain == "docker.io" && r.path.find('/') == std::string::npos) r.path = "library/" + r.path;
  if (!valid_domain(r.domain)) return bad("bad registry");
  if (r.name().size() > 255) return bad("the name is too long");
  for (const auto& c : split(r.path, '/')) {
    if (!valid_component(c)) return bad("bad repository name");
  }
  if (r.tag.empty() && r.digest.empty()) r.tag = "latest";
  return r;
}

}  // namespace onebin::engine
