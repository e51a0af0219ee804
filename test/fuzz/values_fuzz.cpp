// modules: apimachinery base
// Quantities, times, durations, resource versions and the small texts of metadata: what is accepted is canonical for good.
#include <onebin/apimachinery/field_set.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/values.hpp>
#include <onebin/base/assert.hpp>
#include <onebin/base/time.hpp>

#include <cstdint>

using namespace onebin;
using namespace onebin::apimachinery;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto q = Quantity::parse(text)) {
    std::string once = q->to_string();
    auto again = Quantity::parse(once);
    ONEBIN_ASSERT(again && *again == *q && again->to_string() == once);
    Quantity sum = *q;
    sum += *again;
    sum -= *q;
    (void)(*q * 3).value();
    (void)sum.milli_value();
    (void)sum.as_double();
  }
  if (auto t = Time::parse(text)) {
    auto again = Time::parse(t->to_micro_string());
    ONEBIN_ASSERT(again && again->to_micro_string() == t->to_micro_string());
  }
  if (auto d = onebin::parse_duration(text)) (void)*d;
  (void)parse_rfc3339(text);
  (void)parse_resource_version(text);
  if (auto e = PathElement::parse(text)) {
    auto again = PathElement::parse(e->serialize());
    ONEBIN_ASSERT(again && again->serialize() == e->serialize());
    (void)e->to_string();
  }
  return 0;
}
