// Keys of other kinds than the cluster's own, and bytes of PEM. Over OpenSSL, as pki.hpp.
#pragma once
#include <onebin/base/result.hpp>

#include <map>
#include <string>
#include <string_view>

namespace onebin::pki {

// `type` as PodCertificateProjection names them: ECDSAP256, ECDSAP384, ECDSAP521, ED25519, RSA3072, RSA4096 (which takes
// seconds). PKCS #8, PEM.
Result<std::string> generate_key(std::string_view type);
std::string key_type_of(std::string_view public_key_pem);  // "" for another
std::string der_of_pem(std::string_view pem);              // the first block's bytes; "" where there is none
// The inverse of pki.hpp's jwk_members(), of P-256, P-384, P-521 and RSA keys; members that are not needed are ignored. PEM.
Result<std::string> public_key_of_jwk(const std::map<std::string, std::string>& members);

}  // namespace onebin::pki
