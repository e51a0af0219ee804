// HTTP/1.1 messages as both sides read and write them: Beast's parser, fed by hand from a Stream.
#pragma once
#include <onebin/net/http.hpp>

#include <boost/beast/http/basic_parser.hpp>

#include <cstring>

namespace onebin::net {

// What has been read of a connection and not used yet. Holds no memory when empty.
struct Http1Input {
  std::string data;
  std::size_t at = 0;

  std::string_view view() const { return std::string_view(data).substr(at); }
  bool empty() const { return at == data.size(); }
  void consume(std::size_t n) {
    at += n;
    if (at == data.size()) {
      if (data.capacity() > 4096) data = std::string();
      else data.clear();
      at = 0;
    }
  }
  void release() { if (empty()) { data = std::string(); at = 0; } }
  std::string take() { std::string rest(view()); data = std::string(); at = 0; return rest; }
  // Reads more behind what is there; 0 at the end of the stream.
  Task<Result<std::size_t>> more(Stream& stream, std::size_t size = 8 * 1024);
};

template <bool IsRequest>
class Http1Parser final : public boost::beast::http::basic_parser<IsRequest> {
  using error_code = boost::beast::error_code;
  using string_view = boost::beast::string_view;

 public:
  std::string method, target;
  Headers headers;
  int version = 11, status = 0;
  char* out = nullptr;       // where body bytes go
  std::size_t room = 0, used = 0;
  std::size_t fields_limit = ~std::size_t{0};  // of all fields, each with 32 bytes for what it takes beside its text

 private:
  void on_request_impl(boost::beast::http::verb, string_view m, string_view t, int v, error_code&) override {
    method.assign(m.data(), m.size());
    target.assign(t.data(), t.size());
    version = v;
  }
  void on_response_impl(int code, string_view, int v, error_code&) override { status = code; version = v; }
  void on_field_impl(boost::beast::http::field, string_view name, string_view value, error_code& ec) override {
    fields_ += name.size() + value.size() + 32;
    if (fields_ > fields_limit) ec = boost::beast::http::error::header_limit;
    else if (!in_body_) headers.add(std::string(name.data(), name.size()), std::string(value.data(), value.size()));  // trailers are dropped
  }
  void on_header_impl(error_code&) override { in_body_ = true; }
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(string_view body, error_code&) override { return keep(body); }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override { return keep(body); }
  void on_finish_impl(error_code&) override {}
  std::size_t keep(string_view body) {
    std::size_t n = std::min(body.size(), room - used);
    std::memcpy(out + used, body.data(), n);
    used += n;
    return n;
  }
  bool in_body_ = false;
  std::size_t fields_ = 0;
};

// One message: the head, then the body in pieces.
template <bool IsRequest>
class Http1Message {
 public:
  enum class Framing { None, Length, Chunked, UntilClose };

  // Reads until the head is complete. Errors: BadRequest (malformed), RequestEntityTooLarge (past `limit`), Closed (the
  // stream ended; `started()` tells whether within a head). `no_body`: the answer to a HEAD request. `may_grow`, where given,
  // is asked as the head grows.
  Task<Result<void>> read_head(Stream& stream, Http1Input& in, std::size_t limit, bool no_body = false,
                               std::function<bool(std::size_t)> may_grow = nullptr);
  bool started() const { return started_; }
  bool done() const { return done_; }
  Framing framing() const { return framing_; }
  std::uint64_t remaining() const { return remaining_; }
  // 0 at the body's end. Closed when the stream ends before.
  Task<Result<std::size_t>> read_some(Stream& stream, Http1Input& in, char* data, std::size_t size);

  Http1Parser<IsRequest>& head() { return *parser_; }
  bool keep_alive() const { return parser_->is_header_done() && parser_->keep_alive() && framing_ != Framing::UntilClose; }

 private:
  Result<void> frame(bool no_body);
  Task<Result<std::size_t>> read_chunked(Stream& stream, Http1Input& in, char* data, std::size_t size);
  std::unique_ptr<Http1Parser<IsRequest>> parser_ = std::make_unique<Http1Parser<IsRequest>>();
  Framing framing_ = Framing::None;
  std::uint64_t remaining_ = 0;
  bool started_ = false, done_ = false;
};

void append_field(std::string& head, std::string_view name, std::string_view value);  // drops what would break the framing
void append_fields(std::string& head, const Headers& headers);
std::string chunk_head(std::size_t size);
std::string_view http_date();  // now, IMF-fixdate; valid until the next call

}  // namespace onebin::net
