// Reading queries, and the last steps of answering: EDNS, sizes, errors.
#include "dns/message.hpp"

#include <algorithm>

namespace onebin::dns {

namespace {
// What fits a path of 1280 octets, IPv6's least: answers never need fragments.
constexpr std::size_t kUdpLimit = 1232;
constexpr std::uint16_t kOpcodeMask = 0x7800;
}  // namespace

Parsed parse_query(std::string_view m) {
  Parsed p;
  if (m.size() < kHeader) return p;
  std::uint16_t id = get16(m, 0), flags = get16(m, 2);
  if (flags & kFlagResponse) return p;
  auto refuse = [&](std::uint8_t rcode) {
    p.malformed = Malformed{id, flags, rcode};
    return p;
  };
  if (flags & kOpcodeMask) return refuse(kNotImplemented);
  if (get16(m, 4) != 1) return refuse(kFormatError);
  auto l = layout(m);
  if (!l) return refuse(kFormatError);
  auto name = read_name(m, kHeader);
  if (!name) return refuse(kFormatError);
  Question q;
  q.id = id;
  q.flags = flags;
  q.name = std::move(*name);
  q.raw_question = std::string(m.substr(kHeader, l->question_end - kHeader));
  // A question has nothing before it that a pointer could lead to.
  if (skip_name(m, kHeader) != l->question_end - 4 || q.raw_question.size() > 255 + 4) return refuse(kFormatError);
  for (std::size_t at = kHeader; m[at] != 0; at += 1u + static_cast<std::uint8_t>(m[at]))
    if (static_cast<std::uint8_t>(m[at]) & 0xc0) return refuse(kFormatError);
  q.type = get16(m, l->question_end - 4);
  q.class_ = get16(m, l->question_end - 2);
  for (const auto& r : l->records) {
    if (r.type != kTypeOpt) continue;
    if (q.edns) return refuse(kFormatError);
    q.edns = true;
    q.udp_size = std::max<std::uint16_t>(512, r.class_);
    q.edns_version = static_cast<std::uint8_t>(m[r.data - 5]);
    q.dnssec_ok = get16(m, r.data - 4) & 0x8000;
  }
  p.question = std::move(q);
  return p;
}

static void append_opt(std::string& m, std::uint8_t extended_rcode) {
  m += '\0';
  put16(m, kTypeOpt);
  put16(m, kUdpLimit);
  m += static_cast<char>(extended_rcode);
  m += '\0';  // version
  put16(m, 0);
  put16(m, 0);
  set16(m, 10, static_cast<std::uint16_t>(get16(m, 10) + 1));
}

static bool has_opt(std::string_view m) {
  if (get16(m, 10) == 0) return false;
  auto l = layout(m);
  return l && !l->records.empty() && l->records.back().type == kTypeOpt;
}

std::string finish(std::string m, const Question& q, bool tcp) {
  std::size_t limit = tcp ? 65535 : std::min<std::size_t>(q.edns ? q.udp_size : 512, std::max<std::size_t>(kUdpLimit, 512));
  std::size_t room = limit - (q.edns ? 11 : 0);
  if (m.size() > room) {
    auto l = layout(m);
    if (!l) return error_response(q, kServerFailure);
    std::size_t keep = 0;
    while (keep < l->records.size() && l->records[keep].end <= room) ++keep;
    std::size_t left = keep;
    bool cut = false;
    for (std::size_t section : {Writer::Answers, Writer::Authority, Writer::Additional}) {
      std::size_t n = get16(m, section), kept = std::min(n, left);
      left -= kept;
      if (kept < n && section == Writer::Answers) cut = true;
      set16(m, section, static_cast<std::uint16_t>(kept));
    }
    if (cut) set16(m, 2, get16(m, 2) | kFlagTruncated);
    m.resize(keep ? l->records[keep - 1].end : l->question_end);
  }
  if (q.edns && !has_opt(m)) append_opt(m, 0);
  return m;
}

std::string error_response(const Question& q, std::uint8_t rcode) {
  Writer w(q, kFlagRecursionAvailable);
  w.set_rcode(rcode);
  std::string m = w.take();
  if (q.edns) append_opt(m, static_cast<std::uint8_t>(rcode >> 4));
  return m;
}

std::string error_response(const Malformed& f) {
  std::string m;
  put16(m, f.id);
  put16(m, static_cast<std::uint16_t>(kFlagResponse | kFlagRecursionAvailable | (f.flags & (kOpcodeMask | kFlagRecursionDesired)) | (f.rcode & 15)));
  m.append(8, '\0');
  return m;
}

std::string build_query(std::uint16_t id, std::string_view name, std::uint16_t type) {
  std::string n = wire_name(name);
  if (n.empty()) return {};
  std::string m;
  put16(m, id);
  put16(m, kFlagRecursionDesired);
  put16(m, 1);
  m.append(6, '\0');
  m += n;
  put16(m, type);
  put16(m, 1);
  return m;
}

std::string append_addresses(std::string m, std::string_view upstream, std::uint16_t type) {
  auto l = layout(upstream);
  if (!l) return m;
  std::size_t answers = get16(upstream, 6);
  std::string out = m;
  std::uint16_t added = 0;
  for (std::size_t i = 0; i < answers && i < l->records.size(); ++i) {
    const RecordAt& r = l->records[i];
    if (r.class_ != 1 || (r.type != type && r.type != kTypeCname)) continue;
    auto owner = read_name(upstream, r.begin);
    std::string wire = owner ? wire_name(*owner) : std::string();
    std::string data(upstream.substr(r.data, r.end - r.data));
    if (r.type == kTypeCname) {
      auto target = read_name(upstream, r.data);
      data = target ? wire_name(*target) : std::string();
    }
    if (wire.empty() || data.empty()) continue;
    out += wire;
    out += upstream.substr(r.data - 10, 8);  // type, class, TTL
    put16(out, static_cast<std::uint16_t>(data.size()));
    out += data;
    ++added;
    if (out.size() > 60000) return m;
  }
  // Only onto a message that has answers and nothing behind them.
  if (get16(m, Writer::Authority) || get16(m, Writer::Additional)) return m;
  set16(out, Writer::Answers, static_cast<std::uint16_t>(get16(out, Writer::Answers) + added));
  return out;
}

}  // namespace onebin::dns
