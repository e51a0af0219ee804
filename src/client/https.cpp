#include <onebin/client/https.hpp>

#include <onebin/apimachinery/codec.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/client/objects.hpp>
#include <onebin/net/client.hpp>

namespace onebin::client {
namespace {

constexpr char kWatchAccept[] = "application/vnd.kubernetes.protobuf;stream=watch";
constexpr std::size_t kFrameLimit = 32u << 20, kBodyLimit = 256u << 20, kReadSize = 32 * 1024;

WatchType watch_type(std::string_view text) {
  if (text == "ADDED") return WatchType::Added;
  if (text == "MODIFIED") return WatchType::Modified;
  if (text == "DELETED") return WatchType::Deleted;
  if (text == "BOOKMARK") return WatchType::Bookmark;
  return WatchType::Error;
}

// Cuts the answer's body into frames: four bytes of length, big-endian, then a meta.v1.WatchEvent.
class HttpsWatch final : public WatchStream {
 public:
  explicit HttpsWatch(net::ClientResponsePtr response) : response_(std::move(response)) {}

  async::Task<Result<std::vector<WatchEvent>>> next() override {
    for (;;) {
      std::vector<WatchEvent> events;
      Result<void> cut = take(events);
      if (!cut) co_return cut.status();
      if (!events.empty()) co_return Result<std::vector<WatchEvent>>(std::move(events));
      if (buffer_.empty()) {
        // Idle: hold no buffer.
        buffer_.shrink_to_fit();
        Result<void> ready = co_await response_->wait_readable();
        if (!ready) co_return ready.status();
      }
      std::size_t at = buffer_.size();
      buffer_.resize(at + kReadSize);
      Result<std::size_t> n = co_await response_->read_some(buffer_.data() + at, kReadSize);
      buffer_.resize(at + (n ? *n : 0));
      if (!n) co_return n.status();
      if (*n == 0) co_return closed();
    }
  }

 private:
  Result<void> take(std::vector<WatchEvent>& events) {
    std::size_t at = 0;
    while (buffer_.size() - at >= 4) {
      auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(buffer_[at + i])); };
      std::size_t size = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
      if (size > kFrameLimit) return bad_request("the server sent a watch event of " + std::to_string(size) + " bytes");
      if (buffer_.size() - at - 4 < size) break;
      Result<apimachinery::WatchFrame> frame = apimachinery::parse_protobuf_watch_event(std::string_view(buffer_).substr(at + 4, size));
      if (!frame) return frame.status();
      WatchEvent e;
      e.type = watch_type(frame->type);
      e.object = make_bytes(std::string(frame->object));
      if (e.type == WatchType::Error) e.error = error_of(frame->object);
      events.push_back(std::move(e));
      at += 4 + size;
    }
    buffer_.erase(0, at);
    return {};
  }
  static Status error_of(std::string_view object) {
    ApiResponse r;
    r.code = 500;
    r.content_type = "application/vnd.kubernetes.protobuf";
    r.body = std::string(object);
    return status_from_response(r);
  }

  net::ClientResponsePtr response_;
  std::string buffer_;
};

class HttpsTransport final : public Transport {
 public:
  HttpsTransport(HttpsOptions options, std::unique_ptr<net::HttpClient> http) : options_(std::move(options)), http_(std::move(http)) {}

  async::Task<Result<ApiResponse>> request(ApiRequest q) override {
    return async::with_timeout(options_.request_timeout, exchange(std::move(q)));
  }

  async::Task<Result<std::unique_ptr<WatchStream>>> watch(ApiRequest q) override {
    q.accept = kWatchAccept;
    net::ClientRequest request = convert(std::move(q));
    Result<net::ClientResponsePtr> r = co_await async::with_timeout(options_.request_timeout, http_->request(std::move(request)));
    if (!r) co_return r.status();
    net::ClientResponsePtr response = std::move(*r);
    if (response->status != 200) {
      ApiResponse answer;
      answer.code = response->status;
      answer.content_type = std::string(response->headers.get("Content-Type"));
      Result<std::string> body = co_await async::with_timeout(options_.request_timeout, response->read_body(kBodyLimit));
      if (!body) co_return body.status();
      answer.body = std::move(*body);
      co_return status_from_response(answer);
    }
    std::unique_ptr<WatchStream> stream = std::make_unique<HttpsWatch>(std::move(response));
    co_return Result<std::unique_ptr<WatchStream>>(std::move(stream));
  }

 private:
  net::ClientRequest convert(ApiRequest q) {
    net::ClientRequest r;
    r.method = std::move(q.method);
    r.target = std::move(q.path);
    if (!q.query.empty()) r.target.append("?").append(q.query);
    r.headers.add("Accept", q.accept);
    if (!q.content_type.empty()) r.headers.add("Content-Type", q.content_type);
    if (options_.bearer_token) r.headers.add("Authorization", "Bearer " + options_.bearer_token());
    r.body = std::move(q.body);
    return r;
  }

  async::Task<Result<ApiResponse>> exchange(ApiRequest q) {
    net::ClientRequest request = convert(std::move(q));
    Result<net::WholeResponse> r = co_await http_->fetch(std::move(request), kBodyLimit);
    if (!r) co_return r.status();
    ApiResponse answer;
    answer.code = r->status;
    answer.content_type = std::string(r->headers.get("Content-Type"));
    answer.body = std::move(r->body);
    co_return Result<ApiResponse>(std::move(answer));
  }

  HttpsOptions options_;
  std::unique_ptr<net::HttpClient> http_;
};

}  // namespace

Result<std::unique_ptr<Transport>> make_https_transport(HttpsOptions options) {
  net::ClientConfig c;
  c.base_url = options.server;
  c.tls = options.tls;
  c.user_agent = options.user_agent;
  ASSIGN_OR_RETURN(std::unique_ptr<net::HttpClient> http, net::HttpClient::create(std::move(c)));
  return std::unique_ptr<Transport>(std::make_unique<HttpsTransport>(std::move(options), std::move(http)));
}

}  // namespace onebin::client
