// Codecs: one engine that walks a TypeSchema between JSON text, YAML text, protobuf bytes and Document. Any bytes may come
// in: every decoder bounds depth and size, and answers BadRequest, never crashes. Formats: Kubernetes API conventions;
// protobuf as k8s.io/apimachinery's runtime.Unknown envelope and gogo-generated Marshal write it, byte for byte.
// (Structs: onebin/api/codec.hpp.)
#pragma once
#include <onebin/apimachinery/schema.hpp>
#include <onebin/base/result.hpp>

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apimachinery {

// fieldValidation of a request. What is unknown to the schema is dropped under each.
enum class FieldValidation : std::uint8_t { Ignore, Warn, Strict };

struct DecodeOptions {
  FieldValidation validation = FieldValidation::Ignore;
  // Keep members that the schema doesn't know (the caller prunes); they are reported nevertheless.
  bool keep_unknown = false;
  // Check and convert values to the schema's types. false: only syntax, duplicates and limits matter (custom resources
  // before their own validation, patches).
  bool typed = true;
  int max_depth = 128;
  std::size_t max_bytes = 32u << 20;
};

// What was found wrong but not fatal: texts as upstream's clients know them: unknown field "spec.foo",
// duplicate field "spec.bar". Bounded; under Strict they make the decode fail.
struct DecodeReport {
  std::vector<std::string> problems;
  bool truncated = false;
};

// --- JSON ---
// `type` may be null: any JSON. null members are dropped (absent) where the schema says they are no value.
// Values become canonical: quantities and times as upstream would write them back.
Result<nlohmann::json> decode_json(std::string_view text, const TypeSchema* type, const DecodeOptions& options = {},
                                   DecodeReport* report = nullptr);
// In declaration order, with omitempty as Go's encoding/json and its HTML escaping; unknown members last, sorted.
// `type` may be null: members sorted. No trailing newline.
std::string encode_json(const nlohmann::json& object, const TypeSchema* type);
void append_json(std::string& out, const nlohmann::json& object, const TypeSchema* type);
// One JSON string with its quotes, escaped as Go does.
void append_json_string(std::string& out, std::string_view text);
// Apply what decoding does to values (canonical quantities, drop nulls, report and drop unknown fields) to a Document that
// came another way, such as a patch's result.
Status conform(nlohmann::json& object, const TypeSchema& type, const DecodeOptions& options = {}, DecodeReport* report = nullptr);

// --- YAML (1.1 booleans and so on as sigs.k8s.io/yaml reads them) ---
Result<nlohmann::json> decode_yaml(std::string_view text, const TypeSchema* type, const DecodeOptions& options = {},
                                   DecodeReport* report = nullptr);
std::string encode_yaml(const nlohmann::json& object, const TypeSchema* type);
// The documents of a multi-document stream, each as text; those that are only comments or blank are left out.
std::vector<std::string_view> split_yaml(std::string_view text);

// --- protobuf ---
inline constexpr std::string_view kProtobufMagic{"k8s\0", 4};

// The runtime.Unknown envelope. Views into the input.
struct Envelope {
  std::string_view api_version, kind;
  std::string_view raw;  // the message
  std::string_view content_encoding, content_type;
};
Result<Envelope> open_envelope(std::string_view bytes);  // magic checked
std::string make_envelope(std::string_view api_version, std::string_view kind, std::string_view message);

// The bare message. Only what is wrong with the bytes is an error; unknown numbers are skipped, as upstream does.
Result<nlohmann::json> decode_message(std::string_view bytes, const TypeSchema& type, int max_depth = 128);
// Fails (InternalError) when a value can't be what the schema says; `conform` first if unsure.
Result<std::string> encode_message(const nlohmann::json& object, const TypeSchema& type);
// With envelope. Decode sets apiVersion and kind in the Document from it; encode takes them from the Document.
Result<nlohmann::json> decode_protobuf(std::string_view bytes, const TypeSchema& type, int max_depth = 128);
Result<std::string> encode_protobuf(const nlohmann::json& object, const TypeSchema& type);

// --- straight from stored bytes to what a client reads, without a tree: the path of get, list and watch ---
struct TranscodeOptions {
  std::string_view api_version, kind;  // written first; both empty: left out (items of a built-in list)
  std::string_view resource_version;   // written as metadata.resourceVersion, in place of what is stored; "" = as stored
};
// Appends the JSON object; on error `out` is restored.
Status append_json_from_message(std::string& out, std::string_view message, const TypeSchema& type, const TranscodeOptions& options = {});
// Appends the message with metadata.resourceVersion set (metadata is field 1 of every object and list), the rest unaltered.
Status append_message_with_version(std::string& out, std::string_view message, std::string_view resource_version);

// A list's parts, for writing it as it is produced. JSON: head, items separated by ',', tail "]}". Protobuf: each item
// is a field 2 of the list message; meta goes first.
struct ListMetaFields {
  std::string_view resource_version, continue_token;
  std::optional<std::int64_t> remaining_item_count;
};
std::string json_list_head(std::string_view api_version, std::string_view kind, const ListMetaFields& meta);
void append_protobuf_list_meta(std::string& out, const ListMetaFields& meta);
void append_protobuf_list_item(std::string& out, std::string_view message);

// Watch frames. JSON: {"type":"ADDED","object":...} and a newline. Protobuf: 4 bytes of length, big-endian, then the bare
// meta.v1.WatchEvent whose object is RawExtension{raw: envelope of the object}.
void append_json_watch_event(std::string& out, std::string_view type, std::string_view object_json);
void append_protobuf_watch_event(std::string& out, std::string_view type, std::string_view object_with_envelope);
struct WatchFrame {
  std::string_view type;
  std::string_view object;  // with envelope
};
Result<WatchFrame> parse_protobuf_watch_event(std::string_view frame_without_length);

// --- wire primitives, for those who peek into stored bytes ---
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : p_(bytes.data()), end_(p_ + bytes.size()) {}
  // False at the end or on malformed bytes (then failed()).
  bool next();
  bool failed() const { return failed_; }
  std::uint32_t number() const { return number_; }
  int wire_type() const { return wire_type_; }
  std::uint64_t varint() const { return varint_; }          // wire types 0, 1, 5
  std::string_view bytes() const { return bytes_; }         // wire type 2
  const char* position() const { return p_; }               // after the current field

 private:
  bool fail() { failed_ = true; return false; }
  const char* p_;
  const char* end_;
  std::uint32_t number_ = 0;
  int wire_type_ = 0;
  std::uint64_t varint_ = 0;
  std::string_view bytes_;
  bool failed_ = false;
};
void append_varint(std::string& out, std::uint64_t value);
void append_bytes_field(std::string& out, std::uint32_t number, std::string_view bytes);
void append_varint_field(std::string& out, std::uint32_t number, std::uint64_t value);

}  // namespace onebin::apimachinery
