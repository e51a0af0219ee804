// Large texts that are kept and rarely read: kept compressed.
#pragma once
#include <string>
#include <string_view>

namespace onebin::apiserver {

std::string gzip_packed(std::string_view data);  // as a gzip stream, small rather than fast
std::string unpacked(std::string_view packed);   // of a gzip or zlib stream; "" where it is none

}  // namespace onebin::apiserver
