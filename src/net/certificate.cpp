#include "net/openssl.hpp"

#include <onebin/base/bytes.hpp>

#include <arpa/inet.h>
#include <openssl/x509v3.h>

namespace onebin::net {

Result<std::vector<X509Ptr>> read_pem_certificates(std::string_view pem) {
  std::vector<X509Ptr> out;
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  for (;;) {
    X509* x = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr);
    if (!x) break;
    out.emplace_back(x);
  }
  unsigned long e = ERR_peek_last_error();
  ERR_clear_error();
  if (e && ERR_GET_REASON(e) != PEM_R_NO_START_LINE) return bad_request("malformed certificate in PEM text");
  return out;
}

std::string to_der(X509* x) {
  int size = i2d_X509(x, nullptr);
  if (size <= 0) return {};
  std::string der(static_cast<std::size_t>(size), '\0');
  auto* p = reinterpret_cast<unsigned char*>(der.data());
  i2d_X509(x, &p);
  return der;
}

namespace {

std::string text_of(const ASN1_STRING* s) {
  unsigned char* utf8 = nullptr;
  int n = ASN1_STRING_to_UTF8(&utf8, s);
  if (n < 0) return {};
  std::string out(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(n));
  OPENSSL_free(utf8);
  return out;
}
std::vector<std::string> name_entries(const X509_NAME* name, int nid) {
  std::vector<std::string> out;
  for (int i = -1; (i = X509_NAME_get_index_by_NID(const_cast<X509_NAME*>(name), nid, i)) >= 0;)
    out.push_back(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i))));
  return out;
}
WallTime time_of(const ASN1_TIME* t) {
  std::tm tm{};
  if (ASN1_TIME_to_tm(t, &tm) != 1) return {};
  return from_unix(timegm(&tm));
}
void read_alternative_names(X509* x, Certificate& c) {
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x, NID_subject_alt_name, nullptr, nullptr));
  if (!names) return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    GENERAL_NAME* n = sk_GENERAL_NAME_value(names, i);
    if (n->type == GEN_DNS) c.dns_names.push_back(text_of(n->d.dNSName));
    if (n->type == GEN_URI) c.uris.push_back(text_of(n->d.uniformResourceIdentifier));
    if (n->type == GEN_IPADD) {
      char text[INET6_ADDRSTRLEN] = {};
      int size = ASN1_STRING_length(n->d.iPAddress);
      if (size == 4 || size == 16) {
        inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(n->d.iPAddress), text, sizeof text);
        c.ip_addresses.emplace_back(text);
      }
    }
  }
  GENERAL_NAMES_free(names);
}

}  // namespace

Certificate describe(X509* x) {
  Certificate c;
  auto cn = name_entries(X509_get_subject_name(x), NID_commonName);
  if (!cn.empty()) c.common_name = cn.back();
  c.organizations = name_entries(X509_get_subject_name(x), NID_organizationName);
  auto issuer = name_entries(X509_get_issuer_name(x), NID_commonName);
  if (!issuer.empty()) c.issuer_common_name = issuer.back();
  if (BIGNUM* serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), nullptr)) {
    std::string bytes(static_cast<std::size_t>(BN_num_bytes(serial)), '\0');
    BN_bn2bin(serial, reinterpret_cast<unsigned char*>(bytes.data()));
    c.serial_hex = hex_encode(bytes);
    BN_free(serial);
  }
  read_alternative_names(x, c);
  c.not_before = time_of(X509_get0_notBefore(x));
  c.not_after = time_of(X509_get0_notAfter(x));
  c.der = to_der(x);
  ERR_clear_error();
  return c;
}

std::string public_key_hash(X509* x) {
  unsigned char* der = nullptr;
  int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
  if (n <= 0) return {};
  std::string hash = sha256_hex(std::string_view(reinterpret_cast<char*>(der), static_cast<std::size_t>(n)));
  OPENSSL_free(der);
  return hash;
}

namespace {
X509Ptr from_der(std::string_view der) {
  auto* p = reinterpret_cast<const unsigned char*>(der.data());
  X509Ptr x(d2i_X509(nullptr, &p, static_cast<long>(der.size())));
  ERR_clear_error();
  return x;
}
}  // namespace

Result<Certificate> parse_certificate_der(std::string_view der) {
  X509Ptr x = from_der(der);
  if (!x) return bad_request("malformed certificate");
  return describe(x.get());
}

Result<std::vector<Certificate>> parse_certificates_pem(std::string_view pem) {
  std::vector<X509Ptr> list;
  ASSIGN_OR_RETURN(list, read_pem_certificates(pem));
  std::vector<Certificate> out;
  for (auto& x : list) out.push_back(describe(x.get()));
  return out;
}

Result<std::string> public_key_hash(std::string_view der) {
  X509Ptr x = from_der(der);
  if (!x) return bad_request("malformed certificate");
  return public_key_hash(x.get());
}

}  // namespace onebin::net
