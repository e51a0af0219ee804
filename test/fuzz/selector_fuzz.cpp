// modules: apimachinery
// Selectors, names and JSONPath from outside: whatever is accepted must survive a round trip.
#include <onebin/apimachinery/jsonpath.hpp>
#include <onebin/apimachinery/names.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/base/assert.hpp>

#include <cstdint>

using namespace onebin::apimachinery;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto s = LabelSelector::parse(text)) {
    auto again = LabelSelector::parse(s->to_string());
    ONEBIN_ASSERT(again && again->to_string() == s->to_string());
    (void)s->matches(std::map<std::string, std::string>{{"a", "b"}, {"n", "5"}});
  }
  if (auto f = FieldSelector::parse(text)) {
    auto again = FieldSelector::parse(f->to_string());
    ONEBIN_ASSERT(again && again->to_string() == f->to_string());
  }
  static const Document kObject = Document::parse(R"({"spec":{"list":[1,2,{"a":"b"}],"a":{"b":[{"type":"x","n":1.5}]}},"status":null})");
  if (auto p = JsonPath::parse(text)) (void)p->print(kObject);
  (void)is_qualified_name(text);
  (void)is_dns1123_subdomain(text);
  (void)is_valid_port_name(text);
  (void)go_quote(text);
  return 0;
}
