// modules: net
// SPDY frames in pieces, with their compressed header blocks.
#include "net/spdy_frame.hpp"

#include <algorithm>
#include <cstdint>

using namespace onebin;
using namespace onebin::net;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  std::size_t step = data[0] + 1;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  // Bit 7: take the bytes as a header block instead, so that the fuzzer need not find the framing first.
  if (data[0] & 0x80) {
    SpdyDeflater packer;
    SpdyInflater unpacker;
    Headers h;
    for (std::size_t at = 0; at + 2 < rest.size(); at += 8) {
      std::string value(rest.substr(at, 8));
      std::replace(value.begin(), value.end(), '\0', '0');  // which parts values: more of them than are taken
      h.add("n" + std::string(rest.substr(at, 3)), value);
    }
    auto back = unpacker.unpack(packer.pack(h));
    ONEBIN_ASSERT(back || h.size() > 900);
    SpdyInflater raw;
    (void)raw.unpack(rest);
    return 0;
  }
  SpdyDecoder decoder;
  std::string held;
  while (!rest.empty() || !held.empty()) {
    std::size_t n = std::min(step, rest.size());
    held += rest.substr(0, n);
    rest.remove_prefix(n);
    for (;;) {
      std::size_t taken = 0;
      auto f = decoder.next(held, &taken);
      if (!f) return 0;
      ONEBIN_ASSERT(taken <= held.size());
      bool got = f->has_value();
      held.erase(0, taken);
      if (!got) break;
      ONEBIN_ASSERT(taken > 0);
    }
    if (rest.empty()) break;
  }
  return 0;
}
