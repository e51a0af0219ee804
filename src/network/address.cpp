#include <onebin/base/bytes.hpp>
#include <onebin/network/address.hpp>

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace onebin::network {

std::optional<Ip> Ip::parse(std::string_view text) {
  if (text.empty() || text.size() > 45) return std::nullopt;
  char buffer[48];
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = 0;
  Ip ip;
  if (::inet_pton(AF_INET, buffer, ip.bytes_.data()) == 1) {
    ip.size_ = 4;
  } else if (::inet_pton(AF_INET6, buffer, ip.bytes_.data()) == 1) {
    ip.size_ = 16;
  } else {
    return std::nullopt;
  }
  return ip;
}

Ip Ip::v4(std::uint32_t host_order) {
  Ip ip;
  ip.size_ = 4;
  for (int i = 0; i < 4; ++i) ip.bytes_[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return ip;
}

Ip Ip::from_bytes(std::string_view b) {
  Ip ip;
  if (b.size() != 4 && b.size() != 16) return ip;
  ip.size_ = static_cast<std::uint8_t>(b.size());
  std::memcpy(ip.bytes_.data(), b.data(), b.size());
  return ip;
}

bool Ip::is_loopback() const {
  if (is_v4()) return bytes_[0] == 127;
  static const Ip one = *parse("::1");
  return *this == one;
}
bool Ip::is_unspecified() const {
  return is_valid() && std::all_of(bytes_.begin(), bytes_.begin() + size_, [](std::uint8_t b) { return b == 0; });
}
bool Ip::is_link_local() const {
  if (is_v4()) return bytes_[0] == 169 && bytes_[1] == 254;
  return is_v6() && bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}
bool Ip::is_multicast() const { return is_v4() ? (bytes_[0] & 0xf0) == 0xe0 : is_v6() && bytes_[0] == 0xff; }

std::string Ip::to_string() const {
  if (!is_valid()) return {};
  char buffer[INET6_ADDRSTRLEN];
  ::inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), buffer, sizeof buffer);
  return buffer;
}

Ip Ip::plus(std::uint64_t offset) const {
  Ip r = *this;
  unsigned carry = 0;
  for (int i = size_ - 1; i >= 0; --i) {
    unsigned sum = r.bytes_[i] + static_cast<unsigned>(offset & 0xff) + carry;
    r.bytes_[i] = static_cast<std::uint8_t>(sum);
    carry = sum >> 8;
    offset >>= 8;
  }
  return carry || offset ? Ip() : r;
}

static Ip masked(const Ip& ip, int length) {
  std::string b = ip.bytes();
  for (int i = 0; i < static_cast<int>(b.size()); ++i) {
    int keep = std::clamp(length - 8 * i, 0, 8);
    b[i] = static_cast<char>(static_cast<std::uint8_t>(b[i]) & static_cast<std::uint8_t>(0xff00 >> keep));
  }
  return Ip::from_bytes(b);
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  auto ip = Ip::parse(text.substr(0, slash));
  auto digits = text.substr(slash + 1);
  int length = -1;
  auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (!ip || ec != std::errc() || end != digits.data() + digits.size() || length < 0 || length > ip->bits()) return std::nullopt;
  return Prefix{masked(*ip, length), length};
}

bool Prefix::contains(const Ip& a) const { return a.is_valid() && a.bits() == ip.bits() && masked(a, length) == ip; }

std::uint64_t Prefix::size() const {
  int host_bits = ip.bits() - length;
  return std::uint64_t{1} << std::min(host_bits, 63);
}

std::string Prefix::to_string() const { return ip.to_string() + "/" + std::to_string(length); }

std::optional<Mac> Mac::parse(std::string_view text) {
  auto parts = split(text, ':');
  if (parts.size() != 6) return std::nullopt;
  Mac m;
  for (std::size_t i = 0; i < 6; ++i) {
    const auto& p = parts[i];
    auto [end, ec] = std::from_chars(p.data(), p.data() + p.size(), m.bytes[i], 16);
    if (p.size() != 2 || ec != std::errc() || end != p.data() + 2) return std::nullopt;
  }
  return m;
}

Mac Mac::derived(std::string_view text) {
  std::string digest = sha256(text);
  Mac m;
  std::memcpy(m.bytes.data(), digest.data(), 6);
  m.bytes[0] = static_cast<std::uint8_t>((m.bytes[0] & 0xfc) | 0x02);
  return m;
}

std::string Mac::to_string() const {
  char b[18];
  std::snprintf(b, sizeof b, "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]);
  return b;
}

}  // namespace onebin::network
