#include "engine/source.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>
#include <zlib.h>
#include <zstd.h>

namespace onebin::engine {
namespace {

constexpr std::size_t input_size = 64 * 1024;

class Decompressor final : public Source {
 public:
  explicit Decompressor(Source& inner) : inner_(inner), input_(input_size) {}
  ~Decompressor() override {
    if (kind_ == Compression::Gzip) ::inflateEnd(&gzip_);
    if (zstd_) ::ZSTD_freeDStream(zstd_);
  }

  Result<std::size_t> read(char* data, std::size_t size) override {
    if (!started_) RETURN_IF_ERROR(start());
    if (done_ || size == 0) return std::size_t{0};
    switch (kind_) {
      case Compression::None: return read_plain(data, size);
      case Compression::Gzip: return read_gzip(data, size);
      case Compression::Zstd: return read_zstd(data, size);
    }
    return std::size_t{0};
  }

 private:
  Result<void> fill() {
    at_ = 0;
    ASSIGN_OR_RETURN(have_, inner_.read(input_.data(), input_.size()));
    if (have_ == 0) input_end_ = true;
    return {};
  }

  Result<void> start() {
    started_ = true;
    while (have_ < 6 && !input_end_) {
      ASSIGN_OR_RETURN(std::size_t n, inner_.read(input_.data() + have_, input_.size() - have_));
      have_ += n;
      if (n == 0) input_end_ = true;
    }
    kind_ = detect_compression(std::string_view(input_.data(), have_));
    if (kind_ == Compression::Gzip) {
      gzip_ = {};
      if (::inflateInit2(&gzip_, 15 + 16) != Z_OK) {
        kind_ = Compression::None;
        return internal_error("gzip: no memory");
      }
    } else if (kind_ == Compression::Zstd) {
      zstd_ = ::ZSTD_createDStream();
      if (!zstd_) return internal_error("zstd: no memory");
      // What an image may ask of this host's memory: windows of 128 MiB, the format's recommended limit for decoders.
      ::ZSTD_DCtx_setParameter(zstd_, ZSTD_d_windowLogMax, 27);
    }
    return {};
  }

  Result<std::size_t> read_plain(char* data, std::size_t size) {
    if (at_ == have_) {
      if (input_end_) return std::size_t{0};
      return inner_.read(data, size);
    }
    std::size_t n = std::min(size, have_ - at_);
    std::memcpy(data, input_.data() + at_, n);
    at_ += n;
    return n;
  }

  Result<std::size_t> read_gzip(char* data, std::size_t size) {
    for (;;) {
      if (at_ == have_ && !input_end_) RETURN_IF_ERROR(fill());
      if (member_end_) {
        // Another member may follow; anything else after the last (zero padding) is ignored, as gzip does.
        if (at_ == have_) {
          done_ = true;
          return std::size_t{0};
        }
        if (static_cast<unsigned char>(input_[at_]) != 0x1f) {
          at_ = have_;
          continue;
        }
        ::inflateReset(&gzip_);
        member_end_ = false;
      }
      if (at_ == have_) return bad_request("gzip: the data ends too early");
      gzip_.next_in = reinterpret_cast<Bytef*>(input_.data() + at_);
      gzip_.avail_in = static_cast<uInt>(have_ - at_);
      gzip_.next_out = reinterpret_cast<Bytef*>(data);
      gzip_.avail_out = static_cast<uInt>(std::min<std::size_t>(size, 1u << 30));
      int r = ::inflate(&gzip_, Z_NO_FLUSH);
      at_ = have_ - gzip_.avail_in;
      std::size_t made = static_cast<std::size_t>(reinterpret_cast<char*>(gzip_.next_out) - data);
      if (r == Z_STREAM_END) member_end_ = true;
      else if (r != Z_OK && r != Z_BUF_ERROR) return bad_request(std::string("gzip: ") + (gzip_.msg ? gzip_.msg : "corrupt data"));
      if (made) return made;
    }
  }

  Result<std::size_t> read_zstd(char* data, std::size_t size) {
    ZSTD_outBuffer out{data, size, 0};
    for (;;) {
      if (at_ == have_ && !input_end_) RETURN_IF_ERROR(fill());
      ZSTD_inBuffer in{input_.data(), have_, at_};
      if (at_ == have_ && frame_end_) {
        done_ = true;
        return std::size_t{0};
      }
      bool starved = at_ == have_;
      std::size_t r = ::ZSTD_decompressStream(zstd_, &out, &in);
      at_ = in.pos;
      if (::ZSTD_isError(r)) return bad_request(std::string("zstd: ") + ::ZSTD_getErrorName(r));
      frame_end_ = r == 0;
      if (out.pos) return out.pos;
      if (starved && !frame_end_) return bad_request("zstd: the data ends too early");
    }
  }

  Source& inner_;
  std::vector<char> input_;
  std::size_t at_ = 0, have_ = 0;
  bool started_ = false, input_end_ = false, done_ = false, member_end_ = false, frame_end_ = false;
  Compression kind_ = Compression::None;
  z_stream gzip_{};
  ZSTD_DStream* zstd_ = nullptr;
};

}  // namespace

Result<void> Source::skip(std::uint64_t size) {
  char buffer[32768];
  while (size > 0) {
    ASSIGN_OR_RETURN(std::size_t n, read(buffer, static_cast<std::size_t>(std::min<std::uint64_t>(size, sizeof buffer))));
    if (n == 0) return bad_request("the data ends too early");
    size -= n;
  }
  return {};
}

Result<std::size_t> FileSource::read(char* data, std::size_t size) {
  size = static_cast<std::size_t>(std::min<std::uint64_t>(size, left_));
  if (size == 0) return std::size_t{0};
  ssize_t n;
  do n = ::pread(fd_, data, size, static_cast<off_t>(at_));
  while (n < 0 && errno == EINTR);
  if (n < 0) return from_errno("read", errno);
  at_ += static_cast<std::uint64_t>(n);
  left_ -= static_cast<std::uint64_t>(n);
  return static_cast<std::size_t>(n);
}

Result<void> FileSource::skip(std::uint64_t size) {
  if (size > left_) return bad_request("the data ends too early");
  at_ += size;
  left_ -= size;
  return {};
}

Result<std::size_t> MemorySource::read(char* data, std::size_t size) {
  size = std::min(size, data_.size() - at_);
  std::memcpy(data, data_.data() + at_, size);
  at_ += size;
  return size;
}

Result<std::size_t> DigestSource::read(char* data, std::size_t size) {
  ASSIGN_OR_RETURN(std::size_t n, inner_.read(data, size));
  sha_.update(data, n);
  size_ += n;
  return n;
}

Compression detect_compression(std::string_view head) {
  if (head.size() >= 3 && head[0] == '\x1f' && head[1] == '\x8b' && head[2] == '\x08') return Compression::Gzip;
  if (head.size() >= 4 && head.substr(0, 4) == "\x28\xb5\x2f\xfd") return Compression::Zstd;
  return Compression::None;
}

std::unique_ptr<Source> decompress(Source& inner) { return std::make_unique<Decompressor>(inner); }

Result<void> drain(Source& source) {
  char buffer[32768];
  for (;;) {
    ASSIGN_OR_RETURN(std::size_t n, source.read(buffer, sizeof buffer));
    if (n == 0) return {};
  }
}

Result<std::string> read_whole(Source& source, std::size_t limit) {
  std::string out;
  char buffer[16384];
  for (;;) {
    ASSIGN_OR_RETURN(std::size_t n, source.read(buffer, sizeof buffer));
    if (n == 0) return out;
    if (out.size() + n > limit) return Status(Reason::RequestEntityTooLarge, "larger than " + std::to_string(limit) + " bytes");
    out.append(buffer, n);
  }
}

}  // namespace onebin::engine
