// SPDY/3.1 framing and its compressed header blocks, apart from any stream: what the fuzzer feeds.
// Source: the SPDY Protocol draft 3.1, sections 2.2 and 2.6.
#pragma once
#include <onebin/net/http.hpp>

#include <zlib.h>

namespace onebin::net {

enum class SpdyType : std::uint16_t {
  SynStream = 1, SynReply = 2, RstStream = 3, Settings = 4, Ping = 6, GoAway = 7, Headers = 8, WindowUpdate = 9,
};
constexpr std::uint8_t kSpdyFin = 1;
enum class SpdyReset : std::uint32_t { ProtocolError = 1, InvalidStream = 2, RefusedStream = 3, Cancel = 5, InternalError = 6, FlowControlError = 7 };

// Header blocks of one direction: each continues the compression of those before, so their order is the wire's.
class SpdyDeflater {
 public:
  SpdyDeflater();
  ~SpdyDeflater();
  SpdyDeflater(const SpdyDeflater&) = delete;
  std::string pack(const Headers& headers);  // names become lower case; values of one name are joined

 private:
  z_stream z_{};
};
class SpdyInflater {
 public:
  SpdyInflater();
  ~SpdyInflater();
  SpdyInflater(const SpdyInflater&) = delete;
  Result<Headers> unpack(std::string_view block);

 private:
  z_stream z_{};
};

struct SpdyFrame {
  bool data = false;         // else `type` tells
  SpdyType type{};
  std::uint8_t flags = 0;
  std::uint32_t stream = 0;  // also PING's id, GOAWAY's last good stream
  std::uint32_t value = 0;   // RST_STREAM's status, GOAWAY's status, WINDOW_UPDATE's delta
  Headers headers;           // SYN_STREAM, SYN_REPLY, HEADERS
  std::string_view piece;    // of a data frame: the part at hand, in the caller's bytes
  bool last_piece = false;   // ...and the frame ends with it
  bool unknown = false;      // a control frame of another type: to be passed over
};

// Gives frames one by one; data frames in pieces as they come.
class SpdyDecoder {
 public:
  // nullopt: more bytes are needed. An error ends the session.
  Result<std::optional<SpdyFrame>> next(std::string_view data, std::size_t* taken);

 private:
  Result<SpdyFrame> control(std::uint16_t type, std::uint8_t flags, std::string_view payload);
  SpdyInflater inflater_;
  bool in_data_ = false;
  std::uint32_t data_stream_ = 0, data_left_ = 0;
  std::uint8_t data_flags_ = 0;
};

std::string spdy_control(SpdyType type, std::uint8_t flags, std::string_view payload);
std::string spdy_data_head(std::uint32_t stream, std::uint8_t flags, std::size_t size);
void put_u32(std::string& out, std::uint32_t v);

}  // namespace onebin::net
