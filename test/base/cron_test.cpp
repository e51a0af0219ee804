#include <onebin/base/cron.hpp>
#include <onebin/base/time_zone.hpp>

#include <catch2/catch.hpp>

using namespace onebin;

namespace {

WallTime at(const char* text) { return *parse_rfc3339(text); }
std::string next(const char* spec, const char* after, TimeZone zone = {}) {
  auto s = CronSchedule::parse(spec, std::move(zone));
  INFO(s.status().to_string());
  REQUIRE(s);
  auto t = s->next(at(after));
  return t ? format_rfc3339(*t) : "never";
}
std::string error(const char* spec) {
  auto s = CronSchedule::parse(spec);
  return s ? "" : s.status().message();
}

// A file of the tz database with no transition of its own: all is in the rule.
TimeZone by_rule(const std::string& rule, int offset) {
  auto header = [](char version, int types) {
    std::string h = "TZif";
    h += version;
    h += std::string(15, '\0');
    for (int n : {0, 0, 0, 0, types, 4}) h += {'\0', '\0', '\0', static_cast<char>(n)};
    return h;
  };
  std::string type;
  for (int shift : {24, 16, 8, 0}) type += static_cast<char>((offset >> shift) & 0xff);
  type += std::string(2, '\0');
  std::string body = type + "CET" + '\0';
  auto z = TimeZone::parse(header('2', 1) + body + header('2', 1) + body + "\n" + rule + "\n");
  INFO(z.status().to_string());
  REQUIRE(z);
  return *z;
}

}  // namespace

TEST_CASE("schedules of five fields") {
  CHECK(next("*/5 * * * *", "2026-01-01T00:00:00Z") == "2026-01-01T00:05:00Z");
  CHECK(next("30 4 * * *", "2026-01-01T04:30:00Z") == "2026-01-02T04:30:00Z");
  CHECK(next("30 4 * * *", "2026-01-01T04:29:59Z") == "2026-01-01T04:30:00Z");
  CHECK(next("0 0 29 2 *", "2026-01-01T00:00:00Z") == "2028-02-29T00:00:00Z");
  CHECK(next("0 0 30 2 *", "2026-01-01T00:00:00Z") == "never");
  CHECK(next("0 12 * * MON-fri", "2026-01-02T12:00:00Z") == "2026-01-05T12:00:00Z");  // from a Friday to Monday
  CHECK(next("10-20/5 3 * dec ?", "2026-12-31T03:15:00Z") == "2026-12-31T03:20:00Z");
  CHECK(next("0 0 31 * *", "2026-01-31T00:00:00Z") == "2026-03-31T00:00:00Z");
}

TEST_CASE("day of month and day of week: either where both are restricted, both where one is a star") {
  CHECK(next("0 0 13 * fri", "2026-01-01T00:00:00Z") == "2026-01-02T00:00:00Z");
  CHECK(next("0 0 13 * *", "2026-01-01T00:00:00Z") == "2026-01-13T00:00:00Z");
  CHECK(next("0 0 */2 * fri", "2026-01-01T00:00:00Z") == "2026-01-02T00:00:00Z");  // a step makes it a restriction
}

TEST_CASE("descriptors and intervals") {
  CHECK(next("@hourly", "2026-01-01T00:10:00Z") == "2026-01-01T01:00:00Z");
  CHECK(next("@weekly", "2026-01-01T00:00:00Z") == "2026-01-04T00:00:00Z");
  CHECK(next("@yearly", "2026-01-01T00:00:00Z") == "2027-01-01T00:00:00Z");
  CHECK(next("@every 90m", "2026-01-01T00:00:00Z") == "2026-01-01T01:30:00Z");
}

TEST_CASE("what is no schedule says why") {
  CHECK(error("* * * *") == "expected exactly 5 fields, found 4: [* * * *]");
  CHECK(error("60 * * * *") == "end of range (60) above maximum (59): 60");
  CHECK(error("* * 0 * *") == "beginning of range (0) below minimum (1): 0");
  CHECK(error("5-1 * * * *") == "beginning of range (5) beyond end of range (1): 5-1");
  CHECK(error("*/0 * * * *") == "step of range should be a positive number: */0");
  CHECK(error("1-2-3 * * * *") == "too many hyphens: 1-2-3");
  CHECK(error("1/2/3 * * * *") == "too many slashes: 1/2/3");
  CHECK(error("a * * * *") == "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax");
  CHECK(error("") == "empty spec string");
  CHECK(error("@fortnightly") == "unrecognized descriptor: @fortnightly");
}

TEST_CASE("a zone with summer time: its offsets, and schedules across its changes") {
  TimeZone vienna = by_rule("CET-1CEST,M3.5.0,M10.5.0/3", 3600);
  CHECK(vienna.offset_at(std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::microseconds>(at("2026-01-15T00:00:00Z")))) == 3600);
  CHECK(vienna.offset_at(std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::microseconds>(at("2026-07-15T00:00:00Z")))) == 7200);
  CHECK(next("30 4 * * *", "2026-07-01T00:00:00Z", vienna) == "2026-07-01T02:30:00Z");
  // 02:30 is left out on 29 March and comes twice on 25 October.
  CHECK(next("30 2 * * *", "2026-03-28T12:00:00Z", vienna) == "2026-03-30T00:30:00Z");
  CHECK(next("30 2 * * *", "2026-10-24T12:00:00Z", vienna) == "2026-10-25T00:30:00Z");
  CHECK(next("30 2 * * *", "2026-10-25T00:30:00Z", vienna) == "2026-10-25T01:30:00Z");
  CHECK(next("0 0 1 * *", "2026-10-02T00:00:00Z", vienna) == "2026-10-31T23:00:00Z");
}

TEST_CASE("the far south's summer spans the new year; a zone without one has one offset") {
  TimeZone sydney = by_rule("AEST-10AEDT,M10.1.0,M4.1.0/3", 36000);
  CHECK(next("0 9 * * *", "2026-01-01T00:00:00Z", sydney) == "2026-01-01T22:00:00Z");
  CHECK(next("0 9 * * *", "2026-06-01T00:00:00Z", sydney) == "2026-06-01T23:00:00Z");
  TimeZone india = by_rule("IST-5:30", 19800);
  CHECK(next("0 0 * * *", "2026-01-01T00:00:00Z", india) == "2026-01-01T18:30:00Z");
}

TEST_CASE("names of zones are looked up, and nothing else is") {
  CHECK(TimeZone::load(""));
  CHECK(TimeZone::load("UTC"));
  for (const char* bad : {"Nowhere/Land", "../etc/passwd", "/etc/passwd"}) {
    auto z = TimeZone::load(bad);
    REQUIRE_FALSE(z);
    CHECK(z.status().message() == std::string("unknown time zone ") + bad);
  }
  CHECK_FALSE(TimeZone::parse("TZif"));
  CHECK_FALSE(TimeZone::parse(std::string("TZif2") + std::string(200, '\xff')));
}
