// Bytes from somewhere, read in order, in the blocking pool: files and parts of files, decompression, digests on the way.
#pragma once
#include <onebin/base/file.hpp>
#include <onebin/base/result.hpp>

#include "engine/digest.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace onebin::engine {

class Source {
 public:
  virtual ~Source() = default;
  virtual Result<std::size_t> read(char* data, std::size_t size) = 0;  // 0: the end
  // Skips without reading where that is possible.
  virtual Result<void> skip(std::uint64_t size);
};

// `size` bytes of a file from `offset` on, by pread: several may share a descriptor, which outlives them.
class FileSource final : public Source {
 public:
  FileSource(int fd, std::uint64_t offset, std::uint64_t size) : fd_(fd), at_(offset), left_(size) {}
  Result<std::size_t> read(char* data, std::size_t size) override;
  Result<void> skip(std::uint64_t size) override;

 private:
  int fd_;
  std::uint64_t at_, left_;
};

class MemorySource final : public Source {
 public:
  explicit MemorySource(std::string data) : data_(std::move(data)) {}
  Result<std::size_t> read(char* data, std::size_t size) override;

 private:
  std::string data_;
  std::size_t at_ = 0;
};

// Passes on what it reads and keeps its digest and length.
class DigestSource final : public Source {
 public:
  explicit DigestSource(Source& inner) : inner_(inner) {}
  Result<std::size_t> read(char* data, std::size_t size) override;
  std::string digest() { return sha_.digest(); }
  std::uint64_t size() const { return size_; }

 private:
  Source& inner_;
  Sha256 sha_;
  std::uint64_t size_ = 0;
};

enum class Compression : std::uint8_t { None, Gzip, Zstd };
// By the first bytes (6 are enough).
Compression detect_compression(std::string_view head);

// The decompressed bytes of `inner`, whatever its compression, found by its first bytes. Concatenated gzip members and
// zstd frames are one stream. Corrupt or cut input is an error. `inner` outlives it.
std::unique_ptr<Source> decompress(Source& inner);

Result<void> drain(Source& source);
Result<std::string> read_whole(Source& source, std::size_t limit);

}  // namespace onebin::engine
