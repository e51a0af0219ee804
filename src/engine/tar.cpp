#include "engine/tar.hpp"

#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

namespace onebin::engine {
namespace {

constexpr std::size_t block_size = 512;
constexpr std::uint64_t max_header_text = 1u << 20;   // of one pax header or long name
constexpr std::uint64_t max_content = 1ull << 50;

std::string field(const char* block, std::size_t offset, std::size_t size) {
  const char* p = block + offset;
  return std::string(p, ::strnlen(p, size));
}

// Octal with spaces or NUL around it, or GNU's base 256 (high bit of the first byte).
std::optional<std::int64_t> number(const char* block, std::size_t offset, std::size_t size) {
  const auto* p = reinterpret_cast<const unsigned char*>(block + offset);
  if (p[0] & 0x80) {
    bool negative = p[0] & 0x40;
    std::uint64_t v = negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = 0; i < size; ++i) {
      std::uint64_t byte = i == 0 ? (p[0] & 0x7f) | (negative ? 0x80 : 0) : p[i];
      if (i + 8 < size && byte != (negative ? 0xff : 0)) return std::nullopt;  // more than 64 bits
      v = v << 8 | byte;
    }
    return static_cast<std::int64_t>(v);
  }
  std::size_t i = 0;
  while (i < size && p[i] == ' ') ++i;
  std::int64_t v = 0;
  bool any = false;
  for (; i < size && p[i] >= '0' && p[i] <= '7'; ++i, any = true) {
    if (v > (INT64_MAX >> 3)) return std::nullopt;
    v = v << 3 | (p[i] - '0');
  }
  for (; i < size; ++i) {
    if (p[i] != ' ' && p[i] != 0) return std::nullopt;
  }
  (void)any;
  return v;
}

bool checksum_ok(const char* block) {
  auto told = number(block, 148, 8);
  if (!told) return false;
  std::int64_t plain = 0, signed_sum = 0;
  for (std::size_t i = 0; i < block_size; ++i) {
    bool in_field = i >= 148 && i < 156;
    plain += in_field ? ' ' : static_cast<unsigned char>(block[i]);
    signed_sum += in_field ? ' ' : static_cast<signed char>(block[i]);
  }
  return *told == plain || *told == signed_sum;
}

template <class T>
bool parse_decimal(std::string_view text, T& out) {
  auto r = std::from_chars(text.data(), text.data() + text.size(), out);
  return r.ec == std::errc() && r.ptr == text.data() + text.size();
}

TarEntry::Type type_of(char flag) {
  switch (flag) {
    case '0': case '\0': case '7': return TarEntry::Type::File;
    case '1': return TarEntry::Type::Hardlink;
    case '2': return TarEntry::Type::Symlink;
    case '3': return TarEntry::Type::CharDevice;
    case '4': return TarEntry::Type::BlockDevice;
    case '5': return TarEntry::Type::Directory;
    case '6': return TarEntry::Type::Fifo;
    default: return TarEntry::Type::Other;
  }
}

}  // namespace

struct TarReader::Overrides {
  std::optional<std::string> path, link;
  std::optional<std::uint64_t> size;
  std::optional<std::uint32_t> uid, gid;
  std::optional<std::pair<std::int64_t, std::uint32_t>> mtime;
  std::vector<std::pair<std::string, std::string>> xattrs;

  Result<void> set(std::string_view key, std::string value) {
    auto bad = [&] { return bad_request("tar: bad pax value of " + std::string(key)); };
    if (key == "path") path = std::move(value);
    else if (key == "linkpath") link = std::move(value);
    else if (key == "size") {
      std::uint64_t v;
      if (!parse_decimal(value, v)) return bad();
      size = v;
    } else if (key == "uid" || key == "gid") {
      std::uint32_t v;
      if (!parse_decimal(value, v)) return bad();
      (key == "uid" ? uid : gid) = v;
    } else if (key == "mtime") {
      std::string_view text = value, fraction;
      if (auto dot = text.find('.'); dot != std::string_view::npos) {
        fraction = text.substr(dot + 1, 9);
        text = text.substr(0, dot);
      }
      std::int64_t s;
      std::uint32_t ns = 0;
      if (!parse_decimal(text, s)) return bad();
      if (!fraction.empty() && !parse_decimal(fraction, ns)) return bad();
      for (std::size_t i = fraction.size(); i < 9; ++i) ns *= 10;
      mtime = std::pair(s, ns);
    } else if (starts_with(key, "SCHILY.xattr.")) {
      xattrs.emplace_back(std::string(key.substr(13)), std::move(value));
    } else if (starts_with(key, "GNU.sparse.")) {
      return bad_request("tar: sparse files are not supported");
    }
    return {};
  }

  // Records "LENGTH KEY=VALUE\n", the length counting itself.
  Result<void> parse_pax(std::string_view text) {
    while (!text.empty()) {
      std::size_t length = 0, i = 0;
      while (i < text.size() && text[i] >= '0' && text[i] <= '9' && i < 8) length = length * 10 + static_cast<std::size_t>(text[i++] - '0');
      if (i == 0 || i >= text.size() || text[i] != ' ' || length <= i + 1 || length > text.size() || text[length - 1] != '\n') {
        return bad_request("tar: malformed pax header");
      }
      std::string_view record = text.substr(i + 1, length - i - 2);
      auto eq = record.find('=');
      if (eq == std::string_view::npos) return bad_request("tar: malformed pax header");
      RETURN_IF_ERROR(set(record.substr(0, eq), std::string(record.substr(eq + 1))));
      text.remove_prefix(length);
    }
    return {};
  }
};

Result<bool> TarReader::read_block(char* block) {
  std::size_t have = 0;
  while (have < block_size) {
    ASSIGN_OR_RETURN(std::size_t n, source_.read(block + have, block_size - have));
    if (n == 0) break;
    have += n;
  }
  position_ += have;
  if (have == 0) return false;
  if (have < block_size) return bad_request("tar: the archive ends in the middle of a header");
  return true;
}

Result<std::string> TarReader::read_text(std::uint64_t size) {
  if (size > max_header_text) return bad_request("tar: a header is too long");
  std::string text(static_cast<std::size_t>(size), '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    ASSIGN_OR_RETURN(std::size_t n, source_.read(text.data() + have, text.size() - have));
    if (n == 0) return bad_request("tar: the archive ends in the middle of a header");
    have += n;
  }
  std::uint64_t padding = (block_size - size % block_size) % block_size;
  RETURN_IF_ERROR(source_.skip(padding));
  position_ += size + padding;
  return text;
}

Result<void> TarReader::skip_content() {
  RETURN_IF_ERROR(source_.skip(left_ + padding_));
  position_ += left_ + padding_;
  left_ = padding_ = 0;
  return {};
}

Result<bool> TarReader::next(TarEntry& entry) {
  if (ended_) return false;
  RETURN_IF_ERROR(skip_content());
  Overrides over;
  // Extension headers in a row before one entry; a bound, as each may be a megabyte.
  for (int headers = 0; headers < 32; ++headers) {
    char block[block_size];
    ASSIGN_OR_RETURN(bool more, read_block(block));
    if (!more || std::all_of(block, block + block_size, [](char c) { return c == 0; })) {
      ended_ = true;
      return false;
    }
    if (!checksum_ok(block)) return bad_request("tar: a header's checksum is wrong");
    char flag = block[156];
    auto size = number(block, 124, 12), mode = number(block, 100, 8), uid = number(block, 108, 8), gid = number(block, 116, 8),
         mtime = number(block, 136, 12);
    if (!size || *size < 0 || static_cast<std::uint64_t>(*size) > max_content) return bad_request("tar: bad size");
    if (flag == 'x' || flag == 'g') {
      ASSIGN_OR_RETURN(std::string text, read_text(static_cast<std::uint64_t>(*size)));
      // Global headers carry comments in practice (git archive); what they would override is not supported.
      if (flag == 'x') RETURN_IF_ERROR(over.parse_pax(text));
      continue;
    }
    if (flag == 'L' || flag == 'K') {
      ASSIGN_OR_RETURN(std::string text, read_text(static_cast<std::uint64_t>(*size)));
      text.resize(::strnlen(text.data(), text.size()));
      (flag == 'L' ? over.path : over.link) = std::move(text);
      continue;
    }
    if (flag == 'S') return bad_request("tar: sparse files are not supported");
    if (!mode || !uid || !gid || !mtime) return bad_request("tar: bad number in a header");
    entry = TarEntry{};
    entry.type = type_of(flag);
    entry.path = field(block, 0, 100);
    bool ustar = std::memcmp(block + 257, "ustar", 5) == 0;
    bool gnu = std::memcmp(block + 257, "ustar ", 6) == 0;
    if (ustar && !gnu) {
      if (auto prefix = field(block, 345, 155); !prefix.empty()) entry.path = prefix + "/" + entry.path;
    }
    entry.link = field(block, 157, 100);
    if (over.path) entry.path = std::move(*over.path);
    if (over.link) entry.link = std::move(*over.link);
    if (entry.path.find('\0') != std::string::npos || entry.link.find('\0') != std::string::npos) return bad_request("tar: a name holds NUL");
    if (entry.type == TarEntry::Type::File && !entry.path.empty() && entry.path.back() == '/') entry.type = TarEntry::Type::Directory;
    entry.mode = static_cast<std::uint32_t>(*mode) & 07777;
    entry.uid = over.uid.value_or(static_cast<std::uint32_t>(*uid));
    entry.gid = over.gid.value_or(static_cast<std::uint32_t>(*gid));
    entry.mtime = over.mtime ? over.mtime->first : *mtime;
    entry.mtime_ns = over.mtime ? over.mtime->second : 0;
    if (entry.type == TarEntry::Type::CharDevice || entry.type == TarEntry::Type::BlockDevice) {
      entry.major = static_cast<std::uint32_t>(number(block, 329, 8).value_or(0));
      entry.minor = static_cast<std::uint32_t>(number(block, 337, 8).value_or(0));
    }
    entry.xattrs = std::move(over.xattrs);
    std::uint64_t content = over.size.value_or(static_cast<std::uint64_t>(*size));
    if (content > max_content) return bad_request("tar: bad size");
    // A link's size is meaningless but in old archives, where no content follows.
    if (entry.type != TarEntry::Type::File && entry.type != TarEntry::Type::Other) content = 0;
    entry.size = content;
    left_ = content;
    padding_ = (block_size - content % block_size) % block_size;
    return true;
  }
  return bad_request("tar: too many headers before an entry");
}

Result<std::size_t> TarReader::read(char* data, std::size_t size) {
  size = static_cast<std::size_t>(std::min<std::uint64_t>(size, left_));
  if (size == 0) return std::size_t{0};
  ASSIGN_OR_RETURN(std::size_t n, source_.read(data, size));
  if (n == 0) return bad_request("tar: the archive ends in the middle of a file");
  left_ -= n;
  position_ += n;
  return n;
}

}  // namespace onebin::engine
