#include <onebin/client/objects.hpp>

#include <onebin/apimachinery/codec.hpp>

namespace onebin::client {
namespace {
using apimachinery::ProtoReader;
// Numbers of every object and list (metadata, items), of ObjectMeta and of ListMeta.
constexpr std::uint32_t kMetadata = 1, kItems = 2;
constexpr std::uint32_t kName = 1, kNamespace = 3, kUid = 5, kResourceVersion = 6;
constexpr std::uint32_t kOwnerReferences = 13, kOwnerUid = 4, kOwnerController = 6;
constexpr std::uint32_t kPodSpec = 2, kPodNodeName = 10;
constexpr std::uint32_t kListResourceVersion = 2, kListContinue = 3;
constexpr int kBytes = 2;

Status malformed() { return bad_request("malformed protobuf object"); }

// The last field of that number that holds bytes; empty where there is none.
std::string_view member(std::string_view message, std::uint32_t number) {
  std::string_view out;
  ProtoReader fields(message);
  while (fields.next())
    if (fields.number() == number && fields.wire_type() == kBytes) out = fields.bytes();
  return out;
}

std::string_view message_of(std::string_view object) {
  Result<apimachinery::Envelope> envelope = apimachinery::open_envelope(object);
  return envelope ? envelope->raw : std::string_view();
}
}  // namespace

std::string controller_of(std::string_view object) {
  std::string_view meta = member(message_of(object), kMetadata);
  ProtoReader fields(meta);
  while (fields.next()) {
    if (fields.number() != kOwnerReferences || fields.wire_type() != kBytes) continue;
    ProtoReader owner(fields.bytes());
    std::string_view uid;
    bool controls = false;
    while (owner.next()) {
      if (owner.number() == kOwnerUid && owner.wire_type() == kBytes) uid = owner.bytes();
      else if (owner.number() == kOwnerController && owner.wire_type() != kBytes) controls = owner.varint() != 0;
    }
    if (controls) return std::string(uid);
  }
  return "/" + std::string(member(meta, kNamespace));
}

std::string node_of(std::string_view pod) { return std::string(member(member(message_of(pod), kPodSpec), kPodNodeName)); }

Result<ObjectHeader> peek(std::string_view object) {
  Result<apimachinery::Envelope> envelope = apimachinery::open_envelope(object);
  if (!envelope) return envelope.status();
  ObjectHeader h;
  ProtoReader fields(envelope->raw);
  while (fields.next()) {
    if (fields.number() != kMetadata || fields.wire_type() != kBytes) continue;
    ProtoReader meta(fields.bytes());
    while (meta.next()) {
      if (meta.wire_type() != kBytes) continue;
      switch (meta.number()) {
        case kName: h.name = meta.bytes(); break;
        case kNamespace: h.namespace_ = meta.bytes(); break;
        case kUid: h.uid = meta.bytes(); break;
        case kResourceVersion: h.resource_version = meta.bytes(); break;
        default: break;
      }
    }
    if (meta.failed()) return malformed();
    break;
  }
  if (fields.failed()) return malformed();
  return h;
}

Result<RawList> split_list(std::string_view list) {
  Result<apimachinery::Envelope> envelope = apimachinery::open_envelope(list);
  if (!envelope) return envelope.status();
  RawList out;
  ProtoReader fields(envelope->raw);
  while (fields.next()) {
    if (fields.wire_type() != kBytes) continue;
    if (fields.number() == kItems) {
      out.items.push_back(fields.bytes());
    } else if (fields.number() == kMetadata) {
      ProtoReader meta(fields.bytes());
      while (meta.next()) {
        if (meta.wire_type() != kBytes) continue;
        if (meta.number() == kListResourceVersion) out.resource_version = meta.bytes();
        else if (meta.number() == kListContinue) out.continue_ = meta.bytes();
      }
      if (meta.failed()) return malformed();
    }
  }
  if (fields.failed()) return malformed();
  return out;
}

}  // namespace onebin::client
