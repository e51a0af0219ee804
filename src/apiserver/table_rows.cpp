#include "apiserver/table_rows.hpp"

#include "apiserver/errors.hpp"
#include "apiserver/registry/print.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {
namespace {

// What the printer needs of a stored object.
Result<Document> decode_printed(const Served& served, const Bytes& stored) {
  if (served.converts() || served.json_stored) return decode_stored(served, stored);
  Result<apimachinery::Envelope> envelope = apimachinery::open_envelope(*stored);
  if (!envelope) return envelope.status();
  return apimachinery::decode_masked(envelope->raw, *served.kind->type, printed_fields(*served.kind));
}

std::string revision_of(const Bytes& stored) {
  if (is_protobuf(*stored)) return std::string(ObjectView(*stored).meta_string(meta_field::kResourceVersion));
  return std::string(apimachinery::resource_version_of(Document::parse(*stored, nullptr, false)));
}

}  // namespace

Result<std::string> table_head(const Served& served, const apimachinery::TableList& list, std::string_view version, bool columns) {
  static const KindSchema* kind = api::find_kind("meta.k8s.io", "v1", "Table");
  Document table = table_of(served, {}, {}, list, version, {});
  if (!columns) table["columnDefinitions"] = nullptr;
  std::string text = apimachinery::encode_json(table, kind ? kind->type : nullptr);
  constexpr std::string_view kEnd = "\"rows\":[]}";
  if (!ends_with(text, kEnd)) return internal_error("a table's rows do not come last");
  text.resize(text.size() - 2);
  return text;
}

Status append_table_row(std::string& out, const Served& served, const Bytes& stored, std::string_view include_object, std::string_view version,
                        WallTime now) {
  Result<Document> d = decode_printed(served, stored);
  if (!d) return d.status();
  out += "{\"cells\":";
  apimachinery::append_json(out, served.strategy->cells(*d, now), nullptr);
  out += ",\"object\":";
  Status s;
  if (include_object == "None") out += "null";
  else if (include_object == "Object") s = append_object(out, served, stored, Format::Json);
  else s = append_partial_metadata(out, stored, Format::Json, version);
  out.push_back('}');
  return s;
}

Status append_object_table(std::string& out, const Served& served, const Bytes& stored, std::string_view include_object, std::string_view version,
                           WallTime now, bool columns) {
  apimachinery::TableList list;
  list.resource_version = revision_of(stored);
  Result<std::string> head = table_head(served, list, version, columns);
  if (!head) return head.status();
  out += *head;
  Status s = append_table_row(out, served, stored, include_object, version, now);
  out += "]}";
  return s;
}

}  // namespace onebin::apiserver
