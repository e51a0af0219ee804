// Tar archives: ustar, pax and GNU long names (POSIX.1-2017 pax; GNU tar manual, "Basic Tar Format"). Whatever the bytes
// are, the reader ends with an entry or an error; it touches no file.
#pragma once
#include "engine/source.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace onebin::engine {

struct TarEntry {
  enum class Type : std::uint8_t { File, Directory, Symlink, Hardlink, CharDevice, BlockDevice, Fifo, Other };
  Type type = Type::File;
  std::string path, link;  // as written: may be absolute or hold ".."
  std::uint64_t size = 0;  // of the content; 0 unless File
  std::uint32_t mode = 0, uid = 0, gid = 0;
  std::int64_t mtime = 0;
  std::uint32_t mtime_ns = 0;
  std::uint32_t major = 0, minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

class TarReader {
 public:
  explicit TarReader(Source& source) : source_(source) {}
  // False at the archive's end. What is left of the entry before is skipped.
  Result<bool> next(TarEntry& entry);
  Result<std::size_t> read(char* data, std::size_t size);  // content; 0 at its end
  std::uint64_t position() const { return position_; }     // in the source

 private:
  struct Overrides;
  Result<bool> read_block(char* block);  // false at a clean end of the source
  Result<std::string> read_text(std::uint64_t size);
  Result<void> skip_content();
  Source& source_;
  std::uint64_t left_ = 0, padding_ = 0, position_ = 0;
  bool ended_ = false;
};

// Writes a pax archive to a file descriptor.
class TarWriter {
 public:
  using Sink = std::function<Result<void>(std::string_view)>;
  explicit TarWriter(Sink sink) : sink_(std::move(sink)) {}
  Result<void> add(const TarEntry& entry);                   // then entry.size bytes by write()
  Result<void> write(std::string_view content);
  Result<void> end_entry();                                  // pads
  Result<void> add_file(const std::string& path, std::string_view content);
  Result<void> finish();

 private:
  Sink sink_;
  std::uint64_t written_ = 0;
};

}  // namespace onebin::engine
