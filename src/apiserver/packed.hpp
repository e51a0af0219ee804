// Large texts that are kept and rarely read: kept compressed.
#pragma once
#include <string>
#include <string_view>

namespace onebin::apiserver {

std::string gzip_at(int level, std::string_view data);  // a gzip stream; level 1 is fast, 9 small
std::string unpacked(std::string_view packed);          // of a gzip or zlib stream; "" where it is none

}  // namespace onebin::apiserver
