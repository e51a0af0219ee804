#include <onebin/api/codec.hpp>
#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/assert.hpp>

namespace onebin::api::detail {

using namespace apimachinery;

namespace {

std::string api_version_of(const StructInfo& info) {
  return info.group.empty() ? std::string(info.version) : std::string(info.group) + "/" + std::string(info.version);
}

// kind and apiVersion, the first two members of every object.
std::string& type_member(void* object, const StructInfo& info, std::size_t i) {
  return *reinterpret_cast<std::string*>(static_cast<char*>(object) + info.members[i].offset);
}
std::string kind_of(const void* object, const StructInfo& info) {
  if (!info.schema->has_type_meta) return {};
  const std::string& kind = type_member(const_cast<void*>(object), info, 0);
  return kind.empty() ? std::string(info.kind) : kind;
}
std::string version_of(const void* object, const StructInfo& info) {
  if (!info.schema->has_type_meta) return {};
  const std::string& version = type_member(const_cast<void*>(object), info, 1);
  return version.empty() ? api_version_of(info) : version;
}

}  // namespace

std::string to_message(const void* object, const StructInfo& info) { return encode_struct(object, info); }

std::string to_protobuf(const void* object, const StructInfo& info) {
  ONEBIN_ASSERT(info.schema->has_type_meta);
  return make_envelope(version_of(object, info), kind_of(object, info), encode_struct(object, info));
}

std::string to_json(const void* object, const StructInfo& info) {
  std::string kind = kind_of(object, info), version = version_of(object, info), out;
  TranscodeOptions options;
  options.kind = kind;
  options.api_version = version;
  // What fails here is JSON text in a RawExtension member that is none.
  if (!append_json_from_message(out, encode_struct(object, info), *info.schema, options)) return "null";
  return out;
}

void to_document(const void* object, const StructInfo& info, nlohmann::json& out) {
  auto decoded = decode_message(encode_struct(object, info), *info.schema);
  out = decoded ? std::move(*decoded) : Document();
  if (!info.schema->has_type_meta || !out.is_object()) return;
  out["kind"] = kind_of(object, info);
  out["apiVersion"] = version_of(object, info);
}

Status from_message(std::string_view bytes, void* object, const StructInfo& info) { return decode_struct(bytes, object, info); }

Status from_protobuf(std::string_view bytes, void* object, const StructInfo& info) {
  ONEBIN_ASSERT(info.schema->has_type_meta);
  ASSIGN_OR_RETURN(Envelope envelope, open_envelope(bytes));
  RETURN_IF_ERROR(decode_struct(envelope.raw, object, info));
  type_member(object, info, 0) = envelope.kind;
  type_member(object, info, 1) = envelope.api_version;
  return {};
}

Status from_document(const nlohmann::json& document, void* object, const StructInfo& info) {
  Document copy = document;
  RETURN_IF_ERROR(conform(copy, *info.schema));
  ASSIGN_OR_RETURN(std::string message, encode_message(copy, *info.schema));
  RETURN_IF_ERROR(decode_struct(message, object, info));
  if (info.schema->has_type_meta) {
    type_member(object, info, 0) = string_at(copy, "kind");
    type_member(object, info, 1) = string_at(copy, "apiVersion");
  }
  return {};
}

Status from_json(std::string_view text, void* object, const StructInfo& info) {
  ASSIGN_OR_RETURN(Document document, decode_json(text, info.schema));
  ASSIGN_OR_RETURN(std::string message, encode_message(document, *info.schema));
  RETURN_IF_ERROR(decode_struct(message, object, info));
  if (info.schema->has_type_meta) {
    type_member(object, info, 0) = string_at(document, "kind");
    type_member(object, info, 1) = string_at(document, "apiVersion");
  }
  return {};
}

const KindSchema& resource_of(const StructInfo& info) {
  const KindSchema* kind = find_kind(info.group, info.version, info.kind);
  ONEBIN_ASSERT(kind != nullptr);
  return *kind;
}

}  // namespace onebin::api::detail
