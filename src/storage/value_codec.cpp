#include "storage/value_codec.hpp"

#include <zlib.h>

namespace onebin::storage {
namespace {
constexpr char kDeflated = 1, kVerbatim = 2;
constexpr std::size_t kHead = 5;      // the marker and the size
constexpr std::size_t kSmallest = 512;  // below it a page is not saved
constexpr std::size_t kLargest = 64u << 20;  // no value is larger
constexpr int kWindowBits = 13, kMemLevel = 6;  // 64 KB for the encoder; objects are some kilobytes

Bytef* bytes(const char* p) { return reinterpret_cast<Bytef*>(const_cast<char*>(p)); }
Status damaged() { return internal_error("store: a value cannot be read: the file is damaged; restore a snapshot (onebin snapshot restore)"); }
}  // namespace

struct ValueEncoder::Stream {
  z_stream z{};
  bool ready = deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, -kWindowBits, kMemLevel, Z_DEFAULT_STRATEGY) == Z_OK;
  ~Stream() { deflateEnd(&z); }
};

ValueEncoder::ValueEncoder() : stream_(std::make_unique<Stream>()) {}
ValueEncoder::~ValueEncoder() = default;

std::string_view ValueEncoder::encode(std::string_view value) {
  if (value.size() >= kSmallest && value.size() <= kLargest && stream_->ready) {
    z_stream& z = stream_->z;
    deflateReset(&z);
    buffer_.resize(value.size() - value.size() / 8);  // less is not worth the reading
    z.next_in = bytes(value.data());
    z.avail_in = static_cast<uInt>(value.size());
    z.next_out = bytes(buffer_.data() + kHead);
    z.avail_out = static_cast<uInt>(buffer_.size() - kHead);
    if (deflate(&z, Z_FINISH) == Z_STREAM_END) {
      buffer_.resize(kHead + z.total_out);
      buffer_[0] = kDeflated;
      for (std::size_t i = 1; i < kHead; ++i) buffer_[i] = static_cast<char>(value.size() >> (8 * (i - 1)));
      return buffer_;
    }
  }
  if (value.empty() || (value[0] != kDeflated && value[0] != kVerbatim)) return value;
  buffer_.assign(1, kVerbatim).append(value);
  return buffer_;
}

Result<Bytes> decode_value(std::string_view stored) {
  if (stored.empty() || (stored[0] != kDeflated && stored[0] != kVerbatim)) return make_bytes(std::string(stored));
  if (stored[0] == kVerbatim) return make_bytes(std::string(stored.substr(1)));
  if (stored.size() < kHead) return damaged();
  std::size_t size = 0;
  for (std::size_t i = 1; i < kHead; ++i) size |= static_cast<std::size_t>(static_cast<unsigned char>(stored[i])) << (8 * (i - 1));
  if (size > kLargest) return damaged();
  z_stream z{};
  if (inflateInit2(&z, -kWindowBits) != Z_OK) return internal_error("store: no memory to read a value");
  std::string out(size, '\0');
  z.next_in = bytes(stored.data() + kHead);
  z.avail_in = static_cast<uInt>(stored.size() - kHead);
  z.next_out = bytes(out.data());
  z.avail_out = static_cast<uInt>(size);
  int end = inflate(&z, Z_FINISH);
  bool whole = end == Z_STREAM_END && z.total_out == size;
  inflateEnd(&z);
  if (!whole) return damaged();
  return make_bytes(std::move(out));
}

}  // namespace onebin::storage
