#include "apiserver/handlers/watch.hpp"

#include "apiserver/crd/conversion.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/handlers/streaming.hpp"
#include "apiserver/table_rows.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/cbor.hpp>
#include <onebin/async/group.hpp>
#include <onebin/net/websocket.hpp>

namespace onebin::apiserver {
namespace {

constexpr std::int64_t kMinTimeoutSeconds = 1800;
constexpr std::size_t kInitialBatch = 64;

std::string_view type_name(WatchType t) {
  switch (t) {
    case WatchType::Added: return "ADDED";
    case WatchType::Modified: return "MODIFIED";
    case WatchType::Deleted: return "DELETED";
    case WatchType::Bookmark: return "BOOKMARK";
    default: return "ERROR";
  }
}

// What a storage event is to a watcher with a filter; false: nothing.
bool select_event(const storage::WatchEvent& e, const Filter& filter, std::string_view key, WatchItem& out) {
  if (!filter.matches_key(key)) return false;
  bool deleted = e.type == storage::WatchEvent::Type::Delete;
  out.revision = e.kv.mod_revision;
  bool now = !deleted && (!filter.needs_object() || filter.matches_object(*e.kv.value));
  const Bytes& previous = deleted ? e.kv.value : e.previous_value;
  bool before = previous && (!filter.needs_object() || filter.matches_object(*previous));
  if (!now && !before) return false;
  out.type = !now ? WatchType::Deleted : before ? WatchType::Modified : WatchType::Added;
  out.own = with_revision(now ? *e.kv.value : *previous, e.kv.mod_revision);
  if (!deleted) out.previous = previous;
  return true;
}

}  // namespace

WatchSource::~WatchSource() {
  if (timer_) async::Loop::current().cancel_timer(timer_);
}

void WatchSource::arm(Duration limit) {
  auto& loop = async::Loop::current();
  timer_ = loop.add_timer(loop.now() + limit, [this] {
    timer_ = 0;
    if (live_) live_->close();
  });
}

async::Task<Result<std::unique_ptr<WatchSource>>> WatchSource::open(RequestContext* c, ListOptions options) {
  std::unique_ptr<WatchSource> w(new WatchSource(c->core, *c->served));
  Cacher& cacher = c->core.cacher;
  WatchCache& cache = *c->served->cache;
  w->options_ = std::move(options);
  // Who is in this process reads metadata only.
  w->converts_ = !c->local && converts_by_webhook(*c->served);
  if (w->converts_) {
    w->selected_ = w->options_.filter;
    w->options_.filter.labels = {};
    w->options_.filter.fields.clear();
  }
  if (Status s = take_revision(w->options_, true); !s) co_return s;
  const ListOptions& o = w->options_;
  bool from_start = o.resource_version.empty() || o.resource_version == "0";
  if (o.resource_version.empty()) {
    Result<void> fresh = co_await cacher.wait_current();
    if (!fresh) co_return fresh.status();
  }
  if (o.send_initial_events.value_or(false)) {
    if (o.revision > 0) {
      Result<void> fresh = co_await cacher.wait_for(o.revision);
      if (!fresh) co_return fresh.status();
    }
    w->initial_ = cache.select(o.filter, {}, 0).items;
    w->revision_ = cacher.applied();
    w->initial_end_ = o.bookmarks;
    w->live_ = cache.watch(o.filter, -1);
  } else if (from_start || o.send_initial_events) {
    w->revision_ = cacher.applied();
    w->live_ = cache.watch(o.filter, -1);
  } else {
    w->revision_ = o.revision;
    w->live_ = cache.watch(o.filter, o.revision);
    if (!w->live_) {
      Result<std::unique_ptr<storage::Watch>> h = co_await c->core.store.watch(cache.prefix() + (o.filter.ns.empty() ? "" : o.filter.ns + "/"), o.revision);
      if (h) w->history_ = std::move(*h);
      else if (h.is(Reason::Cancelled) || h.is(Reason::Closed)) co_return h.status();
      else w->failed_ = resource_expired("too old resource version: " + std::to_string(o.revision) + " (" + std::to_string(cache.window_start()) + ")");
    }
  }
  if (w->live_ && o.bookmarks) {
    w->live_->set_bookmarks(true);
    cacher.want_bookmarks();
  }
  std::int64_t seconds = o.timeout_seconds.value_or(0);
  if (seconds <= 0) seconds = kMinTimeoutSeconds + static_cast<std::int64_t>(c->core.rng().below(kMinTimeoutSeconds));
  w->arm(std::chrono::seconds(seconds));
  co_return Result<std::unique_ptr<WatchSource>>(std::move(w));
}

async::Task<Result<std::vector<WatchItem>>> WatchSource::next_history() {
  std::vector<WatchItem> out;
  WatchCache& cache = *served_.cache;
  while (out.empty()) {
    revision_ = std::max(revision_, history_->progress());
    if (revision_ >= cache.window_start()) {
      live_ = cache.watch(options_.filter, revision_);
      if (live_) {
        history_.reset();
        if (options_.bookmarks) {
          live_->set_bookmarks(true);
          core_.cacher.want_bookmarks();
        }
        break;
      }
    }
    if (timer_ == 0) co_return closed();
    Result<std::vector<storage::WatchEvent>> events = co_await history_->next();
    if (!events) co_return events.status();
    for (const auto& e : *events) {
      WatchItem o;
      if (select_event(e, options_.filter, std::string_view(e.kv.key).substr(cache.prefix().size()), o)) out.push_back(std::move(o));
    }
    revision_ = std::max(history_->progress(), events->empty() ? revision_ : events->back().kv.mod_revision);
  }
  co_return Result<std::vector<WatchItem>>(std::move(out));
}

namespace {

Bytes* converted_of(Delivery& d, std::uint32_t id) {
  for (auto& f : d.converted)
    if (f.form == id) return &f.bytes;
  return nullptr;
}

// An event by what its object was and is; false: nothing to this watcher.
bool select_converted(WatchItem& item, const Filter& filter, Bytes now, const Bytes& previous) {
  bool deleted = item.type == WatchType::Deleted;
  bool is = !deleted && filter.matches_object(*now), was = deleted ? filter.matches_object(*now) : previous && filter.matches_object(*previous);
  if (!is && !was) return false;
  item.type = !is ? WatchType::Deleted : was ? WatchType::Modified : WatchType::Added;
  item.own = is || deleted ? std::move(now) : with_revision(*previous, item.revision);
  return true;
}

}  // namespace

async::Task<Result<std::vector<WatchItem>>> WatchSource::converted(std::vector<WatchItem> items) {
  std::vector<Bytes> objects, previous;
  bool selects = selected_.needs_object();
  for (const auto& item : items) {
    bool mark = item.type == WatchType::Bookmark;
    const Bytes* made = item.delivery ? converted_of(*item.delivery, served_.id) : nullptr;
    objects.push_back(mark ? nullptr : made ? *made : item.object());
    previous.push_back(mark || !selects || item.type == WatchType::Deleted ? nullptr : item.delivery ? item.delivery->event->previous : item.previous);
  }
  std::size_t n = items.size();
  objects.insert(objects.end(), previous.begin(), previous.end());
  Result<void> done = co_await convert_stored(&core_, &served_, &objects);
  if (!done) co_return done.status();
  std::vector<WatchItem> out;
  for (std::size_t i = 0; i < n; ++i) {
    WatchItem& item = items[i];
    if (item.type != WatchType::Bookmark) {
      if (item.delivery && !converted_of(*item.delivery, served_.id)) item.delivery->converted.push_back({served_.id, objects[i]});
      item.delivery = nullptr;
      if (!selects) item.own = std::move(objects[i]);
      else if (!select_converted(item, selected_, std::move(objects[i]), objects[n + i])) continue;
    }
    out.push_back(std::move(item));
  }
  co_return Result<std::vector<WatchItem>>(std::move(out));
}

async::Task<Result<std::vector<WatchItem>>> WatchSource::next() {
  for (;;) {
    Result<std::vector<WatchItem>> items = co_await next_stored();
    if (!items || !converts_) co_return items;
    items = co_await converted(std::move(*items));
    if (!items || !items->empty()) co_return items;
  }
}

async::Task<Result<std::vector<WatchItem>>> WatchSource::next_stored() {
  std::vector<WatchItem> out;
  if (!failed_.is_ok()) co_return failed_;
  if (initial_at_ < initial_.size()) {
    std::size_t end = std::min(initial_.size(), initial_at_ + kInitialBatch);
    for (; initial_at_ < end; ++initial_at_) {
      WatchItem o;
      o.own = std::move(initial_[initial_at_].second);
      out.push_back(std::move(o));
    }
    if (initial_at_ == initial_.size()) {
      initial_.clear();
      initial_.shrink_to_fit();
      initial_at_ = 0;
    }
    co_return Result<std::vector<WatchItem>>(std::move(out));
  }
  if (initial_end_) {
    initial_end_ = false;
    WatchItem o;
    o.type = WatchType::Bookmark;
    o.revision = revision_;
    o.initial_end = true;
    out.push_back(std::move(o));
    co_return Result<std::vector<WatchItem>>(std::move(out));
  }
  if (history_) {
    Result<std::vector<WatchItem>> h = co_await next_history();
    if (!h || !h->empty()) co_return h;
  }
  co_return co_await live_->next();
}

Result<std::string> bookmark_object(const Served& served, std::int64_t revision, bool initial_end, Format format, Transform transform,
                                    std::string_view transform_version) {
  Document d = {{"apiVersion", served.api_version}, {"kind", served.kind->kind}, {"metadata", {{"resourceVersion", std::to_string(revision)}}}};
  if (initial_end) d["metadata"]["annotations"] = {{"k8s.io/initial-events-end", "true"}};
  const apimachinery::TypeSchema* type = served.kind->type;
  if (transform == Transform::Table) {
    d["apiVersion"] = "meta.k8s.io/" + std::string(transform_version);
    d["kind"] = "Table";
    Document table = table_of(served, {}, "None", {}, transform_version, {});
    table["metadata"] = d["metadata"];
    // A table's metadata is a list's: the mark travels on the row's object.
    Document row = {{"cells", Document::array()}, {"object", {{"kind", "PartialObjectMetadata"}, {"apiVersion", "meta.k8s.io/" + std::string(transform_version)}, {"metadata", d["metadata"]}}}};
    table["rows"] = Document::array({row});
    const KindSchema* k = api::find_kind("meta.k8s.io", "v1", "Table");
    return encode_document(table, k ? k->type : nullptr, format);
  }
  if (transform != Transform::None) {
    d["apiVersion"] = "meta.k8s.io/" + std::string(transform_version);
    d["kind"] = "PartialObjectMetadata";
    const KindSchema* k = api::find_kind("meta.k8s.io", "v1", "PartialObjectMetadata");
    type = k ? k->type : nullptr;
  }
  return encode_document(d, type, format);
}

namespace {

class WatchWriter {
 public:
  WatchWriter(RequestContext* c, Negotiated n) : c_(c), n_(std::move(n)), served_(*c->served) {}

  // Appends the event's frame, made once for all watchers that read the same form.
  Status append(const WatchItem& o) {
    if (o.type == WatchType::Bookmark) {
      Result<std::string> object = bookmark_object(served_, o.revision, o.initial_end, n_.format, n_.transform, n_.transform_version);
      if (!object) return object.status();
      frame(buffer, "BOOKMARK", *object);
      return Status::ok();
    }
    bool shared = o.delivery && n_.transform != Transform::Table;
    std::uint32_t form = served_.id << 9 | static_cast<std::uint32_t>(n_.transform_version == "v1beta1") << 8 | static_cast<std::uint32_t>(o.type) << 5 | static_cast<std::uint32_t>(o.left) << 4 |
                         static_cast<std::uint32_t>(n_.format == Format::Cbor) << 3 | static_cast<std::uint32_t>(n_.transform) << 1 |
                         static_cast<std::uint32_t>(n_.format == Format::Protobuf);
    if (shared)
      for (const auto& f : o.delivery->frames)
        if (f.form == form) {
          buffer += *f.bytes;
          return Status::ok();
        }
    std::string object;
    Status s = append_body(object, o.object());
    if (!s) return s;
    if (!shared) {
      frame(buffer, type_name(o.type), object);
      return Status::ok();
    }
    std::string bytes;
    frame(bytes, type_name(o.type), object);
    buffer += bytes;
    o.delivery->frames.push_back({form, make_bytes(std::move(bytes))});
    return Status::ok();
  }
  void append_error(const Status& error) {
    Document d = status_document(error);
    const KindSchema* k = api::find_kind("", "v1", "Status");
    Result<std::string> object = encode_document(d, k ? k->type : nullptr, n_.format);
    if (object) frame(buffer, "ERROR", *object);
  }

  std::string buffer;

 private:
  Status append_body(std::string& out, const Bytes& object) {
    if (n_.transform == Transform::None) return append_object(out, served_, object, n_.format);
    if (n_.transform != Transform::Table) return append_partial_metadata(out, object, n_.format, n_.transform_version);
    bool columns = !std::exchange(told_columns_, true);  // told once
    std::string json;
    Status s = append_object_table(json, served_, object, c_->query.get("includeObject"), n_.transform_version, c_->core.clock().wall(), columns);
    if (!s || n_.format != Format::Cbor) {
      out += json;
      return s;
    }
    const KindSchema* k = api::find_kind("meta.k8s.io", "v1", "Table");
    out += apimachinery::kCborMagic;
    return apimachinery::append_cbor_from_json(out, json, k ? k->type : nullptr);
  }
  void frame(std::string& out, std::string_view type, std::string_view object) {
    if (n_.format == Format::Protobuf) apimachinery::append_protobuf_watch_event(out, type, object);
    else if (n_.format == Format::Cbor) apimachinery::append_cbor_watch_event(out, type, object);
    else apimachinery::append_json_watch_event(out, type, object);
  }

  RequestContext* c_;
  Negotiated n_;
  const Served& served_;
  bool told_columns_ = false;
};

constexpr std::size_t kProtobufLength = 4;
constexpr Duration kStandstill = 60s;  // of a client that takes nothing, as for any other answer

// Each event a message of its own: text, or binary and then without the length that divides a stream's events.
Handling send_events(WatchSource* source, WatchWriter* writer, net::WebSocket* socket, Format format) {
  std::size_t skipped = format == Format::Protobuf ? kProtobufLength : 0;
  for (;;) {
    Result<std::vector<WatchItem>> events = co_await source->next();
    if (events.is(Reason::Closed) || events.is(Reason::Cancelled)) co_return events.status();
    std::size_t n = events ? events->size() : 1;
    for (std::size_t i = 0; i < n; ++i) {
      writer->buffer.clear();
      if (events) {
        Status s = writer->append((*events)[i]);
        if (!s) co_return s;
      } else {
        writer->append_error(events.status());
      }
      Result<void> r = co_await socket->send(std::string_view(writer->buffer).substr(std::min(skipped, writer->buffer.size())), format != Format::Json);
      if (!r) co_return r;
    }
    if (!events) co_return Result<void>();
  }
}

// What the client sends means nothing; its end is the watch's.
async::Task<void> until_gone(net::WebSocket* socket, async::CancelScope* watch) {
  for (;;) {
    Result<net::WebSocket::Piece> piece = co_await socket->recv_piece();
    if (!piece) break;
  }
  watch->cancel();
}

Handling watch_by_websocket(RequestContext* c, WatchSource* source, WatchWriter* writer, Format format) {
  // Browsers want one of the protocols that they offer; a token's is none.
  std::vector<std::string> protocols;
  for (auto& p : c->request.headers.list("Sec-WebSocket-Protocol"))
    if (!starts_with(p, kBearerProtocol)) protocols.push_back(std::move(p));
  net::WebSocket::Options options;
  options.write_timeout = kStandstill;
  Result<net::WebSocketPtr> socket = co_await net::websocket_accept(c->request, c->writer, std::move(protocols), options);
  if (!socket) co_return socket.status();
  async::CancelScope scope(co_await async::current_scope());
  async::TaskGroup reader("watch's websocket", &scope);
  reader.spawn(until_gone(socket->get(), &scope));
  Handling sending = send_events(source, writer, socket->get(), format);
  sending.set_scope(&scope);
  Result<void> r = co_await std::move(sending);
  if (r || r.is(Reason::Closed)) r = co_await (*socket)->close();
  scope.cancel();
  co_await reader.join();
  co_return r;
}

}  // namespace

Handling handle_watch(RequestContext* c) {
  Result<Negotiated> n = negotiate_for(*c, true);
  if (!n) co_return n.status();
  Result<ListOptions> o = parse_list_options(*c);
  if (!o) co_return o.status();
  bool wants_initial = o->send_initial_events.value_or(false) && c->query.has("sendInitialEvents");
  Result<std::unique_ptr<WatchSource>> source = co_await WatchSource::open(c, std::move(*o));
  if (!source) co_return source.status();
  WatchWriter writer(c, *n);
  if (net::is_websocket_upgrade(c->request)) co_return co_await watch_by_websocket(c, source->get(), &writer, n->format);
  net::Headers headers = answer_headers(*c, n->content_type(true));
  // As upstream, only what begins with a list is worth it.
  bool compressed = wants_initial && accepts_gzip(*c);
  if (compressed) {
    headers.add("Content-Encoding", "gzip");
    headers.add("Vary", "Accept-Encoding");
  }
  Result<void> r = co_await c->writer.start(200, std::move(headers));
  if (!r) co_return r;
  r = co_await c->writer.flush();
  if (!r) co_return r;
  for (;;) {
    Result<std::vector<WatchItem>> events = co_await (*source)->next();
    if (!events) {
      if (events.is(Reason::Closed)) break;
      if (events.is(Reason::Cancelled)) co_return events.status();
      writer.append_error(events.status());
    } else {
      for (const auto& e : *events) {
        Status s = writer.append(e);
        if (!s) co_return s;
      }
    }
    // A member of its own each time, so that an idle watch holds no compressor.
    if (compressed) writer.buffer = gzip_part(writer.buffer);
    r = co_await c->writer.write(writer.buffer);
    writer.buffer.clear();
    if (!r) co_return r;
    r = co_await c->writer.flush();
    if (!r) co_return r;
    if (!events) break;
  }
  co_return co_await c->writer.finish();
}

}  // namespace onebin::apiserver
