// modules: net
// WebSocket frames in pieces, of both directions.
#include "net/ws_frame.hpp"

#include <cstdint>

using namespace onebin;
using namespace onebin::net;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  WsDecoder decoder(data[0] & 1);
  std::size_t step = (data[0] >> 1) + 1;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string held;
  bool open = false;
  while (!rest.empty()) {
    std::size_t n = std::min(step, rest.size());
    held += rest.substr(0, n);
    rest.remove_prefix(n);
    for (;;) {
      std::size_t taken = 0;
      auto event = decoder.next(held, 50, &taken);
      if (!event) return 0;
      ONEBIN_ASSERT(taken <= held.size());
      held.erase(0, taken);
      if (*event == WsDecoder::Event::NeedMore) break;
      ONEBIN_ASSERT(taken > 0 || decoder.piece.last || decoder.piece.data.size() <= 50);
      if (*event == WsDecoder::Event::Piece) {
        ONEBIN_ASSERT(decoder.piece.first != open);
        open = !decoder.piece.last;
      } else {
        ONEBIN_ASSERT(decoder.control.size() <= 125);
      }
    }
  }
  return 0;
}
