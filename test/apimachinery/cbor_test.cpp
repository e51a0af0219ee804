// CBOR beside JSON. Byte-for-byte agreement with upstream over every kind is test/api/roundtrip_test.cpp's.
#include <onebin/apimachinery/cbor.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/bytes.hpp>

#include <catch2/catch.hpp>

#include "tables.hpp"

using namespace onebin;
using namespace onebin::apimachinery;

namespace {

std::string bytes(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return out;
}
std::string decoded(std::string_view hex) {
  auto d = decode_cbor(bytes(hex), nullptr);
  return d ? d->dump() : d.status().message();
}
std::string encoded(const Document& d) {
  auto b = encode_cbor(d, nullptr);
  REQUIRE(b);
  CHECK(starts_with(*b, kCborMagic));
  return hex_encode(std::string_view(*b).substr(kCborMagic.size()));
}

}  // namespace

TEST_CASE("cbor: values as the RFC's appendix has them") {
  CHECK(decoded("00") == "0");
  CHECK(decoded("1903e8") == "1000");
  CHECK(decoded("3903e7") == "-1000");
  CHECK(decoded("1b7fffffffffffffff") == "9223372036854775807");
  CHECK(decoded("3b7fffffffffffffff") == "-9223372036854775808");
  CHECK(decoded("f93c00") == "1.0");
  CHECK(decoded("f90001") == "5.960464477539063e-08");
  CHECK(decoded("fa47c35000") == "100000.0");
  CHECK(decoded("fb3ff199999999999a") == "1.1");
  CHECK(decoded("f4") == "false");
  CHECK(decoded("f6") == "null");
  CHECK(decoded("6449455446") == "\"IETF\"");
  CHECK(decoded("4449455446") == "\"IETF\"");
  CHECK(decoded("83010203") == "[1,2,3]");
  CHECK(decoded("a26161016162820203") == R"({"a":1,"b":[2,3]})");
  CHECK(decoded("bf61610161629f0203ffff") == R"({"a":1,"b":[2,3]})");
  CHECK(decoded("5f42010243030405ff").size() > 2);
  CHECK(decoded("d9d9f7a0") == "{}");
  CHECK(decoded("d643010203") == R"("AQID")");
  CHECK(decoded("d7430102ff") == R"("0102ff")");
  CHECK(decoded("c074323031332d30332d32315432303a30343a30305a") == R"("2013-03-21T20:04:00Z")");
  CHECK(decoded("c11a514b67b0") == R"("2013-03-21T20:04:00Z")");
}

TEST_CASE("cbor: what has no form in JSON, and what is malformed, is refused") {
  for (const char* hex : {"", "18", "1b8000000000000000", "3b8000000000000000", "c249010000000000000000", "f97c00", "f97e00", "fa7f800000", "f7", "f0", "f8ff",
                          "ff", "1c", "5f00ff", "9f", "bf6161ff", "a1016161", "a26161016161", "a2616101616102", "62c328", "c06161", "c1fb7e37e43c8800759c", "0000",
                          "9bffffffffffffffff", "bbffffffffffffffff", "5bffffffffffffffff", "1f", "df00", "81"}) {
    INFO(hex);
    auto d = decode_cbor(bytes(hex), nullptr);
    CHECK(d.is(Reason::BadRequest));
  }
  CHECK(decoded("a2616101416102") == "cbor: found duplicate map key \"a\" at map element index 1");
  CHECK(decoded("41ff") == "\"\xEF\xBF\xBD\"");  // a byte string need not be text
  std::string deep(1000, '\x81');
  CHECK(decode_cbor(deep + "\xf6", nullptr).is(Reason::BadRequest));
  std::string tags;
  for (int i = 0; i < 1000; ++i) tags += "\xc6";
  CHECK(decode_cbor(tags + "\xf6", nullptr).is(Reason::BadRequest));
}

TEST_CASE("cbor: written deterministically") {
  CHECK(encoded(Document{{"bb", 1}, {"a", 2}, {"c", -1}}) == "a34161024163204262" "6201");
  CHECK(encoded(1.5) == "f93e00");
  CHECK(encoded(100000.5) == "fa47c35040");
  CHECK(encoded(1.1) == "fb3ff199999999999a");
  CHECK(encoded(5.960464477539063e-08) == "f90001");
  CHECK(encoded(-0.0001220703125) == "f98800");
  CHECK(encoded(Document::array({nullptr, true, "é"})) == "83f6f542c3a9");
  CHECK(encoded(std::string(300, 'x')).substr(0, 6) == "59012c");
}

TEST_CASE("cbor: the schema says which text is bytes and which number is a float") {
  SchemaArena arena;
  auto field = [](const char* name, FieldKind k, Cardinality c) {
    FieldSchema f;
    f.json_name = name;
    f.kind = k;
    f.cardinality = c;
    f.omitempty = true;
    return f;
  };
  auto* type = arena.declare("Kind");
  arena.define(type, {field("data", FieldKind::Bytes, Cardinality::Map), field("one", FieldKind::Bytes, Cardinality::Single),
                      field("d", FieldKind::Double, Cardinality::Single), field("s", FieldKind::String, Cardinality::Single)});
  Document d = {{"data", {{"k", "AQID"}}}, {"one", "AQID"}, {"d", 2.0}, {"s", "AQID"}};
  auto out = encode_cbor(d, type);
  REQUIRE(out);
  CHECK(hex_encode(*out) == "d9d9f7a44164f9400041734441514944436f6e65d6430102034464617461a1416bd643010203");
  auto back = decode_cbor(*out, type);
  REQUIRE(back);
  CHECK(*back == d);
  DecodeOptions strict;
  strict.validation = FieldValidation::Strict;
  CHECK(decode_cbor(bytes("a1417801"), type, strict).status().message() == "strict decoding error: unknown field \"x\"");
}

TEST_CASE("cbor: lists and watch events in pieces") {
  std::string list = cbor_list_head("FooList", 2);
  REQUIRE(append_cbor_from_json(list, R"({"a":1})", nullptr));
  REQUIRE(append_cbor_from_json(list, R"({"a":2})", nullptr));
  list += cbor_list_tail("v1", {.resource_version = "7", .continue_token = "", .remaining_item_count = 3});
  auto d = decode_cbor(list, nullptr);
  REQUIRE(d);
  CHECK(d->dump() == R"({"apiVersion":"v1","items":[{"a":1},{"a":2}],"kind":"FooList","metadata":{"remainingItemCount":3,"resourceVersion":"7"}})");
  std::string event;
  append_cbor_watch_event(event, "ADDED", *encode_cbor({{"kind", "Foo"}}, nullptr));
  d = decode_cbor(event, nullptr);
  REQUIRE(d);
  CHECK(d->dump() == R"({"object":{"kind":"Foo"},"type":"ADDED"})");
}
