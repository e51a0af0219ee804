// modules: cel apimachinery base
// Expressions from outside: whatever the text, compiling it ends, and what compiles can be evaluated within its cost.
#include "../cel/fixture.hpp"

#include <onebin/base/assert.hpp>

#include <cstdint>

using namespace onebin;
using namespace onebin::cel;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Fixture fixture;
  constexpr std::uint64_t kLimit = 20000;  // a fraction of what the server allows: many inputs a second
  auto program = compile(std::string_view(reinterpret_cast<const char*>(data), size), fixture.environment);
  if (!program) {
    ONEBIN_ASSERT(!program.status().message().empty());
    return 0;
  }
  auto first = (*program)->evaluate(fixture.values, kLimit);
  auto second = (*program)->evaluate(fixture.values, kLimit);
  ONEBIN_ASSERT(first.cost == second.cost && first.value.is_error() == second.value.is_error());
  Document out;
  std::string problem;
  if (!first.value.is_error()) (void)first.value.to_document(out, problem);
  return 0;
}
