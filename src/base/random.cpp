#include <onebin/base/assert.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/random.hpp>

#include <mutex>
#include <sys/random.h>

namespace onebin {
namespace {
class KernelRng final : public Rng {
 public:
  std::uint64_t next() override {
    std::lock_guard lock(mutex_);
    if (at_ == kWords) {
      std::size_t done = 0;
      while (done < sizeof buffer_) {
        auto n = ::getrandom(reinterpret_cast<char*>(buffer_) + done, sizeof buffer_ - done, 0);
        ONEBIN_ASSERT(n > 0 || errno == EINTR);
        if (n > 0) done += n;
      }
      at_ = 0;
    }
    auto v = buffer_[at_];
    buffer_[at_++] = 0;
    return v;
  }

 private:
  static constexpr std::size_t kWords = 32;
  std::mutex mutex_;
  std::uint64_t buffer_[kWords];
  std::size_t at_ = kWords;
};
}  // namespace

Rng& system_rng() {
  static KernelRng rng;
  return rng;
}

std::uint64_t SeededRng::next() {  // splitmix64
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

std::string random_uuid(Rng& rng) {
  std::uint64_t a = rng.next(), b = rng.next();
  unsigned char raw[16];
  for (int i = 0; i < 8; ++i) {
    raw[i] = a >> (8 * i);
    raw[8 + i] = b >> (8 * i);
  }
  raw[6] = (raw[6] & 0x0f) | 0x40;
  raw[8] = (raw[8] & 0x3f) | 0x80;
  std::string hex = hex_encode({reinterpret_cast<char*>(raw), 16});
  for (int at : {8, 13, 18, 23}) hex.insert(at, "-");
  return hex;
}

std::string random_suffix(Rng& rng, std::size_t length) {
  static constexpr char kAlphabet[] = "bcdfghjklmnpqrstvwxz2456789";  // no vowels, no look-alikes
  std::string s(length, ' ');
  for (auto& c : s) c = kAlphabet[rng.below(sizeof kAlphabet - 1)];
  return s;
}

std::string random_hex(Rng& rng, std::size_t bytes) {
  std::string raw(bytes, '\0');
  for (auto& c : raw) c = static_cast<char>(rng.next());
  return hex_encode(raw);
}

}  // namespace onebin
