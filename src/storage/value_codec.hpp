// How values lie in the file: those that deflate makes clearly smaller are stored so, which halves what a write costs on disk.
//
// The first byte tells: kDeflated, then the value's size (4 bytes, little-endian) and raw deflate; kVerbatim, then the value;
// any other byte is the value's own. Files of schema 1 hold values only.
#pragma once
#include <onebin/base/bytes.hpp>
#include <onebin/base/result.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace onebin::storage {

class ValueEncoder {
 public:
  ValueEncoder();
  ~ValueEncoder();
  // Valid until the next call, and as long as `value` is.
  std::string_view encode(std::string_view value);

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
  std::string buffer_;
};

// Internal when the bytes are damaged.
Result<Bytes> decode_value(std::string_view stored);

}  // namespace onebin::storage
