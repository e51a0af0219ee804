#include "net/frame_memory.hpp"

#include <algorithm>
#include <cstdlib>
#include <sys/mman.h>
#include <vector>

namespace onebin::net {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kBlock = 5 * kPage;        // nghttp2 asks for 16 KB and a frame's header
constexpr std::size_t kBlocks = 16384;           // address space only; beyond it malloc serves
constexpr std::size_t kLarge = 16 * 1024;

struct Region {
  char* base = nullptr;
  std::size_t used = 0;
  std::vector<char*> free;
  Region() {
    void* p = ::mmap(nullptr, kBlock * kBlocks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return;
    base = static_cast<char*>(p);
    ::madvise(base, kBlock * kBlocks, MADV_NOHUGEPAGE);
  }
  bool owns(void* p) const { return base && p >= base && p < base + kBlock * kBlocks; }
  char* take() {
    if (!free.empty()) {
      char* p = free.back();
      free.pop_back();
      return p;
    }
    return base && used < kBlocks ? base + kBlock * used++ : nullptr;
  }
};
Region& region() {
  static thread_local auto* r = new Region();  // sessions of one loop use it from its thread
  return *r;
}

}  // namespace

FrameMemory::FrameMemory() {
  mem_.mem_user_data = this;
  mem_.malloc = allocate;
  mem_.free = release;
  mem_.calloc = [](std::size_t n, std::size_t size, void*) { return std::calloc(n, size); };
  mem_.realloc = [](void* p, std::size_t size, void* self) -> void* {
    if (!p) return allocate(size, self);  // how nghttp2 asks for its frame buffer
    if (!region().owns(p)) return std::realloc(p, size);
    if (size <= kBlock) return p;
    void* moved = std::malloc(size);
    if (!moved) return nullptr;
    std::copy_n(static_cast<char*>(p), kBlock, static_cast<char*>(moved));
    release(p, self);
    return moved;
  };
}

void* FrameMemory::allocate(std::size_t size, void* self) {
  auto* me = static_cast<FrameMemory*>(self);
  if (size >= kLarge && size <= kBlock && !me->block_) {
    if (char* p = region().take()) {
      me->block_ = p;
      return p;
    }
  }
  return std::malloc(size);
}

void FrameMemory::release(void* p, void* self) {
  auto* me = static_cast<FrameMemory*>(self);
  if (!p || !region().owns(p)) return std::free(p);
  ::madvise(p, kBlock, MADV_DONTNEED);
  region().free.push_back(static_cast<char*>(p));
  if (me->block_ == p) me->block_ = nullptr;
}

void FrameMemory::quiet() {
  // The first page stays: the next small frame fits there. nghttp2 keeps no state inside the block between frames.
  if (block_) ::madvise(block_ + kPage, kBlock - kPage, MADV_DONTNEED);
}

}  // namespace onebin::net
