// URLs, addresses and prefixes.
#include "cel/implementations.hpp"
#include "cel/opaque.hpp"

#include <algorithm>

namespace onebin::cel::fn {
namespace {

Value flag(bool b) { return Value::boolean(b); }
const UrlBox& url_of(const CallSite& c) { return box_of<UrlBox>(c[0]); }
const IpBox& ip_of(const CallSite& c) { return box_of<IpBox>(c[0]); }

// The port's colon in a host, or npos.
std::size_t port_at(std::string_view host) {
  if (!host.empty() && host[0] == '[') {
    std::size_t close = host.find(']');
    return close != std::string_view::npos && host.substr(close + 1, 1) == ":" ? close + 1 : std::string_view::npos;
  }
  return host.rfind(':');
}

std::string unescaped(std::string_view t, bool& good) {
  std::string out;
  for (std::size_t i = 0; i < t.size(); ++i) {
    auto digit = [&](std::size_t k) { return k < t.size() ? std::string_view("0123456789abcdef").find(static_cast<char>(t[k] | 0x20)) : std::string_view::npos; };
    if (t[i] == '%') {
      std::size_t high = digit(i + 1), low = digit(i + 2);
      if (high > 15 || low > 15) return good = false, out;
      out += static_cast<char>(high << 4 | low);
      i += 2;
    } else {
      out += t[i] == '+' ? ' ' : t[i];
    }
  }
  return out;
}

bool inside(const CidrBox& net, const IpBox& ip, int bits) {
  if (net.ip.size != ip.size) return false;
  for (int i = 0; i < bits; ++i) {
    auto byte = static_cast<std::size_t>(i) / 8;
    if ((net.ip.bytes[byte] ^ ip.bytes[byte]) & (0x80 >> (i % 8))) return false;
  }
  return true;
}

bool all_zero(const IpBox& ip, std::size_t from, std::size_t to) {
  return std::all_of(ip.bytes.begin() + static_cast<std::ptrdiff_t>(from), ip.bytes.begin() + static_cast<std::ptrdiff_t>(to), [](std::uint8_t b) { return b == 0; });
}
bool unspecified(const IpBox& ip) { return all_zero(ip, 0, ip.size); }
bool loopback(const IpBox& ip) { return ip.size == 4 ? ip.bytes[0] == 127 : all_zero(ip, 0, 15) && ip.bytes[15] == 1; }
bool multicast(const IpBox& ip) { return ip.size == 4 ? (ip.bytes[0] & 0xF0) == 0xE0 : ip.bytes[0] == 0xFF; }
bool link_local(const IpBox& ip) {
  return ip.size == 4 ? ip.bytes[0] == 169 && ip.bytes[1] == 254 : ip.bytes[0] == 0xFE && (ip.bytes[1] & 0xC0) == 0x80;
}

}  // namespace

Value url(const CallSite& c) {
  std::string problem;
  auto u = parse_url(c[0].text(), problem);
  return u ? make_boxed(ValueKind::Url, std::move(*u)) : Value::error("URL parse error during conversion from string: " + problem);
}
Value is_url(const CallSite& c) {
  std::string problem;
  return flag(parse_url(c[0].text(), problem).has_value());
}
Value get_scheme(const CallSite& c) { return text(url_of(c).scheme); }
Value get_host(const CallSite& c) { return text(url_of(c).host); }
Value get_hostname(const CallSite& c) {
  std::string_view host = url_of(c).host;
  host = host.substr(0, std::min(port_at(host), host.size()));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return text(host);
}
Value get_port(const CallSite& c) {
  std::string_view host = url_of(c).host;
  std::size_t at = port_at(host);
  return text(at == std::string_view::npos ? "" : host.substr(at + 1));
}
Value get_escaped_path(const CallSite& c) { return text(url_of(c).escaped_path); }
Value get_query(const CallSite& c) {
  std::vector<std::pair<std::string, Values>> all;
  std::string_view rest = url_of(c).query;
  while (!rest.empty()) {
    std::size_t end = std::min(rest.find('&'), rest.size());
    std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (pair.empty() || pair.find(';') != std::string_view::npos) continue;
    std::size_t eq = std::min(pair.find('='), pair.size());
    bool good = true;
    std::string key = unescaped(pair.substr(0, eq), good), value = unescaped(pair.substr(std::min(eq + 1, pair.size())), good);
    if (!good) continue;
    auto it = std::find_if(all.begin(), all.end(), [&](const auto& e) { return e.first == key; });
    if (it == all.end()) it = all.insert(all.end(), {key, {}});
    it->second.push_back(Value::string(std::move(value)));
  }
  std::vector<std::pair<Value, Value>> entries;
  for (auto& [key, values] : all) entries.emplace_back(Value::string(key), Value::list(std::move(values)));
  return Value::map(std::move(entries));
}

Value ip(const CallSite& c) {
  if (c[0].is(ValueKind::Cidr)) return make_boxed(ValueKind::Ip, box_of<CidrBox>(c[0]).ip);
  std::string problem;
  auto a = parse_ip(c[0].text(), problem);
  return a ? make_boxed(ValueKind::Ip, *a) : Value::error(problem);
}
Value is_ip(const CallSite& c) {
  std::string problem;
  return flag(parse_ip(c[0].text(), problem).has_value());
}
Value ip_is_canonical(const CallSite& c) {
  std::string problem;
  auto a = parse_ip(c[0].text(), problem);
  return a ? flag(ip_text(*a) == c[0].text()) : Value::error(problem);
}
Value family(const CallSite& c) { return Value::integer(ip_of(c).size == 4 ? 4 : 6); }
Value is_unspecified(const CallSite& c) { return flag(unspecified(ip_of(c))); }
Value is_loopback(const CallSite& c) { return flag(loopback(ip_of(c))); }
Value is_link_local_multicast(const CallSite& c) {
  const IpBox& a = ip_of(c);
  return flag(a.size == 4 ? a.bytes[0] == 224 && a.bytes[1] == 0 && a.bytes[2] == 0 : a.bytes[0] == 0xFF && (a.bytes[1] & 0x0F) == 2);
}
Value is_link_local_unicast(const CallSite& c) { return flag(link_local(ip_of(c))); }
Value is_global_unicast(const CallSite& c) {
  const IpBox& a = ip_of(c);
  bool broadcast = a.size == 4 && a.bytes[0] == 255 && a.bytes[1] == 255 && a.bytes[2] == 255 && a.bytes[3] == 255;
  return flag(!broadcast && !unspecified(a) && !loopback(a) && !multicast(a) && !link_local(a));
}

Value cidr(const CallSite& c) {
  std::string problem;
  auto net = parse_cidr(c[0].text(), problem);
  return net ? make_boxed(ValueKind::Cidr, *net) : Value::error("network address parse error during conversion from string: " + problem);
}
Value is_cidr(const CallSite& c) {
  std::string problem;
  return flag(parse_cidr(c[0].text(), problem).has_value());
}
Value contains_ip(const CallSite& c) {
  const auto& net = box_of<CidrBox>(c[0]);
  if (c[1].is(ValueKind::Ip)) return flag(inside(net, box_of<IpBox>(c[1]), net.bits));
  std::string problem;
  auto a = parse_ip(c[1].text(), problem);
  return a ? flag(inside(net, *a, net.bits)) : no_overload();
}
Value contains_cidr(const CallSite& c) {
  const auto& net = box_of<CidrBox>(c[0]);
  std::optional<CidrBox> own;
  std::string problem;
  if (c[1].is(ValueKind::String)) {
    own = parse_cidr(c[1].text(), problem);
    if (!own) return Value::error("network address parse error during conversion from string: " + problem);
  }
  const CidrBox& other = own ? *own : box_of<CidrBox>(c[1]);
  return flag(net.bits <= other.bits && inside(net, other.ip, net.bits));
}
Value prefix_length(const CallSite& c) { return Value::integer(box_of<CidrBox>(c[0]).bits); }
Value masked(const CallSite& c) {
  CidrBox net = box_of<CidrBox>(c[0]);
  for (int i = net.bits; i < net.ip.size * 8; ++i) net.ip.bytes[static_cast<std::size_t>(i) / 8] &= static_cast<std::uint8_t>(~(0x80 >> (i % 8)));
  return make_boxed(ValueKind::Cidr, net);
}

}  // namespace onebin::cel::fn
