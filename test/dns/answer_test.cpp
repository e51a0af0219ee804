#include "dns/message.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/random.hpp>

#include <arpa/inet.h>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::dns;

namespace {

std::string ip(const char* text) {
  char b[16];
  if (::inet_pton(AF_INET, text, b) == 1) return std::string(b, 4);
  REQUIRE(::inet_pton(AF_INET6, text, b) == 1);
  return std::string(b, 16);
}

std::string ip_text(std::string_view b) {
  char t[64];
  ::inet_ntop(b.size() == 4 ? AF_INET : AF_INET6, b.data(), t, sizeof t);
  return t;
}

// Records as text, one a line; sections begin with their names.
std::string dump(const std::string& m) {
  auto l = layout(m);
  if (!l) return "broken";
  std::uint16_t flags = get16(m, 2);
  std::string out = "rcode " + std::to_string(flags & 15) + (flags & kFlagTruncated ? " tc" : "") + (flags & kFlagAuthoritative ? " aa" : "") + "\n";
  std::size_t i = 0;
  for (auto [name, section] : {std::pair("answer", Writer::Answers), std::pair("authority", Writer::Authority), std::pair("additional", Writer::Additional)}) {
    for (int n = get16(m, section); n > 0; --n, ++i) {
      const auto& r = l->records.at(i);
      std::string data;
      switch (r.type) {
        case kTypeA: case kTypeAaaa: data = ip_text(std::string_view(m).substr(r.data, r.end - r.data)); break;
        case kTypeCname: case kTypePtr: case kTypeNs: data = *read_name(m, r.data); break;
        case kTypeSrv: data = std::to_string(get16(m, r.data + 2)) + " " + std::to_string(get16(m, r.data + 4)) + " " + *read_name(m, r.data + 6); break;
        case kTypeTxt: data = m.substr(r.data + 1, r.end - r.data - 1); break;
        case kTypeSoa: data = *read_name(m, r.data); break;
        default: data = "..."; break;
      }
      out += std::string(name) + " " + *read_name(m, r.begin) + " " + std::to_string(r.type) + " " + data + "\n";
    }
  }
  return out;
}

Zone sample() {
  Zone z("Cluster.Local.");
  z.set_service({"default", "kubernetes", {ip("10.43.0.1")}, "", {{"https", "tcp", 443}}, {}});
  z.set_service({"default", "dual", {ip("10.43.0.7"), ip("fd43::7")}, "", {{"http", "tcp", 80}, {"dns", "udp", 53}}, {}});
  z.set_service({"kube-system", "kube-dns", {ip("10.43.0.10")}, "", {{"dns", "udp", 53}}, {}});
  z.set_service({"default", "db", {}, "", {{"pg", "tcp", 5432}},
                 {{ip("10.42.0.2"), "db-0", {{"pg", "tcp", 5432}}}, {ip("10.42.1.3"), "10-42-1-3", {{"pg", "tcp", 5432}}}}});
  z.set_service({"default", "ext", {}, "Example.com", {}, {}});
  z.set_service({"default", "alias", {}, "kubernetes.default.svc.cluster.local", {}, {}});
  z.set_service({"default", "loop", {}, "loop.default.svc.cluster.local", {}, {}});
  z.set_service({"default", "empty", {}, "", {{"x", "tcp", 1}}, {}});
  return z;
}

std::string query(const std::string& name, std::uint16_t type, int edns = 0) {
  std::string m = build_query(0x1234, name, type);
  if (edns) {
    m += '\0';
    put16(m, kTypeOpt);
    put16(m, static_cast<std::uint16_t>(edns));
    put32(m, 0);
    put16(m, 0);
    set16(m, 10, 1);
  }
  return m;
}

std::string ask(const Zone& z, const std::string& name, std::uint16_t type, int edns = 0, bool tcp = false) {
  Parsed p = parse_query(query(name, type, edns));
  REQUIRE(p.question);
  Answer a = answer(*p.question, z, 0);
  if (a.forward) return "forward";
  return dump(finish(a.message, *p.question, tcp)) + (a.cname_target.empty() ? "" : "then " + a.cname_target);
}

const std::string kNegative = "authority cluster.local 6 ns.dns.cluster.local\n";

}  // namespace

TEST_CASE("services have addresses in both families, and NODATA differs from NXDOMAIN") {
  Zone z = sample();
  CHECK(ask(z, "kubernetes.default.svc.cluster.local", kTypeA) == "rcode 0 aa\nanswer kubernetes.default.svc.cluster.local 1 10.43.0.1\n");
  CHECK(ask(z, "KUBERNETES.default.SVC.cluster.LOCAL", kTypeA) == "rcode 0 aa\nanswer kubernetes.default.svc.cluster.local 1 10.43.0.1\n");
  CHECK(ask(z, "kubernetes.default.svc.cluster.local", kTypeAaaa) == "rcode 0 aa\n" + kNegative);
  CHECK(ask(z, "dual.default.svc.cluster.local", kTypeAaaa) == "rcode 0 aa\nanswer dual.default.svc.cluster.local 28 fd43::7\n");
  CHECK(ask(z, "nobody.default.svc.cluster.local", kTypeA) == "rcode 3 aa\n" + kNegative);
  CHECK(ask(z, "default.svc.cluster.local", kTypeA) == "rcode 0 aa\n" + kNegative);
  CHECK(ask(z, "nowhere.svc.cluster.local", kTypeA) == "rcode 3 aa\n" + kNegative);
  CHECK(ask(z, "svc.cluster.local", kTypeA) == "rcode 0 aa\n" + kNegative);
  CHECK(ask(z, "google.com.default.svc.cluster.local", kTypeA) == "rcode 3 aa\n" + kNegative);
  CHECK(ask(z, "cluster.local", kTypeSoa) == "rcode 0 aa\nanswer cluster.local 6 ns.dns.cluster.local\n");
  CHECK(ask(z, "ns.dns.cluster.local", kTypeA) == "rcode 0 aa\nanswer ns.dns.cluster.local 1 10.43.0.10\n");
  CHECK(ask(z, "dns-version.cluster.local", kTypeTxt) == "rcode 0 aa\nanswer dns-version.cluster.local 16 1.1.0\n");
  CHECK(ask(z, "example.com", kTypeA) == "forward");
  CHECK(ask(z, "notcluster.local", kTypeA) == "forward");
}

TEST_CASE("ports are found by SRV, with the addresses of their targets") {
  Zone z = sample();
  CHECK(ask(z, "_https._tcp.kubernetes.default.svc.cluster.local", kTypeSrv) ==
        "rcode 0 aa\nanswer _https._tcp.kubernetes.default.svc.cluster.local 33 100 443 kubernetes.default.svc.cluster.local\n"
        "additional kubernetes.default.svc.cluster.local 1 10.43.0.1\n");
  CHECK(ask(z, "_dns._udp.dual.default.svc.cluster.local", kTypeSrv) ==
        "rcode 0 aa\nanswer _dns._udp.dual.default.svc.cluster.local 33 100 53 dual.default.svc.cluster.local\n"
        "additional dual.default.svc.cluster.local 1 10.43.0.7\nadditional dual.default.svc.cluster.local 28 fd43::7\n");
  CHECK(ask(z, "_dns._tcp.dual.default.svc.cluster.local", kTypeSrv) == "rcode 3 aa\n" + kNegative);
  CHECK(ask(z, "_tcp.dual.default.svc.cluster.local", kTypeSrv) == "rcode 0 aa\n" + kNegative);
  CHECK(ask(z, "_http._tcp.dual.default.svc.cluster.local", kTypeA) == "rcode 0 aa\n" + kNegative);
  std::string headless = ask(z, "_pg._tcp.db.default.svc.cluster.local", kTypeSrv);
  CHECK(headless.find("33 50 5432 db-0.db.default.svc.cluster.local\n") != std::string::npos);
  CHECK(headless.find("33 50 5432 10-42-1-3.db.default.svc.cluster.local\n") != std::string::npos);
  CHECK(headless.find("additional db-0.db.default.svc.cluster.local 1 10.42.0.2\n") != std::string::npos);
}

TEST_CASE("headless services give their endpoints, by host name too") {
  Zone z = sample();
  CHECK(ask(z, "db.default.svc.cluster.local", kTypeA) ==
        "rcode 0 aa\nanswer db.default.svc.cluster.local 1 10.42.0.2\nanswer db.default.svc.cluster.local 1 10.42.1.3\n");
  CHECK(ask(z, "db-0.db.default.svc.cluster.local", kTypeA) == "rcode 0 aa\nanswer db-0.db.default.svc.cluster.local 1 10.42.0.2\n");
  CHECK(ask(z, "db-0.db.default.svc.cluster.local", kTypeAaaa) == "rcode 0 aa\n" + kNegative);
  CHECK(ask(z, "db-9.db.default.svc.cluster.local", kTypeA) == "rcode 3 aa\n" + kNegative);
  CHECK(ask(z, "empty.default.svc.cluster.local", kTypeA) == "rcode 3 aa\n" + kNegative);
  CHECK(ask(z, "x.kubernetes.default.svc.cluster.local", kTypeA) == "rcode 3 aa\n" + kNegative);
}

TEST_CASE("pods by address, addresses by name, aliases") {
  Zone z = sample();
  CHECK(ask(z, "10-42-0-7.default.pod.cluster.local", kTypeA) == "rcode 0 aa\nanswer 10-42-0-7.default.pod.cluster.local 1 10.42.0.7\n");
  CHECK(ask(z, "fd42--7.default.pod.cluster.local", kTypeAaaa) == "rcode 0 aa\nanswer fd42--7.default.pod.cluster.local 28 fd42::7\n");
  CHECK(ask(z, "ten-42-0-7.default.pod.cluster.local", kTypeA) == "rcode 3 aa\n" + kNegative);
  CHECK(ask(z, "1.0.43.10.in-addr.arpa", kTypePtr) == "rcode 0 aa\nanswer 1.0.43.10.in-addr.arpa 12 kubernetes.default.svc.cluster.local\n");
  CHECK(ask(z, "2.0.42.10.in-addr.arpa", kTypePtr) == "rcode 0 aa\nanswer 2.0.42.10.in-addr.arpa 12 db-0.db.default.svc.cluster.local\n");
  CHECK(ask(z, "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.4.d.f.ip6.arpa", kTypePtr).find("dual.default.svc.cluster.local\n") != std::string::npos);
  CHECK(ask(z, "9.9.9.9.in-addr.arpa", kTypePtr) == "forward");
  CHECK(ask(z, "ext.default.svc.cluster.local", kTypeA) == "rcode 0 aa\nanswer ext.default.svc.cluster.local 5 example.com\nthen example.com");
  CHECK(ask(z, "ext.default.svc.cluster.local", kTypeCname) == "rcode 0 aa\nanswer ext.default.svc.cluster.local 5 example.com\n");
  CHECK(ask(z, "alias.default.svc.cluster.local", kTypeA) ==
        "rcode 0 aa\nanswer alias.default.svc.cluster.local 5 kubernetes.default.svc.cluster.local\n"
        "answer kubernetes.default.svc.cluster.local 1 10.43.0.1\n");
  CHECK(ask(z, "loop.default.svc.cluster.local", kTypeA).find("rcode 0") == 0);
  z.remove_service("default", "db");
  CHECK(ask(z, "2.0.42.10.in-addr.arpa", kTypePtr) == "forward");
  CHECK(ask(z, "db.default.svc.cluster.local", kTypeA) == "rcode 3 aa\n" + kNegative);
}

TEST_CASE("large answers are cut to whole records over UDP and complete over TCP") {
  Zone z;
  ZoneService s{"default", "big", {}, "", {}, {}};
  for (int i = 0; i < 300; ++i) s.endpoints.push_back({ip("10.42.0.1").substr(0, 2) + char(i / 256) + char(i % 256), "h" + std::to_string(i), {}});
  z.set_service(s);
  for (auto [edns, most] : {std::pair(0, 512), std::pair(600, 600), std::pair(4096, 1232)}) {
    Parsed p = parse_query(query("big.default.svc.cluster.local", kTypeA, edns));
    std::string m = finish(answer(*p.question, z, 3).message, *p.question, false);
    CHECK(m.size() <= static_cast<std::size_t>(most));
    CHECK(m.size() > static_cast<std::size_t>(most) - 40);
    CHECK(get16(m, 2) & kFlagTruncated);
    CHECK(layout(m));
  }
  Parsed p = parse_query(query("big.default.svc.cluster.local", kTypeA));
  std::string whole = finish(answer(*p.question, z, 0).message, *p.question, true);
  CHECK(get16(whole, 6) == 300);
  CHECK_FALSE(get16(whole, 2) & kFlagTruncated);
  // The order turns.
  std::string other = finish(answer(*p.question, z, 1).message, *p.question, true);
  CHECK(other != whole);
}

TEST_CASE("EDNS is answered, and queries that are none are refused or ignored") {
  Zone z = sample();
  std::string r = ask(z, "kubernetes.default.svc.cluster.local", kTypeA, 4096);
  CHECK(r.find("additional  41") != std::string::npos);
  std::string q = query("kubernetes.default.svc.cluster.local", kTypeA, 4096);
  q[q.size() - 5] = 1;  // EDNS version
  Parsed p = parse_query(q);
  REQUIRE(p.question);
  std::string bad = finish(answer(*p.question, z, 0).message, *p.question, false);
  CHECK(static_cast<int>(bad[bad.size() - 6]) == 1);  // BADVERS is 16: one in the upper octet
  CHECK(get16(bad, 10) == 1);

  CHECK_FALSE(parse_query("short").question);
  CHECK_FALSE(parse_query("short").malformed);
  std::string response = query("a.b", kTypeA);
  response[2] = static_cast<char>(0x80);
  CHECK_FALSE(parse_query(response).malformed);
  std::string notify = query("a.b", kTypeA);
  notify[2] = 0x20;
  CHECK(parse_query(notify).malformed->rcode == kNotImplemented);
  std::string cut = query("a.b", kTypeA);
  cut.resize(cut.size() - 3);
  REQUIRE(parse_query(cut).malformed);
  CHECK(error_response(*parse_query(cut).malformed).size() == 12);
  // A pointer that leads to itself.
  std::string loop = query("a.b", kTypeA).substr(0, 12) + std::string("\xc0\x0c\0\1\0\1", 6);
  CHECK(parse_query(loop).malformed);
  // A dot inside of a label is not a separator.
  std::string dotted = query("axb.default.svc.cluster.local", kTypeA);
  dotted[14] = '.';
  CHECK(parse_query(dotted).question->name.substr(0, 4) == "a\\.b");
}

TEST_CASE("what upstream said of an alias's target is appended") {
  Zone z = sample();
  Parsed p = parse_query(query("ext.default.svc.cluster.local", kTypeA));
  Answer a = answer(*p.question, z, 0);
  Parsed up = parse_query(build_query(7, a.cname_target, kTypeA));
  Writer w(*up.question, 0);
  w.name_record(Writer::Answers, "example.com", kTypeCname, "www.example.com", 60);
  w.address(Writer::Answers, "www.example.com", ip("192.0.2.7"), 60);
  std::string m = append_addresses(a.message, w.take(), kTypeA);
  CHECK(dump(m) == "rcode 0 aa\nanswer ext.default.svc.cluster.local 5 example.com\nanswer example.com 5 www.example.com\n"
                   "answer www.example.com 1 192.0.2.7\n");
  CHECK(append_addresses(a.message, "rubbish", kTypeA) == a.message);
}

TEST_CASE("no input breaks the parser") {
  Zone z = sample();
  SeededRng rng(42);
  std::vector<std::string> seeds{query("_pg._tcp.db.default.svc.cluster.local", kTypeSrv, 4096), query("1.0.43.10.in-addr.arpa", kTypePtr),
                                 query("10-42-0-7.default.pod.cluster.local", kTypeA), query("", kTypeNs)};
  for (int i = 0; i < 40000; ++i) {
    std::string m = seeds[rng.below(seeds.size())];
    for (std::uint64_t n = rng.below(6); n > 0; --n) m[rng.below(m.size())] = static_cast<char>(rng.next());
    if (rng.below(4) == 0) m.resize(rng.below(m.size() + 1));
    Parsed p = parse_query(m);
    if (p.malformed) (void)error_response(*p.malformed);
    if (!p.question) continue;
    Answer a = answer(*p.question, z, static_cast<std::uint32_t>(i));
    if (a.forward) continue;
    std::string r = finish(a.message, *p.question, i % 2);
    REQUIRE(layout(r));
    (void)append_addresses(r, m, kTypeA);
  }
}
