// get and list.
#include "apiserver/errors.hpp"
#include "apiserver/handlers/handlers.hpp"
#include "apiserver/handlers/list_options.hpp"
#include "apiserver/json_indent.hpp"
#include "apiserver/table_rows.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/cbor.hpp>
#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {

namespace {

constexpr std::size_t kChunk = 64 * 1024;

// Until the cache is as fresh as `resourceVersion` asks: "" newest, "0" any, N not older.
Handling wait_fresh(RequestContext* c, std::string resource_version, std::int64_t revision) {
  if (resource_version.empty()) co_return co_await c->core.cacher.wait_current();
  if (revision > 0) co_return co_await c->core.cacher.wait_for(revision);
  co_return Result<void>();
}

}  // namespace

Handling handle_get(RequestContext* c) {
  std::string version(c->query.get("resourceVersion"));
  auto revision = apimachinery::parse_resource_version(version);
  if (!revision) co_return bad_request("Invalid value: " + apimachinery::go_quote(version) + ": strconv.ParseUint: invalid syntax");
  Result<void> fresh = co_await wait_fresh(c, version, static_cast<std::int64_t>(*revision));
  if (!fresh) co_return fresh;
  const CacheEntry* e = c->served->cache->find(c->info.ns, c->info.name);
  if (!e) co_return not_found(c->info.resource, c->info.name, c->info.group);
  co_return co_await send_stored(c, 200, c->served, e->object);
}

namespace {

struct Page {
  std::vector<Bytes> items;
  std::int64_t revision = 0;
  std::string continue_token;
  std::optional<std::int64_t> remaining;
};

std::string scope_of(const Filter& f) { return f.ns.empty() ? std::string() : f.ns + "/"; }

void finish_page(Page& page, const ListOptions& o, const std::string& last_key, bool more, std::int64_t remaining) {
  if (!more) return;
  page.continue_token = encode_continue({page.revision, last_key.substr(scope_of(o.filter).size())});
  if (!o.has_selectors) page.remaining = remaining;
}

Page page_from_cache(const WatchCache& cache, const ListOptions& o, std::string_view after, std::int64_t revision) {
  auto selection = cache.select(o.filter, after, static_cast<std::size_t>(o.limit));
  Page page;
  page.revision = revision;
  page.items.reserve(selection.items.size());
  for (auto& [key, object] : selection.items) page.items.push_back(std::move(object));
  if (!selection.items.empty()) finish_page(page, o, selection.items.back().first, selection.more, selection.remaining);
  return page;
}

// The state at an old revision, from storage.
async::Task<Result<Page>> page_from_storage(RequestContext* c, const ListOptions* o, std::string after, std::int64_t revision) {
  const WatchCache& cache = *c->served->cache;
  std::string prefix = cache.prefix() + scope_of(o->filter);
  std::string at = after.empty() ? std::string() : cache.prefix() + after;
  Page page;
  page.revision = revision;
  for (;;) {
    std::size_t wanted = o->limit ? static_cast<std::size_t>(o->limit) - page.items.size() : 1000;
    Result<storage::ListResult> r = co_await c->core.store.list(prefix, at, wanted, revision);
    if (!r) co_return r.status();
    std::string last;
    for (auto& kv : r->items) {
      last = kv.key.substr(cache.prefix().size());
      at = kv.key;
      if (!o->filter.matches_key(last)) continue;
      Bytes object = with_revision(*kv.value, kv.mod_revision);
      if (o->filter.needs_object() && !o->filter.matches_object(*object)) continue;
      page.items.push_back(std::move(object));
    }
    bool full = o->limit && page.items.size() >= static_cast<std::size_t>(o->limit);
    if (!r->more) break;
    if (full) {
      finish_page(page, *o, last, true, r->remaining);
      break;
    }
  }
  co_return Result<Page>(std::move(page));
}

struct Expired {
  std::string continue_token;
};

async::Task<Result<Page>> read_page(RequestContext* c, const ListOptions* o, Expired* expired) {
  Cacher& cacher = c->core.cacher;
  const WatchCache& cache = *c->served->cache;
  if (!o->continue_token.empty()) {
    Result<Continue> from = decode_continue(o->continue_token);
    if (!from) co_return from.status();
    if (!o->resource_version.empty() && o->resource_version != "0")
      co_return bad_request("specifying resource version is not allowed when using continue");
    std::string after = scope_of(o->filter) + from->start;
    Result<void> fresh = co_await cacher.wait_current();
    if (!fresh) co_return fresh.status();
    if (from->revision < 0) co_return page_from_cache(cache, *o, after, cacher.applied());
    if (from->revision <= cacher.applied() && cache.last_change() <= from->revision) co_return page_from_cache(cache, *o, after, from->revision);
    Result<Page> page = co_await page_from_storage(c, o, after, from->revision);
    if (page.is(Reason::Expired)) {
      expired->continue_token = encode_continue({-1, from->start});
      co_return resource_expired(
          "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
          "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided "
          "token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was "
          "returned and now may show up in the list.");
    }
    co_return page;
  }
  bool exact = o->match == "Exact" || (o->match.empty() && o->limit > 0 && o->revision > 0);
  if (exact) {
    Result<void> fresh = co_await cacher.wait_for(o->revision);
    if (!fresh) co_return fresh.status();
    if (cache.last_change() <= o->revision) co_return page_from_cache(cache, *o, {}, o->revision);
    Result<Page> page = co_await page_from_storage(c, o, {}, o->revision);
    if (page.is(Reason::Expired)) co_return resource_expired("The resourceVersion for the provided list is too old.");
    co_return page;
  }
  Result<void> fresh = co_await wait_fresh(c, o->resource_version, o->revision);
  if (!fresh) co_return fresh.status();
  if (o->resource_version == "0" && o->limit) {
    ListOptions whole = *o;  // any state will do, and the cache has all of it
    whole.limit = 0;
    co_return page_from_cache(cache, whole, {}, cacher.applied());
  }
  co_return page_from_cache(cache, *o, {}, cacher.applied());
}

apimachinery::ListMetaFields meta_of(const Page& page, const std::string& revision) {
  return {.resource_version = revision, .continue_token = page.continue_token, .remaining_item_count = page.remaining};
}

// ---- writers, one a form

class ListWriter {
 public:
  ListWriter(RequestContext* c, const Page& page, const Negotiated& n)
      : c_(c), page_(page), n_(n), revision_(std::to_string(page.revision)), sink_(c) {}

  Handling run() {
    Result<void> r = co_await sink_.start(200, answer_headers(*c_, n_.content_type()));
    if (!r) co_return r;
    if (n_.transform == Transform::Table) r = co_await table();
    else if (n_.format == Format::Protobuf) r = co_await protobuf();
    else if (n_.format == Format::Cbor) r = co_await cbor();
    else r = co_await json();
    if (!r) co_return r;
    co_return co_await sink_.finish();
  }

 private:
  bool partial() const { return n_.transform == Transform::PartialMetadataList || n_.transform == Transform::PartialMetadata; }
  std::string api_version() const { return partial() ? "meta.k8s.io/" + n_.transform_version : c_->served->api_version; }
  std::string kind() const { return partial() ? "PartialObjectMetadataList" : std::string(c_->served->kind->list_kind); }

  Handling flush(bool all) {
    if (buffer_.empty() || (!all && buffer_.size() < kChunk)) co_return Result<void>();
    Result<void> r = co_await sink_.write(buffer_);
    buffer_.clear();
    co_return r;
  }

  // An item of a list has no apiVersion and kind of its own, but for custom resources and metadata.
  Status append_item_json(const Bytes& item) {
    const Served& s = *c_->served;
    if (partial()) return append_partial_metadata(buffer_, item, Format::Json, n_.transform_version);
    if (s.json_stored) return append_object(buffer_, s, item, Format::Json);
    if (s.converts()) {
      Result<Document> d = decode_stored(s, item);
      if (!d) return d.status();
      d->erase("kind");
      d->erase("apiVersion");
      apimachinery::append_json(buffer_, *d, s.kind->type);
      return Status::ok();
    }
    auto envelope = apimachinery::open_envelope(*item);
    if (!envelope) return envelope.status();
    return apimachinery::append_json_from_message(buffer_, envelope->raw, *s.kind->type, {});
  }

  // What was appended to buffer_ from `from` on, in the form for people where that is asked for.
  void indent(std::size_t from) {
    if (!n_.pretty) return;
    std::string compact = buffer_.substr(from);
    buffer_.resize(from);
    indenter_.append(buffer_, compact);
  }

  Handling json() {
    buffer_ = apimachinery::json_list_head(api_version(), kind(), meta_of(page_, revision_));
    bool yaml = n_.format == Format::Yaml;
    if (!yaml) indent(0);
    bool first = true;
    for (const auto& item : page_.items) {
      std::size_t from = buffer_.size();
      if (!first) buffer_.push_back(',');
      first = false;
      Status s = append_item_json(item);
      if (!s) co_return s;
      if (yaml) continue;
      indent(from);
      if (buffer_.size() < kChunk) continue;
      Result<void> r = co_await flush(false);
      if (!r) co_return r;
    }
    std::size_t from = buffer_.size();
    buffer_ += "]}";
    if (yaml) buffer_ = apimachinery::encode_yaml(Document::parse(buffer_, nullptr, false), nullptr);
    else if (n_.pretty) indent(from);
    else buffer_.push_back('\n');
    co_return co_await flush(true);
  }

  Handling cbor() {
    static const KindSchema* metadata = api::find_kind("meta.k8s.io", "v1", "PartialObjectMetadata");
    const apimachinery::TypeSchema* type = partial() ? metadata ? metadata->type : nullptr : c_->served->kind->type;
    buffer_ = apimachinery::cbor_list_head(kind(), page_.items.size());
    for (const auto& item : page_.items) {
      std::size_t at = buffer_.size();
      Status s = append_item_json(item);
      std::string json = buffer_.substr(at);
      buffer_.resize(at);
      if (s) s = apimachinery::append_cbor_from_json(buffer_, json, type);
      if (!s) co_return s;
      if (buffer_.size() < kChunk) continue;
      Result<void> r = co_await flush(false);
      if (!r) co_return r;
    }
    buffer_ += apimachinery::cbor_list_tail(api_version(), meta_of(page_, revision_));
    co_return co_await flush(true);
  }

  Result<std::string> item_message(const Bytes& item) {
    const Served& s = *c_->served;
    std::string with_envelope;
    Status st = partial() ? append_partial_metadata(with_envelope, item, Format::Protobuf, n_.transform_version)
                          : append_object(with_envelope, s, item, Format::Protobuf);
    if (!st) return st;
    auto envelope = apimachinery::open_envelope(with_envelope);
    if (!envelope) return envelope.status();
    return std::string(envelope->raw);
  }

  // The length of all goes before the items. Items that are stored in another form are made twice, to be measured and to be
  // sent, rather than kept: a list is never whole in memory.
  Handling protobuf() {
    const Served& s = *c_->served;
    bool direct = !partial() && !s.converts() && !s.json_stored;
    std::string meta;
    apimachinery::append_protobuf_list_meta(meta, meta_of(page_, revision_));
    std::size_t total = meta.size();
    for (const auto& item : page_.items) {
      std::size_t size = 0;
      if (direct) {
        auto envelope = apimachinery::open_envelope(*item);
        if (!envelope) co_return envelope.status();
        size = envelope->raw.size();
      } else {
        Result<std::string> m = item_message(item);
        if (!m) co_return m.status();
        size = m->size();
      }
      total += 1 + varint_size(size) + size;
    }
    // runtime.Unknown, its raw field's length told before the items follow.
    std::string type_meta;
    apimachinery::append_bytes_field(type_meta, 1, api_version());
    apimachinery::append_bytes_field(type_meta, 2, kind());
    buffer_.assign(apimachinery::kProtobufMagic);
    apimachinery::append_bytes_field(buffer_, 1, type_meta);
    buffer_.push_back('\x12');
    apimachinery::append_varint(buffer_, total);
    buffer_ += meta;
    for (const auto& item : page_.items) {
      if (direct) {
        apimachinery::append_protobuf_list_item(buffer_, apimachinery::open_envelope(*item)->raw);
      } else {
        Result<std::string> m = item_message(item);
        if (!m) co_return m.status();
        apimachinery::append_protobuf_list_item(buffer_, *m);
      }
      if (buffer_.size() < kChunk) continue;
      Result<void> r = co_await flush(false);
      if (!r) co_return r;
    }
    buffer_.append("\x1a\x00\x22\x00", 4);
    co_return co_await flush(true);
  }
  static std::size_t varint_size(std::size_t v) {
    std::size_t n = 1;
    while (v >= 128) { v >>= 7; ++n; }
    return n;
  }

  Handling table() {
    const bool cbor = n_.format == Format::Cbor;  // has no form of a table that can be written piece by piece
    std::string include(c_->query.get("includeObject"));
    apimachinery::TableList list;
    list.resource_version = revision_;
    list.continue_token = page_.continue_token;
    list.remaining_item_count = page_.remaining ? *page_.remaining : -1;
    Result<std::string> head = table_head(*c_->served, list, n_.transform_version, true);
    if (!head) co_return head.status();
    buffer_ = std::move(*head);
    bool first = true;
    for (const auto& item : page_.items) {
      if (!first) buffer_.push_back(',');
      first = false;
      Status s = append_table_row(buffer_, *c_->served, item, include, n_.transform_version, c_->now);
      if (!s) co_return s;
      if (cbor || buffer_.size() < kChunk) continue;
      Result<void> r = co_await flush(false);
      if (!r) co_return r;
    }
    if (cbor) {
      static const KindSchema* kind = api::find_kind("meta.k8s.io", "v1", "Table");
      std::string json = buffer_ + "]}";
      buffer_.assign(apimachinery::kCborMagic);
      Status s = apimachinery::append_cbor_from_json(buffer_, json, kind ? kind->type : nullptr);
      if (!s) co_return s;
    } else {
      buffer_ += "]}\n";
    }
    co_return co_await flush(true);
  }

  RequestContext* c_;
  const Page& page_;
  const Negotiated& n_;
  std::string revision_;
  BodySink sink_;
  JsonIndenter indenter_;
  std::string buffer_;
};

}  // namespace

Handling handle_list(RequestContext* c) {
  Result<Negotiated> n = negotiate_for(*c);
  if (!n) co_return n.status();
  Result<ListOptions> o = parse_list_options(*c);
  if (!o) co_return o.status();
  Expired expired;
  Result<Page> page = co_await read_page(c, &*o, &expired);
  if (!page) {
    if (expired.continue_token.empty()) co_return page.status();
    co_await send_status(c, page.status(), expired.continue_token);
    co_return Result<void>();
  }
  ListWriter writer(c, *page, *n);
  co_return co_await writer.run();
}

}  // namespace onebin::apiserver
