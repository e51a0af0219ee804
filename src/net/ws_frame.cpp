#include "net/ws_frame.hpp"

#include <onebin/base/bytes.hpp>

#include <cstring>
#include <openssl/sha.h>

namespace onebin::net {

Result<std::optional<WsFrameHead>> parse_ws_head(std::string_view data, bool from_client) {
  if (data.size() < 2) return std::optional<WsFrameHead>();
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(data[i]); };
  WsFrameHead h;
  h.fin = byte(0) & 0x80;
  if (byte(0) & 0x70) return bad_request("websocket: reserved bits are set");
  unsigned op = byte(0) & 0x0f;
  if (op > 10 || (op > 2 && op < 8)) return bad_request("websocket: unknown opcode");
  h.opcode = static_cast<WsOpcode>(op);
  h.masked = byte(1) & 0x80;
  h.size = byte(1) & 0x7f;
  if (h.masked != from_client) return bad_request("websocket: wrong masking");
  if (op >= 8 && (!h.fin || h.size > 125)) return bad_request("websocket: malformed control frame");
  std::size_t at = 2;
  std::size_t extra = h.size == 126 ? 2 : h.size == 127 ? 8 : 0;
  if (data.size() < at + extra + (h.masked ? 4 : 0)) return std::optional<WsFrameHead>();
  if (extra) {
    h.size = 0;
    for (std::size_t i = 0; i < extra; ++i) h.size = h.size << 8 | byte(at + i);
    if (h.size >> 63) return bad_request("websocket: frame too large");
    at += extra;
  }
  if (h.masked) {
    std::memcpy(h.mask, data.data() + at, 4);
    at += 4;
  }
  h.bytes = at;
  return std::optional<WsFrameHead>(h);
}

std::string ws_head(WsOpcode opcode, bool fin, std::uint64_t size, const unsigned char* mask) {
  std::string h;
  h += static_cast<char>((fin ? 0x80 : 0) | static_cast<unsigned>(opcode));
  unsigned masked = mask ? 0x80 : 0;
  if (size < 126) {
    h += static_cast<char>(masked | size);
  } else {
    int extra = size < 65536 ? 2 : 8;
    h += static_cast<char>(masked | (extra == 2 ? 126u : 127u));
    for (int i = extra - 1; i >= 0; --i) h += static_cast<char>(size >> (8 * i));
  }
  if (mask) h.append(reinterpret_cast<const char*>(mask), 4);
  return h;
}

void ws_mask(char* data, std::size_t size, const unsigned char* mask, std::uint64_t offset) {
  unsigned char turned[8];
  for (int i = 0; i < 8; ++i) turned[i] = mask[(offset + static_cast<unsigned>(i)) & 3];
  std::uint64_t wide;
  std::memcpy(&wide, turned, 8);
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    std::uint64_t v;
    std::memcpy(&v, data + i, 8);
    v ^= wide;
    std::memcpy(data + i, &v, 8);
  }
  for (; i < size; ++i) data[i] = static_cast<char>(data[i] ^ static_cast<char>(turned[i & 7]));
}

std::string ws_accept_key(std::string_view key) {
  std::string text(key);
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455, 1.3
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return base64_encode(std::string_view(reinterpret_cast<char*>(digest), sizeof digest));
}

Result<void> WsDecoder::check(const WsFrameHead& h) {
  if (static_cast<unsigned>(h.opcode) >= 8) return {};
  bool continuation = h.opcode == WsOpcode::Continuation;
  if (continuation != in_message_) return bad_request("websocket: fragment out of order");
  return {};
}

Result<WsDecoder::Event> WsDecoder::next(std::string_view data, std::size_t limit, std::size_t* taken) {
  *taken = 0;
  if (!in_frame_) {
    std::optional<WsFrameHead> h;
    ASSIGN_OR_RETURN(h, parse_ws_head(data, from_client_));
    if (!h) return Event::NeedMore;
    RETURN_IF_ERROR(check(*h));
    bool is_control = static_cast<unsigned>(h->opcode) >= 8;
    if (is_control) {
      if (data.size() < h->bytes + h->size) return Event::NeedMore;
      control = data.substr(h->bytes, h->size);
      if (h->masked) ws_mask(control.data(), control.size(), h->mask, 0);
      *taken = h->bytes + h->size;
      return h->opcode == WsOpcode::Ping ? Event::Ping : h->opcode == WsOpcode::Pong ? Event::Pong : Event::Close;
    }
    head_ = *h;
    in_frame_ = true;
    done_ = 0;
    if (!in_message_) {
      in_message_ = true;
      first_ = true;
      binary_ = h->opcode == WsOpcode::Binary;
    }
    *taken = h->bytes;
    data.remove_prefix(h->bytes);
  }
  std::uint64_t left = head_.size - done_;
  if (left > 0 && data.empty()) return Event::NeedMore;
  std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>({left, data.size(), limit}));
  piece.data.assign(data.data(), n);
  if (head_.masked) ws_mask(piece.data.data(), n, head_.mask, done_);
  done_ += n;
  *taken += n;
  piece.first = first_;
  piece.binary = binary_;
  piece.last = false;
  first_ = false;
  if (done_ == head_.size) {
    in_frame_ = false;
    if (head_.fin) { piece.last = true; in_message_ = false; }
  }
  return Event::Piece;
}

}  // namespace onebin::net
