// The container's log file in the CRI format: "<RFC 3339 time> stdout F <line>", lines over 16 KiB in pieces marked P.
// Part of the shim: no libstdc++, no heap.
#pragma once
#include <cstddef>

namespace onebin::engine::shim {

constexpr std::size_t line_limit = 16384;

class LogFile {
 public:
  void set_path(const char* path) { path_ = path; }
  int open();  // 0 or errno; also reopens, after a rotation
  // stream is 1 or 2.
  void write(int stream, const char* data, std::size_t size);
  void finish();  // what stands without a newline, as P

 private:
  void emit(int stream, char tag, const char* data, std::size_t size);
  void flush();
  const char* path_ = nullptr;
  int fd_ = -1;
  std::size_t held_[2] = {0, 0};
  char line_[2][line_limit];
  std::size_t used_ = 0;
  char out_[line_limit + 4096];
};

}  // namespace onebin::engine::shim
