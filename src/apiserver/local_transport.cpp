#include "apiserver/local_transport.hpp"

#include "apiserver/handlers/handlers.hpp"
#include "apiserver/handlers/watch.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/respond.hpp"

#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {
namespace {

// Collects an answer in memory.
class MemoryWriter final : public net::ResponseWriter {
 public:
  net::Task<Result<void>> send(int status, net::Headers headers, std::string_view body) override {
    status_ = status;
    content_type = std::string(headers.get("Content-Type"));
    this->body.assign(body);
    co_return Result<void>();
  }
  net::Task<Result<void>> start(int status, net::Headers headers) override {
    status_ = status;
    content_type = std::string(headers.get("Content-Type"));
    co_return Result<void>();
  }
  net::Task<Result<void>> write(std::string_view chunk) override {
    body.append(chunk);
    co_return Result<void>();
  }
  net::Task<Result<void>> flush() override { co_return Result<void>(); }
  net::Task<Result<void>> finish() override { co_return Result<void>(); }
  void abort() override { aborted = true; }
  net::Task<Result<net::StreamPtr>> upgrade(net::Headers) override { co_return bad_request("a local request cannot be upgraded"); }
  bool started() const override { return status_ != 0; }
  int status() const override { return status_; }
  std::uint64_t body_bytes() const override { return body.size(); }

  std::string content_type, body;
  bool aborted = false;

 private:
  int status_ = 0;
};

net::Request make_request(client::ApiRequest in, const std::string& agent) {
  static const auto peer = std::make_shared<const net::PeerInfo>();
  net::Request r;
  r.method = std::move(in.method);
  std::string target = std::move(in.path);
  if (!in.query.empty()) target += "?" + in.query;
  Result<void> parsed = r.set_target(std::move(target));
  (void)parsed;
  r.headers.add("User-Agent", agent);
  if (!in.accept.empty()) r.headers.add("Accept", std::move(in.accept));
  if (!in.content_type.empty()) r.headers.add("Content-Type", std::move(in.content_type));
  r.content_length = static_cast<std::int64_t>(in.body.size());
  r.body = net::string_body(std::move(in.body));
  r.peer = peer;
  return r;
}

class LocalWatch final : public client::WatchStream {
 public:
  LocalWatch(std::unique_ptr<WatchSource> source, std::shared_ptr<Served> served, bool metadata)
      : served_(std::move(served)), source_(std::move(source)), metadata_(metadata || served_->json_stored) {}

  async::Task<Result<std::vector<client::WatchEvent>>> next() override {
    Result<std::vector<WatchItem>> outputs = co_await source_->next();
    std::vector<client::WatchEvent> events;
    if (!outputs) {
      if (outputs.is(Reason::Closed) || outputs.is(Reason::Cancelled)) co_return outputs.status();
      if (failed_) co_return closed();
      failed_ = true;
      client::WatchEvent e;
      e.error = outputs.status();
      events.push_back(std::move(e));
      co_return Result<std::vector<client::WatchEvent>>(std::move(events));
    }
    events.reserve(outputs->size());
    for (auto& o : *outputs) {
      client::WatchEvent e;
      e.type = o.type;
      e.resource_version = o.revision;
      if (o.type == WatchType::Bookmark) {
        Result<std::string> object = bookmark_object(*served_, o.revision, o.initial_end, Format::Protobuf, metadata_ ? Transform::PartialMetadata : Transform::None, "v1");
        if (!object) co_return object.status();
        e.object = make_bytes(std::move(*object));
      } else if (metadata_) {
        // Components of this process read protobuf: of a custom resource its metadata, which is all that they decide on.
        std::string bytes;
        Status s = append_partial_metadata(bytes, o.object(), Format::Protobuf, "v1");
        if (!s) co_return s;
        e.object = make_bytes(std::move(bytes));
      } else if (served_->converts()) {
        std::string bytes;
        Status s = append_object(bytes, *served_, o.object(), Format::Protobuf);
        if (!s) co_return s;
        e.object = make_bytes(std::move(bytes));
      } else {
        e.object = o.object();
      }
      events.push_back(std::move(e));
    }
    co_return Result<std::vector<client::WatchEvent>>(std::move(events));
  }

 private:
  std::shared_ptr<Served> served_;  // outlives the source, which refers to it
  std::unique_ptr<WatchSource> source_;
  bool metadata_;  // objects as PartialObjectMetadata
  bool failed_ = false;
};

class LocalTransport final : public client::Transport {
 public:
  LocalTransport(Core& core, UserInfo user) : core_(core), user_(std::move(user)), agent_("onebin/" ONEBIN_VERSION) {}

  async::Task<Result<client::ApiResponse>> request(client::ApiRequest in) override {
    if (core_.stopping()) co_return Status(Reason::ServiceUnavailable, "the API server is stopping");
    net::Request r = make_request(std::move(in), agent_);
    MemoryWriter w;
    co_await core_.serve(r, w, &user_);
    if (!w.started()) co_return cancelled();
    if (w.aborted) co_return internal_error("the answer was cut short");
    client::ApiResponse out;
    out.code = w.status();
    out.content_type = std::move(w.content_type);
    out.body = std::move(w.body);
    co_return Result<client::ApiResponse>(std::move(out));
  }

  async::Task<Result<std::unique_ptr<client::WatchStream>>> watch(client::ApiRequest in) override {
    if (core_.stopping()) co_return Status(Reason::ServiceUnavailable, "the API server is stopping");
    net::Request r = make_request(std::move(in), agent_);
    MemoryWriter w;
    RequestContext c{core_, r, w};
    c.query = net::Query::parse(r.query);
    c.info = parse_request_info(r.method, r.raw_path, c.query);
    c.user_agent = agent_;
    c.now = core_.clock().wall();
    Result<void> admitted = co_await core_.admit_request(&c, &user_);
    if (!admitted) co_return admitted.status();
    if (c.info.verb != "watch" || !c.served || !c.served->cache) co_return bad_request("not a watch: " + c.info.path);
    Result<ListOptions> o = parse_list_options(c);
    if (!o) co_return o.status();
    Result<std::unique_ptr<WatchSource>> source = co_await WatchSource::open(&c, std::move(*o));
    if (!source) co_return source.status();
    bool metadata = r.headers.get("Accept").find("as=PartialObjectMetadata") != std::string_view::npos;
    std::unique_ptr<client::WatchStream> stream = std::make_unique<LocalWatch>(std::move(*source), c.served_held, metadata);
    co_return Result<std::unique_ptr<client::WatchStream>>(std::move(stream));
  }

 private:
  Core& core_;
  UserInfo user_;
  std::string agent_;
};

}  // namespace

std::unique_ptr<client::Transport> make_local_transport(Core& core, UserInfo user) {
  return std::make_unique<LocalTransport>(core, std::move(user));
}

}  // namespace onebin::apiserver
