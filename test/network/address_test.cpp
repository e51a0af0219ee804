#include <onebin/network/address.hpp>

#include "network/address_pool.hpp"

#include <catch2/catch.hpp>

using namespace onebin::network;

TEST_CASE("addresses, prefixes and MACs are read and written") {
  CHECK(Ip::parse("10.42.0.1")->to_string() == "10.42.0.1");
  CHECK(Ip::parse("fd00:0:0::1")->to_string() == "fd00::1");
  CHECK_FALSE(Ip::parse("10.42.0"));
  CHECK_FALSE(Ip::parse("10.42.0.256"));
  CHECK_FALSE(Ip::parse(""));
  CHECK(Ip::v4(0x0a2a0001).to_string() == "10.42.0.1");
  CHECK(Ip::parse("10.0.0.255")->plus(1).to_string() == "10.0.1.0");
  CHECK_FALSE(Ip::parse("255.255.255.255")->plus(1).is_valid());
  CHECK(Prefix::parse("10.42.1.7/24")->to_string() == "10.42.1.0/24");
  CHECK(Prefix::parse("10.42.1.0/24")->contains(*Ip::parse("10.42.1.255")));
  CHECK_FALSE(Prefix::parse("10.42.1.0/24")->contains(*Ip::parse("10.42.2.0")));
  CHECK_FALSE(Prefix::parse("10.42.1.0/24")->contains(*Ip::parse("::1")));
  CHECK(Prefix::parse("::/0")->contains(*Ip::parse("fd00::1")));
  CHECK_FALSE(Prefix::parse("10.0.0.0/33"));
  CHECK_FALSE(Prefix::parse("10.0.0.0/"));
  CHECK(Mac::parse("ee:00:11:22:33:ff")->to_string() == "ee:00:11:22:33:ff");
  CHECK_FALSE(Mac::parse("ee:00:11:22:33"));
  Mac m = Mac::derived("node-a");
  CHECK(m == Mac::derived("node-a"));
  CHECK(m != Mac::derived("node-b"));
  CHECK((m.bytes[0] & 3) == 2);  // local, unicast
  CHECK(Ip::parse("169.254.1.1")->is_link_local());
  CHECK(Ip::parse("127.1.2.3")->is_loopback());
}

TEST_CASE("a pod range gives each address once, in turn, without its ends") {
  AddressPool p(*Prefix::parse("10.42.1.0/29"));
  std::vector<std::string> got;
  for (Ip ip = p.take(); ip.is_valid(); ip = p.take()) got.push_back(ip.to_string());
  CHECK(got == std::vector<std::string>{"10.42.1.1", "10.42.1.2", "10.42.1.3", "10.42.1.4", "10.42.1.5", "10.42.1.6"});
  p.release(*Ip::parse("10.42.1.4"));
  p.release(*Ip::parse("10.42.1.2"));
  CHECK(p.take().to_string() == "10.42.1.2");
  p.release(*Ip::parse("10.42.1.2"));
  CHECK(p.take().to_string() == "10.42.1.4");  // the one just freed comes last
  CHECK_FALSE(p.reserve(*Ip::parse("10.42.1.4")));

  AddressPool after_restart(*Prefix::parse("10.42.1.0/24"));
  CHECK(after_restart.reserve(*Ip::parse("10.42.1.9")));
  CHECK(after_restart.take().to_string() == "10.42.1.10");

  AddressPool v6(*Prefix::parse("fd00:42::/64"));
  CHECK(v6.reserve(*Ip::parse("fd00:42::ffff:1")));
  CHECK(v6.take().to_string() == "fd00:42::ffff:2");
  CHECK(v6.take().to_string() == "fd00:42::ffff:3");
}
