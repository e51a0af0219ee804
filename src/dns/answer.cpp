// Answering from the zone.
#include "dns/message.hpp"

#include <onebin/base/bytes.hpp>

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace onebin::dns {

namespace {

constexpr std::uint32_t kTtl = 5;
constexpr int kMostCnames = 8;

std::optional<std::string> parse_ip(const std::string& text) {
  char b[16];
  if (::inet_pton(AF_INET, text.c_str(), b) == 1) return std::string(b, 4);
  if (::inet_pton(AF_INET6, text.c_str(), b) == 1) return std::string(b, 16);
  return std::nullopt;
}

// "10-42-0-7" or "fd42--7".
std::optional<std::string> dashed_ip(const std::string& label) {
  for (char separator : {'.', ':'}) {
    std::string text = label;
    std::replace(text.begin(), text.end(), '-', separator);
    if (auto ip = parse_ip(text)) return ip;
  }
  return std::nullopt;
}

// The address that a reverse name stands for; nullopt for other names and for parts of an address.
std::optional<std::string> reverse_ip(std::string_view name) {
  constexpr std::string_view v4 = ".in-addr.arpa", v6 = ".ip6.arpa";
  if (ends_with(name, v4)) {
    auto labels = split(name.substr(0, name.size() - v4.size()), '.');
    if (labels.size() != 4) return std::nullopt;
    std::reverse(labels.begin(), labels.end());
    return parse_ip(join(labels, "."));
  }
  if (!ends_with(name, v6)) return std::nullopt;
  auto nibbles = split(name.substr(0, name.size() - v6.size()), '.');
  if (nibbles.size() != 32) return std::nullopt;
  std::string ip(16, '\0');
  for (std::size_t i = 0; i < 32; ++i) {
    int v = -1;
    const std::string& n = nibbles[31 - i];
    auto [end, ec] = std::from_chars(n.data(), n.data() + n.size(), v, 16);
    if (n.size() != 1 || ec != std::errc() || v < 0) return std::nullopt;
    ip[i / 2] = static_cast<char>(ip[i / 2] | (i % 2 ? v : v << 4));
  }
  return ip;
}

class Answerer {
 public:
  Answerer(const Question& q, const Zone& zone, std::uint32_t turn)
      : q_(q), zone_(zone), turn_(turn), writer_(q, kFlagAuthoritative | kFlagRecursionAvailable) {}

  Answer run() {
    const std::string& d = zone_.domain();
    if (q_.name == d) {
      apex();
    } else if (ends_with(q_.name, "." + d)) {
      inside(q_.name, 0);
    } else {
      return reverse();
    }
    return done();
  }

 private:
  Answer done() {
    if (writer_.empty(Writer::Answers)) {
      writer_.soa(Writer::Authority, zone_.domain(), zone_.serial, kTtl);
      if (!exists_) writer_.set_rcode(kNameError);
    }
    return {false, writer_.take(), cname_target_};
  }

  Answer reverse() {
    auto ip = reverse_ip(q_.name);
    std::vector<std::string> names;
    if (ip) names = zone_.reverse(*ip);
    if (names.empty()) return {true, {}, {}};
    exists_ = true;
    if (wants(kTypePtr))
      for (const auto& n : names) writer_.name_record(Writer::Answers, q_.name, kTypePtr, n, kTtl);
    return done();
  }

  bool wants(std::uint16_t type) const { return q_.type == type || q_.type == kTypeAny; }

  void apex() {
    exists_ = true;
    if (wants(kTypeSoa)) writer_.soa(Writer::Answers, q_.name, zone_.serial, kTtl);
    if (wants(kTypeNs)) writer_.name_record(Writer::Answers, q_.name, kTypeNs, "ns.dns." + zone_.domain(), kTtl);
  }

  // `name` is inside the zone; `depth` counts the CNAMEs that led here.
  void inside(const std::string& name, int depth) {
    std::string_view below(name.data(), name.size() - zone_.domain().size() - 1);
    auto labels = split(below, '.');
    std::reverse(labels.begin(), labels.end());  // kind, namespace, service, ...
    if (labels[0] == "svc") return service_name(name, labels, depth);
    if (labels[0] == "pod") return pod_name(name, labels);
    if (labels[0] == "dns-version" && labels.size() == 1) {
      exists_ = true;
      if (wants(kTypeTxt)) writer_.txt(Writer::Answers, name, "1.1.0", kTtl);
      return;
    }
    // ns.dns is the name server's own name: the cluster DNS service's address.
    if (labels[0] == "dns" && labels.size() <= 2 && (labels.size() == 1 || labels[1] == "ns")) {
      exists_ = true;
      if (labels.size() == 2)
        if (const ZoneService* s = zone_.find("kube-system", "kube-dns")) addresses(Writer::Answers, name, s->cluster_ips);
    }
  }

  void pod_name(const std::string& name, const std::vector<std::string>& l) {
    if (l.size() <= 2) {
      exists_ = l.size() == 1 || zone_.has_namespace(l[1]);
      return;
    }
    auto ip = l.size() == 3 ? dashed_ip(l[2]) : std::nullopt;
    if (!ip) return;
    exists_ = true;
    addresses(Writer::Answers, name, {*ip});
  }

  void service_name(const std::string& name, const std::vector<std::string>& l, int depth) {
    if (l.size() <= 2) {
      exists_ = l.size() == 1 || zone_.has_namespace(l[1]);
      return;
    }
    const ZoneService* s = zone_.find(l[1], l[2]);
    if (!s) return;
    if (!s->external_name.empty()) {
      if (l.size() == 3) cname(name, s->external_name, depth);
      return;
    }
    bool headless = s->cluster_ips.empty();
    if (l.size() == 3) {
      // A headless service without ready endpoints exists for nobody (DNS specification 2.4.1 leaves it open; so does CoreDNS).
      exists_ = !headless || !s->endpoints.empty();
      addresses(Writer::Answers, name, headless ? endpoint_ips(*s, {}) : s->cluster_ips);
      if (wants(kTypeSrv)) srv(name, *s, {}, {});
      return;
    }
    if (!starts_with(l[3], "_")) {
      if (l.size() != 4) return;
      auto ips = endpoint_ips(*s, l[3]);
      exists_ = !ips.empty();
      addresses(Writer::Answers, name, ips);
      if (wants(kTypeSrv) && exists_) srv_of_host(name, *s, l[3]);
      return;
    }
    std::string protocol = l[3].substr(1), port;
    if (l.size() == 5 && starts_with(l[4], "_")) port = l[4].substr(1);
    if (l.size() > 5 || (l.size() == 5 && port.empty())) return;
    exists_ = has_port(*s, protocol, port);
    if (!port.empty() && wants(kTypeSrv)) srv(name, *s, protocol, port);
  }

  static bool matches(const ZonePort& p, const std::string& protocol, const std::string& port) {
    return (protocol.empty() || p.protocol == protocol) && (port.empty() || p.name == port);
  }
  static bool has_port(const ZoneService& s, const std::string& protocol, const std::string& port) {
    auto any = [&](const std::vector<ZonePort>& ports) {
      return std::any_of(ports.begin(), ports.end(), [&](const ZonePort& p) { return matches(p, protocol, port); });
    };
    if (!s.cluster_ips.empty()) return any(s.ports);
    return std::any_of(s.endpoints.begin(), s.endpoints.end(), [&](const ZoneEndpoint& e) { return any(e.ports); });
  }

  static std::vector<std::string> endpoint_ips(const ZoneService& s, const std::string& hostname) {
    std::vector<std::string> out;
    for (const auto& e : s.endpoints)
      if (hostname.empty() || to_lower(e.hostname) == hostname) out.push_back(e.ip);
    return out;
  }

  void addresses(Writer::Section section, const std::string& name, const std::vector<std::string>& ips) {
    std::vector<const std::string*> wanted;
    for (const auto& ip : ips)
      if (wants(ip.size() == 4 ? kTypeA : kTypeAaaa)) wanted.push_back(&ip);
    for (std::size_t i = 0; i < wanted.size(); ++i) writer_.address(section, name, *wanted[(i + turn_) % wanted.size()], kTtl);
  }

  std::string base(const ZoneService& s) const { return s.name + "." + s.ns + ".svc." + zone_.domain(); }

  void srv(const std::string& owner, const ZoneService& s, const std::string& protocol, const std::string& port) {
    struct Target { std::uint16_t port; std::string host; };
    std::vector<Target> targets;
    std::map<std::string, std::vector<std::string>> hosts;
    auto add = [&](const ZonePort& p, const std::string& host, const std::vector<std::string>& ips) {
      if (!matches(p, protocol, port)) return;
      auto& known = hosts[host];
      for (const auto& ip : ips)
        if (std::find(known.begin(), known.end(), ip) == known.end()) known.push_back(ip);
      // A host with addresses of both families is one target.
      if (std::none_of(targets.begin(), targets.end(), [&](const Target& t) { return t.port == p.port && t.host == host; }))
        targets.push_back({p.port, host});
    };
    if (!s.cluster_ips.empty()) {
      for (const auto& p : s.ports) add(p, base(s), s.cluster_ips);
    } else {
      for (const auto& e : s.endpoints)
        for (const auto& p : e.ports) add(p, e.hostname + "." + base(s), {e.ip});
    }
    auto weight = static_cast<std::uint16_t>(targets.empty() ? 0 : std::max<std::size_t>(1, 100 / targets.size()));
    for (const auto& t : targets) writer_.srv(Writer::Answers, owner, weight, t.port, t.host, kTtl);
    for (const auto& [host, ips] : hosts)
      for (const auto& ip : ips) writer_.address(Writer::Additional, host, ip, kTtl);
  }

  void srv_of_host(const std::string& owner, const ZoneService& s, const std::string& hostname) {
    ZoneService one = s;
    std::erase_if(one.endpoints, [&](const ZoneEndpoint& e) { return to_lower(e.hostname) != hostname; });
    srv(owner, one, {}, {});
  }

  void cname(const std::string& owner, const std::string& target, int depth) {
    exists_ = true;
    std::string to = to_lower(target);
    while (!to.empty() && to.back() == '.') to.pop_back();
    if (wire_name(to).empty()) return;
    writer_.name_record(Writer::Answers, owner, kTypeCname, to, kTtl);
    if (q_.type == kTypeCname || depth >= kMostCnames) return;
    if (ends_with(to, "." + zone_.domain())) inside(to, depth + 1);
    else if (to != zone_.domain()) cname_target_ = to;
    exists_ = true;
  }

  const Question& q_;
  const Zone& zone_;
  std::uint32_t turn_;
  Writer writer_;
  bool exists_ = false;
  std::string cname_target_;
};

}  // namespace

Answer answer(const Question& q, const Zone& zone, std::uint32_t turn) {
  if (q.edns && q.edns_version != 0) return {false, error_response(q, kBadVersion), {}};
  if (q.class_ != 1 && q.class_ != 255) return {false, error_response(q, kRefused), {}};
  return Answerer(q, zone, turn).run();
}

}  // namespace onebin::dns
