#include "engine/tar.hpp"

#include <cstdio>
#include <cstring>

namespace onebin::engine {
namespace {

constexpr std::size_t block_size = 512;

char flag_of(TarEntry::Type type) {
  switch (type) {
    case TarEntry::Type::Hardlink: return '1';
    case TarEntry::Type::Symlink: return '2';
    case TarEntry::Type::CharDevice: return '3';
    case TarEntry::Type::BlockDevice: return '4';
    case TarEntry::Type::Directory: return '5';
    case TarEntry::Type::Fifo: return '6';
    default: return '0';
  }
}

void put_octal(char* block, std::size_t offset, std::size_t width, std::uint64_t value) {
  for (std::size_t i = width - 1; i-- > 0; value >>= 3) block[offset + i] = static_cast<char>('0' + (value & 7));
  block[offset + width - 1] = 0;
}

bool fits_octal(std::uint64_t value, std::size_t width) { return value < (1ull << (3 * (width - 1))); }

void put_text(char* block, std::size_t offset, std::size_t width, const std::string& text) {
  std::memcpy(block + offset, text.data(), std::min(width, text.size()));
}

std::string header(const TarEntry& e, char flag, const std::string& path, std::uint64_t size) {
  std::string block(block_size, '\0');
  char* b = block.data();
  put_text(b, 0, 100, path);
  put_octal(b, 100, 8, e.mode & 07777);
  put_octal(b, 108, 8, fits_octal(e.uid, 8) ? e.uid : 0);
  put_octal(b, 116, 8, fits_octal(e.gid, 8) ? e.gid : 0);
  put_octal(b, 124, 12, fits_octal(size, 12) ? size : 0);
  put_octal(b, 136, 12, e.mtime > 0 && fits_octal(static_cast<std::uint64_t>(e.mtime), 12) ? static_cast<std::uint64_t>(e.mtime) : 0);
  b[156] = flag;
  put_text(b, 157, 100, e.link);
  std::memcpy(b + 257, "ustar\0" "00", 8);
  put_octal(b, 329, 8, e.major);
  put_octal(b, 337, 8, e.minor);
  std::memset(b + 148, ' ', 8);
  unsigned sum = 0;
  for (char c : block) sum += static_cast<unsigned char>(c);
  std::snprintf(b + 148, 8, "%06o", sum);
  b[155] = ' ';
  return block;
}

std::string pax_record(const std::string& key, const std::string& value) {
  std::string body = " " + key + "=" + value + "\n";
  std::size_t length = body.size() + 1;
  while (std::to_string(length).size() + body.size() != length) length = std::to_string(length).size() + body.size();
  return std::to_string(length) + body;
}

}  // namespace

Result<void> TarWriter::add(const TarEntry& entry) {
  std::string pax;
  if (entry.path.size() > 100) pax += pax_record("path", entry.path);
  if (entry.link.size() > 100) pax += pax_record("linkpath", entry.link);
  if (!fits_octal(entry.size, 12)) pax += pax_record("size", std::to_string(entry.size));
  if (!fits_octal(entry.uid, 8)) pax += pax_record("uid", std::to_string(entry.uid));
  if (!fits_octal(entry.gid, 8)) pax += pax_record("gid", std::to_string(entry.gid));
  for (const auto& [k, v] : entry.xattrs) pax += pax_record("SCHILY.xattr." + k, v);
  if (!pax.empty()) {
    RETURN_IF_ERROR(sink_(header(TarEntry{}, 'x', "pax", pax.size())));
    pax.resize((pax.size() + block_size - 1) / block_size * block_size, '\0');
    RETURN_IF_ERROR(sink_(pax));
  }
  written_ = 0;
  return sink_(header(entry, flag_of(entry.type), entry.path, entry.size));
}

Result<void> TarWriter::write(std::string_view content) {
  written_ += content.size();
  return sink_(content);
}

Result<void> TarWriter::end_entry() {
  std::size_t padding = static_cast<std::size_t>((block_size - written_ % block_size) % block_size);
  written_ = 0;
  return padding ? sink_(std::string(padding, '\0')) : Result<void>();
}

Result<void> TarWriter::add_file(const std::string& path, std::string_view content) {
  TarEntry e;
  e.path = path;
  e.mode = 0644;
  e.size = content.size();
  RETURN_IF_ERROR(add(e));
  RETURN_IF_ERROR(write(content));
  return end_entry();
}

Result<void> TarWriter::finish() { return sink_(std::string(2 * block_size, '\0')); }

}  // namespace onebin::engine
