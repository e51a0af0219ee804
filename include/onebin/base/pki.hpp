// Keys, X.509 certificates and certificate requests, all in PEM. Over OpenSSL; no OpenSSL type shows.
// Keys are ECDSA P-256 in PKCS #8. NotBefore lies an hour back, against clocks that differ.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/base/time.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace onebin::pki {

struct Subject {
  std::string common_name;
  std::vector<std::string> organizations;
  bool operator==(const Subject&) const = default;
};

enum class Usage { Ca, Server, Client, ServerAndClient };

struct CertificateInfo {
  Subject subject, issuer;
  std::vector<std::string> dns_names, ip_addresses, uris, emails;
  WallTime not_before, not_after;
  std::string serial;  // hexadecimal
  std::string public_key_pem;
  bool is_ca = false;
  bool server_auth = false, client_auth = false;  // extended key usages
  std::vector<std::string> key_usages;            // "digital signature", "key encipherment", ... as certificates.k8s.io names them
};

struct RequestInfo {
  Subject subject;
  std::vector<std::string> dns_names, ip_addresses, uris, emails;
  std::string public_key_pem;
};

struct KeyPair {
  std::string certificate;  // PEM, may be a chain
  std::string key;          // PEM
};

Result<std::string> generate_key();
Result<std::string> public_key_of(std::string_view key_pem);  // SubjectPublicKeyInfo, PEM

// A self-signed CA.
Result<KeyPair> create_ca(const Subject& subject, WallTime now, Duration validity);

struct SignOptions {
  Subject subject;
  std::vector<std::string> dns_names, ip_addresses, uris, emails;
  std::string public_key_pem;
  Usage usage = Usage::Client;
  // When not empty it decides key usage and extended key usage instead of `usage`: names of certificates.k8s.io.
  std::vector<std::string> usages;
  WallTime not_before, not_after;
};
Result<std::string> sign_certificate(const KeyPair& ca, const SignOptions& options);  // PEM
// A new key with a certificate signed by `ca`.
Result<KeyPair> issue(const KeyPair& ca, SignOptions options);

Result<std::string> create_request(std::string_view key_pem, const Subject& subject, const std::vector<std::string>& dns_names = {},
                                   const std::vector<std::string>& ip_addresses = {});
Result<RequestInfo> parse_request(std::string_view csr_pem);  // and checks its self-signature
Result<CertificateInfo> parse_certificate(std::string_view pem_or_der);  // the first one
Result<std::vector<std::string>> split_chain(std::string_view pem);      // each as PEM
// OK when `leaf` (PEM) chains to one of the CAs of `ca_bundle` (PEM) at `now`. Usages are not checked.
Result<void> verify_chain(std::string_view leaf, std::string_view ca_bundle, WallTime now);
std::string certificate_hash(std::string_view pem);  // hexadecimal SHA-256 of the DER bytes of the first certificate

// Signatures as JSON Web Signatures use them. ES256 for EC keys (raw r||s), RS256 for RSA keys.
Result<std::string> jws_algorithm(std::string_view key_pem);  // "ES256" or "RS256"; private or public key
Result<std::string> jws_sign(std::string_view key_pem, std::string_view data);
Result<void> jws_verify(std::string_view public_key_pem, std::string_view algorithm, std::string_view data, std::string_view signature);
// The key as a JSON Web Key's members, values base64url: {"kty":"EC","crv":"P-256","x":…,"y":…} or RSA's n and e.
Result<std::vector<std::pair<std::string, std::string>>> jwk_members(std::string_view public_key_pem);

}  // namespace onebin::pki
