// What an idle watch costs: test_net "[.idle]" serves until it is killed, and prints its resident size each second.
#include "net/support.hpp"

#include <fstream>
#include <malloc.h>

using namespace test;

namespace {

Task<void> hold(Request&, ResponseWriter& w) {
  (void)co_await w.start(200, {});
  (void)co_await w.write("begun\n");
  (void)co_await w.flush();
  (void)co_await async::sleep_for(1h);
}

std::string resident() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.rfind("VmRSS", 0) == 0) return line;
  return {};
}

Task<void> idle() {
  auto server = serve([](Request& q, ResponseWriter& w) { return hold(q, w); }, server_tls());
  std::printf("port %d\n", server->addresses()[0].port);
  for (int i = 0; i < 45; ++i) {
    struct mallinfo2 m = ::mallinfo2();
    std::printf("%zu connections, %s, in use %zu\n", server->connections(), resident().c_str(), m.uordblks);
    std::fflush(stdout);
    (void)co_await async::sleep_for(1s);
  }
  co_await server->stop();
}

}  // namespace

TEST_CASE("idle watches", "[.idle]") { run(idle); }
