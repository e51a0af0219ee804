#include "net/openssl.hpp"

#include <onebin/base/bytes.hpp>

#include <openssl/x509v3.h>

namespace onebin::net {
namespace {

std::string alpn_wire(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& p : protocols) {
    wire += static_cast<char>(p.size());
    wire += p;
  }
  return wire;
}

Result<SslCtxPtr> new_context(bool server) {
  SslCtxPtr ctx(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  if (!ctx) return internal_error(openssl_error("TLS context"));
  SSL_CTX_set_min_proto_version(ctx.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(ctx.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // No resumption: it would keep a session per connection, and let a revoked client certificate live on.
  SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(ctx.get(), SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_num_tickets(ctx.get(), 0);
  return ctx;
}

// TLS 1.2 suites that Go's crypto/tls offers by default: forward secret, authenticated encryption.
Result<void> set_server_ciphers(SSL_CTX* ctx) {
  if (SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL") != 1) return internal_error(openssl_error("ciphers"));
  SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
  return {};
}

Result<std::vector<X509Ptr>> use_identity(SSL_CTX* ctx, const std::string& certificate_pem, const std::string& key_pem) {
  std::vector<X509Ptr> chain;
  ASSIGN_OR_RETURN(chain, read_pem_certificates(certificate_pem));
  if (chain.empty()) return bad_request("no certificate in PEM text");
  BioPtr bio(BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size())));
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (!key) return bad_request(openssl_error("private key"));
  if (SSL_CTX_use_certificate(ctx, chain[0].get()) != 1) return bad_request(openssl_error("certificate"));
  if (SSL_CTX_use_PrivateKey(ctx, key.get()) != 1) return bad_request(openssl_error("private key"));
  if (SSL_CTX_check_private_key(ctx) != 1) return bad_request(openssl_error("private key does not fit the certificate"));
  for (std::size_t i = 1; i < chain.size(); ++i)
    if (SSL_CTX_add1_chain_cert(ctx, chain[i].get()) != 1) return bad_request(openssl_error("chain certificate"));
  return chain;
}

Result<void> trust(SSL_CTX* ctx, const std::string& ca_pem, bool announce) {
  std::vector<X509Ptr> roots;
  ASSIGN_OR_RETURN(roots, read_pem_certificates(ca_pem));
  if (roots.empty()) return bad_request("no CA certificate in PEM text");
  X509_STORE* store = SSL_CTX_get_cert_store(ctx);
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  for (auto& root : roots) {
    if (X509_STORE_add_cert(store, root.get()) != 1) return bad_request(openssl_error("CA certificate"));
    if (announce) SSL_CTX_add_client_CA(ctx, root.get());
  }
  return {};
}

// A client certificate is judged, never refused: who presents a bad one may still come with a token.
int judge_client(X509_STORE_CTX* store, void*) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  long result = X509_verify_cert(store) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(store);
  SSL_set_ex_data(ssl, ssl_verify_slot(), reinterpret_cast<void*>(static_cast<std::intptr_t>(result + 1)));
  ERR_clear_error();
  return 1;
}

int choose_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size, void* arg) {
  auto* self = static_cast<const ServerContext*>(arg);
  unsigned char* chosen = nullptr;
  int rc = SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(self->alpn.data()),
                                 static_cast<unsigned>(self->alpn.size()), in, in_size);
  if (rc != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

bool name_fits(std::string_view pattern, std::string_view name) {
  if (starts_with(pattern, "*.")) {
    auto dot = name.find('.');
    return dot != name.npos && iequals(name.substr(dot), pattern.substr(1));
  }
  return iequals(pattern, name);
}

int choose_by_name(SSL* ssl, int*, void* arg) {
  auto* self = static_cast<const ServerContext*>(arg);
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (!name) return SSL_TLSEXT_ERR_OK;
  for (const auto& n : self->by_name)
    for (const std::string& pattern : n.names)
      if (name_fits(pattern, name)) {
        SSL_set_SSL_CTX(ssl, n.ctx.get());
        return SSL_TLSEXT_ERR_OK;
      }
  return SSL_TLSEXT_ERR_OK;
}

// Trust by public key hash: the CA that the peer sends along becomes the only root, if its hash is the known one.
int verify_by_hash(X509_STORE_CTX* store, void* arg) {
  auto* self = static_cast<const ClientContext*>(arg);
  STACK_OF(X509)* sent = X509_STORE_CTX_get0_untrusted(store);
  STACK_OF(X509)* roots = sk_X509_new_null();
  for (int i = 0; i < sk_X509_num(sent); ++i) {
    X509* x = sk_X509_value(sent, i);
    if (X509_check_ca(x) && iequals(public_key_hash(x), self->ca_hash)) sk_X509_push(roots, x);
  }
  int ok = 0;
  if (sk_X509_num(roots) > 0) {
    X509_STORE_CTX_set0_trusted_stack(store, roots);
    ok = X509_verify_cert(store);
  } else {
    X509_STORE_CTX_set_error(store, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
  }
  sk_X509_free(roots);
  return ok;
}

Result<void> ask_for_client(SSL_CTX* ctx, const std::string& ca_pem) {
  if (ca_pem.empty()) return {};
  RETURN_IF_ERROR(trust(ctx, ca_pem, true));
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(ctx, judge_client, nullptr);
  return {};
}

}  // namespace

int ssl_verify_slot() {
  static int slot = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return slot;
}

Result<std::shared_ptr<const TlsServerContext>> TlsServerContext::create(const TlsServerConfig& config) {
  auto self = std::make_shared<ServerContext>();
  self->alpn = alpn_wire(config.alpn);
  ASSIGN_OR_RETURN(self->ctx, new_context(true));
  SSL_CTX* ctx = self->ctx.get();
  RETURN_IF_ERROR(set_server_ciphers(ctx));
  RETURN_IF_ERROR(use_identity(ctx, config.certificate_pem, config.key_pem));
  RETURN_IF_ERROR(ask_for_client(ctx, config.client_ca_pem));
  if (!config.alpn.empty()) SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, self.get());
  for (const auto& extra : config.by_name) {
    ServerContext::Named named;
    ASSIGN_OR_RETURN(named.ctx, new_context(true));
    std::vector<X509Ptr> chain;
    ASSIGN_OR_RETURN(chain, use_identity(named.ctx.get(), extra.certificate_pem, extra.key_pem));
    // OpenSSL takes verification from the context that SNI chose.
    RETURN_IF_ERROR(ask_for_client(named.ctx.get(), config.client_ca_pem));
    Certificate leaf = describe(chain[0].get());
    named.names = leaf.dns_names;
    if (named.names.empty()) named.names.push_back(leaf.common_name);
    self->by_name.push_back(std::move(named));
  }
  if (!self->by_name.empty()) {
    SSL_CTX_set_tlsext_servername_callback(ctx, choose_by_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, self.get());
  }
  return std::shared_ptr<const TlsServerContext>(std::move(self));
}

Result<std::shared_ptr<const TlsClientContext>> TlsClientContext::create(const TlsClientConfig& config) {
  auto self = std::make_shared<ClientContext>();
  self->server_name = config.server_name;
  self->ca_hash = config.ca_public_key_hash;
  if (starts_with(self->ca_hash, "sha256:")) self->ca_hash = self->ca_hash.substr(7);
  self->insecure = config.insecure;
  self->alpn = alpn_wire(config.alpn);
  ASSIGN_OR_RETURN(self->ctx, new_context(false));
  SSL_CTX* ctx = self->ctx.get();
  if (config.insecure) {
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, nullptr);
  } else {
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
    if (!config.ca_pem.empty()) RETURN_IF_ERROR(trust(ctx, config.ca_pem, false));
    if (config.system_roots && SSL_CTX_set_default_verify_paths(ctx) != 1) return internal_error(openssl_error("system roots"));
    if (!self->ca_hash.empty()) SSL_CTX_set_cert_verify_callback(ctx, verify_by_hash, self.get());
  }
  if (!config.certificate_pem.empty()) RETURN_IF_ERROR(use_identity(ctx, config.certificate_pem, config.key_pem));
  if (!self->alpn.empty())
    SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>(self->alpn.data()), static_cast<unsigned>(self->alpn.size()));
  return std::shared_ptr<const TlsClientContext>(std::move(self));
}

}  // namespace onebin::net
