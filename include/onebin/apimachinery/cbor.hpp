// CBOR (RFC 8949) as Kubernetes' application/cbor: deterministic, strings as byte strings, behind tag 55799 (which may be
// missing in what is read). Values mean what they mean in JSON; a duplicate key is an error under every fieldValidation.
#pragma once
#include <onebin/apimachinery/codec.hpp>

namespace onebin::apimachinery {

inline constexpr std::string_view kCborMagic{"\xd9\xd9\xf7", 3};
// As decode_json. `type` may be null.
Result<nlohmann::json> decode_cbor(std::string_view bytes, const TypeSchema* type, const DecodeOptions& options = {},
                                   DecodeReport* report = nullptr);
Result<std::string> encode_cbor(const nlohmann::json& object, const TypeSchema* type);  // with the tag
// The value of a JSON text that encode_json or append_json_from_message wrote, without the tag.
Status append_cbor_from_json(std::string& out, std::string_view json, const TypeSchema* type);

// A list's parts: head, `items` values, tail.
std::string cbor_list_head(std::string_view kind, std::size_t items);
std::string cbor_list_tail(std::string_view api_version, const ListMetaFields& meta);
// A watch's frames are data items, one after another; the object comes with its tag.
void append_cbor_watch_event(std::string& out, std::string_view type, std::string_view object_cbor);

}  // namespace onebin::apimachinery
