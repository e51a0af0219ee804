// OpenSSL's objects, owned.
#pragma once
#include <onebin/net/tls.hpp>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace onebin::net {

template <auto Free>
struct OpensslFree {
  template <class T>
  void operator()(T* p) const { Free(p); }
};
using BioPtr = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, OpensslFree<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using SslPtr = std::unique_ptr<SSL, OpensslFree<SSL_free>>;
using SslCtxPtr = std::unique_ptr<SSL_CTX, OpensslFree<SSL_CTX_free>>;

// `what: reason` of the last error; empties the queue.
std::string openssl_error(std::string_view what);
Result<std::vector<X509Ptr>> read_pem_certificates(std::string_view pem);
std::string to_der(X509* x);
Certificate describe(X509* x);
std::string public_key_hash(X509* x);

// The contexts behind the public interfaces.
struct ServerContext final : TlsServerContext {
  SslCtxPtr ctx;
  struct Named { std::vector<std::string> names; SslCtxPtr ctx; };
  std::vector<Named> by_name;
  std::string alpn;  // wire form
};
struct ClientContext final : TlsClientContext {
  SslCtxPtr ctx;
  std::string server_name, ca_hash, alpn;
  bool insecure = false;
};
int ssl_verify_slot();  // SSL ex_data: long, the client certificate's verification result

}  // namespace onebin::net
