#include <onebin/base/pki.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::pki;

TEST_CASE("a CA signs what a request asks for, and the chain verifies") {
  WallTime now = from_unix(1800000000);
  auto ca = create_ca({"onebin-ca", {}}, now, 24h * 3650);
  REQUIRE(ca);
  auto key = generate_key();
  REQUIRE(key);
  auto csr = create_request(*key, {"system:node:a", {"system:nodes"}}, {"a", "a,IP:9.9.9.9"}, {"10.0.0.1", "fd00::1"});
  REQUIRE(csr);
  auto req = parse_request(*csr);
  REQUIRE(req);
  CHECK(req->subject.common_name == "system:node:a");
  CHECK(req->subject.organizations == std::vector<std::string>{"system:nodes"});
  CHECK(req->dns_names == std::vector<std::string>{"a", "a,IP:9.9.9.9"});  // one name, whatever it holds
  CHECK(req->ip_addresses == std::vector<std::string>{"10.0.0.1", "fd00::1"});

  SignOptions o;
  o.subject = req->subject;
  o.dns_names = req->dns_names;
  o.ip_addresses = req->ip_addresses;
  o.public_key_pem = req->public_key_pem;
  o.usages = {"digital signature", "server auth"};
  o.not_before = now - 1h;
  o.not_after = now + 24h;
  auto cert = sign_certificate(*ca, o);
  REQUIRE(cert);
  auto info = parse_certificate(*cert);
  REQUIRE(info);
  CHECK(info->subject == req->subject);
  CHECK(info->issuer.common_name == "onebin-ca");
  CHECK(info->not_after == now + 24h);
  CHECK(info->server_auth);
  CHECK_FALSE(info->client_auth);
  CHECK_FALSE(info->is_ca);
  CHECK(parse_certificate(ca->certificate)->is_ca);
  CHECK(verify_chain(*cert, ca->certificate, now));
  CHECK_FALSE(verify_chain(*cert, ca->certificate, now + 48h));
  auto other = create_ca({"onebin-ca", {}}, now, 24h);
  CHECK_FALSE(verify_chain(*cert, other->certificate, now));
  CHECK(certificate_hash(*cert).size() == 64);
}

TEST_CASE("a changed request is refused") {
  auto key = generate_key();
  auto csr = create_request(*key, {"a", {}});
  std::string broken = *csr;
  broken[broken.size() / 2] = broken[broken.size() / 2] == 'A' ? 'B' : 'A';
  CHECK_FALSE(parse_request(broken));
  CHECK_FALSE(parse_request("nonsense"));
  CHECK_FALSE(parse_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
}

TEST_CASE("JSON web signatures verify with their key only") {
  auto key = generate_key();
  auto pub = public_key_of(*key);
  auto sig = jws_sign(*key, "header.payload");
  REQUIRE(sig);
  CHECK(sig->size() == 64);
  CHECK(jws_verify(*pub, "ES256", "header.payload", *sig));
  CHECK_FALSE(jws_verify(*pub, "RS256", "header.payload", *sig));
  CHECK_FALSE(jws_verify(*pub, "ES256", "header.payloae", *sig));
  CHECK_FALSE(jws_verify(*pub, "ES256", "header.payload", "short"));
  CHECK(jwk_members(*pub)->size() == 4);
}
