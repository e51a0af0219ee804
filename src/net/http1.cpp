#include "net/http1.hpp"

#include <onebin/async/loop.hpp>

#include "net/buffer.hpp"

#include <ctime>

namespace onebin::net {

namespace http = boost::beast::http;

namespace {
constexpr std::size_t kChunkHeadLimit = 64 * 1024;  // a chunk's extensions; the trailer
}

Task<Result<std::size_t>> Http1Input::more(Stream& stream, std::size_t size) {
  if (at > 0) {
    data.erase(0, at);
    at = 0;
  }
  Buffer buffer;
  Result<std::size_t> n = co_await stream.read_some(buffer.data(), std::min(size, Buffer::kSize));
  if (n) data.append(buffer.data(), *n);
  co_return n;
}

template <bool IsRequest>
Task<Result<void>> Http1Message<IsRequest>::read_head(Stream& stream, Http1Input& in, std::size_t limit, bool no_body,
                                                       std::function<bool(std::size_t)> may_grow) {
  parser_->header_limit(static_cast<std::uint32_t>(limit));
  parser_->fields_limit = limit;
  parser_->body_limit(boost::none);
  parser_->eager(false);
  parser_->skip(no_body);
  std::size_t seen = 0;
  for (;;) {
    // Empty lines before a request are skipped (RFC 9112, 2.2).
    while (IsRequest && !in.empty() && !started_ && (in.view()[0] == '\r' || in.view()[0] == '\n')) in.consume(1);
    if (in.view().size() > seen) {
      started_ = true;
      boost::beast::error_code ec;
      std::size_t n = parser_->put(boost::asio::buffer(in.view().data(), in.view().size()), ec);
      if (n) in.consume(n);
      if (ec == http::error::header_limit) co_return Status(Reason::RequestEntityTooLarge, "header too large");
      if (ec && ec != http::error::need_more) co_return bad_request("malformed HTTP: " + ec.message());
      if (!ec && parser_->is_header_done()) co_return frame(no_body);
      seen = in.view().size();
      if (may_grow && !may_grow(seen)) co_return Status(Reason::RequestEntityTooLarge, "header too large");
    }
    Result<std::size_t> n = co_await in.more(stream);
    if (!n) co_return n.status();
    if (*n == 0) co_return closed();
  }
}

template <bool IsRequest>
Result<void> Http1Message<IsRequest>::frame(bool no_body) {
  if (parser_->chunked()) framing_ = Framing::Chunked;
  else if (parser_->headers.has("Transfer-Encoding")) return bad_request("unsupported transfer encoding");
  else if (parser_->is_done()) framing_ = Framing::None;
  else if (parser_->content_length()) {
    framing_ = Framing::Length;
    remaining_ = *parser_->content_length();
  } else framing_ = IsRequest ? Framing::None : Framing::UntilClose;
  if (no_body || parser_->is_done()) framing_ = Framing::None;
  done_ = framing_ == Framing::None;
  return {};
}

template <bool IsRequest>
Task<Result<std::size_t>> Http1Message<IsRequest>::read_some(Stream& stream, Http1Input& in, char* data, std::size_t size) {
  if (done_ || size == 0) co_return Result<std::size_t>(std::size_t{0});
  if (framing_ == Framing::Chunked) {
    Result<std::size_t> c = co_await read_chunked(stream, in, data, size);
    co_return c;
  }
  if (framing_ == Framing::Length) size = static_cast<std::size_t>(std::min<std::uint64_t>(size, remaining_));
  std::size_t n = 0;
  if (!in.empty()) {
    n = std::min(size, in.view().size());
    std::memcpy(data, in.view().data(), n);
    in.consume(n);
  } else {
    Result<std::size_t> r = co_await stream.read_some(data, size);
    if (!r) co_return r.status();
    n = *r;
  }
  if (framing_ == Framing::UntilClose) {
    if (n == 0) done_ = true;
    co_return Result<std::size_t>(n);
  }
  if (n == 0) co_return Status(Reason::Closed, "the body was cut short");
  remaining_ -= n;
  if (remaining_ == 0) done_ = true;
  co_return Result<std::size_t>(n);
}

template <bool IsRequest>
Task<Result<std::size_t>> Http1Message<IsRequest>::read_chunked(Stream& stream, Http1Input& in, char* data, std::size_t size) {
  parser_->out = data;
  parser_->room = size;
  parser_->used = 0;
  std::size_t seen = 0;
  for (;;) {
    while (in.view().size() > seen && parser_->used < size && !parser_->is_done()) {
      boost::beast::error_code ec;
      std::size_t n = parser_->put(boost::asio::buffer(in.view().data(), in.view().size()), ec);
      if (n) { in.consume(n); seen = 0; }
      if (ec == http::error::need_more) { seen = in.view().size(); break; }
      if (ec) co_return bad_request("malformed HTTP body: " + ec.message());
    }
    if (parser_->is_done()) done_ = true;
    if (parser_->used > 0 || done_) co_return Result<std::size_t>(parser_->used);
    if (seen > kChunkHeadLimit) co_return bad_request("malformed HTTP body: chunk header too large");
    Result<std::size_t> n = co_await in.more(stream, 16 * 1024);
    if (!n) co_return n.status();
    if (*n == 0) co_return Status(Reason::Closed, "the body was cut short");
  }
}

template class Http1Message<true>;
template class Http1Message<false>;

void append_field(std::string& head, std::string_view name, std::string_view value) {
  constexpr std::string_view kBreaks("\r\n\0", 3);
  if (name.empty() || name.find_first_of(kBreaks) != name.npos || name.find(':') != name.npos) return;
  if (value.find_first_of(kBreaks) != value.npos) return;
  head += name;
  head += ": ";
  head += value;
  head += "\r\n";
}
void append_fields(std::string& head, const Headers& headers) {
  for (const auto& [name, value] : headers) append_field(head, name, value);
}
std::string chunk_head(std::size_t size) {
  char text[24];
  int n = std::snprintf(text, sizeof text, "%zx\r\n", size);
  return std::string(text, static_cast<std::size_t>(n));
}

std::string_view http_date() {
  static std::int64_t last = -1;
  static char text[40];
  std::int64_t now = async::Loop::current().clock().unix_seconds();
  if (now != last) {
    last = now;
    std::time_t t = static_cast<std::time_t>(now);
    std::tm tm{};
    gmtime_r(&t, &tm);
    static const char* const kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char* const kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[tm.tm_wday], tm.tm_mday, kMonths[tm.tm_mon],
                  tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
  }
  return text;
}

}  // namespace onebin::net
