// The frames around messages: the envelope, lists, watch events, and the resourceVersion put in on the way out.
#include "wire.hpp"

namespace onebin::apimachinery {

Result<Envelope> open_envelope(std::string_view bytes) {
  if (bytes.substr(0, 4) != kProtobufMagic) return wire::malformed("the body doesn't begin with k8s\\0");
  if (bytes.size() == 4) return wire::malformed("the body is empty");
  Envelope e;
  ProtoReader r(bytes.substr(4));
  while (r.next()) {
    if (r.number() > 4) continue;
    if (r.wire_type() != wire::kBytes) return wire::malformed("malformed envelope");
    if (r.number() == 2) e.raw = r.bytes();
    if (r.number() == 3) e.content_encoding = r.bytes();
    if (r.number() == 4) e.content_type = r.bytes();
    if (r.number() != 1) continue;
    ProtoReader meta(r.bytes());
    while (meta.next()) {
      if (meta.wire_type() != wire::kBytes) continue;
      if (meta.number() == 1) e.api_version = meta.bytes();
      if (meta.number() == 2) e.kind = meta.bytes();
    }
    if (meta.failed()) return wire::malformed("malformed envelope");
  }
  if (r.failed()) return wire::malformed("malformed envelope");
  return e;
}

std::string make_envelope(std::string_view api_version, std::string_view kind, std::string_view message) {
  std::string meta;
  append_bytes_field(meta, 1, api_version);
  append_bytes_field(meta, 2, kind);
  std::string out(kProtobufMagic);
  out.reserve(message.size() + meta.size() + 24);
  append_bytes_field(out, 1, meta);
  append_bytes_field(out, 2, message);
  append_bytes_field(out, 3, {});
  append_bytes_field(out, 4, {});
  return out;
}

namespace {

constexpr std::uint32_t kObjectMetaVersion = 6;  // ObjectMeta.resourceVersion; upstream writes it even when empty

// ObjectMeta's message with another resourceVersion, in its place by number.
bool with_version(std::string_view meta, std::string_view version, std::string& out) {
  ProtoReader r(meta);
  const char* begin = meta.data();
  bool done = false;
  while (r.next()) {
    if (!done && r.number() >= kObjectMetaVersion) {
      append_bytes_field(out, kObjectMetaVersion, version);
      done = true;
    }
    if (r.number() != kObjectMetaVersion) out.append(begin, r.position());
    begin = r.position();
  }
  if (!done) append_bytes_field(out, kObjectMetaVersion, version);
  return !r.failed();
}

}  // namespace

Status append_message_with_version(std::string& out, std::string_view message, std::string_view resource_version) {
  if (resource_version.empty()) {
    out.append(message);
    return {};
  }
  std::size_t start = out.size();
  std::string meta;
  ProtoReader r(message);
  // Metadata comes first: its number is the lowest. What follows is copied in one piece.
  if (r.next() && r.number() == 1) {
    if (r.wire_type() == wire::kBytes && with_version(r.bytes(), resource_version, meta)) {
      append_bytes_field(out, 1, meta);
      out.append(r.position(), message.data() + message.size());
      return {};
    }
  } else if (!r.failed()) {
    with_version({}, resource_version, meta);
    append_bytes_field(out, 1, meta);
    out.append(message);
    return {};
  }
  out.resize(start);
  return wire::malformed("malformed metadata");
}

std::string json_list_head(std::string_view api_version, std::string_view kind, const ListMetaFields& meta) {
  std::string out = "{\"kind\":";
  append_json_string(out, kind);
  out += ",\"apiVersion\":";
  append_json_string(out, api_version);
  out += ",\"metadata\":{";
  bool first = true;
  auto member = [&](std::string_view name) {
    if (!first) out += ',';
    first = false;
    out += '"';
    out += name;
    out += "\":";
  };
  if (!meta.resource_version.empty()) {
    member("resourceVersion");
    append_json_string(out, meta.resource_version);
  }
  if (!meta.continue_token.empty()) {
    member("continue");
    append_json_string(out, meta.continue_token);
  }
  if (meta.remaining_item_count) {
    member("remainingItemCount");
    out += std::to_string(*meta.remaining_item_count);
  }
  return out + "},\"items\":[";
}

void append_protobuf_list_meta(std::string& out, const ListMetaFields& meta) {
  std::string message;
  append_bytes_field(message, 1, {});  // selfLink
  append_bytes_field(message, 2, meta.resource_version);
  append_bytes_field(message, 3, meta.continue_token);
  if (meta.remaining_item_count) append_varint_field(message, 4, static_cast<std::uint64_t>(*meta.remaining_item_count));
  append_bytes_field(out, 1, message);
}

void append_protobuf_list_item(std::string& out, std::string_view message) { append_bytes_field(out, 2, message); }

void append_json_watch_event(std::string& out, std::string_view type, std::string_view object_json) {
  out.reserve(out.size() + object_json.size() + 40);
  out += "{\"type\":\"";
  out += type;
  out += "\",\"object\":";
  out += object_json;
  out += "}\n";
}

void append_protobuf_watch_event(std::string& out, std::string_view type, std::string_view object_with_envelope) {
  std::string raw, event;
  append_bytes_field(raw, 1, object_with_envelope);
  append_bytes_field(event, 1, type);
  append_bytes_field(event, 2, raw);
  auto n = static_cast<std::uint32_t>(event.size());
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(n >> shift));
  out += event;
}

Result<WatchFrame> parse_protobuf_watch_event(std::string_view frame) {
  WatchFrame out;
  ProtoReader r(frame);
  while (r.next()) {
    if (r.number() > 2) continue;
    if (r.wire_type() != wire::kBytes) return wire::malformed("malformed watch event");
    bool present;
    if (r.number() == 1) out.type = r.bytes();
    else if (!wire::read_wrapped(r.bytes(), out.object, present)) return wire::malformed("malformed watch event");
  }
  if (r.failed()) return wire::malformed("malformed watch event");
  return out;
}

}  // namespace onebin::apimachinery
