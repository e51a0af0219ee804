// TLS over a Stream: OpenSSL reads and writes through a BIO onto two buffers that exist only while they hold something.
#include "net/buffer.hpp"
#include "net/openssl.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/net/socket.hpp>
#include <onebin/net/tls_error.hpp>

#include <openssl/x509v3.h>

#include <cstring>

namespace onebin::net {
namespace {

constexpr std::size_t kWriteSlice = 128 * 1024;    // plain bytes encrypted before they are sent on
constexpr std::string_view kNotTrusted = "certificate not trusted: ", kUnknownAuthority = "certificate of an unknown authority: ";

bool unknown_authority(long verdict) {
  return verdict == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN || verdict == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT || verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
         verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY || verdict == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}

class TlsStreamImpl final : public TlsStream {
 public:
  TlsStreamImpl(StreamPtr lower, std::shared_ptr<const void> context, SslPtr ssl)
      : lower_(std::move(lower)), context_(std::move(context)), ssl_(std::move(ssl)) {
    BIO* bio = BIO_new(method());
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
  }

  Task<Result<void>> handshake() {
    for (;;) {
      ERR_clear_error();
      int rc = SSL_do_handshake(ssl_.get());
      int error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), rc);
      Status failed;
      if (rc != 1 && error != SSL_ERROR_WANT_READ) failed = handshake_error();
      // Also after a failure: the peer is told by an alert.
      Result<void> sent = co_await flush();
      if (!failed) co_return failed;
      if (!sent) co_return sent;
      if (rc == 1) co_return Result<void>();
      Result<void> more = co_await fill();
      if (!more) co_return more;
      if (in_size_ == 0) co_return Status(Reason::Closed, "TLS handshake: the peer closed the connection");
    }
  }

  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override {
    for (;;) {
      if (auto r = decrypt(data, size, false)) co_return std::move(*r);
      if (!out_.empty()) {
        Result<void> sent = co_await flush();
        if (!sent) co_return sent.status();
      }
      Result<void> more = co_await fill();
      if (!more) co_return more.status();
      if (in_size_ == 0) co_return Status(Reason::Closed, "the peer closed the connection without a TLS close");
    }
  }

  std::optional<Result<std::size_t>> try_read_some(char* data, std::size_t size) override {
    for (;;) {
      if (auto r = decrypt(data, size, false)) return r;
      Buffer buffer;
      auto n = lower_->try_read_some(buffer.data(), Buffer::kSize);
      if (!n) return std::nullopt;
      if (!*n) return Result<std::size_t>(n->status());
      if (**n == 0) return Result<std::size_t>(Status(Reason::Closed, "the peer closed the connection without a TLS close"));
      give(std::move(buffer), **n);
    }
  }

  Task<Result<void>> wait_readable() override {
    char one;
    for (;;) {
      if (decrypt(&one, 1, true)) co_return Result<void>();
      if (!out_.empty()) {
        Result<void> sent = co_await flush();
        if (!sent) co_return sent;
      }
      Result<void> w = co_await lower_->wait_readable();
      if (!w) co_return w;
      Result<void> more = co_await fill();
      if (!more) co_return more;
      if (in_size_ == 0) co_return Result<void>();  // read_some tells
    }
  }

  Task<Result<void>> write(std::string_view data) override {
    while (!data.empty()) {
      std::string_view slice = data.substr(0, kWriteSlice);
      Result<void> r = encrypt(slice);
      if (!r) co_return r;
      Result<void> sent = co_await flush();
      if (!sent) co_return sent;
      data.remove_prefix(slice.size());
    }
    co_return Result<void>();
  }

  Task<Result<void>> write_v(std::span<const std::string_view> parts) override {
    std::size_t total = 0;
    for (std::string_view p : parts) total += p.size();
    if (total <= kJoin) {  // one record
      Result<void> r = encrypt_joined(parts);
      if (!r) co_return r;
      Result<void> sent = co_await flush();
      co_return sent;
    }
    for (std::string_view p : parts) {
      while (!p.empty()) {
        std::string_view slice = p.substr(0, kWriteSlice);
        Result<void> r = encrypt(slice);
        if (!r) co_return r;
        p.remove_prefix(slice.size());
        if (out_.size() < kWriteSlice) continue;
        Result<void> sent = co_await flush();
        if (!sent) co_return sent;
      }
    }
    Result<void> sent = co_await flush();
    co_return sent;
  }

  Task<Result<void>> shutdown_write() override {
    if (closed_) co_return closed();
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
    Result<void> sent = co_await flush();
    co_return sent;
  }
  void close() override {
    closed_ = true;
    lower_->close();
    flushed_.wake_all();
  }
  void set_write_timeout(Duration limit) override { lower_->set_write_timeout(limit); }

  const std::string& alpn() const override { return alpn_; }
  std::vector<std::string> peer_chain() const override {
    std::vector<std::string> chain;
    STACK_OF(X509)* sent = SSL_get_peer_cert_chain(ssl_.get());
    if (SSL_is_server(ssl_.get()))
      if (X509* leaf = SSL_get0_peer_certificate(ssl_.get())) chain.push_back(to_der(leaf));
    for (int i = 0; sent && i < sk_X509_num(sent); ++i) chain.push_back(to_der(sk_X509_value(sent, i)));
    return chain;
  }
  std::size_t memory_held() const override { return (in_ ? Buffer::kSize : 0) + (out_.capacity() > sizeof(std::string) ? out_.capacity() : 0); }

  SSL* ssl() const { return ssl_.get(); }
  void note_alpn() {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    if (size) alpn_.assign(reinterpret_cast<const char*>(name), size);
  }

 private:
  static constexpr std::size_t kJoin = 16 * 1024;

  // What SSL_read gives now; nullopt: more must be read first.
  std::optional<Result<std::size_t>> decrypt(char* data, std::size_t size, bool peek) {
    if (closed_) return Result<std::size_t>(closed());
    if (size == 0) return Result<std::size_t>(std::size_t{0});
    ERR_clear_error();
    std::size_t n = 0;
    int rc = peek ? SSL_peek_ex(ssl_.get(), data, size, &n) : SSL_read_ex(ssl_.get(), data, size, &n);
    if (rc == 1) return Result<std::size_t>(n);
    int error = SSL_get_error(ssl_.get(), rc);
    if (error == SSL_ERROR_WANT_READ) return std::nullopt;
    if (error == SSL_ERROR_ZERO_RETURN) return Result<std::size_t>(std::size_t{0});
    return Result<std::size_t>(Status(Reason::Closed, openssl_error("TLS read")));
  }

  Result<void> encrypt(std::string_view data) {
    while (!data.empty()) {
      if (closed_) return closed();
      ERR_clear_error();
      std::size_t n = 0;
      if (SSL_write_ex(ssl_.get(), data.data(), data.size(), &n) != 1) return Status(Reason::Closed, openssl_error("TLS write"));
      data.remove_prefix(n);
    }
    return {};
  }

  Result<void> encrypt_joined(std::span<const std::string_view> parts) {
    thread_local std::unique_ptr<char[]> joined = std::make_unique<char[]>(kJoin);  // only within this call
    std::size_t n = 0;
    for (std::string_view p : parts) n += p.copy(joined.get() + n, kJoin - n);
    return encrypt({joined.get(), n});
  }

  // Sends what OpenSSL has put out. One at a time: who comes second waits and sends the rest.
  Task<Result<void>> flush() {
    while (flushing_) {
      Status s = co_await flushed_.wait();
      if (!s) co_return s;
    }
    if (closed_) co_return closed();
    if (out_.empty()) co_return write_error_;
    flushing_ = true;
    std::string sending = std::move(out_);
    out_ = std::string();
    Result<void> r = co_await lower_->write(sending);
    flushing_ = false;
    if (!r && write_error_.is_ok()) write_error_ = r.status();
    flushed_.wake_all();
    co_return r;
  }

  // Reads more ciphertext; in_size_ stays 0 at the end of the stream below.
  Task<Result<void>> fill() {
    if (closed_) co_return closed();
    if (in_size_ > in_at_) co_return Result<void>();
    Result<void> w = co_await lower_->wait_readable();
    if (!w) co_return w;
    Buffer buffer;
    Result<std::size_t> n = co_await lower_->read_some(buffer.data(), Buffer::kSize);
    if (!n) co_return n.status();
    if (*n > 0) give(std::move(buffer), *n);
    co_return Result<void>();
  }

  void give(Buffer buffer, std::size_t size) {
    in_.emplace(std::move(buffer));
    in_at_ = 0;
    in_size_ = size;
  }

  Status handshake_error() {
    long verdict = SSL_get_verify_result(ssl_.get());
    std::string text = openssl_error("TLS handshake");
    if (verdict != X509_V_OK && !SSL_is_server(ssl_.get()))
      text = std::string("TLS handshake: ").append(unknown_authority(verdict) ? kUnknownAuthority : kNotTrusted) + X509_verify_cert_error_string(verdict);
    return Status(Reason::ServiceUnavailable, std::move(text));
  }

  static int bio_read(BIO* bio, char* data, int size) {
    auto* self = static_cast<TlsStreamImpl*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    std::size_t left = self->in_size_ - self->in_at_;
    if (left == 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    std::size_t n = std::min(left, static_cast<std::size_t>(size));
    std::memcpy(data, self->in_->data() + self->in_at_, n);
    self->in_at_ += n;
    if (self->in_at_ == self->in_size_) {
      self->in_.reset();
      self->in_at_ = self->in_size_ = 0;
    }
    return static_cast<int>(n);
  }
  static int bio_write(BIO* bio, const char* data, int size) {
    BIO_clear_retry_flags(bio);
    static_cast<TlsStreamImpl*>(BIO_get_data(bio))->out_.append(data, static_cast<std::size_t>(size));
    return size;
  }
  static long bio_control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_PUSH || command == BIO_CTRL_POP ? 1 : 0;
  }
  static BIO_METHOD* method() {
    static BIO_METHOD* m = [] {
      BIO_METHOD* b = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "onebin stream");
      BIO_meth_set_read(b, bio_read);
      BIO_meth_set_write(b, bio_write);
      BIO_meth_set_ctrl(b, bio_control);
      return b;
    }();
    return m;
  }

  StreamPtr lower_;
  std::shared_ptr<const void> context_;
  std::optional<Buffer> in_;
  std::size_t in_at_ = 0, in_size_ = 0;
  std::string out_;
  std::string alpn_;
  bool closed_ = false, flushing_ = false;
  Status write_error_;
  async::WaitQueue flushed_;
  SslPtr ssl_;
};

void describe_peer(TlsStreamImpl& stream, PeerInfo& peer) {
  peer.tls = true;
  if (const char* name = SSL_get_servername(stream.ssl(), TLSEXT_NAMETYPE_host_name)) peer.server_name = name;
  X509* leaf = SSL_get0_peer_certificate(stream.ssl());
  if (!leaf) return;
  peer.presented = stream.peer_chain();
  peer.certificate = std::make_shared<Certificate>(describe(leaf));
  auto slot = reinterpret_cast<std::intptr_t>(SSL_get_ex_data(stream.ssl(), ssl_verify_slot()));
  peer.verified = slot == X509_V_OK + 1;
  if (!peer.verified)
    peer.verify_error = slot == 0 ? "no client CA is configured" : X509_verify_cert_error_string(static_cast<long>(slot) - 1);
}

}  // namespace

Task<Result<std::unique_ptr<TlsStream>>> tls_accept(StreamPtr lower, std::shared_ptr<const TlsServerContext> context,
                                                    PeerInfo* peer, Duration limit) {
  if (!context) co_return internal_error("no TLS context");
  auto* impl = static_cast<const ServerContext*>(context.get());
  SslPtr ssl(SSL_new(impl->ctx.get()));
  if (!ssl) co_return internal_error(openssl_error("TLS"));
  SSL_set_accept_state(ssl.get());
  auto stream = std::make_unique<TlsStreamImpl>(std::move(lower), context, std::move(ssl));
  Result<void> done = co_await async::with_timeout(limit, stream->handshake());
  if (!done) co_return done.status();
  stream->note_alpn();
  if (peer) describe_peer(*stream, *peer);
  co_return Result<std::unique_ptr<TlsStream>>(std::move(stream));
}

Task<Result<std::unique_ptr<TlsStream>>> tls_connect(StreamPtr lower, std::shared_ptr<const TlsClientContext> context,
                                                     std::string host, Duration limit) {
  if (!context) co_return internal_error("no TLS context");
  auto* impl = static_cast<const ClientContext*>(context.get());
  SslPtr ssl(SSL_new(impl->ctx.get()));
  if (!ssl) co_return internal_error(openssl_error("TLS"));
  SSL_set_connect_state(ssl.get());
  if (!impl->server_name.empty()) host = impl->server_name;
  if (is_ip(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl.get(), host.c_str());
    SSL_set1_host(ssl.get(), host.c_str());
  }
  auto stream = std::make_unique<TlsStreamImpl>(std::move(lower), context, std::move(ssl));
  Result<void> done = co_await async::with_timeout(limit, stream->handshake());
  if (!done) co_return done.status().with_context(host);
  stream->note_alpn();
  co_return Result<std::unique_ptr<TlsStream>>(std::move(stream));
}

bool is_unknown_authority(const Status& status) { return status.message().find(kUnknownAuthority) != std::string::npos; }

}  // namespace onebin::net
