// SHA-256 of a stream, and digests in text ("sha256:<64 hex digits>").
#pragma once
#include <memory>
#include <string>
#include <string_view>

namespace onebin::engine {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void update(const char* data, std::size_t size);
  std::string digest();  // "sha256:…"; once, at the end

 private:
  void* context_;
};

std::string digest_of(std::string_view data);
bool valid_digest(std::string_view text);              // sha256 only
std::string digest_hex(std::string_view digest);       // the part after the colon

}  // namespace onebin::engine
