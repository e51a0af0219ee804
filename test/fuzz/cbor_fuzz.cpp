// modules: api apimachinery base
// CBOR with and without a schema: what is accepted is stable from then on, and small.
#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/cbor.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/assert.hpp>

using namespace onebin;
using namespace onebin::apimachinery;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto types = api::all_types();
  const TypeSchema* type = data[0] % 3 == 0 ? api::find_type("io.k8s.api.core.v1.Secret") : types[data[0] % types.size()];
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  DecodeOptions options;
  options.validation = FieldValidation::Warn;
  options.keep_unknown = data[0] & 1;
  DecodeReport report;
  if (auto free = decode_cbor(bytes, nullptr, options, &report)) {
    auto once = encode_cbor(*free, nullptr);
    ONEBIN_ASSERT(once.is_ok());
    auto again = decode_cbor(*once, nullptr);
    ONEBIN_ASSERT(again.is_ok());
    auto twice = encode_cbor(*again, nullptr);
    ONEBIN_ASSERT(twice.is_ok() && *twice == *once);
  }
  if (auto typed = decode_cbor(bytes, type, options, &report)) {
    auto once = encode_cbor(*typed, type);
    ONEBIN_ASSERT(once.is_ok());
    auto again = decode_cbor(*once, type, options);
    ONEBIN_ASSERT(again.is_ok() && encode_json(*again, type) == encode_json(*typed, type));
  }
  return 0;
}
