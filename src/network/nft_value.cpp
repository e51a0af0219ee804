#include <onebin/base/bytes.hpp>
#include <onebin/network/nft.hpp>

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace onebin::network::nft {

std::string key(std::initializer_list<std::string> parts) {
  std::string r;
  for (const auto& p : parts) {
    r += p;
    r.resize((r.size() + 3) & ~std::size_t{3});
  }
  return r;
}
std::string u16(std::uint16_t v) { return {static_cast<char>(v >> 8), static_cast<char>(v & 0xff)}; }
std::string u8(std::uint8_t v) { return {static_cast<char>(v)}; }
std::string host32(std::uint32_t v) { return {reinterpret_cast<char*>(&v), sizeof v}; }
std::string if_name(std::string_view name) {
  std::string r(name.substr(0, 15));
  r.resize(16);
  return r;
}
std::uint8_t protocol_number(std::string_view name) {
  if (iequals(name, "TCP")) return 6;
  if (iequals(name, "UDP")) return 17;
  if (iequals(name, "SCTP")) return 132;
  return 0;
}

bool Set::same_shape(const Set& o) const {
  return key == o.key && data == o.data && verdict_map == o.verdict_map && interval == o.interval && dynamic == o.dynamic &&
         timeout_ms == o.timeout_ms;
}

void Set::add_prefixes(std::vector<Prefix> prefixes) {
  std::sort(prefixes.begin(), prefixes.end());
  // Half-open ranges [first, end); an end that is none means up to the last address.
  std::vector<std::pair<std::string, std::string>> ranges;
  for (const auto& p : prefixes) {
    std::string end;
    int host_bits = p.ip.bits() - p.length;
    std::string b = p.ip.bytes();
    // Add one at bit `length`: the first address after the prefix.
    unsigned carry = host_bits % 8 == 0 ? 1u : 1u << (host_bits % 8);
    for (int i = static_cast<int>(b.size()) - 1 - host_bits / 8; i >= 0 && carry; --i) {
      unsigned sum = static_cast<std::uint8_t>(b[static_cast<std::size_t>(i)]) + carry;
      b[static_cast<std::size_t>(i)] = static_cast<char>(sum);
      carry = sum >> 8;
    }
    if (!carry && p.length > 0) end = b;
    if (!ranges.empty() && (ranges.back().second.empty() || p.ip.bytes() <= ranges.back().second)) {
      auto& last = ranges.back().second;
      if (!last.empty() && (end.empty() || end > last)) last = end;
      continue;
    }
    ranges.emplace_back(p.ip.bytes(), end);
  }
  for (auto& [first, end] : ranges) {
    elements[first] = Element{first, {}, false};
    if (!end.empty()) elements[end + '\x01'] = Element{end, {}, true};
  }
}

namespace {

std::string bytes_text(std::string_view b) {
  if (b.size() == 4 || b.size() == 16) return "0x" + hex_encode(b);
  return b.empty() ? "''" : "0x" + hex_encode(b);
}

std::string part_text(Type t, std::string_view b) {
  switch (t) {
    case Type::Ip4: case Type::Ip6: return Ip::from_bytes(b).to_string();
    case Type::Protocol: {
      int p = b.empty() ? 0 : static_cast<std::uint8_t>(b[0]);
      return p == 6 ? "tcp" : p == 17 ? "udp" : p == 132 ? "sctp" : std::to_string(p);
    }
    case Type::Port: return b.size() < 2 ? "" : std::to_string(static_cast<std::uint8_t>(b[0]) << 8 | static_cast<std::uint8_t>(b[1]));
    case Type::Mark: case Type::Integer: {
      std::uint32_t v = 0;
      std::memcpy(&v, b.data(), std::min<std::size_t>(4, b.size()));
      return std::to_string(v);
    }
    case Type::IfName: return std::string(b.substr(0, b.find('\0')));
  }
  return {};
}

std::size_t width(Type t) {
  switch (t) {
    case Type::Ip6: case Type::IfName: return 16;
    default: return 4;
  }
}

std::string typed_text(const std::vector<Type>& types, std::string_view b) {
  std::string r;
  for (Type t : types) {
    if (!r.empty()) r += " . ";
    r += part_text(t, b.substr(0, width(t)));
    b.remove_prefix(std::min(width(t), b.size()));
  }
  return r;
}

std::string verdict_text(const Verdict& v) {
  switch (v.kind) {
    case Verdict::Kind::Accept: return "accept";
    case Verdict::Kind::Drop: return "drop";
    case Verdict::Kind::Jump: return "jump " + v.chain;
    case Verdict::Kind::Goto: return "goto " + v.chain;
    case Verdict::Kind::Return: return "return";
  }
  return {};
}

std::string set_text(const Set& s) {
  std::string r = "{";
  bool first = true;
  for (const auto& [k, e] : s.elements) {
    r += first ? " " : ", ";
    first = false;
    r += (e.interval_end ? "..<" : "") + typed_text(s.key, e.key);
    if (auto* v = std::get_if<Verdict>(&e.value)) r += " : " + verdict_text(*v);
    if (auto* d = std::get_if<std::string>(&e.value)) r += " : " + typed_text(s.data, *d);
  }
  return r + (first ? "}" : " }");
}

std::string reg(Reg r) { return "r" + std::to_string(r); }

struct ExprText {
  const Rule& rule;
  std::string operator()(const Meta& m) const {
    const char* name = "?";
    switch (m.key) {
      case Meta::Key::Protocol: name = "protocol"; break;
      case Meta::Key::Mark: name = "mark"; break;
      case Meta::Key::IifName: name = "iifname"; break;
      case Meta::Key::OifName: name = "oifname"; break;
      case Meta::Key::NfProto: name = "nfproto"; break;
      case Meta::Key::L4Proto: name = "l4proto"; break;
    }
    return m.set ? std::string("meta ") + name + "=" + reg(m.reg) : reg(m.reg) + "=meta " + name;
  }
  std::string operator()(const Payload& p) const {
    const char* base = p.base == Payload::Base::Transport ? "th" : p.base == Payload::Base::Network ? "nh" : "ll";
    return reg(p.reg) + "=" + base + "[" + std::to_string(p.offset) + "," + std::to_string(p.length) + "]";
  }
  std::string operator()(const Ct& c) const {
    const char* name = c.key == Ct::Key::State ? "state" : c.key == Ct::Key::Status ? "status" : c.key == Ct::Key::Mark ? "mark" : "direction";
    return c.set ? std::string("ct ") + name + "=" + reg(c.reg) : reg(c.reg) + "=ct " + name;
  }
  std::string operator()(const Fib& f) const {
    return reg(f.reg) + (f.of == Fib::Of::ReversePath ? "=fib reverse" : f.of == Fib::Of::SourceType ? "=fib saddr type" : "=fib daddr type");
  }
  std::string operator()(const Compare& c) const { return reg(c.reg) + (c.equal ? "==" : "!=") + bytes_text(c.data); }
  std::string operator()(const Bitwise& b) const { return reg(b.reg) + "&" + bytes_text(b.mask) + "^" + bytes_text(b.xor_); }
  std::string operator()(const Immediate& i) const { return reg(i.reg) + "=" + bytes_text(i.data); }
  std::string operator()(const Verdict& v) const { return verdict_text(v); }
  std::string operator()(const Lookup& l) const {
    std::string s = l.inline_set >= 0 ? set_text(rule.sets.at(static_cast<std::size_t>(l.inline_set))) : "@" + l.set;
    std::string r = reg(l.reg) + (l.invert ? " not in " : l.verdict ? " vmap " : l.dest ? " map " : " in ") + s;
    return l.dest ? reg(*l.dest) + "=" + r : r;
  }
  std::string operator()(const Numgen& n) const { return reg(n.reg) + "=random mod " + std::to_string(n.modulus); }
  std::string operator()(const Nat& n) const {
    return std::string(n.dnat ? "dnat" : "snat") + (n.v6 ? " ip6 " : " ip ") + reg(n.address) + (n.port ? ":" + reg(*n.port) : "");
  }
  std::string operator()(const Masquerade& m) const { return m.random ? "masquerade fully-random" : "masquerade"; }
  std::string operator()(const Reject& r) const { return r.tcp_reset ? "reject tcp-reset" : "reject"; }
  std::string operator()(const DynSet& d) const {
    return (d.remove ? "delete @" : "update @") + d.set + "{" + reg(d.key) + (d.data ? " : " + reg(*d.data) : "") + "}";
  }
  std::string operator()(const Counter&) const { return "counter"; }
};

std::string hook_text(const BaseHook& b) {
  static const char* names[] = {"prerouting", "input", "forward", "output", "postrouting"};
  return b.type + " " + names[static_cast<int>(b.hook)] + " " + std::to_string(b.priority);
}

}  // namespace

std::string describe(const Rule& rule) {
  std::string r;
  for (const auto& e : rule.exprs) r += (r.empty() ? "" : "; ") + std::visit(ExprText{rule}, e);
  return r;
}

std::string describe(const Table& table) {
  std::string r;
  for (const auto& [name, s] : table.sets) r += (s.data.empty() && !s.verdict_map ? "set " : "map ") + name + " " + set_text(s) + "\n";
  for (const auto& [name, c] : table.chains) {
    r += "chain " + name + (c.base ? " (" + hook_text(*c.base) + ")" : "") + "\n";
    for (const auto& rule : c.rules) r += "  " + describe(rule) + "\n";
  }
  return r;
}

std::string Op::describe() const {
  switch (kind) {
    case Kind::AddTable: return "add table";
    case Kind::DeleteTable: return "delete table";
    case Kind::AddChain: return "add chain " + name;
    case Kind::FlushChain: return "flush chain " + name;
    case Kind::DeleteChain: return "delete chain " + name;
    case Kind::AddRule: return "add rule " + name + " " + nft::describe(rule);
    case Kind::AddSet: return "add set " + name;
    case Kind::DeleteSet: return "delete set " + name;
    case Kind::AddElements: return "add element " + name + " " + set_text(set);
    case Kind::DeleteElements: return "delete element " + name + " " + set_text(set);
  }
  return {};
}

}  // namespace onebin::network::nft
