// Addresses and prefixes as Go's net/netip reads and writes them.
#include "cel/opaque.hpp"

#include <onebin/apimachinery/field_error.hpp>

namespace onebin::cel {
namespace {

using apimachinery::go_quote;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// What is wrong, and where.
struct Fault {
  std::string message;
  std::string_view at;
};

bool v4(std::string_view t, std::uint8_t* out, Fault& fault) {
  int value = 0, position = 0, digits = 0;
  for (std::size_t i = 0; i < t.size(); ++i) {
    char c = t[i];
    if (c >= '0' && c <= '9') {
      if (digits == 1 && value == 0) return fault = {"IPv4 field has octet with leading zero", {}}, false;
      value = value * 10 + (c - '0');
      ++digits;
      if (value > 255) return fault = {"IPv4 field has value >255", {}}, false;
    } else if (c == '.') {
      if (i == 0 || i == t.size() - 1 || t[i - 1] == '.') return fault = {"IPv4 field must have at least one digit", t.substr(i)}, false;
      if (position == 3) return fault = {"IPv4 address too long", {}}, false;
      out[position++] = static_cast<std::uint8_t>(value);
      value = digits = 0;
    } else {
      return fault = {"unexpected character", t.substr(i)}, false;
    }
  }
  if (position < 3) return fault = {"IPv4 address too short", {}}, false;
  out[3] = static_cast<std::uint8_t>(value);
  return true;
}

bool v6(std::string_view s, IpBox& ip, Fault& fault) {
  int ellipsis = -1;
  if (s.size() >= 2 && s[0] == ':' && s[1] == ':') {
    ellipsis = 0;
    s.remove_prefix(2);
    if (s.empty()) return true;
  }
  int i = 0;
  while (i < 16) {
    std::size_t off = 0;
    unsigned value = 0;
    for (; off < s.size() && hex_digit(s[off]) >= 0; ++off) {
      value = (value << 4) + static_cast<unsigned>(hex_digit(s[off]));
      if (off > 3) return fault = {"each group must have 4 or less digits", s}, false;
      if (value > 0xFFFF) return fault = {"IPv6 field has value >=2^16", s}, false;
    }
    if (off == 0) return fault = {"each colon-separated field must have at least one digit", s}, false;
    if (off < s.size() && s[off] == '.') {
      if (ellipsis < 0 && i != 12) return fault = {"embedded IPv4 address must replace the final 2 fields of the address", s}, false;
      if (i + 4 > 16) return fault = {"too many hex fields to fit an embedded IPv4 at the end of the address", s}, false;
      if (!v4(s, &ip.bytes[static_cast<std::size_t>(i)], fault)) return false;
      s = {};
      i += 4;
      break;
    }
    ip.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(value >> 8);
    ip.bytes[static_cast<std::size_t>(i) + 1] = static_cast<std::uint8_t>(value);
    i += 2;
    s.remove_prefix(off);
    if (s.empty()) break;
    if (s[0] != ':') return fault = {"unexpected character, want colon", s}, false;
    if (s.size() == 1) return fault = {"colon must be followed by more characters", s}, false;
    s.remove_prefix(1);
    if (s[0] == ':') {
      if (ellipsis >= 0) return fault = {"multiple :: in address", s}, false;
      ellipsis = i;
      s.remove_prefix(1);
      if (s.empty()) break;
    }
  }
  if (!s.empty()) return fault = {"trailing garbage after address", s}, false;
  if (i < 16) {
    if (ellipsis < 0) return fault = {"address string too short", {}}, false;
    int n = 16 - i;
    for (int j = i - 1; j >= ellipsis; --j) ip.bytes[static_cast<std::size_t>(j + n)] = ip.bytes[static_cast<std::size_t>(j)];
    for (int j = ellipsis; j < ellipsis + n; ++j) ip.bytes[static_cast<std::size_t>(j)] = 0;
  } else if (ellipsis >= 0) {
    return fault = {"the :: must expand to at least one field of zeros", {}}, false;
  }
  return true;
}

bool mapped(const IpBox& ip) {
  for (std::size_t i = 0; i < 10; ++i)
    if (ip.bytes[i]) return false;
  return ip.size == 16 && ip.bytes[10] == 0xFF && ip.bytes[11] == 0xFF;
}

// As netip.ParseAddr; a zone is told apart.
std::optional<IpBox> address(std::string_view text, std::string& problem, bool& zone) {
  IpBox ip;
  Fault fault{"unable to parse IP", {}};
  zone = false;
  for (char c : text) {
    if (c != '.' && c != ':' && c != '%') continue;
    if (c == '%') {
      fault.message = "missing IPv6 address";
      break;
    }
    ip.size = c == '.' ? 4 : 16;
    std::string_view rest = text;
    if (std::size_t percent = text.find('%'); c == ':' && percent != std::string_view::npos) {
      zone = true;
      rest = text.substr(0, percent);
      if (percent + 1 == text.size()) {
        fault = {"zone must be a non-empty string", {}};
        break;
      }
    }
    if (c == '.' ? v4(text, ip.bytes.data(), fault) : v6(rest, ip, fault)) return ip;
    break;
  }
  problem = "ParseAddr(" + go_quote(text) + "): " + fault.message + (fault.at.empty() ? "" : " (at " + go_quote(fault.at) + ")");
  return std::nullopt;
}

}  // namespace

std::optional<IpBox> parse_ip(std::string_view text, std::string& problem) {
  bool zone = false;
  auto ip = address(text, problem, zone);
  if (!ip) return problem = "IP Address " + go_quote(text) + " parse error during conversion from string: " + problem, std::nullopt;
  if (zone) return problem = "IP address " + go_quote(text) + " with zone value is not allowed", std::nullopt;
  if (mapped(*ip)) return problem = "IPv4-mapped IPv6 address " + go_quote(text) + " is not allowed", std::nullopt;
  return ip;
}

std::optional<CidrBox> parse_cidr(std::string_view text, std::string& problem) {
  auto fail = [&](const std::string& why) {
    problem = "network address parse error during conversion from string: netip.ParsePrefix(" + go_quote(text) + "): " + why;
    return std::nullopt;
  };
  std::size_t slash = text.rfind('/');
  if (slash == std::string_view::npos) return fail("no '/'");
  CidrBox out;
  bool zone = false;
  std::string why;
  auto ip = address(text.substr(0, slash), why, zone);
  if (!ip) return fail(why);
  if (zone) return fail("IPv6 zones cannot be present in a prefix");
  std::string_view bits = text.substr(slash + 1);
  bool good = !bits.empty() && bits.size() <= 3 && (bits.size() == 1 || bits[0] != '0');
  for (char c : bits) good = good && c >= '0' && c <= '9';
  if (!good) return fail("bad bits after slash: " + go_quote(bits));
  for (char c : bits) out.bits = out.bits * 10 + (c - '0');
  if (out.bits > ip->size * 8) return fail("prefix length out of range");
  if (mapped(*ip)) return problem = "IPv4-mapped IPv6 address " + go_quote(text) + " is not allowed", std::nullopt;
  out.ip = *ip;
  return out;
}

std::string ip_text(const IpBox& ip) {
  std::string out;
  if (ip.size == 4) {
    for (std::size_t i = 0; i < 4; ++i) out += (i ? "." : "") + std::to_string(ip.bytes[i]);
    return out;
  }
  auto field = [&](int i) { return ip.bytes[static_cast<std::size_t>(i) * 2] << 8 | ip.bytes[static_cast<std::size_t>(i) * 2 + 1]; };
  int zero = -1, length = 1;  // the longest run of zeros, two at the least
  for (int i = 0; i < 8; ++i) {
    int j = i;
    while (j < 8 && field(j) == 0) ++j;
    if (j - i > length) zero = i, length = j - i;
  }
  static constexpr char kHex[] = "0123456789abcdef";
  for (int i = 0; i < 8; ++i) {
    if (i == zero) {
      out += "::";
      i += length - 1;
      continue;
    }
    if (i && i != zero + (zero < 0 ? 0 : length)) out += ':';
    int f = field(i);
    bool started = false;
    for (int s = 12; s >= 0; s -= 4) {
      int d = (f >> s) & 15;
      if (d || started || s == 0) out += kHex[d], started = true;
    }
  }
  return out;
}

std::string cidr_text(const CidrBox& cidr) { return ip_text(cidr.ip) + "/" + std::to_string(cidr.bits); }

}  // namespace onebin::cel
