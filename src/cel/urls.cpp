// URLs as Go's net/url reads them.
#include "cel/opaque.hpp"

#include <onebin/apimachinery/field_error.hpp>

namespace onebin::cel {
namespace {

using apimachinery::go_quote;

bool alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool digit(char c) { return c >= '0' && c <= '9'; }
int hex(char c) { return digit(c) ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1; }

// The scheme and what follows it.
bool scheme_of(std::string_view text, std::string& scheme, std::string_view& rest, std::string& problem) {
  rest = text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (alpha(c)) continue;
    if (digit(c) || c == '+' || c == '-' || c == '.') {
      if (i == 0) return true;
      continue;
    }
    if (c != ':') return true;
    if (i == 0) return problem = "missing protocol scheme", false;
    for (char s : text.substr(0, i)) scheme += static_cast<char>(s >= 'A' && s <= 'Z' ? s + 32 : s);
    rest = text.substr(i + 1);
    return true;
  }
  return true;
}

enum class Part { Path, Host, User };

bool host_byte(char c) { return alpha(c) || digit(c) || std::string_view("-_.~!$&'()*+,;=:[]<>\"").find(c) != std::string_view::npos; }

bool decode(std::string_view t, Part part, std::string& out, std::string& problem) {
  for (std::size_t i = 0; i < t.size(); ++i) {
    char c = t[i];
    if (c == '%') {
      if (i + 2 >= t.size() || hex(t[i + 1]) < 0 || hex(t[i + 2]) < 0)
        return problem = "invalid URL escape " + go_quote(t.substr(i, 3)), false;
      int value = hex(t[i + 1]) << 4 | hex(t[i + 2]);
      if (part == Part::Host && value < 0x80 && t.substr(i, 3) != "%25") return problem = "invalid URL escape " + go_quote(t.substr(i, 3)), false;
      out += static_cast<char>(value);
      i += 2;
      continue;
    }
    if (part == Part::Host && static_cast<unsigned char>(c) < 0x80 && !host_byte(c))
      return problem = "invalid character " + go_quote(t.substr(i, 1)) + " in host name", false;
    out += c;
  }
  return true;
}

bool valid_port(std::string_view t) {
  if (t.empty()) return true;
  if (t[0] != ':') return false;
  for (char c : t.substr(1))
    if (!digit(c)) return false;
  return true;
}

bool authority(std::string_view t, UrlBox& url, std::string& problem) {
  if (std::size_t at = t.rfind('@'); at != std::string_view::npos) {
    for (char c : t.substr(0, at))
      if (!alpha(c) && !digit(c) && std::string_view("-._:~!$&'()*+,;=%@").find(c) == std::string_view::npos)
        return problem = "net/url: invalid userinfo", false;
    url.user = t.substr(0, at);
    t.remove_prefix(at + 1);
  }
  std::size_t colon = t.rfind(':');
  std::string_view port;
  if (!t.empty() && t[0] == '[') {
    std::size_t close = t.rfind(']');
    if (close == std::string_view::npos) return problem = "missing ']' in host", false;
    port = t.substr(close + 1);
  } else if (colon != std::string_view::npos) {
    port = t.substr(colon);
  }
  if (!valid_port(port)) return problem = "invalid port " + go_quote(port) + " after host", false;
  return decode(t, Part::Host, url.host, problem);
}

// How Go writes a path that was not written in its own way.
bool plain_path_byte(char c) { return alpha(c) || digit(c) || std::string_view("-_.~$&+,/:;=@").find(c) != std::string_view::npos; }
bool as_written(std::string_view t) {
  for (char c : t)
    if (!plain_path_byte(c) && std::string_view("!'()*[]%").find(c) == std::string_view::npos) return false;
  return true;
}

std::string escaped(std::string_view path, std::string_view written) {
  if (as_written(written)) return std::string(written);
  if (path == "*") return "*";
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (char c : path) {
    auto b = static_cast<unsigned char>(c);
    if (plain_path_byte(c)) out += c;
    else out += '%', out += kHex[b >> 4], out += kHex[b & 15];
  }
  return out;
}

}  // namespace

std::optional<UrlBox> parse_url(std::string_view text, std::string& problem) {
  UrlBox url;
  std::string why;
  auto fail = [&](const std::string& reason) {
    problem = "parse " + go_quote(text) + ": " + reason;
    return std::nullopt;
  };
  url.text = text;
  for (char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return fail("net/url: invalid control character in URL");
  if (text.empty()) return fail("empty url");
  if (text == "*") return url.path = url.escaped_path = "*", url;
  std::string_view rest;
  if (!scheme_of(text, url.scheme, rest, why)) return fail(why);
  // Without its fragment, which a request has not, but a URL may.
  std::string_view whole = rest;
  if (std::size_t hash = whole.find('#'); hash != std::string_view::npos) whole = whole.substr(0, hash);
  if (std::size_t q = whole.find('?'); q != std::string_view::npos) url.query = whole.substr(q + 1), whole = whole.substr(0, q);
  if (rest.empty() || rest[0] != '/') {
    if (url.scheme.empty()) return fail("invalid URI for request");
    return url;  // opaque
  }
  if ((!url.scheme.empty() || rest.substr(0, 3) != "///") && rest.substr(0, 2) == "//") {
    whole.remove_prefix(2);
    std::size_t slash = std::min(whole.find('/'), whole.size());
    if (!authority(whole.substr(0, slash), url, why)) return fail(why);
    whole.remove_prefix(slash);
  }
  if (!decode(whole, Part::Path, url.path, why)) return fail(why);
  url.escaped_path = escaped(url.path, whole);
  return url;
}

}  // namespace onebin::cel
