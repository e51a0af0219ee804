// Content negotiation: which form of an object a client asks for in Accept, and which form a body is in.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/net/url.hpp>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apiserver {

enum class Format : unsigned char { Json, Yaml, Protobuf, Cbor };
std::string_view media_type(Format f);  // "application/json"

enum class Transform : unsigned char { None, Table, PartialMetadata, PartialMetadataList };

struct MediaClause {
  std::string type;  // "application/json", "*/*"; lower case
  std::map<std::string, std::string, std::less<>> params;
  double q = 1;
  std::string_view param(std::string_view name) const {
    auto it = params.find(name);
    return it == params.end() ? std::string_view() : std::string_view(it->second);
  }
};
// In order of preference.
std::vector<MediaClause> parse_accept(std::string_view header);

struct Negotiated {
  Format format = Format::Json;
  Transform transform = Transform::None;
  std::string transform_version;  // "v1", "v1beta1" of meta.k8s.io
  bool pretty = false;
  // Content-Type of an answer; of a watch where `watch`.
  std::string content_type(bool watch = false) const;
};

// Whether upstream's router takes the header at all, which compares types alone; what their parameters say is negotiated after it.
bool routes_accept(std::string_view accept, bool cbor, bool only_json = false);

// `user_agent` and `query` decide on pretty printing, as upstream: asked for by pretty=1, or by curl and browsers.
// `cbor`: whether that format is served (feature gate CBORServingAndStorage).
Result<Negotiated> negotiate(std::string_view accept, std::string_view user_agent, const net::Query& query, bool watch, bool cbor = false,
                             bool no_protobuf = false, bool no_table = false);

// The format of a body; UnsupportedMediaType for what is none of ours. Empty: JSON.
Result<Format> body_format(std::string_view content_type, bool cbor = false);

}  // namespace onebin::apiserver
