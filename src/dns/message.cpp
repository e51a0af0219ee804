#include "dns/message.hpp"

#include <onebin/base/bytes.hpp>

namespace onebin::dns {

std::uint16_t get16(std::string_view m, std::size_t at) {
  if (at + 2 > m.size()) return 0;
  return static_cast<std::uint16_t>(static_cast<std::uint8_t>(m[at]) << 8 | static_cast<std::uint8_t>(m[at + 1]));
}
void put16(std::string& m, std::uint16_t v) {
  m += static_cast<char>(v >> 8);
  m += static_cast<char>(v & 0xff);
}
void put32(std::string& m, std::uint32_t v) {
  put16(m, static_cast<std::uint16_t>(v >> 16));
  put16(m, static_cast<std::uint16_t>(v & 0xffff));
}
void set16(std::string& m, std::size_t at, std::uint16_t v) {
  m[at] = static_cast<char>(v >> 8);
  m[at + 1] = static_cast<char>(v & 0xff);
}

std::size_t skip_name(std::string_view m, std::size_t at) {
  while (at < m.size()) {
    auto n = static_cast<std::uint8_t>(m[at]);
    if (n == 0) return at + 1;
    if ((n & 0xc0) == 0xc0) return at + 2 <= m.size() ? at + 2 : std::string_view::npos;
    if (n & 0xc0) return std::string_view::npos;
    at += 1u + n;
  }
  return std::string_view::npos;
}

std::optional<Layout> layout(std::string_view m) {
  if (m.size() < kHeader) return std::nullopt;
  Layout l;
  std::size_t at = kHeader;
  for (int i = get16(m, 4); i > 0; --i) {
    at = skip_name(m, at);
    if (at == std::string_view::npos || at + 4 > m.size()) return std::nullopt;
    at += 4;
  }
  l.question_end = at;
  for (int i = get16(m, 6) + get16(m, 8) + get16(m, 10); i > 0; --i) {
    RecordAt r;
    r.begin = at;
    at = skip_name(m, at);
    if (at == std::string_view::npos || at + 10 > m.size()) return std::nullopt;
    r.type = get16(m, at);
    r.class_ = get16(m, at + 2);
    r.data = at + 10;
    r.end = r.data + get16(m, at + 8);
    if (r.end > m.size()) return std::nullopt;
    at = r.end;
    l.records.push_back(r);
  }
  return l;
}

std::optional<std::string> read_name(std::string_view m, std::size_t at) {
  std::string out;
  std::size_t limit = at;  // pointers lead backwards only, which ends every chain
  bool first = true;
  while (at < m.size()) {
    auto n = static_cast<std::uint8_t>(m[at]);
    if (n == 0) return out;
    if ((n & 0xc0) == 0xc0) {
      if (at + 2 > m.size()) return std::nullopt;
      std::size_t to = get16(m, at) & 0x3fffu;
      if (to >= limit) return std::nullopt;
      limit = at = to;
      continue;
    }
    if ((n & 0xc0) || at + 1 + n > m.size() || out.size() + n + 1 > 254) return std::nullopt;
    if (!first) out += '.';
    first = false;
    for (char c : m.substr(at + 1, n)) {
      // A dot inside of a label is no separator: such a name equals none of ours.
      if (c == '.') out += '\\';
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    at += 1u + n;
  }
  return std::nullopt;
}

std::string wire_name(std::string_view name) {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  std::string out;
  if (!name.empty()) {
    for (const auto& label : split(name, '.')) {
      if (label.empty() || label.size() > 63) return {};
      out += static_cast<char>(label.size());
      out += label;
    }
  }
  out += '\0';
  return out.size() <= 255 ? out : std::string();
}

Writer::Writer(const Question& q, std::uint16_t flags) {
  put16(message_, q.id);
  put16(message_, static_cast<std::uint16_t>(kFlagResponse | flags | (q.flags & kFlagRecursionDesired)));
  put16(message_, 1);
  message_.append(6, '\0');
  message_ += q.raw_question;
  // The question's name and what it ends in can be pointed at.
  std::size_t at = kHeader;
  std::string_view rest = q.name;
  while (!rest.empty()) {
    offsets_.emplace(std::string(rest), static_cast<std::uint16_t>(at));
    at += 1u + static_cast<std::uint8_t>(message_[at]);
    auto dot = rest.find('.');
    if (dot == std::string_view::npos || q.name.find('\\') != std::string::npos) break;
    rest = rest.substr(dot + 1);
  }
}

void Writer::set_rcode(std::uint8_t rcode) { set16(message_, 2, static_cast<std::uint16_t>((get16(message_, 2) & 0xfff0) | (rcode & 15))); }

void Writer::name(const std::string& n, bool compress) {
  std::string_view rest = n;
  while (!rest.empty()) {
    if (compress) {
      if (auto it = offsets_.find(std::string(rest)); it != offsets_.end()) {
        put16(message_, static_cast<std::uint16_t>(0xc000 | it->second));
        return;
      }
    }
    if (message_.size() < 0x4000) offsets_.emplace(std::string(rest), static_cast<std::uint16_t>(message_.size()));
    auto dot = rest.find('.');
    std::string_view label = rest.substr(0, dot).substr(0, 63);
    message_ += static_cast<char>(label.size());
    message_ += label;
    rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  }
  message_ += '\0';
}

std::size_t Writer::begin(const std::string& owner, std::uint16_t type, std::uint32_t ttl) {
  name(owner, true);
  put16(message_, type);
  put16(message_, 1);
  put32(message_, ttl);
  put16(message_, 0);
  return message_.size() - 2;
}

void Writer::end(Section s, std::size_t start, std::size_t length_at) {
  if (message_.size() > 65000) {
    message_.resize(start);
    for (auto it = offsets_.begin(); it != offsets_.end();) it = it->second >= start ? offsets_.erase(it) : std::next(it);
    return;
  }
  set16(message_, length_at, static_cast<std::uint16_t>(message_.size() - length_at - 2));
  set16(message_, s, static_cast<std::uint16_t>(get16(message_, s) + 1));
}

void Writer::address(Section s, const std::string& owner, const std::string& ip, std::uint32_t ttl) {
  std::size_t start = message_.size();
  std::size_t at = begin(owner, ip.size() == 4 ? kTypeA : kTypeAaaa, ttl);
  message_ += ip;
  end(s, start, at);
}
void Writer::name_record(Section s, const std::string& owner, std::uint16_t type, const std::string& target, std::uint32_t ttl) {
  std::size_t start = message_.size();
  std::size_t at = begin(owner, type, ttl);
  name(target, true);
  end(s, start, at);
}
void Writer::srv(Section s, const std::string& owner, std::uint16_t weight, std::uint16_t port, const std::string& target, std::uint32_t ttl) {
  std::size_t start = message_.size();
  std::size_t at = begin(owner, kTypeSrv, ttl);
  put16(message_, 0);  // priority
  put16(message_, weight);
  put16(message_, port);
  name(target, false);  // RFC 2782: not compressed
  end(s, start, at);
}
void Writer::txt(Section s, const std::string& owner, const std::string& text, std::uint32_t ttl) {
  std::size_t start = message_.size();
  std::size_t at = begin(owner, kTypeTxt, ttl);
  message_ += static_cast<char>(text.size());
  message_ += text;
  end(s, start, at);
}
void Writer::soa(Section s, const std::string& domain, std::uint32_t serial, std::uint32_t ttl) {
  std::size_t start = message_.size();
  std::size_t at = begin(domain, kTypeSoa, ttl);
  name("ns.dns." + domain, true);
  name("hostmaster." + domain, true);
  put32(message_, serial);
  put32(message_, 7200);
  put32(message_, 1800);
  put32(message_, 86400);
  put32(message_, ttl);
  end(s, start, at);
}

}  // namespace onebin::dns
