#include <onebin/base/small_blocks.hpp>

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define ONEBIN_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ONEBIN_SANITIZED
#endif

#ifdef ONEBIN_SANITIZED

void onebin::keep_small_blocks(std::size_t) {}

#else

namespace {

// Classes follow malloc's own sizes: 24, 40, 56 ... usable bytes. A block that was asked for with some size is at least as large
// as any other of the class.
constexpr std::size_t kLargest = 512, kClasses = ((kLargest + 7) >> 4) + 1;
constexpr std::size_t class_of(std::size_t size) { return size <= 24 ? 1 : (size + 7) >> 4; }

struct Block {
  Block* next;
};

struct Kept {
  Block* first[kClasses] = {};
  std::size_t bytes = 0, limit = 0;
};

constinit thread_local Kept kept;

}  // namespace

void onebin::keep_small_blocks(std::size_t limit) {
  kept.limit = limit;
  for (std::size_t c = 0; c < kClasses && kept.bytes > limit; ++c)
    while (Block* b = kept.first[c]) {
      kept.first[c] = b->next;
      kept.bytes -= c << 4;
      std::free(b);
    }
}

void* operator new(std::size_t size) {
  if (size <= kLargest) {
    std::size_t c = class_of(size);
    if (Block* b = kept.first[c]) {
      kept.first[c] = b->next;
      kept.bytes -= c << 4;
      return b;
    }
  }
  for (;;) {
    if (void* p = std::malloc(size ? size : 1)) return p;
    std::new_handler handler = std::get_new_handler();
    if (!handler) throw std::bad_alloc();
    handler();
  }
}

void operator delete(void* p, std::size_t size) noexcept {
  if (p && size <= kLargest && kept.bytes < kept.limit) {
    std::size_t c = class_of(size);
    auto* b = static_cast<Block*>(p);
    b->next = kept.first[c];
    kept.first[c] = b;
    kept.bytes += c << 4;
    return;
  }
  std::free(p);
}

void operator delete(void* p) noexcept { std::free(p); }

#endif
