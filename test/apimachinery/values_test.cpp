#include <onebin/apimachinery/values.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::apimachinery;

TEST_CASE("times are read in any zone and written in UTC") {
  auto t = [](const char* text) { return Time::parse(text)->to_string(); };
  CHECK(t("2026-11-24T17:16:00Z") == "2026-11-24T17:16:00Z");
  CHECK(t("2026-11-24T19:16:00+02:00") == "2026-11-24T17:16:00Z");
  CHECK(t("2024-02-29T23:59:59.999999999Z") == "2024-02-29T23:59:59Z");
  CHECK(t("9999-12-31T23:59:59Z") == "9999-12-31T23:59:59Z");
  CHECK(t("1969-12-31T23:59:59Z") == "1969-12-31T23:59:59Z");
  CHECK(Time::parse("2026-11-24T17:16:00.123456Z")->to_micro_string() == "2026-11-24T17:16:00.123456Z");
  CHECK(Time::parse("0001-01-01T00:00:00Z")->is_zero());
  CHECK(Time().is_zero());
  CHECK_FALSE(Time::from_unix(0).is_zero());
  for (const char* bad : {"", "2026-11-24", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T17:16:00",
                          "2026-11-24T17:16:00.Z", "2026-11-24t17:16:00z", "2026-11-24T17:16:00+2:00", "2026-11-24T17:16:00Zx"}) {
    INFO(bad);
    CHECK_FALSE(Time::parse(bad));
  }
}

TEST_CASE("times convert to wall time") {
  Time t(WallTime(std::chrono::milliseconds(-1500)));
  CHECK(t.unix_seconds() == -2);
  CHECK(t.nanos() == 500000000);
  CHECK(t.wall() == WallTime(std::chrono::milliseconds(-1500)));
  CHECK(Time::from_unix(5) > Time::from_unix(4, 999999999));
}

TEST_CASE("IntOrString scales percentages") {
  CHECK(*IntOrString("25%").scaled(10, true) == 3);
  CHECK(*IntOrString("25%").scaled(10, false) == 2);
  CHECK(*IntOrString(7).scaled(10, false) == 7);
  CHECK_FALSE(IntOrString("25").scaled(10, false));
  CHECK_FALSE(IntOrString("x%").scaled(10, false));
  CHECK(IntOrString("http").to_string() == "http");
  CHECK(IntOrString(80).to_string() == "80");
  CHECK(IntOrString("80").to_int() == 80);
}
