// modules: net
// HTTP/1.1 heads and bodies of both directions, and what is made of a target.
#include "net/http1.hpp"

#include <cstdint>

using namespace onebin;
using namespace onebin::net;

namespace {

template <bool IsRequest>
Task<void> consume(Stream* stream, bool no_body) {
  Http1Input in;
  for (int i = 0; i < 4; ++i) {
    Http1Message<IsRequest> m;
    Result<void> head = co_await m.read_head(*stream, in, 4096, no_body);
    if (!head) co_return;
    if constexpr (IsRequest) {
      Request q;
      Result<void> target = q.set_target(m.head().target);
      if (target) (void)Query::parse(q.query);
    }
    char buffer[100];
    for (;;) {
      Result<std::size_t> n = co_await m.read_some(*stream, in, buffer, sizeof buffer);
      if (!n) co_return;
      if (*n == 0) break;
    }
    ONEBIN_ASSERT(m.done());
    (void)m.keep_alive();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  // Everything lies ready in the pipe, so that the coroutine runs to its end at once.
  auto [reader, writer] = make_pipe(size);
  Task<Result<void>> fill = writer->write(bytes);
  fill.handle().resume();
  writer->close();
  Task<void> task = data[0] & 1 ? consume<true>(reader.get(), false) : consume<false>(reader.get(), data[0] & 2);
  task.handle().resume();
  ONEBIN_ASSERT(task.handle().done());
  (void)parse_url(bytes);
  return 0;
}
