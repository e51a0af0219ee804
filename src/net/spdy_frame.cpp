#include "net/spdy_frame.hpp"

#include <onebin/base/bytes.hpp>

namespace onebin::net {
namespace {

constexpr std::size_t kControlLimit = 64 * 1024;    // payload of a control frame
constexpr std::size_t kHeaderLimit = 32 * 1024;     // of a header block, unpacked
constexpr std::size_t kFieldLimit = 1000;           // of its values, which are many times their size in memory when they are empty

// The dictionary that both sides start from (draft, section 2.6.10.1): words with their lengths before them, then a text.
const std::string& dictionary() {
  static const std::string text = [] {
    static const char* const kWords[] = {
        "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding", "accept-language",
        "accept-ranges", "age", "allow", "authorization", "cache-control", "connection", "content-base", "content-encoding",
        "content-language", "content-length", "content-location", "content-md5", "content-range", "content-type", "date", "etag",
        "expect", "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
        "last-modified", "location", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer",
        "retry-after", "server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning",
        "www-authenticate", "method", "get", "status", "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie",
        "keep-alive", "origin"};
    std::string d;
    for (std::string_view w : kWords) {
      put_u32(d, static_cast<std::uint32_t>(w.size()));
      d += w;
    }
    d += "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
         "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
         "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
         "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
         "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
         "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
    return d;
  }();
  return text;
}
const Bytef* dictionary_bytes() { return reinterpret_cast<const Bytef*>(dictionary().data()); }

std::uint32_t get_u32(std::string_view d, std::size_t at) {
  auto b = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(d[at + i])); };
  return b(0) << 24 | b(1) << 16 | b(2) << 8 | b(3);
}

}  // namespace

void put_u32(std::string& out, std::uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(v >> shift);
}

SpdyDeflater::SpdyDeflater() {
  // A window of 2 KB covers the dictionary and needs 10 KB of memory in place of 256.
  int rc = deflateInit2(&z_, Z_BEST_COMPRESSION, Z_DEFLATED, 11, 1, Z_DEFAULT_STRATEGY);
  ONEBIN_ASSERT(rc == Z_OK);
  deflateSetDictionary(&z_, dictionary_bytes(), static_cast<uInt>(dictionary().size()));
}
SpdyDeflater::~SpdyDeflater() { deflateEnd(&z_); }

std::string SpdyDeflater::pack(const Headers& headers) {
  std::vector<std::pair<std::string, std::string>> joined;
  for (const auto& [name, value] : headers) {
    std::string lower = to_lower(name);
    bool found = false;
    for (auto& [n, v] : joined) {
      if (n != lower) continue;
      v += '\0';
      v += value;
      found = true;
    }
    if (!found) joined.emplace_back(std::move(lower), value);
  }
  std::string plain;
  put_u32(plain, static_cast<std::uint32_t>(joined.size()));
  for (const auto& [name, value] : joined) {
    put_u32(plain, static_cast<std::uint32_t>(name.size()));
    plain += name;
    put_u32(plain, static_cast<std::uint32_t>(value.size()));
    plain += value;
  }
  std::string out;
  z_.next_in = reinterpret_cast<Bytef*>(plain.data());
  z_.avail_in = static_cast<uInt>(plain.size());
  do {
    std::size_t at = out.size();
    out.resize(at + 512);
    z_.next_out = reinterpret_cast<Bytef*>(out.data() + at);
    z_.avail_out = 512;
    deflate(&z_, Z_SYNC_FLUSH);
    out.resize(out.size() - z_.avail_out);
  } while (z_.avail_out == 0);
  return out;
}

SpdyInflater::SpdyInflater() {
  int rc = inflateInit(&z_);
  ONEBIN_ASSERT(rc == Z_OK);
}
SpdyInflater::~SpdyInflater() { inflateEnd(&z_); }

namespace {
Result<Headers> parse_block(std::string_view block) {
  Headers h;
  auto malformed = [] { return bad_request("spdy: malformed header block"); };
  if (block.size() < 4) return malformed();
  std::uint32_t count = get_u32(block, 0);
  std::size_t at = 4;
  if (count > kFieldLimit) return malformed();
  auto text = [&](std::string_view* out) {
    if (block.size() - at < 4) return false;
    std::uint32_t size = get_u32(block, at);
    at += 4;
    if (block.size() - at < size) return false;
    *out = block.substr(at, size);
    at += size;
    return true;
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string_view name, value;
    if (!text(&name) || !text(&value) || name.empty()) return malformed();
    std::string lower = to_lower(name);
    for (std::size_t from = 0;;) {
      if (h.size() >= kFieldLimit) return malformed();
      std::size_t end = value.find('\0', from);
      h.add(lower, std::string(value.substr(from, end == value.npos ? end : end - from)));
      if (end == value.npos) break;
      from = end + 1;
    }
  }
  if (at != block.size()) return malformed();
  return h;
}
}  // namespace

Result<Headers> SpdyInflater::unpack(std::string_view block) {
  std::string plain;
  z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(block.data()));
  z_.avail_in = static_cast<uInt>(block.size());
  char buffer[4096];
  for (;;) {
    z_.next_out = reinterpret_cast<Bytef*>(buffer);
    z_.avail_out = sizeof buffer;
    int rc = inflate(&z_, Z_SYNC_FLUSH);
    if (rc == Z_NEED_DICT) {
      if (inflateSetDictionary(&z_, dictionary_bytes(), static_cast<uInt>(dictionary().size())) != Z_OK)
        return bad_request("spdy: unknown compression dictionary");
      continue;
    }
    if (rc != Z_OK && rc != Z_BUF_ERROR) return bad_request("spdy: corrupt header block");
    plain.append(buffer, sizeof buffer - z_.avail_out);
    if (plain.size() > kHeaderLimit) return bad_request("spdy: header block too large");
    if (z_.avail_out > 0) break;
  }
  if (z_.avail_in > 0) return bad_request("spdy: corrupt header block");
  return parse_block(plain);
}

Result<std::optional<SpdyFrame>> SpdyDecoder::next(std::string_view data, std::size_t* taken) {
  *taken = 0;
  if (!in_data_) {
    if (data.size() < 8) return std::optional<SpdyFrame>();
    std::uint32_t first = get_u32(data, 0), second = get_u32(data, 4);
    auto flags = static_cast<std::uint8_t>(second >> 24);
    std::uint32_t size = second & 0xffffff;
    if (first & 0x80000000u) {
      if ((first >> 16 & 0x7fff) != 3) return bad_request("spdy: unsupported version");
      if (size > kControlLimit) return bad_request("spdy: control frame too large");
      if (data.size() < 8 + size) return std::optional<SpdyFrame>();
      *taken = 8 + size;
      SpdyFrame f;
      ASSIGN_OR_RETURN(f, control(static_cast<std::uint16_t>(first & 0xffff), flags, data.substr(8, size)));
      return std::optional<SpdyFrame>(std::move(f));
    }
    if (first == 0) return bad_request("spdy: data for stream 0");
    in_data_ = true;
    data_stream_ = first;
    data_left_ = size;
    data_flags_ = flags;
    *taken = 8;
    data.remove_prefix(8);
  }
  if (data_left_ > 0 && data.empty()) return std::optional<SpdyFrame>();
  SpdyFrame f;
  f.data = true;
  f.stream = data_stream_;
  f.flags = data_flags_;
  f.piece = data.substr(0, data_left_);
  data_left_ -= static_cast<std::uint32_t>(f.piece.size());
  *taken += f.piece.size();
  f.last_piece = data_left_ == 0;
  if (f.last_piece) in_data_ = false;
  return std::optional<SpdyFrame>(std::move(f));
}

Result<SpdyFrame> SpdyDecoder::control(std::uint16_t type, std::uint8_t flags, std::string_view p) {
  SpdyFrame f;
  f.type = static_cast<SpdyType>(type);
  f.flags = flags;
  auto need = [&](std::size_t n) { return p.size() >= n; };
  auto malformed = [] { return bad_request("spdy: malformed control frame"); };
  switch (f.type) {
    case SpdyType::SynStream:
    case SpdyType::SynReply:
    case SpdyType::Headers: {
      std::size_t fixed = f.type == SpdyType::SynStream ? 10 : 4;
      if (!need(fixed)) return malformed();
      f.stream = get_u32(p, 0) & 0x7fffffff;
      ASSIGN_OR_RETURN(f.headers, inflater_.unpack(p.substr(fixed)));
      break;
    }
    case SpdyType::RstStream:
    case SpdyType::WindowUpdate:
    case SpdyType::GoAway:
      if (!need(8)) return malformed();
      f.stream = get_u32(p, 0) & 0x7fffffff;
      f.value = get_u32(p, 4);
      break;
    case SpdyType::Ping:
      if (!need(4)) return malformed();
      f.stream = get_u32(p, 0);
      break;
    case SpdyType::Settings: break;
    default: f.unknown = true;
  }
  return f;
}

std::string spdy_control(SpdyType type, std::uint8_t flags, std::string_view payload) {
  std::string f;
  put_u32(f, 0x80030000u | static_cast<std::uint32_t>(type));
  put_u32(f, static_cast<std::uint32_t>(flags) << 24 | static_cast<std::uint32_t>(payload.size()));
  f += payload;
  return f;
}
std::string spdy_data_head(std::uint32_t stream, std::uint8_t flags, std::size_t size) {
  std::string f;
  put_u32(f, stream);
  put_u32(f, static_cast<std::uint32_t>(flags) << 24 | static_cast<std::uint32_t>(size));
  return f;
}

}  // namespace onebin::net
