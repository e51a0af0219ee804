#include <onebin/net/client.hpp>

#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>

#include "net/http1.hpp"

#include <deque>

namespace onebin::net {
namespace {

using Message = Http1Message<false>;

struct Connection {
  StreamPtr stream;
  Http1Input in;
  bool reused = false;
  SteadyTime idle_since;
};
using ConnectionPtr = std::unique_ptr<Connection>;

bool idempotent(const std::string& method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" || method == "DELETE" || method == "TRACE";
}

class HttpClientImpl;

class ResponseImpl final : public ClientResponse {
 public:
  ResponseImpl(HttpClientImpl& client, ConnectionPtr connection, Message message)
      : client_(client), connection_(std::move(connection)), message_(std::move(message)) {
    status = message_.head().status;
    headers = std::move(message_.head().headers);
    if (message_.framing() == Message::Framing::Length) content_length = static_cast<std::int64_t>(message_.remaining());
    else if (message_.done()) content_length = 0;
    settle();
  }
  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override;
  Task<Result<void>> wait_readable() override {
    if (!connection_ || !connection_->in.empty()) return done();
    return connection_->stream->wait_readable();
  }
  ConnectionPtr take() { return std::move(connection_); }

 private:
  static Task<Result<void>> done() { co_return Result<void>(); }
  void settle();  // gives the connection back once the body is complete
  HttpClientImpl& client_;
  ConnectionPtr connection_;
  Message message_;
};

class HttpClientImpl final : public HttpClient {
 public:
  HttpClientImpl(ClientConfig config, Url base) : config_(std::move(config)), base_(std::move(base)) {}
  ~HttpClientImpl() override {
    if (timer_) async::Loop::current().cancel_timer(timer_);
  }

  Task<Result<ClientResponsePtr>> request(ClientRequest request) override {
    Result<std::unique_ptr<ResponseImpl>> r = co_await run(request);
    if (!r) co_return r.status();
    co_return Result<ClientResponsePtr>(std::move(*r));
  }

  Task<Result<Upgraded>> upgrade(ClientRequest request) override {
    request.headers.set("Connection", "Upgrade");
    Result<std::unique_ptr<ResponseImpl>> r = co_await run(request);
    if (!r) co_return r.status();
    Upgraded u;
    u.status = (*r)->status;
    u.headers = (*r)->headers;
    if (u.status == 101) {
      ConnectionPtr c = (*r)->take();
      if (!c) co_return internal_error("the upgraded connection is gone");
      c->stream->set_write_timeout(Duration::zero());
      u.stream = with_prefix(c->in.take(), std::move(c->stream));
    } else {
      u.refused = std::move(*r);
    }
    co_return Result<Upgraded>(std::move(u));
  }

  const Url& base() const override { return base_; }
  void close_idle() override { idle_.clear(); }
  const ClientConfig& config() const { return config_; }

  void give_back(ConnectionPtr c) {
    if (config_.max_idle == 0) return;
    c->in.release();
    c->reused = true;
    c->idle_since = async::Loop::current().now();
    idle_.push_back(std::move(c));
    if (idle_.size() > config_.max_idle) idle_.pop_front();
    arm();
  }

 private:
  void arm() {
    if (timer_ || idle_.empty()) return;
    timer_ = async::Loop::current().add_timer(idle_.front()->idle_since + config_.idle_timeout, [this] {
      timer_ = 0;
      SteadyTime now = async::Loop::current().now();
      while (!idle_.empty() && idle_.front()->idle_since + config_.idle_timeout <= now) idle_.pop_front();
      arm();
    });
  }

  // The latest idle connection that the peer has neither closed nor written to.
  ConnectionPtr reuse() {
    while (!idle_.empty()) {
      ConnectionPtr c = std::move(idle_.back());
      idle_.pop_back();
      char byte;
      if (c->in.empty() && !c->stream->try_read_some(&byte, 1)) return c;
    }
    return nullptr;
  }

  Task<Result<StreamPtr>> dial() {
    if (!config_.unix_path.empty()) return connect_unix(config_.unix_path, config_.connect_timeout);
    if (config_.dialer) return config_.dialer(base_.host, base_.port);
    ConnectOptions options;
    options.timeout = config_.connect_timeout;
    return connect_tcp(base_.host, base_.port, std::move(options));
  }

  Task<Result<ConnectionPtr>> open() {
    Result<StreamPtr> stream = co_await dial();
    if (!stream) co_return stream.status();
    auto c = std::make_unique<Connection>();
    if (base_.scheme == "https") {
      std::shared_ptr<const TlsClientContext> context;
      if (config_.tls) {
        context = config_.tls();
      } else {
        if (!default_tls_) {
          TlsClientConfig roots;
          roots.system_roots = true;
          Result<std::shared_ptr<const TlsClientContext>> made = TlsClientContext::create(roots);
          if (!made) co_return made.status();
          default_tls_ = std::move(*made);
        }
        context = default_tls_;
      }
      Result<std::unique_ptr<TlsStream>> secure =
          co_await tls_connect(std::move(*stream), std::move(context), base_.host, config_.connect_timeout);
      if (!secure) co_return secure.status();
      c->stream = std::move(*secure);
    } else {
      c->stream = std::move(*stream);
    }
    c->stream->set_write_timeout(config_.write_timeout);
    co_return Result<ConnectionPtr>(std::move(c));
  }

  std::string build_head(const ClientRequest& r) const {
    std::string head;
    head.reserve(512);
    head += r.method;
    head += ' ';
    std::string_view prefix = base_.path;
    while (!prefix.empty() && prefix.back() == '/') prefix.remove_suffix(1);
    head += prefix;
    head += r.target.empty() || r.target[0] != '/' ? "/" + r.target : r.target;
    head += " HTTP/1.1\r\n";
    if (!r.headers.has("Host")) append_field(head, "Host", base_.host == "unix" ? std::string("localhost") : base_.authority());
    if (!r.headers.has("User-Agent")) append_field(head, "User-Agent", config_.user_agent);
    append_fields(head, r.headers);
    if (!r.headers.has("Content-Length") && !r.headers.has("Transfer-Encoding")) {
      bool usual = r.method == "POST" || r.method == "PUT" || r.method == "PATCH";
      if (r.body_source && r.body_length < 0) append_field(head, "Transfer-Encoding", "chunked");
      else if (r.body_source) append_field(head, "Content-Length", std::to_string(r.body_length));
      else if (!r.body.empty() || usual) append_field(head, "Content-Length", std::to_string(r.body.size()));
    }
    head += "\r\n";
    return head;
  }

  Task<Result<void>> send_source(Stream& stream, const ClientRequest& r) {
    bool chunked = r.body_length < 0 && !r.headers.has("Content-Length");
    std::uint64_t total = 0;
    for (;;) {
      Result<std::string> piece = co_await r.body_source();
      if (!piece) co_return piece.status();
      total += piece->size();
      if (piece->empty()) break;
      std::string size = chunked ? chunk_head(piece->size()) : std::string();
      std::string_view parts[] = {size, *piece, chunked ? std::string_view("\r\n") : std::string_view()};
      Result<void> w = co_await stream.write_v(parts);
      if (!w) co_return w;
    }
    if (chunked) {
      Result<void> w = co_await stream.write("0\r\n\r\n");
      co_return w;
    }
    if (r.body_length >= 0 && total != static_cast<std::uint64_t>(r.body_length))
      co_return internal_error("the request's body does not have the length that was told");
    co_return Result<void>();
  }

  Task<Result<void>> send_request(Stream& stream, const ClientRequest& r) {
    std::string head = build_head(r);
    if (r.body_source) {
      Result<void> w = co_await stream.write(head);
      if (w) w = co_await send_source(stream, r);
      co_return w;
    }
    std::string_view parts[] = {head, r.body};
    Result<void> w = co_await stream.write_v(parts);
    co_return w;
  }

  // Heads of 1xx other than 101 are passed over.
  static Task<Result<Message>> read_answer(Connection* c, std::size_t limit, bool head_request, bool* heard) {
    for (;;) {
      Message m;
      Result<void> r = co_await m.read_head(*c->stream, c->in, limit, head_request);
      if (m.started()) *heard = true;
      if (!r) co_return r.status();
      int status = m.head().status;
      if (status >= 200 || status == 101) co_return Result<Message>(std::move(m));
    }
  }

  struct Attempt {
    Status error;
    bool heard = false;    // a byte of an answer has come
    bool sent = false;     // the request may have reached the peer
    std::unique_ptr<ResponseImpl> response;
  };

  Task<void> attempt(ConnectionPtr c, const ClientRequest& request, Attempt& a) {
    Result<void> sent = co_await send_request(*c->stream, request);
    a.sent = true;
    // A peer that refuses early (413, 401) stops reading: its answer counts, not our broken write.
    if (!sent && !sent.is(Reason::Closed)) { a.error = sent.status(); co_return; }
    Duration limit = request.header_timeout.value_or(config_.header_timeout);
    if (!sent) limit = 1s;
    Task<Result<Message>> reading = read_answer(c.get(), config_.header_bytes, request.method == "HEAD", &a.heard);
    Result<Message> m;
    if (limit > Duration::zero()) m = co_await async::with_timeout(limit, std::move(reading));
    else m = co_await std::move(reading);
    if (!m) {
      a.error = sent ? m.status() : sent.status();
      if (m.is(Reason::Timeout) && sent) a.error = timeout("timed out waiting for the answer's header");
      if (m.is(Reason::Cancelled)) a.error = m.status();
      co_return;
    }
    a.response = std::make_unique<ResponseImpl>(*this, std::move(c), std::move(*m));
  }

  Task<Result<std::unique_ptr<ResponseImpl>>> run(ClientRequest& request) {
    bool may_repeat = !request.body_source;
    for (;;) {
      ConnectionPtr c = may_repeat ? reuse() : nullptr;
      bool reused = c != nullptr;
      if (!c) {
        Result<ConnectionPtr> opened = co_await open();
        if (!opened) co_return opened.status();
        c = std::move(*opened);
      }
      Attempt a;
      co_await attempt(std::move(c), request, a);
      if (a.response) co_return Result<std::unique_ptr<ResponseImpl>>(std::move(a.response));
      // A kept connection that the peer had just closed: nothing was answered.
      bool stale = reused && !a.heard && a.error.is(Reason::Closed) && idempotent(request.method);
      if (!stale) co_return described(a.error);
    }
  }

  Status described(const Status& error) const {
    if (error.is(Reason::Cancelled)) return error;
    if (error.is(Reason::Closed)) return Status(Reason::ServiceUnavailable, base_.authority() + ": the connection was closed before an answer");
    return error.with_context(base_.authority());
  }

  ClientConfig config_;
  Url base_;
  std::shared_ptr<const TlsClientContext> default_tls_;
  std::deque<ConnectionPtr> idle_;  // oldest first
  async::TimerId timer_ = 0;
};

void ResponseImpl::settle() {
  if (!connection_ || !message_.done() || status == 101) return;
  if (message_.keep_alive()) client_.give_back(std::move(connection_));
  connection_.reset();
}

Task<Result<std::size_t>> ResponseImpl::read_some(char* data, std::size_t size) {
  if (message_.done()) co_return Result<std::size_t>(std::size_t{0});
  if (!connection_) co_return closed();
  Duration limit = client_.config().body_stall_timeout;
  Task<Result<std::size_t>> reading = message_.read_some(*connection_->stream, connection_->in, data, size);
  Result<std::size_t> n;
  if (limit > Duration::zero()) n = co_await async::with_timeout(limit, std::move(reading));
  else n = co_await std::move(reading);
  settle();
  co_return n;
}

}  // namespace

Task<Result<std::string>> ClientResponse::read_body(std::size_t limit) {
  std::string all;
  Status too_large(Reason::RequestEntityTooLarge, "the answer is larger than " + std::to_string(limit) + " bytes");
  std::size_t chunk = 16 * 1024;
  if (content_length >= 0) {
    if (static_cast<std::uint64_t>(content_length) > limit) co_return too_large;
    chunk = std::max<std::size_t>(1, std::min<std::size_t>(static_cast<std::size_t>(content_length), 256 * 1024));
    all.reserve(static_cast<std::size_t>(content_length));
  }
  std::size_t used = 0;
  for (;;) {
    if (content_length >= 0) {
      std::size_t left = static_cast<std::size_t>(content_length) - std::min<std::size_t>(used, static_cast<std::size_t>(content_length));
      chunk = std::max<std::size_t>(1, std::min<std::size_t>(left, 256 * 1024));
    } else {
      chunk = std::min<std::size_t>(std::max<std::size_t>(chunk, used / 2), 1u << 20);
    }
    all.resize(used + chunk);
    Result<std::size_t> n = co_await read_some(all.data() + used, chunk);
    if (!n) co_return n.status();
    used += *n;
    if (*n == 0) break;
    if (used > limit) co_return too_large;
  }
  all.resize(used);
  co_return Result<std::string>(std::move(all));
}

Task<Result<WholeResponse>> HttpClient::fetch(ClientRequest r, std::size_t limit) {
  Result<ClientResponsePtr> response = co_await request(std::move(r));
  if (!response) co_return response.status();
  WholeResponse whole;
  whole.status = (*response)->status;
  whole.headers = (*response)->headers;
  Result<std::string> body = co_await (*response)->read_body(limit);
  if (!body) co_return body.status();
  whole.body = std::move(*body);
  co_return Result<WholeResponse>(std::move(whole));
}

Result<std::unique_ptr<HttpClient>> HttpClient::create(ClientConfig config) {
  Url base;
  ASSIGN_OR_RETURN(base, parse_url(config.base_url));
  if (base.scheme != "http" && base.scheme != "https") return bad_request("not an http URL: " + config.base_url);
  if (base.host.empty()) return bad_request("no host in URL: " + config.base_url);
  return std::unique_ptr<HttpClient>(std::make_unique<HttpClientImpl>(std::move(config), std::move(base)));
}

}  // namespace onebin::net
