// The memory that nghttp2 frames its output in: 16 KB for each session, of which an idle one needs nothing. It lies in
// pages of its own, so that those can be given back to the kernel while the session is quiet.
#pragma once
#include <nghttp2/nghttp2.h>

#include <cstddef>

namespace onebin::net {

class FrameMemory {
 public:
  FrameMemory();
  FrameMemory(const FrameMemory&) = delete;
  nghttp2_mem* hooks() { return &mem_; }
  void quiet();  // the frames written so far are no longer needed

 private:
  static void* allocate(std::size_t size, void* self);
  static void release(void* p, void* self);
  nghttp2_mem mem_;
  char* block_ = nullptr;
};

}  // namespace onebin::net
