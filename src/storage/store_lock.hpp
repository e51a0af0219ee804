// One process at a time has a store open for writing.
#pragma once
#include <onebin/base/file.hpp>

namespace onebin::storage {

class StoreLock {
 public:
  // ServiceUnavailable, naming the process, when another holds it.
  static Result<StoreLock> take(const std::string& store_path);

 private:
  Fd fd_;
};

}  // namespace onebin::storage
