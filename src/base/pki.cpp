#include <onebin/base/keys.hpp>
#include <onebin/base/pki.hpp>

#include "pki_openssl.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/random.hpp>

#include <openssl/rand.h>

#include <arpa/inet.h>
#include <cstring>
#include <ctime>

namespace onebin::pki {
namespace {

struct UsageName {
  const char* api;      // certificates.k8s.io's name
  const char* openssl;  // for X509V3_EXT_conf_nid
  bool extended;
};
constexpr UsageName kUsages[] = {
    {"digital signature", "digitalSignature", false}, {"signing", "digitalSignature", false}, {"content commitment", "nonRepudiation", false},
    {"key encipherment", "keyEncipherment", false}, {"key agreement", "keyAgreement", false}, {"data encipherment", "dataEncipherment", false},
    {"cert sign", "keyCertSign", false}, {"crl sign", "cRLSign", false}, {"encipher only", "encipherOnly", false}, {"decipher only", "decipherOnly", false},
    {"server auth", "serverAuth", true}, {"client auth", "clientAuth", true}, {"code signing", "codeSigning", true},
    {"email protection", "emailProtection", true}, {"s/mime", "emailProtection", true}, {"timestamping", "timeStamping", true},
    {"ocsp signing", "OCSPSigning", true},
};

std::string usage_list(const std::vector<std::string>& usages, bool extended) {
  std::string out;
  for (const auto& u : usages)
    for (const auto& known : kUsages)
      if (u == known.api && known.extended == extended && out.find(known.openssl) == std::string::npos) out += (out.empty() ? "" : ",") + std::string(known.openssl);
  return out;
}

std::vector<std::string> default_usages(Usage usage) {
  switch (usage) {
    case Usage::Ca: return {"digital signature", "key encipherment", "cert sign"};
    case Usage::Server: return {"digital signature", "key encipherment", "server auth"};
    case Usage::Client: return {"digital signature", "key encipherment", "client auth"};
    case Usage::ServerAndClient: return {"digital signature", "key encipherment", "server auth", "client auth"};
  }
  return {};
}

NamePtr make_name(const Subject& s) {
  NamePtr name(X509_NAME_new());
  auto add = [&](const char* field, const std::string& value) {
    X509_NAME_add_entry_by_txt(name.get(), field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()), static_cast<int>(value.size()), -1, 0);
  };
  for (const auto& o : s.organizations) add("O", o);
  if (!s.common_name.empty()) add("CN", s.common_name);
  return name;
}

Subject read_name(const X509_NAME* name) {
  Subject s;
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    const X509_NAME_ENTRY* e = X509_NAME_get_entry(name, i);
    int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));
    unsigned char* utf8 = nullptr;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(e));
    if (n < 0) continue;
    std::string value(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(n));
    OPENSSL_free(utf8);
    if (nid == NID_commonName) s.common_name = value;
    else if (nid == NID_organizationName) s.organizations.push_back(value);
  }
  return s;
}

struct AltNames {
  std::vector<std::string> dns, ips, uris, emails;
};

// Built as structures and not as configuration text, so that no name can smuggle in another.
GENERAL_NAMES* make_alt_names(const AltNames& a) {
  GENERAL_NAMES* names = GENERAL_NAMES_new();
  auto text = [&](int type, const std::string& value) {
    GENERAL_NAME* g = GENERAL_NAME_new();
    ASN1_IA5STRING* s = ASN1_IA5STRING_new();
    ASN1_STRING_set(s, value.data(), static_cast<int>(value.size()));
    GENERAL_NAME_set0_value(g, type, s);
    sk_GENERAL_NAME_push(names, g);
  };
  for (const auto& d : a.dns) text(GEN_DNS, d);
  for (const auto& u : a.uris) text(GEN_URI, u);
  for (const auto& m : a.emails) text(GEN_EMAIL, m);
  for (const auto& ip : a.ips) {
    unsigned char raw[16];
    int n = ::inet_pton(AF_INET, ip.c_str(), raw) == 1 ? 4 : ::inet_pton(AF_INET6, ip.c_str(), raw) == 1 ? 16 : 0;
    if (!n) continue;
    GENERAL_NAME* g = GENERAL_NAME_new();
    ASN1_OCTET_STRING* s = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(s, raw, n);
    GENERAL_NAME_set0_value(g, GEN_IPADD, s);
    sk_GENERAL_NAME_push(names, g);
  }
  return names;
}

AltNames read_alt_names(GENERAL_NAMES* names) {
  AltNames a;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names); ++i) {
    int type = 0;
    auto* value = static_cast<ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type));
    std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)), static_cast<std::size_t>(ASN1_STRING_length(value)));
    if (type == GEN_DNS) a.dns.push_back(text);
    else if (type == GEN_URI) a.uris.push_back(text);
    else if (type == GEN_EMAIL) a.emails.push_back(text);
    else if (type == GEN_IPADD) {
      char printed[INET6_ADDRSTRLEN] = "";
      ::inet_ntop(text.size() == 4 ? AF_INET : AF_INET6, text.data(), printed, sizeof printed);
      a.ips.push_back(printed);
    }
  }
  return a;
}

std::string public_pem(EVP_PKEY* key) {
  BioPtr out = memory_bio();
  PEM_write_bio_PUBKEY(out.get(), key);
  return bio_text(out.get());
}

void add_extension(X509* cert, X509* issuer, int nid, const std::string& value) {
  if (value.empty()) return;
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, issuer, cert, nullptr, nullptr, 0);
  if (X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, &ctx, nid, value.c_str())) {
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
  }
}

void set_time(ASN1_TIME* at, WallTime t) { ASN1_TIME_set(at, std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count()); }
WallTime read_time(const ASN1_TIME* t) {
  std::tm tm{};
  ASN1_TIME_to_tm(t, &tm);
  return from_unix(::timegm(&tm));
}

Result<std::string> sign(X509* issuer, EVP_PKEY* issuer_key, EVP_PKEY* subject_key, const SignOptions& o, bool ca) {
  X509Ptr cert(X509_new());
  X509_set_version(cert.get(), 2);
  unsigned char serial[16];
  RAND_bytes(serial, sizeof serial);
  serial[0] &= 0x7f;
  BIGNUM* bn = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert.get()));
  BN_free(bn);
  set_time(X509_getm_notBefore(cert.get()), o.not_before);
  set_time(X509_getm_notAfter(cert.get()), o.not_after);
  NamePtr name = make_name(o.subject);
  X509_set_subject_name(cert.get(), name.get());
  X509_set_issuer_name(cert.get(), issuer ? X509_get_subject_name(issuer) : name.get());
  X509_set_pubkey(cert.get(), subject_key);
  X509* authority = issuer ? issuer : cert.get();
  std::vector<std::string> usages = o.usages.empty() ? default_usages(o.usage) : o.usages;
  add_extension(cert.get(), authority, NID_basic_constraints, ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  std::string ku = usage_list(usages, false);
  add_extension(cert.get(), authority, NID_key_usage, ku.empty() ? "" : "critical," + ku);
  add_extension(cert.get(), authority, NID_ext_key_usage, usage_list(usages, true));
  add_extension(cert.get(), authority, NID_subject_key_identifier, "hash");
  if (issuer) add_extension(cert.get(), authority, NID_authority_key_identifier, "keyid");
  AltNames alt{o.dns_names, o.ip_addresses, o.uris, o.emails};
  GENERAL_NAMES* names = make_alt_names(alt);
  if (sk_GENERAL_NAME_num(names) > 0) X509_add1_ext_i2d(cert.get(), NID_subject_alt_name, names, o.subject.common_name.empty() ? 1 : 0, 0);
  GENERAL_NAMES_free(names);
  if (!X509_sign(cert.get(), issuer_key, EVP_sha256())) return openssl_error("sign certificate");
  BioPtr out = memory_bio();
  PEM_write_bio_X509(out.get(), cert.get());
  return bio_text(out.get());
}

}  // namespace

Result<KeyPtr> load_private_key(std::string_view pem) {
  KeyPtr key(PEM_read_bio_PrivateKey(memory_bio(pem).get(), nullptr, nullptr, nullptr));
  if (!key) return openssl_error("read private key");
  return key;
}

Result<KeyPtr> load_any_key(std::string_view pem) {
  KeyPtr key(PEM_read_bio_PUBKEY(memory_bio(pem).get(), nullptr, nullptr, nullptr));
  if (key) return key;
  ERR_clear_error();
  return load_private_key(pem);
}

Result<X509Ptr> load_certificate(std::string_view data) {
  if (data.find("-----BEGIN") != std::string_view::npos) {
    X509Ptr cert(PEM_read_bio_X509(memory_bio(data).get(), nullptr, nullptr, nullptr));
    if (!cert) return openssl_error("read certificate");
    return cert;
  }
  auto* p = reinterpret_cast<const unsigned char*>(data.data());
  X509Ptr cert(d2i_X509(nullptr, &p, static_cast<long>(data.size())));
  if (!cert) return openssl_error("read certificate");
  return cert;
}

namespace {

struct KeyType {
  std::string_view name;
  int id;
  const char* curve;
  int bits;
};
constexpr KeyType kKeyTypes[] = {{"ECDSAP256", EVP_PKEY_EC, "P-256", 256}, {"ECDSAP384", EVP_PKEY_EC, "P-384", 384}, {"ECDSAP521", EVP_PKEY_EC, "P-521", 521},
                                 {"ED25519", EVP_PKEY_ED25519, nullptr, 0}, {"RSA3072", EVP_PKEY_RSA, nullptr, 3072},  {"RSA4096", EVP_PKEY_RSA, nullptr, 4096}};

}  // namespace

std::string key_type_of(std::string_view public_key_pem) {
  Result<KeyPtr> key = load_any_key(public_key_pem);
  if (!key) return {};
  for (const auto& t : kKeyTypes)
    if (EVP_PKEY_get_base_id(key->get()) == t.id && (!t.bits || EVP_PKEY_get_bits(key->get()) == t.bits)) return std::string(t.name);
  return {};
}

std::string der_of_pem(std::string_view pem) {
  char *name = nullptr, *header = nullptr;
  unsigned char* data = nullptr;
  long n = 0;
  if (PEM_read_bio(memory_bio(pem).get(), &name, &header, &data, &n) != 1) {
    ERR_clear_error();
    return {};
  }
  std::string out(reinterpret_cast<char*>(data), static_cast<std::size_t>(n));
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_free(data);
  return out;
}

Result<std::string> generate_key() { return generate_key("ECDSAP256"); }

Result<std::string> generate_key(std::string_view type) {
  const KeyType* t = nullptr;
  for (const auto& k : kKeyTypes)
    if (k.name == type) t = &k;
  if (!t) return bad_request("unknown key type \"" + std::string(type) + "\"");
  KeyPtr key(t->curve ? EVP_EC_gen(t->curve) : t->bits ? EVP_RSA_gen(static_cast<unsigned>(t->bits)) : EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (!key) return openssl_error("generate key");
  BioPtr out = memory_bio();
  if (!PEM_write_bio_PKCS8PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr)) return openssl_error("write key");
  return bio_text(out.get());
}

Result<std::string> public_key_of(std::string_view key_pem) {
  ASSIGN_OR_RETURN(KeyPtr key, load_private_key(key_pem));
  return public_pem(key.get());
}

Result<KeyPair> create_ca(const Subject& subject, WallTime now, Duration validity) {
  KeyPair ca;
  ASSIGN_OR_RETURN(ca.key, generate_key());
  ASSIGN_OR_RETURN(KeyPtr key, load_private_key(ca.key));
  SignOptions o;
  o.subject = subject;
  o.usage = Usage::Ca;
  o.not_before = now - 1h;
  o.not_after = now + validity;
  ASSIGN_OR_RETURN(ca.certificate, sign(nullptr, key.get(), key.get(), o, true));
  return ca;
}

Result<std::string> sign_certificate(const KeyPair& ca, const SignOptions& o) {
  ASSIGN_OR_RETURN(KeyPtr ca_key, load_private_key(ca.key));
  ASSIGN_OR_RETURN(X509Ptr ca_cert, load_certificate(ca.certificate));
  ASSIGN_OR_RETURN(KeyPtr key, load_any_key(o.public_key_pem));
  return sign(ca_cert.get(), ca_key.get(), key.get(), o, o.usages.empty() && o.usage == Usage::Ca);
}

Result<KeyPair> issue(const KeyPair& ca, SignOptions o) {
  KeyPair pair;
  ASSIGN_OR_RETURN(pair.key, generate_key());
  ASSIGN_OR_RETURN(o.public_key_pem, public_key_of(pair.key));
  ASSIGN_OR_RETURN(pair.certificate, sign_certificate(ca, o));
  return pair;
}

Result<std::string> create_request(std::string_view key_pem, const Subject& subject, const std::vector<std::string>& dns_names,
                                   const std::vector<std::string>& ip_addresses) {
  ASSIGN_OR_RETURN(KeyPtr key, load_private_key(key_pem));
  ReqPtr req(X509_REQ_new());
  X509_REQ_set_version(req.get(), 0);
  NamePtr name = make_name(subject);
  X509_REQ_set_subject_name(req.get(), name.get());
  X509_REQ_set_pubkey(req.get(), key.get());
  GENERAL_NAMES* names = make_alt_names({dns_names, ip_addresses, {}, {}});
  if (sk_GENERAL_NAME_num(names) > 0) {
    STACK_OF(X509_EXTENSION)* extensions = nullptr;
    X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 0, 0);
    X509_REQ_add_extensions(req.get(), extensions);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  }
  GENERAL_NAMES_free(names);
  bool edwards = EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_ED25519;  // hashes by itself
  if (!X509_REQ_sign(req.get(), key.get(), edwards ? nullptr : EVP_sha256())) return openssl_error("sign certificate request");
  BioPtr out = memory_bio();
  PEM_write_bio_X509_REQ(out.get(), req.get());
  return bio_text(out.get());
}

Result<RequestInfo> parse_request(std::string_view csr) {
  auto* raw = reinterpret_cast<const unsigned char*>(csr.data());
  bool pem = csr.find("-----BEGIN") != std::string_view::npos;
  ReqPtr req(pem ? PEM_read_bio_X509_REQ(memory_bio(csr).get(), nullptr, nullptr, nullptr) : d2i_X509_REQ(nullptr, &raw, static_cast<long>(csr.size())));
  if (!req) return openssl_error("read certificate request");
  EVP_PKEY* key = X509_REQ_get0_pubkey(req.get());
  if (!key || X509_REQ_verify(req.get(), key) != 1) return openssl_error("the certificate request's signature is wrong");
  RequestInfo info;
  info.subject = read_name(X509_REQ_get_subject_name(req.get()));
  info.public_key_pem = public_pem(key);
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(req.get());
  auto* names = static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions, NID_subject_alt_name, nullptr, nullptr));
  AltNames alt = read_alt_names(names);
  GENERAL_NAMES_free(names);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  info.dns_names = alt.dns;
  info.ip_addresses = alt.ips;
  info.uris = alt.uris;
  info.emails = alt.emails;
  return info;
}

Result<CertificateInfo> parse_certificate(std::string_view data) {
  ASSIGN_OR_RETURN(X509Ptr cert, load_certificate(data));
  CertificateInfo info;
  info.subject = read_name(X509_get_subject_name(cert.get()));
  info.issuer = read_name(X509_get_issuer_name(cert.get()));
  info.not_before = read_time(X509_get0_notBefore(cert.get()));
  info.not_after = read_time(X509_get0_notAfter(cert.get()));
  const ASN1_INTEGER* serial = X509_get0_serialNumber(cert.get());
  info.serial = hex_encode({reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)), static_cast<std::size_t>(ASN1_STRING_length(serial))});
  if (EVP_PKEY* key = X509_get0_pubkey(cert.get())) info.public_key_pem = public_pem(key);
  info.is_ca = X509_check_ca(cert.get()) == 1;
  auto flags = X509_get_extended_key_usage(cert.get());
  info.server_auth = flags != UINT32_MAX && (flags & XKU_SSL_SERVER);
  info.client_auth = flags != UINT32_MAX && (flags & XKU_SSL_CLIENT);
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert.get(), NID_subject_alt_name, nullptr, nullptr));
  AltNames alt = read_alt_names(names);
  GENERAL_NAMES_free(names);
  info.dns_names = alt.dns;
  info.ip_addresses = alt.ips;
  info.uris = alt.uris;
  info.emails = alt.emails;
  return info;
}

Result<std::vector<std::string>> split_chain(std::string_view pem) {
  std::vector<std::string> out;
  BioPtr in = memory_bio(pem);
  while (X509* raw = PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)) {
    X509Ptr cert(raw);
    BioPtr one = memory_bio();
    PEM_write_bio_X509(one.get(), cert.get());
    out.push_back(bio_text(one.get()));
  }
  ERR_clear_error();
  if (out.empty()) return internal_error("no certificate in the PEM data");
  return out;
}

Result<void> verify_chain(std::string_view leaf, std::string_view ca_bundle, WallTime now) {
  ASSIGN_OR_RETURN(X509Ptr cert, load_certificate(leaf));
  ASSIGN_OR_RETURN(std::vector<std::string> cas, split_chain(ca_bundle));
  std::unique_ptr<X509_STORE, Deleter<X509_STORE_free>> store(X509_STORE_new());
  for (const auto& pem : cas) {
    ASSIGN_OR_RETURN(X509Ptr ca, load_certificate(pem));
    X509_STORE_add_cert(store.get(), ca.get());
  }
  std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX_free>> ctx(X509_STORE_CTX_new());
  X509_STORE_CTX_init(ctx.get(), store.get(), cert.get(), nullptr);
  X509_STORE_CTX_set_time(ctx.get(), 0, std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  if (X509_verify_cert(ctx.get()) != 1) {
    std::string why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx.get()));
    ERR_clear_error();
    return Status(Reason::Unauthorized, "certificate not trusted: " + why);
  }
  return {};
}

std::string certificate_hash(std::string_view pem) {
  auto cert = load_certificate(pem);
  if (!cert) return {};
  unsigned char* der = nullptr;
  int n = i2d_X509(cert->get(), &der);
  std::string hash = sha256_hex({reinterpret_cast<char*>(der), static_cast<std::size_t>(n)});
  OPENSSL_free(der);
  return hash;
}

}  // namespace onebin::pki
