#include "apiserver/respond.hpp"

#include "apiserver/audit/event.hpp"
#include "apiserver/cache/stored_json.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/json_indent.hpp"
#include "apiserver/packed.hpp"
#include "apiserver/registry/print.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/cbor.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/custom_schema.hpp>
#include <onebin/apimachinery/meta.hpp>

#include <algorithm>
#include <zlib.h>

namespace onebin::apiserver {

using apimachinery::TypeSchema;

Result<Negotiated> negotiate_for(const RequestContext& c, bool watch) {
  // Custom resources have no protobuf form; what stands for them (metadata, a Scale, a Status) has.
  bool no_protobuf = c.served && c.served->json_stored && c.info.subresource != "scale";
  // Rows are made of what is stored, its status and its scale; a review or another action has none.
  std::string_view sub = c.info.subresource;
  bool no_table = c.served && ((!sub.empty() && sub != "status" && sub != "scale") || (!c.served->cache && c.served->kind->kind != "ComponentStatus"));
  return negotiate(c.request.headers.get("Accept"), c.user_agent, c.query, watch, c.core.options.cbor, no_protobuf, no_table);
}

Status check_accept(const RequestContext& c, RouteForms forms) {
  if (routes_accept(c.request.headers.get("Accept"), c.core.options.cbor, forms == RouteForms::Json)) return Status::ok();
  std::string types = "application/json";
  if (forms != RouteForms::Json) types += ", application/yaml, application/vnd.kubernetes.protobuf";
  if (forms == RouteForms::Streams) types += ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
  return Status(Reason::NotAcceptable, "406: Not Acceptable\n\nAvailable representations: " + types);
}

namespace {
// RFC 7234 warn-text: a quoted string.
std::string warning_value(std::string_view text) {
  std::string out = "299 - \"";
  for (char ch : text) {
    if (ch == '"' || ch == '\\') out.push_back('\\');
    if (static_cast<unsigned char>(ch) < 0x20) continue;
    out.push_back(ch);
  }
  return out + "\"";
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char ch) { return (static_cast<unsigned char>(ch) & 0xC0) != 0x80; }));
}
std::string_view first_characters(std::string_view text, std::size_t n) {
  std::size_t i = 0;
  for (; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80 && n-- == 0) break;
  return text.substr(0, i);
}

// Each once; where they are too long together, each is cut.
void add_warnings(net::Headers& h, const std::vector<std::string>& warnings) {
  constexpr std::size_t kMaxTotal = 4 * 1024, kMaxCut = 256;
  std::vector<std::string_view> once;
  std::size_t total = 0;
  for (const auto& w : warnings) {
    if (w.empty() || std::find(once.begin(), once.end(), w) != once.end()) continue;
    once.emplace_back(w);
    total += characters(w);
  }
  bool cut = total > kMaxTotal;
  total = 0;
  for (std::string_view w : once) {
    if (cut && total >= kMaxTotal) return;
    if (cut) w = first_characters(w, kMaxCut);
    total += characters(w);
    h.add("Warning", warning_value(w));
  }
}

const TypeSchema* meta_type(std::string_view kind) {
  const KindSchema* k = api::find_kind("meta.k8s.io", "v1", kind);
  return k ? k->type : nullptr;
}
const TypeSchema* status_type() {
  static const KindSchema* k = api::find_kind("", "v1", "Status");
  return k ? k->type : nullptr;
}
}  // namespace

net::Headers answer_headers(const RequestContext& c, std::string content_type) {
  net::Headers h;
  if (!c.audit_id.empty()) h.add("Audit-Id", c.audit_id);
  h.add("Cache-Control", "no-cache, private");
  h.add("Content-Type", std::move(content_type));
  add_warnings(h, c.warnings);
  return h;
}

bool accepts_gzip(const RequestContext& c) {
  if (c.audit && c.audit->wants_response()) return false;  // it reads what goes by
  for (const auto& part : c.request.headers.list("Accept-Encoding"))
    if (part == "gzip") return true;  // upstream knows no weights
  return false;
}

std::string gzip(std::string_view data) { return gzip_at(1, data); }

namespace {
// A gzip member that holds `data` as it is.
std::string gzip_stored(std::string_view data) {
  std::string out("\x1f\x8b\x08\0\0\0\0\0\4\xff", 10);
  auto little = [&out](std::uint64_t v, int bytes) {
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(v >> 8 * i));
  };
  std::string_view rest = data;
  do {
    std::string_view block = rest.substr(0, 65535);
    rest.remove_prefix(block.size());
    out.push_back(0);
    little(block.size(), 2);
    little(~block.size(), 2);
    out += block;
  } while (!rest.empty());
  // An empty block makes a reader hand over what it has; the last block alone makes Go's wait for the next member first.
  out.append("\0\0\0\xff\xff\1\0\0\xff\xff", 10);
  little(crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size()), 4);
  little(data.size(), 4);
  return out;
}
constexpr std::size_t kWorthCompressing = 16 * 1024;
}  // namespace

std::string gzip_part(std::string_view data) {
  if (data.size() < kWorthCompressing) return gzip_stored(data);
  z_stream z{};
  if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::string out(deflateBound(&z, static_cast<uLong>(data.size())) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  z.avail_in = static_cast<uInt>(data.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_SYNC_FLUSH);
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

struct BodySink::Deflater {
  z_stream z{};
  std::string buffer = std::string(32 * 1024, '\0');
  ~Deflater() { deflateEnd(&z); }
};

BodySink::BodySink(RequestContext* c) : c_(c) {}
BodySink::~BodySink() = default;

Handling BodySink::start(int code, net::Headers headers) {
  code_ = code;
  headers_ = std::move(headers);
  if (!accepts_gzip(*c_)) co_return co_await decide(false);
  co_return Result<void>();
}

Handling BodySink::decide(bool compress) {
  decided_ = true;
  if (compress) {
    deflater_ = std::make_unique<Deflater>();
    if (deflateInit2(&deflater_->z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) deflater_.reset();
  }
  if (deflater_) {
    headers_.add("Content-Encoding", "gzip");
    headers_.add("Vary", "Accept-Encoding");
  }
  Result<void> r = co_await c_->writer.start(code_, std::move(headers_));
  if (!r || held_.empty()) co_return r;
  std::string held = std::move(held_);
  held_ = std::string();
  co_return co_await put(held);
}

Handling BodySink::write(std::string_view chunk) {
  if (decided_) co_return co_await put(chunk);
  held_ += chunk;
  if (held_.size() > kGzipThreshold) co_return co_await decide(true);
  co_return Result<void>();
}

Handling BodySink::put(std::string_view chunk) {
  if (!deflater_) co_return co_await c_->writer.write(chunk);
  z_stream& z = deflater_->z;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(chunk.data()));
  z.avail_in = static_cast<uInt>(chunk.size());
  while (z.avail_in > 0) {
    z.next_out = reinterpret_cast<Bytef*>(deflater_->buffer.data());
    z.avail_out = static_cast<uInt>(deflater_->buffer.size());
    deflate(&z, Z_NO_FLUSH);
    std::size_t n = deflater_->buffer.size() - z.avail_out;
    if (n == 0) continue;
    Result<void> r = co_await c_->writer.write(std::string_view(deflater_->buffer).substr(0, n));
    if (!r) co_return r;
  }
  co_return Result<void>();
}

Handling BodySink::finish() {
  if (!decided_) {
    Result<void> r = co_await decide(false);
    if (!r) co_return r;
  }
  if (deflater_) {
    z_stream& z = deflater_->z;
    int state = Z_OK;
    while (state == Z_OK) {
      z.next_out = reinterpret_cast<Bytef*>(deflater_->buffer.data());
      z.avail_out = static_cast<uInt>(deflater_->buffer.size());
      state = deflate(&z, Z_FINISH);
      std::size_t n = deflater_->buffer.size() - z.avail_out;
      Result<void> r = co_await c_->writer.write(std::string_view(deflater_->buffer).substr(0, n));
      if (!r) co_return r;
    }
  }
  co_return co_await c_->writer.finish();
}

std::string indent_json(std::string_view in) {
  std::string out;
  out.reserve(in.size() * 3 / 2);
  JsonIndenter().append(out, in);
  return out;
}

Result<std::string> encode_document(const Document& document, const TypeSchema* type, Format format) {
  if (format == Format::Protobuf) {
    if (!type || apimachinery::is_custom(*type)) return Status(Reason::NotAcceptable, "the object has no protobuf form");
    return apimachinery::encode_protobuf(document, *type);
  }
  if (format == Format::Cbor) return apimachinery::encode_cbor(document, type);
  if (format == Format::Yaml) return apimachinery::encode_yaml(document, type);
  return apimachinery::encode_json(document, type);
}

Result<Document> decode_stored(const Served& served, const Bytes& stored) {
  Result<Document> d = served.json_stored ? apimachinery::decode_json(*stored, nullptr)
                                          : apimachinery::decode_protobuf(*stored, *served.storage_kind->type);
  if (!d) return d.status();
  if (!served.converts()) return d;
  return served.from_storage(*d);
}

Status append_object(std::string& out, const Served& served, const Bytes& stored, Format format) {
  if (served.converts() || served.json_stored || format == Format::Yaml || format == Format::Cbor) {
    if (served.json_stored && !served.converts() && format == Format::Json) {
      out += *stored;
      return Status::ok();
    }
    Result<Document> d = decode_stored(served, stored);
    if (!d) return d.status();
    Result<std::string> text = encode_document(*d, served.kind->type, format);
    if (!text) return text.status();
    out += *text;
    return Status::ok();
  }
  if (format == Format::Protobuf) {
    out += *stored;
    return Status::ok();
  }
  auto envelope = apimachinery::open_envelope(*stored);
  if (!envelope) return envelope.status();
  return apimachinery::append_json_from_message(out, envelope->raw, *served.kind->type,
                                                {.api_version = served.api_version, .kind = served.kind->kind, .resource_version = {}});
}

Status append_partial_metadata(std::string& out, const Bytes& stored, Format format, std::string_view version) {
  std::string api_version = "meta.k8s.io/" + std::string(version);
  if (!is_protobuf(*stored)) {
    Document p = {{"kind", "PartialObjectMetadata"}, {"apiVersion", api_version}, {"metadata", Document::parse(json_member(*stored, "metadata"), nullptr, false)}};
    Result<std::string> text = encode_document(p, meta_type("PartialObjectMetadata"), format);
    if (!text) return text.status();
    out += *text;
    return Status::ok();
  }
  ObjectView view(*stored);
  std::string message;
  apimachinery::append_bytes_field(message, 1, view.meta());
  if (format == Format::Protobuf) {
    out += apimachinery::make_envelope(api_version, "PartialObjectMetadata", message);
    return Status::ok();
  }
  const TypeSchema* type = meta_type("PartialObjectMetadata");
  if (!type) return internal_error("there is no schema of PartialObjectMetadata");
  std::string json;
  Status s = apimachinery::append_json_from_message(json, message, *type,
                                                    {.api_version = api_version, .kind = "PartialObjectMetadata", .resource_version = {}});
  if (!s) return s;
  if (format == Format::Cbor) {
    out += apimachinery::kCborMagic;
    return apimachinery::append_cbor_from_json(out, json, type);
  }
  if (format == Format::Yaml) {
    Document d = Document::parse(json, nullptr, false);
    json = apimachinery::encode_yaml(d, type);
  }
  out += json;
  return Status::ok();
}

namespace {
template <class Cells>
Document make_table(const std::vector<apimachinery::TableColumn>& columns, Cells cells, const std::vector<const Document*>& objects, const TypeSchema* type, std::string_view include_object,
                    const apimachinery::TableList& list, std::string_view version) {
  auto include = include_object == "None"     ? apimachinery::IncludeObject::None
                 : include_object == "Object" ? apimachinery::IncludeObject::Object
                                              : apimachinery::IncludeObject::Metadata;
  std::vector<apimachinery::TableRow> rows;
  std::vector<Document> written;  // a Table's encoding knows no type of the objects in it: they are put in as they are written
  rows.reserve(objects.size());
  written.reserve(objects.size());
  for (const Document* o : objects) {
    apimachinery::TableRow row;
    row.cells = cells(*o);
    row.object = o;
    if (include == apimachinery::IncludeObject::Object) {
      written.push_back(Document::parse(apimachinery::encode_json(*o, type), nullptr, false));
      row.object = &written.back();
    }
    rows.push_back(std::move(row));
  }
  return apimachinery::make_table(columns, rows, include, list, "meta.k8s.io/" + std::string(version));
}

// Of what is no resource of its own: a Scale, a TokenRequest.
Document table_of_other(const RequestContext& c, const Document& object, const TypeSchema* type, const apimachinery::TableList& list, std::string_view version) {
  std::string_view api_version = apimachinery::api_version_of(object);
  std::size_t slash = api_version.find('/');
  const Printer* printer = find_printer(slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash), apimachinery::kind_of(object));
  auto cells = [&](const Document& o) { return printer ? printer->cells(o, c.now) : apimachinery::default_table_cells(o); };
  return make_table(printer ? printer->columns : apimachinery::default_table_columns(), cells, {&object}, type, c.query.get("includeObject"), list, version);
}
}  // namespace

Document table_of(const Served& served, const std::vector<const Document*>& objects, std::string_view include_object,
                  const apimachinery::TableList& list, std::string_view version, WallTime now) {
  auto cells = [&](const Document& o) { return served.strategy->cells(o, now); };
  return make_table(served.strategy->columns(), cells, objects, served.kind->type, include_object, list, version);
}

Handling send_text(RequestContext* c, int code, std::string content_type, std::string body) {
  net::Headers h = answer_headers(*c, std::move(content_type));
  if (compresses(*c, body.size())) {
    body = gzip(body);
    h.add("Content-Encoding", "gzip");
    h.add("Vary", "Accept-Encoding");
  }
  co_return co_await c->writer.send(code, std::move(h), body);
}

Handling send_json(RequestContext* c, int code, std::string body) {
  body.push_back('\n');
  return send_text(c, code, "application/json", std::move(body));
}

namespace {
std::string finish_text(std::string text, const Negotiated& n) {
  if (n.format != Format::Json) return text;
  if (n.pretty) text = indent_json(text);
  else text.push_back('\n');
  return text;
}
}  // namespace

Status wrong_form(const Served& served, const Negotiated& asked) {
  bool list = asked.transform == Transform::PartialMetadata;
  std::string_view group = served.kind->group;
  std::string type = "core.";
  if (served.custom) type = "unstructured.Unstructured";
  else if (!group.empty() && group != "events.k8s.io") type = std::string(group.substr(0, group.find('.'))) + ".";
  if (!served.custom) type += served.kind->kind;
  if (list) type += "List";
  return Status(Reason::NotAcceptable, std::string("you requested PartialObjectMetadata") + (list ? ", but the requested object is a list (*" : "List, but the requested object is not a list (*") + type + ")");
}

Handling send_stored(RequestContext* c, int code, const Served* served, Bytes stored) {
  Result<Negotiated> n = negotiate_for(*c);
  if (!n) co_return n.status();
  std::string body;
  Status s;
  if (n->transform == Transform::None) {
    s = append_object(body, *served, stored, n->format);
  } else if (n->transform == Transform::PartialMetadata) {
    s = append_partial_metadata(body, stored, n->format, n->transform_version);
  } else {
    Result<Document> d = decode_stored(*served, stored);
    if (!d) co_return d.status();
    co_return co_await send_document(c, code, std::move(*d), served->kind->type, served);
  }
  if (!s) co_return s;
  co_return co_await send_text(c, code, n->content_type(), finish_text(std::move(body), *n));
}

Handling send_document(RequestContext* c, int code, Document document, const TypeSchema* type, const Served* served) {
  Result<Negotiated> n = negotiate_for(*c);
  if (!n) co_return n.status();
  bool is_status = apimachinery::kind_of(document) == "Status";
  if (n->transform == Transform::Table && !is_status) {
    apimachinery::TableList list;
    list.resource_version = apimachinery::resource_version_of(document);
    Document table;
    if (served) table = table_of(*served, {&document}, c->query.get("includeObject"), list, n->transform_version, c->now);
    else table = table_of_other(*c, document, type, list, n->transform_version);
    Result<std::string> text = encode_document(table, meta_type("Table"), n->format);
    if (!text) co_return text.status();
    co_return co_await send_text(c, code, n->content_type(), finish_text(std::move(*text), *n));
  }
  if (n->transform == Transform::PartialMetadata && !is_status) {
    document = apimachinery::partial_object_metadata(document, "meta.k8s.io/" + n->transform_version);
    type = meta_type("PartialObjectMetadata");
  } else if (n->transform == Transform::PartialMetadataList && !is_status) {
    if (served) co_return wrong_form(*served, *n);
    co_return Status(Reason::NotAcceptable, "you requested PartialObjectMetadataList, but the requested object is not a list");
  }
  Result<std::string> text = encode_document(document, type, n->format);
  if (!text) co_return text.status();
  co_return co_await send_text(c, code, n->content_type(), finish_text(std::move(*text), *n));
}

async::Task<void> send_status(RequestContext* c, Status status, std::string continue_token) {
  if (c->writer.started()) co_return;
  Result<Negotiated> n = negotiate_for(*c);
  if (!n) {
    n = Negotiated{};
    n->pretty = true;
  }
  Document d = status_document(status, continue_token);
  if (!c->other_reason.empty() && status.is(Reason::Unknown)) d["reason"] = c->other_reason;
  Result<std::string> text = encode_document(d, status_type(), n->format);
  if (!text) text = d.dump();
  net::Headers h = answer_headers(*c, n->content_type());
  if (int seconds = status.details().retry_after_seconds) h.add("Retry-After", std::to_string(seconds));
  if (status.is(Reason::Unauthorized)) h.add("Www-Authenticate", "Basic realm=\"kubernetes-master\"");
  std::string body = finish_text(std::move(*text), *n);
  Result<void> sent = co_await c->writer.send(status.code(), std::move(h), body);
  (void)sent;
}

}  // namespace onebin::apiserver
