// Random numbers are injected, so that a simulation can replay them.
#pragma once
#include <cstdint>
#include <string>

namespace onebin {

class Rng {
 public:
  virtual ~Rng() = default;
  virtual std::uint64_t next() = 0;
  std::uint64_t below(std::uint64_t n) { return n ? next() % n : 0; }
  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  // [0, 1)
};
Rng& system_rng();  // from the kernel's generator; fit for secrets
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override;

 private:
  std::uint64_t state_;
};

std::string random_uuid(Rng& rng);                        // RFC 9562, version 4
std::string random_suffix(Rng& rng, std::size_t length);  // the 27-letter alphabet of generateName
std::string random_hex(Rng& rng, std::size_t bytes);

}  // namespace onebin
