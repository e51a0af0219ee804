// modules: api apimachinery base
// JSON text with and without a schema: what is accepted is stable from then on.
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
  if (data[0] % 3 == 0) type = api::find_type("io.k8s.api.core.v1.Pod");
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  DecodeOptions options;
  options.validation = FieldValidation::Warn;
  options.keep_unknown = data[0] & 1;
  DecodeReport report;
  if (auto free = decode_json(text, nullptr, options, &report)) {
    std::string once = encode_json(*free, nullptr);
    auto again = decode_json(once, nullptr);
    ONEBIN_ASSERT(again.is_ok() && encode_json(*again, nullptr) == once);
  }
  if (auto typed = decode_json(text, type, options, &report)) {
    std::string once = encode_json(*typed, type);
    auto again = decode_json(once, type, options);
    ONEBIN_ASSERT(again.is_ok() && encode_json(*again, type) == once);
    ONEBIN_ASSERT(encode_message(*typed, *type).is_ok());
  }
  return 0;
}
