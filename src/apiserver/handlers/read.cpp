// get and list.
#include "apiserver/crd/conversion.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/handlers/handlers.hpp"
#include "apiserver/handlers/list_page.hpp"
#include "apiserver/json_indent.hpp"
#include "apiserver/table_rows.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/cbor.hpp>
#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {

Handling handle_get(RequestContext* c) {
  if (Result<Negotiated> n = negotiate_for(*c); !n) co_return n.status();
  std::string version(c->query.get("resourceVersion"));
  auto revision = apimachinery::parse_resource_version(version);
  if (!revision) co_return Status(Reason::Unknown, resource_version_error(version));  // as upstream, which makes no API error of it
  Result<void> fresh = co_await wait_fresh(c, version, static_cast<std::int64_t>(*revision));
  if (!fresh) co_return fresh;
  const CacheEntry* e = c->served->cache->find(c->info.ns, c->info.name);
  if (!e) co_return not_found(c->info.resource, c->info.name, c->info.group);
  std::vector<Bytes> object{e->object};
  Result<void> converted = co_await convert_stored(&c->core, c->served, &object);
  if (!converted) co_return converted;
  co_return co_await send_stored(c, 200, c->served, object.front());
}

namespace {

constexpr std::size_t kChunk = 64 * 1024;

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
  std::string go_on;
  Result<Page> page = co_await read_page(c, &*o, &go_on);
  if (!page) {
    if (go_on.empty()) co_return page.status();
    co_await send_status(c, page.status(), go_on);
    co_return Result<void>();
  }
  if (n->transform == Transform::PartialMetadata) co_return wrong_form(*c->served, *n);
  ListWriter writer(c, *page, *n);
  co_return co_await writer.run();
}

}  // namespace onebin::apiserver
