// Read buffers, taken for the length of one read and given back: so that they neither stand idle with a connection nor
// break up the heap between its small, long-lived parts.
#pragma once
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace onebin::net {

class Buffer {
 public:
  static constexpr std::size_t kSize = 17 * 1024;  // a TLS record and its framing
  Buffer() {
    auto& free = free_list();
    if (free.empty()) {
      data_.reset(new char[kSize]);
    } else {
      data_ = std::move(free.back());
      free.pop_back();
    }
  }
  Buffer(Buffer&& o) noexcept = default;
  Buffer& operator=(Buffer&& o) noexcept {
    std::swap(data_, o.data_);
    return *this;
  }
  ~Buffer() {
    if (data_ && free_list().size() < kKept) free_list().push_back(std::move(data_));
  }
  char* data() { return data_.get(); }

 private:
  static constexpr std::size_t kKept = 32;
  static std::vector<std::unique_ptr<char[]>>& free_list() {
    // Never destroyed: buffers may be given back while the thread ends.
    static thread_local auto* list = new std::vector<std::unique_ptr<char[]>>();
    return *list;
  }
  std::unique_ptr<char[]> data_;
};

}  // namespace onebin::net
