#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/small_blocks.hpp>
#include <onebin/base/status.hpp>
#include <onebin/base/time.hpp>

#include <catch2/catch.hpp>

#include <map>
#include <thread>

using namespace onebin;

TEST_CASE("status reasons and codes are inverse to each other") {
  CHECK(not_found("pods", "a").code() == 404);
  CHECK(conflict("deployments", "a", "the object has been modified", "apps").to_string() ==
        "Conflict: Operation cannot be fulfilled on deployments.apps \"a\": the object has been modified");
  CHECK(reason_from_string("Expired") == Reason::Expired);
  CHECK(reason_from_http_code(429) == Reason::TooManyRequests);
}

TEST_CASE("base64 both ways, and rejected where malformed") {
  for (std::string s : {"", "a", "ab", "abc", "abcd"}) {
    CHECK(base64_decode(base64_encode(s)) == s);
    CHECK(base64url_decode(base64url_encode(s)) == s);
  }
  CHECK_FALSE(base64_decode("abc"));
  CHECK_FALSE(base64_decode("a*=="));
}

TEST_CASE("RFC 3339 times") {
  CHECK(parse_rfc3339("0001-01-01T00:00:00Z"));  // saturates: a WallTime reaches from 1677 to 2262
  CHECK(*parse_rfc3339("9999-12-31T23:59:59Z") > *parse_rfc3339("2261-01-01T00:00:00Z"));
  CHECK(*parse_rfc3339("0001-01-01T00:00:00Z") < *parse_rfc3339("1700-01-01T00:00:00Z"));
  auto t = parse_rfc3339("2026-11-24T17:16:37.123456+01:00");
  REQUIRE(t);
  CHECK(format_rfc3339_micro(*t) == "2026-11-24T16:16:37.123456Z");
  CHECK(format_rfc3339(from_unix(0)) == "1970-01-01T00:00:00Z");
  CHECK_FALSE(parse_rfc3339("2026-02-30T00:00:00Z"));
  CHECK_FALSE(parse_rfc3339("2026-01-01"));
}

TEST_CASE("durations in Go's syntax") {
  CHECK(parse_duration("1h30m") == 90min);
  CHECK(parse_duration("250ms") == 250ms);
  CHECK_FALSE(parse_duration("5"));
  CHECK(format_duration(90min) == "1h30m0s");
  CHECK(format_duration(1500ms) == "1.5s");
  CHECK(human_duration(200s) == "3m20s");
}

TEST_CASE("files are replaced whole") {
  std::string dir = "/tmp/onebin-base-test-" + std::to_string(::getpid());
  REQUIRE(make_dirs(dir + "/a/b"));
  REQUIRE(write_file_atomic(dir + "/a/b/f", "one", 0600));
  REQUIRE(write_file_atomic(dir + "/a/b/f", "two", 0600));
  CHECK(*read_file(dir + "/a/b/f") == "two");
  CHECK(list_dir(dir + "/a/b")->size() == 1);
  CHECK(read_file(dir + "/none").is(Reason::NotFound));
  REQUIRE(remove_all(dir));
  CHECK_FALSE(path_exists(dir));
}

TEST_CASE("small blocks are given again whole, from whatever thread they come") {
  keep_small_blocks(64 * 1024);
  std::map<std::size_t, std::string> kept;
  for (std::size_t round = 0; round < 3; ++round) {
    for (std::size_t n = 0; n < 1200; ++n) kept[n] = std::string(n, static_cast<char>('a' + n % 26));
    std::map<std::size_t, std::string> other;
    std::thread([&] {
      for (std::size_t n = 0; n < 1200; n += 3) other[n] = std::string(n, 'z');
    }).join();
    for (std::size_t n = 0; n < 1200; ++n) CHECK(kept[n] == std::string(n, static_cast<char>('a' + n % 26)));
    for (auto& [n, s] : other) CHECK(s == std::string(n, 'z'));
    kept.clear();
  }
  for (std::size_t size : {1u, 24u, 25u, 40u, 41u, 512u, 513u}) {
    void* p = ::operator new(size);
    std::fill_n(static_cast<char*>(p), size, 'x');
    ::operator delete(p, size);
    void* q = ::operator new(size);
    ::operator delete(q);  // without its size, as some libraries do
  }
  keep_small_blocks(0);
}
