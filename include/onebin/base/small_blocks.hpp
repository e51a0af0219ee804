// Small blocks of memory, kept by the thread that works most.
#pragma once
#include <cstddef>

namespace onebin {

// From now on what this thread frees with operator delete is kept for its own operator new, up to `limit` bytes in all and
// blocks of at most 512 bytes; 0 gives everything back. One request makes and drops a thousand nodes of documents, strings and
// coroutine frames: the C library keeps seven of a size and merges and splits the others again. Without effect under a
// sanitizer. Blocks come from malloc, so that any thread may free any.
void keep_small_blocks(std::size_t limit);

}  // namespace onebin
