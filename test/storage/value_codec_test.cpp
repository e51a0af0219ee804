#include "storage/value_codec.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace onebin;
using namespace onebin::storage;

namespace {
std::string there_and_back(ValueEncoder& encoder, const std::string& value) {
  auto back = decode_value(encoder.encode(value));
  REQUIRE(back);
  return **back;
}
}  // namespace

TEST_CASE("values come back as they were, whatever they begin with") {
  ValueEncoder encoder;
  std::mt19937 random(7);
  for (std::size_t size : {0u, 1u, 2u, 511u, 512u, 513u, 4000u, 70000u, 1500000u}) {
    for (int first : {0, 1, 2, 3, int{'k'}, int{'{'}}) {
      std::string noise(size, '\0'), repeated(size, 'r');
      for (auto& c : noise) c = static_cast<char>(random());
      if (size) noise[0] = repeated[0] = static_cast<char>(first);
      CHECK(there_and_back(encoder, noise) == noise);
      CHECK(there_and_back(encoder, repeated) == repeated);
    }
  }
}

TEST_CASE("what repeats itself takes less, what is small or noise takes no more than its marker") {
  ValueEncoder encoder;
  CHECK(encoder.encode(std::string(4000, 'r')).size() < 100);
  std::string small(500, 'r');
  CHECK(encoder.encode(small).data() == small.data());
  CHECK(encoder.encode("\x01").size() == 2);
}

TEST_CASE("a damaged value is an error") {
  ValueEncoder encoder;
  std::string whole(encoder.encode(std::string(4000, 'r') + std::string(4000, 's')));
  for (std::size_t n : {1u, 4u, 5u, 6u}) CHECK_FALSE(decode_value(std::string_view(whole).substr(0, n)));
  CHECK_FALSE(decode_value(std::string_view(whole).substr(0, whole.size() - 1)));
  std::string longer = whole;
  longer[2] = static_cast<char>(longer[2] + 1);
  CHECK_FALSE(decode_value(longer));
}
