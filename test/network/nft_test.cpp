#include <onebin/network/nft.hpp>
#include <onebin/network/nft_rules.hpp>

#include "network/leases.hpp"
#include "network/pod_rules.hpp"
#include "node_fixture.hpp"

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::network;
using namespace onebin::network::nft;
using namespace onebin::test;

namespace {

std::string kinds(const Transaction& t) {
  std::string r;
  for (const auto& o : t) r += (r.empty() ? "" : "; ") + o.describe();
  return r;
}

Table sample() {
  Table t;
  Set s;
  s.key = {Type::Ip4, Type::Protocol, Type::Port};
  s.verdict_map = true;
  s.add(key({Ip::parse("10.43.0.1")->bytes(), u8(6), u16(443)}), goto_("a"));
  t.sets["services"] = s;
  t.chains["a"].rules.push_back(RuleBuilder().verdict(accept()).done());
  return t;
}

}  // namespace

TEST_CASE("interval sets merge what overlaps or touches") {
  Set s;
  s.key = {Type::Ip4};
  s.interval = true;
  s.add_prefixes({*Prefix::parse("10.0.0.0/8"), *Prefix::parse("10.1.0.0/16"), *Prefix::parse("11.0.0.0/8"), *Prefix::parse("192.168.1.1/32"),
                  *Prefix::parse("255.255.255.0/24")});
  std::string text;
  for (const auto& [k, e] : s.elements) text += (e.interval_end ? "<" : " ") + Ip::from_bytes(e.key).to_string();
  CHECK(text == " 10.0.0.0<12.0.0.0 192.168.1.1<192.168.1.2 255.255.255.0");
  Set all;
  all.key = {Type::Ip4};
  all.interval = true;
  all.add_prefixes({*Prefix::parse("0.0.0.0/0"), *Prefix::parse("1.0.0.0/8")});
  CHECK(all.elements.size() == 1);
}

TEST_CASE("a difference touches what changed and nothing else") {
  Table a = sample();
  CHECK(difference(a, a).ops.empty());

  Table b = a;
  b.sets["services"].add(key({Ip::parse("10.43.0.2")->bytes(), u8(17), u16(53)}), goto_("b"));
  b.chains["b"].rules.push_back(RuleBuilder().verdict(drop()).done());
  CHECK(kinds(difference(a, b).ops) == "add chain b; add rule b drop; add element services { 10.43.0.2 . udp . 53 : goto b }");
  Difference back = difference(b, a);
  CHECK(kinds(back.ops) == "delete element services { 10.43.0.2 . udp . 53 : goto b }; flush chain b");
  CHECK(back.stale == std::vector<std::string>{"b"});

  Table c = a;
  c.sets["services"].add(key({Ip::parse("10.43.0.1")->bytes(), u8(6), u16(443)}), drop());
  CHECK(kinds(difference(a, c).ops) ==
        "delete element services { 10.43.0.1 . tcp . 443 : goto a }; add element services { 10.43.0.1 . tcp . 443 : drop }");
}

TEST_CASE("host ports clash by protocol, number and address") {
  Lease held{"x", {*Ip::parse("10.42.0.2")}, {{*Ip::parse("127.0.0.1"), 80, 8080, "TCP"}}};
  std::vector<const Lease*> all{&held};
  CHECK(host_port_conflict({{*Ip::parse("127.0.0.1"), 80, 1, "TCP"}}, all) == "TCP 127.0.0.1:80");
  CHECK(host_port_conflict({{{}, 80, 1, "TCP"}}, all) == "TCP *:80");
  CHECK(host_port_conflict({{*Ip::parse("10.0.0.1"), 80, 1, "TCP"}}, all) == "");
  CHECK(host_port_conflict({{*Ip::parse("127.0.0.1"), 80, 1, "UDP"}}, all) == "");
}

TEST_CASE("leases are written and read back, and nonsense is refused") {
  Lease l{"0123-abc", {*Ip::parse("10.42.0.2"), *Ip::parse("fd00::2")}, {{{}, 80, 8080, "TCP"}, {*Ip::parse("::1"), 53, 5353, "UDP"}}};
  auto back = parse_lease(format_lease(l));
  REQUIRE(back);
  CHECK(*back == l);
  CHECK_FALSE(parse_lease(""));
  CHECK_FALSE(parse_lease("pod a\nip nowhere\n"));
  CHECK_FALSE(parse_lease("pod a\nip 10.0.0.1\nport TCP * 0 1\n"));
  CHECK_FALSE(parse_lease("pod a\nip 10.0.0.1\nport TCP * 99999 1\n"));
}

TEST_CASE("the kernel takes the pod table, and says which operation it refuses") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  TestNode node("nft");
  node.call([&] {
    auto socket = Socket::open();
    REQUIRE(socket);
    TableKeeper keeper(**socket, "onebin-pods");
    PodRules rules{"veth", {*Prefix::parse("10.42.0.0/24"), *Prefix::parse("fd42::/64")}, {*Prefix::parse("10.42.0.0/16")}, {*Prefix::parse("10.43.0.0/16")}, true};
    Table base = base_pod_table(rules);
    auto r = keeper.replace(base);
    INFO(r.status().to_string());
    REQUIRE(r);
    Lease l{"x", {*Ip::parse("10.42.0.2"), *Ip::parse("fd42::2")}, {{*Ip::parse("127.0.0.1"), 80, 8080, "TCP"}, {{}, 53, 5353, "UDP"}}};
    REQUIRE(keeper.update(pod_part({}), pod_part(l)));
    std::string listed = node.sh("nft list table inet onebin-pods").out;
    INFO(listed);
    CHECK(listed.find("127.0.0.1 . tcp . 80 : 10.42.0.2 . 8080") != std::string::npos);
    CHECK(listed.find("udp . 53 : fd42::2 . 5353") != std::string::npos);
    CHECK(listed.find("masquerade fully-random") != std::string::npos);
    REQUIRE(keeper.update(pod_part(l), pod_part({})));
    CHECK(node.sh("nft list table inet onebin-pods").out.find("8080") == std::string::npos);
    REQUIRE(keeper.replace(base));  // again, over what is there

    auto refused = keeper.update(pod_part(l), pod_part({}));
    REQUIRE_FALSE(refused);
    CHECK(refused.status().message().find("delete element") != std::string::npos);
    CHECK_FALSE(keeper.in_step());
    REQUIRE(keeper.remove());
    CHECK(node.sh("nft list ruleset").out == "");
    REQUIRE(keeper.remove());
  });
}
