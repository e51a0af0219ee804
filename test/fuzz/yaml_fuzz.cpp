// modules: api apimachinery base
// YAML text: what is accepted can be written and read back.
#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/assert.hpp>

using namespace onebin;
using namespace onebin::apimachinery;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  DecodeOptions options;
  options.validation = FieldValidation::Warn;
  DecodeReport report;
  for (std::string_view part : split_yaml(text)) {
    (void)decode_yaml(part, api::find_type("io.k8s.api.core.v1.Pod"), options, &report);
    auto tree = decode_yaml(part, nullptr);
    if (!tree) continue;
    auto again = decode_yaml(encode_yaml(*tree, nullptr), nullptr);
    ONEBIN_ASSERT(again.is_ok() && same_value(*again, *tree));
  }
  return 0;
}
