#include "pki_openssl.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/keys.hpp>
#include <onebin/base/pki.hpp>

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

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

Result<std::string> raw_to_der(std::string_view raw, int bytes) {
  if (raw.size() != 2 * static_cast<std::size_t>(bytes)) return Status(Reason::Unauthorized, "the signature has the wrong length");
  auto* in = reinterpret_cast<const unsigned char*>(raw.data());
  SigPtr sig(ECDSA_SIG_new());
  ECDSA_SIG_set0(sig.get(), BN_bin2bn(in, bytes, nullptr), BN_bin2bn(in + bytes, bytes, nullptr));
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
  struct Algorithm {
    std::string_view name;
    int key;
    bool pss;
    int curve_bits;
    const EVP_MD* (*digest)();
  };
  static constexpr Algorithm kAlgorithms[] = {
      {"ES256", EVP_PKEY_EC, false, 256, EVP_sha256},  {"ES384", EVP_PKEY_EC, false, 384, EVP_sha384},  {"ES512", EVP_PKEY_EC, false, 521, EVP_sha512},
      {"RS256", EVP_PKEY_RSA, false, 0, EVP_sha256},   {"RS384", EVP_PKEY_RSA, false, 0, EVP_sha384},   {"RS512", EVP_PKEY_RSA, false, 0, EVP_sha512},
      {"PS256", EVP_PKEY_RSA, true, 0, EVP_sha256},    {"PS384", EVP_PKEY_RSA, true, 0, EVP_sha384},    {"PS512", EVP_PKEY_RSA, true, 0, EVP_sha512}};
  ASSIGN_OR_RETURN(KeyPtr key, load_any_key(public_key_pem));
  const Algorithm* a = nullptr;
  for (const auto& k : kAlgorithms)
    if (k.name == algorithm) a = &k;
  if (!a || EVP_PKEY_get_base_id(key.get()) != a->key || (a->curve_bits && EVP_PKEY_get_bits(key.get()) != a->curve_bits))
    return Status(Reason::Unauthorized, "the token's algorithm does not fit the key");
  std::string der(signature);
  if (a->curve_bits) { ASSIGN_OR_RETURN(der, raw_to_der(signature, (a->curve_bits + 7) / 8)); }
  MdPtr md(EVP_MD_CTX_new());
  EVP_PKEY_CTX* context = nullptr;
  if (EVP_DigestVerifyInit(md.get(), &context, a->digest(), nullptr, key.get()) != 1) return openssl_error("verify");
  if (a->pss && (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) != 1 || EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) != 1))
    return openssl_error("verify");
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

namespace {

using BnPtr = std::unique_ptr<BIGNUM, Deleter<BN_free>>;

// A key from its parameters.
Result<std::string> public_pem_of(const char* type, OSSL_PARAM_BLD* parts) {
  std::unique_ptr<OSSL_PARAM, Deleter<OSSL_PARAM_free>> params(OSSL_PARAM_BLD_to_param(parts));
  std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* raw = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 || EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_PUBLIC_KEY, params.get()) != 1)
    return openssl_error("JSON Web Key");
  KeyPtr key(raw);
  BioPtr out = memory_bio();
  if (PEM_write_bio_PUBKEY(out.get(), key.get()) != 1) return openssl_error("JSON Web Key");
  return bio_text(out.get());
}

}  // namespace

Result<std::string> public_key_of_jwk(const std::map<std::string, std::string>& members) {
  auto bytes = [&](const char* name) {
    auto it = members.find(name);
    return it == members.end() ? std::string() : base64url_decode(it->second).value_or("");
  };
  auto text = [&](const char* name) {
    auto it = members.find(name);
    return it == members.end() ? std::string() : it->second;
  };
  std::unique_ptr<OSSL_PARAM_BLD, Deleter<OSSL_PARAM_BLD_free>> parts(OSSL_PARAM_BLD_new());
  std::string kind = text("kty"), curve = text("crv");
  if (kind == "EC") {
    std::size_t width = curve == "P-256" ? 32 : curve == "P-384" ? 48 : curve == "P-521" ? 66 : 0;
    std::string x = bytes("x"), y = bytes("y");
    if (!width || x.size() != width || y.size() != width) return bad_request("a JSON Web Key of kind EC needs a known curve and a point on it");
    std::string point = "\x04" + x + y;
    OSSL_PARAM_BLD_push_utf8_string(parts.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.c_str(), 0);
    OSSL_PARAM_BLD_push_octet_string(parts.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
    return public_pem_of("EC", parts.get());
  }
  if (kind != "RSA") return bad_request("a JSON Web Key of kind " + kind + " is not supported");
  std::string n = bytes("n"), e = bytes("e");
  if (n.empty() || e.empty() || n.size() > 2048) return bad_request("a JSON Web Key of kind RSA needs n and e");
  auto number_of = [](const std::string& b) { return BnPtr(BN_bin2bn(reinterpret_cast<const unsigned char*>(b.data()), static_cast<int>(b.size()), nullptr)); };
  BnPtr modulus = number_of(n), exponent = number_of(e);
  OSSL_PARAM_BLD_push_BN(parts.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(parts.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return public_pem_of("RSA", parts.get());
}

}  // namespace onebin::pki
