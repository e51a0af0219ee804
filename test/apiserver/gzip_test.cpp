#include "apiserver/respond.hpp"

#include <catch2/catch.hpp>
#include <zlib.h>

using namespace onebin::apiserver;

namespace {

std::string inflated(std::string_view data) {
  z_stream z{};
  REQUIRE(inflateInit2(&z, 15 + 16) == Z_OK);
  std::string out(1 << 20, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  z.avail_in = static_cast<uInt>(data.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  inflate(&z, Z_SYNC_FLUSH);
  out.resize(z.total_out);
  inflateEnd(&z);
  return out;
}

}  // namespace

// Go's reader hands over what it has at an empty block, but at the last block only with the next member.
TEST_CASE("a part of a compressed watch is flushed before its end") {
  for (std::size_t size : {std::size_t(1), std::size_t(3000), std::size_t(70000), std::size_t(300000)}) {
    std::string text;
    while (text.size() < size) text += "event " + std::to_string(text.size()) + "\n";
    text.resize(size);
    std::string part = gzip_part(text);
    CHECK(inflated(part) == text);
    std::size_t end_and_trailer = 5 + 8;
    CHECK(inflated(std::string_view(part).substr(0, part.size() - end_and_trailer)) == text);
    CHECK(part.rfind(std::string("\0\0\xff\xff", 4)) != std::string::npos);
  }
}
