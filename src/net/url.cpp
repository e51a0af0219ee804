#include <onebin/net/url.hpp>

#include <charconv>

namespace onebin::net {
namespace {

bool unreserved(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}
std::string encode(std::string_view text, std::string_view also) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (unsigned char c : text) {
    if (unreserved(c) || also.find(static_cast<char>(c)) != also.npos) { out += static_cast<char>(c); continue; }
    out += '%';
    out += kHex[c >> 4];
    out += kHex[c & 15];
  }
  return out;
}
int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
std::optional<std::string> decode(std::string_view text, bool plus) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus) { out += ' '; continue; }
    if (text[i] != '%') { out += text[i]; continue; }
    if (i + 2 >= text.size()) return std::nullopt;
    int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}
std::uint16_t default_port(std::string_view scheme) {
  if (scheme == "https" || scheme == "wss") return 443;
  if (scheme == "http" || scheme == "ws") return 80;
  return 0;
}

}  // namespace

std::string percent_encode(std::string_view text) { return encode(text, ""); }
std::string percent_encode_path(std::string_view text) { return encode(text, "/:@!$&'()*+,;="); }
std::optional<std::string> percent_decode(std::string_view text) { return decode(text, false); }

Result<Url> parse_url(std::string_view text) {
  Url u;
  for (unsigned char c : text)
    if (c <= ' ' || c == 0x7f) return bad_request("url: control character or space");
  auto scheme = text.find("://");
  if (scheme == text.npos || scheme == 0) return bad_request("url: no scheme: " + std::string(text));
  for (char c : text.substr(0, scheme)) u.scheme += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  std::string_view rest = text.substr(scheme + 3);
  if (auto hash = rest.find('#'); hash != rest.npos) { u.fragment = rest.substr(hash + 1); rest = rest.substr(0, hash); }
  std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  rest.remove_prefix(authority.size());
  if (auto mark = rest.find('?'); mark != rest.npos) { u.query = rest.substr(mark + 1); rest = rest.substr(0, mark); }
  u.path = rest;
  if (auto at = authority.rfind('@'); at != authority.npos) {
    u.userinfo = authority.substr(0, at);
    authority.remove_prefix(at + 1);
  }
  std::string_view port;
  if (!authority.empty() && authority.front() == '[') {
    auto end = authority.find(']');
    if (end == authority.npos) return bad_request("url: unclosed bracket");
    u.host = authority.substr(1, end - 1);
    std::string_view tail = authority.substr(end + 1);
    if (!tail.empty() && tail.front() != ':') return bad_request("url: bad authority");
    if (!tail.empty()) port = tail.substr(1);
  } else {
    auto colon = authority.find(':');
    u.host = authority.substr(0, colon);
    if (colon != authority.npos) port = authority.substr(colon + 1);
    if (port.find(':') != port.npos) return bad_request("url: an IPv6 address needs brackets");
  }
  u.port = default_port(u.scheme);
  if (!port.empty()) {
    auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), u.port);
    if (ec != std::errc() || end != port.data() + port.size()) return bad_request("url: bad port");
  }
  return u;
}

std::string Url::target() const {
  std::string t = path.empty() || path[0] != '/' ? "/" + path : path;
  if (!query.empty()) t += "?" + query;
  return t;
}
std::string Url::authority() const {
  std::string a = host.find(':') != host.npos ? "[" + host + "]" : host;
  if (port != default_port(scheme)) a += ":" + std::to_string(port);
  return a;
}
std::string Url::to_string() const {
  std::string u = scheme + "://" + (userinfo.empty() ? "" : userinfo + "@") + authority() + path;
  if (!query.empty()) u += "?" + query;
  if (!fragment.empty()) u += "#" + fragment;
  return u;
}

Query Query::parse(std::string_view raw) {
  Query q;
  while (!raw.empty()) {
    auto amp = raw.find('&');
    std::string_view pair = raw.substr(0, amp);
    raw = amp == raw.npos ? std::string_view() : raw.substr(amp + 1);
    if (pair.empty() || pair.find(';') != pair.npos) continue;
    auto eq = pair.find('=');
    auto name = decode(pair.substr(0, eq), true);
    auto value = decode(eq == pair.npos ? std::string_view() : pair.substr(eq + 1), true);
    if (name && value) q.pairs_.emplace_back(std::move(*name), std::move(*value));
  }
  return q;
}
std::string_view Query::get(std::string_view name) const {
  for (auto& [n, v] : pairs_) if (n == name) return v;
  return {};
}
bool Query::has(std::string_view name) const {
  for (auto& [n, v] : pairs_) if (n == name) return true;
  return false;
}
std::vector<std::string_view> Query::all(std::string_view name) const {
  std::vector<std::string_view> out;
  for (auto& [n, v] : pairs_) if (n == name) out.push_back(v);
  return out;
}
void Query::remove(std::string_view name) {
  std::erase_if(pairs_, [&](auto& p) { return p.first == name; });
}
std::string Query::encode() const {
  std::string out;
  for (auto& [n, v] : pairs_) {
    if (!out.empty()) out += '&';
    out += percent_encode(n) + "=" + percent_encode(v);
  }
  return out;
}

}  // namespace onebin::net
