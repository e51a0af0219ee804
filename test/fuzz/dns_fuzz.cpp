// modules: dns
// DNS questions to a zone that has one of everything, and upstream's answers.
#include "dns/message.hpp"

#include <onebin/base/assert.hpp>

#include <cstdint>

using namespace onebin;
using namespace onebin::dns;

namespace {

const Zone& zone() {
  static const Zone z = [] {
    Zone made;
    std::string v4("\x0a\x2a\x00\x02", 4), v6("\xfd\x42\0\0\0\0\0\0\0\0\0\0\0\0\0\x02", 16);
    made.set_service({"default", "a", {v4, v6}, "", {{"http", "tcp", 80}}, {}});
    made.set_service({"default", "h", {}, "", {}, {{v4, "h-0", {{"pg", "tcp", 5432}}}, {v6, "h-1", {{"pg", "tcp", 5432}}}}});
    made.set_service({"default", "e", {}, "a.default.svc.cluster.local", {}, {}});
    made.set_service({"default", "x", {}, "example.com", {}, {}});
    return made;
  }();
  return z;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  Parsed p = parse_query(input);
  ONEBIN_ASSERT(!(p.question && p.malformed));
  if (p.malformed) ONEBIN_ASSERT(error_response(*p.malformed).size() == kHeader);
  if (!p.question) return 0;
  Answer a = answer(*p.question, zone(), static_cast<std::uint32_t>(size));
  if (a.forward) return 0;
  std::string whole = append_addresses(a.message, input, p.question->type);
  ONEBIN_ASSERT(layout(whole));
  for (bool tcp : {false, true}) {
    std::string m = finish(whole, *p.question, tcp);
    ONEBIN_ASSERT(layout(m) && get16(m, 0) == p.question->id);
    ONEBIN_ASSERT(tcp || m.size() <= 1232);
  }
  return 0;
}
