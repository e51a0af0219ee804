// What the pki sources share.
#pragma once
#include <onebin/base/openssl.hpp>
#include <onebin/base/result.hpp>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace onebin::pki {

using namespace openssl;

inline BioPtr memory_bio(std::string_view data) { return BioPtr(BIO_new_mem_buf(data.data(), static_cast<int>(data.size()))); }
inline BioPtr memory_bio() { return BioPtr(BIO_new(BIO_s_mem())); }
inline std::string bio_text(BIO* bio) {
  char* data = nullptr;
  long n = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<std::size_t>(n));
}
inline Status openssl_error(std::string_view what) { return internal_error(openssl::error(what)); }

Result<KeyPtr> load_private_key(std::string_view pem);
Result<KeyPtr> load_any_key(std::string_view pem);  // private or public
Result<X509Ptr> load_certificate(std::string_view pem_or_der);

}  // namespace onebin::pki
