// What net's TLS sources share.
#pragma once
#include <onebin/base/openssl.hpp>
#include <onebin/net/tls.hpp>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

namespace onebin::net {

using openssl::BioPtr;
using openssl::KeyPtr;
using openssl::X509Ptr;
using SslPtr = std::unique_ptr<SSL, openssl::Deleter<SSL_free>>;
using SslCtxPtr = std::unique_ptr<SSL_CTX, openssl::Deleter<SSL_CTX_free>>;

inline std::string openssl_error(std::string_view what) { return openssl::error(what); }
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
