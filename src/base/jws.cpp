#include "pki_openssl.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>

namespace onebin::pki {
namespace {
constexpr int kEcBytes = 32;

using SigPtr = std::unique_ptr<ECDSA_SIG, Deleter<ECDSA_SIG_free>>;

// OpenSSL writes ECDSA signatures as DER; a JWS holds r and s, 32 bytes each.
Result<std::string> der_to_raw(std::string_view der) {
  auto* p = reinterpret_cast<const unsigned char*>(der.data());
  SigPtr sig(d2i_ECDSA_SIG(nullptr, &p, static_cast<long>(der.size())));
  if (!sig) return openssl_error("ECDSA signature");
  std::string raw(2 * kEcBytes, '\0');
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(sig.get()), out, kEcBytes);
  BN_bn2binpad(ECDSA_SIG_get0_s(sig.get()), out + kEcBytes, kEcBytes);
  return raw;
}

Result<std::string> raw_to_der(std::string_view raw) {
  if (raw.size() != 2 * kEcBytes) return Status(Reason::Unauthorized, "the signature has the wrong length");
  auto* in = reinterpret_cast<const unsigned char*>(raw.data());
  SigPtr sig(ECDSA_SIG_new());
  ECDSA_SIG_set0(sig.get(), BN_bin2bn(in, kEcBytes, nullptr), BN_bin2bn(in + kEcBytes, kEcBytes, nullptr));
  unsigned char* der = nullptr;
  int n = i2d_ECDSA_SIG(sig.get(), &der);
  std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(n));
  OPENSSL_free(der);
  return out;
}

std::string number(EVP_PKEY* key, const char* name, int width) {
  BIGNUM* bn = nullptr;
  if (!EVP_PKEY_get_bn_param(key, name, &bn)) return {};
  std::string out(static_cast<std::size_t>(width ? width : BN_num_bytes(bn)), '\0');
  BN_bn2binpad(bn, reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size()));
  BN_free(bn);
  return base64url_encode(out);
}

}  // namespace

Result<std::string> jws_algorithm(std::string_view key_pem) {
  ASSIGN_OR_RETURN(KeyPtr key, load_any_key(key_pem));
  if (EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_EC) return std::string("ES256");
  if (EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_RSA) return std::string("RS256");
  return internal_error("the key is neither ECDSA nor RSA");
}

Result<std::string> jws_sign(std::string_view key_pem, std::string_view data) {
  ASSIGN_OR_RETURN(KeyPtr key, load_private_key(key_pem));
  MdPtr md(EVP_MD_CTX_new());
  std::size_t n = 0;
  auto* in = reinterpret_cast<const unsigned char*>(data.data());
  if (EVP_DigestSignInit(md.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(md.get(), nullptr, &n, in, data.size()) != 1)
    return openssl_error("sign");
  std::string out(n, '\0');
  if (EVP_DigestSign(md.get(), reinterpret_cast<unsigned char*>(out.data()), &n, in, data.size()) != 1) return openssl_error("sign");
  out.resize(n);
  if (EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_EC) return der_to_raw(out);
  return out;
}

Result<void> jws_verify(std::string_view public_key_pem, std::string_view algorithm, std::string_view data, std::string_view signature) {
  ASSIGN_OR_RETURN(KeyPtr key, load_any_key(public_key_pem));
  bool ec = EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_EC;
  if (algorithm != (ec ? "ES256" : "RS256")) return Status(Reason::Unauthorized, "the token's algorithm does not fit the key");
  std::string der(signature);
  if (ec) { ASSIGN_OR_RETURN(der, raw_to_der(signature)); }
  MdPtr md(EVP_MD_CTX_new());
  if (EVP_DigestVerifyInit(md.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1) return openssl_error("verify");
  int ok = EVP_DigestVerify(md.get(), reinterpret_cast<const unsigned char*>(der.data()), der.size(),
                            reinterpret_cast<const unsigned char*>(data.data()), data.size());
  ERR_clear_error();
  if (ok != 1) return Status(Reason::Unauthorized, "the signature is wrong");
  return {};
}

Result<std::vector<std::pair<std::string, std::string>>> jwk_members(std::string_view public_key_pem) {
  ASSIGN_OR_RETURN(KeyPtr key, load_any_key(public_key_pem));
  std::vector<std::pair<std::string, std::string>> m;
  if (EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_EC) {
    m = {{"kty", "EC"}, {"crv", "P-256"}, {"x", number(key.get(), OSSL_PKEY_PARAM_EC_PUB_X, kEcBytes)}, {"y", number(key.get(), OSSL_PKEY_PARAM_EC_PUB_Y, kEcBytes)}};
  } else {
    m = {{"kty", "RSA"}, {"n", number(key.get(), OSSL_PKEY_PARAM_RSA_N, 0)}, {"e", number(key.get(), OSSL_PKEY_PARAM_RSA_E, 0)}};
  }
  return m;
}

}  // namespace onebin::pki
