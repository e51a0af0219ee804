// modules: engine base
// Layers as an image brings them: decompression, the tar reader, and applying to a folder. Whatever the bytes are,
// nothing beside the folder may change. Run as root (owners, devices) or not; under /dev/shm it is fast.
#include "engine/source.hpp"
#include "engine/tar.hpp"
#include "engine/unpack.hpp"

#include <onebin/base/assert.hpp>
#include <onebin/base/file.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <sys/stat.h>

using namespace onebin;
using namespace onebin::engine;

namespace {

const std::string& sandbox() {
  static const std::string path = [] {
    char name[] = "/dev/shm/onebin-fuzz-tar-XXXXXX";
    ONEBIN_ASSERT(::mkdtemp(name));
    std::string p = name;
    ONEBIN_ASSERT(write_file(p + "/victim", "safe").is_ok());
    std::atexit([] { (void)remove_all(sandbox()); });
    return p;
  }();
  return path;
}

void read_only(const std::string& data) {
  MemorySource packed(data);
  auto plain = decompress(packed);
  TarReader reader(*plain);
  TarEntry entry;
  char buffer[1024];
  // A small input may decompress to very much.
  for (int entries = 0; entries < 2000; ++entries) {
    auto more = reader.next(entry);
    if (!more || !*more) return;
    ONEBIN_ASSERT(entry.path.find('\0') == std::string::npos);
    for (int reads = 0; reads < 64; ++reads) {
      auto n = reader.read(buffer, sizeof buffer);
      if (!n || *n == 0) break;
    }
  }
}

void apply(const std::string& data) {
  std::string root = sandbox() + "/root";
  ONEBIN_ASSERT(make_dirs(root).is_ok());
  MemorySource source(data);
  UnpackLimits limits;
  limits.bytes = 1 << 20;
  limits.entries = 200;
  (void)unpack_layer(source, root, limits);
  struct stat st;
  ONEBIN_ASSERT(::lstat(sandbox().c_str(), &st) == 0 && (st.st_mode & 07777) == 0700);
  ONEBIN_ASSERT(read_file(sandbox() + "/victim").value_or("") == "safe");
  ONEBIN_ASSERT(list_dir(sandbox())->size() == 2);
  ONEBIN_ASSERT(remove_all(root).is_ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  std::string data(reinterpret_cast<const char*>(bytes + 1), size - 1);
  if (bytes[0] & 1) apply(data);
  else read_only(data);
  return 0;
}

// Keeps headers' checksums right after a mutation, without which hardly any input would get past the first block.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 == 0) return size;
  for (std::size_t at = 1; at + 512 <= size; at += 512) {
    unsigned sum = 0;
    for (std::size_t i = 0; i < 512; ++i) sum += i >= 148 && i < 156 ? ' ' : data[at + i];
    for (int i = 5; i >= 0; --i, sum >>= 3) data[at + 148 + static_cast<std::size_t>(i)] = static_cast<std::uint8_t>('0' + (sum & 7));
    data[at + 154] = 0;
    data[at + 155] = ' ';
  }
  return size;
}
