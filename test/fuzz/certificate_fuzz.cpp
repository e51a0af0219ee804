// modules: net base
// Certificates, requests and keys, in PEM and in DER, through both readers.
#include <onebin/base/pki.hpp>
#include <onebin/net/tls.hpp>

#include <cstdint>

using namespace onebin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const pki::KeyPair ca = *pki::create_ca({"fuzz", {}}, from_unix(0), 24h);
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto r = pki::parse_request(text)) {
    pki::SignOptions s;
    s.subject = r->subject;
    s.dns_names = r->dns_names;
    s.ip_addresses = r->ip_addresses;
    s.uris = r->uris;
    s.emails = r->emails;
    s.public_key_pem = r->public_key_pem;
    s.not_after = from_unix(3600);
    (void)pki::sign_certificate(ca, s);
  }
  (void)pki::parse_certificate(text);
  (void)pki::certificate_hash(text);
  if (auto chain = pki::split_chain(text))
    for (const auto& c : *chain) (void)pki::verify_chain(c, ca.certificate, from_unix(0));
  (void)pki::jws_algorithm(text);
  (void)pki::jwk_members(text);
  (void)net::parse_certificates_pem(text);
  if (auto c = net::parse_certificate_der(text)) (void)net::public_key_hash(c->der);
  return 0;
}
