// modules: api apimachinery base
// protobuf bytes of every type: trees, text and structs agree on what is readable, and what is read can be written.
#include <onebin/api/codec.hpp>
#include <onebin/api/core_v1.hpp>
#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/assert.hpp>

using namespace onebin;
using namespace onebin::apimachinery;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto types = api::all_types();
  const TypeSchema* type = types[data[0] % types.size()];
  const TypeSchema* pod = api::find_type("io.k8s.api.core.v1.Pod");
  if (data[0] % 2 == 0) type = pod;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string out;
  (void)append_message_with_version(out, bytes, "1");
  (void)parse_protobuf_watch_event(bytes);
  if (auto envelope = open_envelope(bytes)) bytes = envelope->raw;
  auto tree = decode_message(bytes, *type);
  if (tree) {
    auto once = encode_message(*tree, *type);
    ONEBIN_ASSERT(once.is_ok());
    auto again = decode_message(*once, *type);
    ONEBIN_ASSERT(again.is_ok());
    auto twice = encode_message(*again, *type);
    ONEBIN_ASSERT(twice.is_ok() && *twice == *once);
  }
  out.clear();
  (void)append_json_from_message(out, bytes, *type);
  if (type == pod) {
    if (auto object = api::from_message<api::core::v1::Pod>(bytes)) {
      std::string once = api::to_message(*object);
      auto again = api::from_message<api::core::v1::Pod>(once);
      ONEBIN_ASSERT(again.is_ok() && *again == *object);
    }
  }
  return 0;
}
