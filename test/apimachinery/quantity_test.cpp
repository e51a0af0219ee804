#include <onebin/apimachinery/quantity.hpp>

#include <catch2/catch.hpp>

#include <limits>

using namespace onebin;
using namespace onebin::apimachinery;

namespace {
std::string canonical(std::string_view text) {
  auto r = canonical_quantity(text);
  return r ? *r : "error";
}
}  // namespace

TEST_CASE("quantities are written canonically") {
  const std::pair<const char*, const char*> cases[] = {
      {"0", "0"}, {"0m", "0"}, {"0.0", "0"}, {"-0", "0"}, {"1", "1"}, {"1000m", "1"}, {"1500m", "1500m"}, {"1.5", "1500m"}, {"0.5", "500m"},
      {"0.001", "1m"}, {"100m", "100m"}, {"1000", "1k"}, {"1024", "1024"}, {"1024Ki", "1Mi"}, {"1024Mi", "1Gi"}, {"1.5Gi", "1536Mi"},
      {"1Gi", "1Gi"}, {"512Mi", "512Mi"}, {"0.5Ki", "512"}, {"1000Ki", "1000Ki"}, {"2e3", "2e3"}, {"1E3", "1E3"}, {"1e2", "100"}, {"3E", "3E"},
      {"1u", "1u"}, {"1n", "1n"}, {"0.1n", "1n"}, {"0.0000000001", "1n"}, {"-1.5", "-1500m"}, {"12345678", "12345678"}, {"1.5Ei", "1536Pi"},
      {"9223372036854775807", "9223372036854775807"}, {"0.1Ki", "102400m"}, {"1100000000n", "1100m"}, {"100k", "100k"}, {"1.500", "1.500"},
      {"010m", "010m"}, {"16Ei", "9223372036854775807"}, {"1.", "1."}, {".5", "500m"}, {" 1 ", "1"},
  };
  for (const auto& [text, want] : cases) {
    INFO(text);
    CHECK(canonical(text) == want);
  }
}

TEST_CASE("what is no quantity is refused") {
  for (const char* text : {"", "-", "+", ".", "1x", "1mm", "m", "1ki", "1 Mi", "1e", "1e+", "0x10", "1.2.3", "1e9999999", "1e100", "NaN", "1Mi2"}) {
    INFO(text);
    CHECK_FALSE(Quantity::parse(text));
  }
}

TEST_CASE("quantities count, compare and round up") {
  auto q = [](const char* t) { return Quantity::must_parse(t); };
  CHECK(q("1500m").value() == 2);
  CHECK(q("-1500m").value() == -2);
  CHECK(q("1.0001").milli_value() == 1001);
  CHECK(q("2Gi").value() == 2147483648);
  CHECK(q("9223372036854775807").milli_value() == 9223372036854775807);
  CHECK(q("1k") == q("1000"));
  CHECK(q("1Ki") > q("1k"));
  CHECK(q("-1") < q("0"));
  CHECK((q("100m") + q("900m")).to_string() == "1");
  CHECK((q("1Gi") + q("512Mi")).to_string() == "1536Mi");
  CHECK((Quantity() + q("1Gi")).to_string() == "1Gi");
  CHECK((q("1Gi") - q("1Gi")).is_zero());
  CHECK((q("100m") * 30).to_string() == "3");
  CHECK((-q("5")).to_string() == "-5");
  CHECK(Quantity::from_milli(250).to_string() == "250m");
  CHECK(Quantity::from_units(1 << 20, Quantity::Format::BinarySI).to_string() == "1Mi");
  CHECK(q("0.25").as_double() == Approx(0.25));
}

TEST_CASE("amounts beyond all measure stay at the bound") {
  const Quantity huge = Quantity::must_parse("84467446744407374073709103232");
  Quantity sum = huge;
  for (int i = 0; i < 8; ++i) sum += sum;
  CHECK(sum > huge);
  CHECK(huge * 1000 == sum);
  CHECK(huge * -1000 == -sum);
  CHECK(-sum - huge == -sum);
  CHECK(sum.milli_value() == std::numeric_limits<std::int64_t>::max());
}
