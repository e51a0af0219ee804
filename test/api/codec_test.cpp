// The codecs on input that upstream's encoders never write: what people and programs get wrong.
#include <onebin/api/apps_v1.hpp>
#include <onebin/api/codec.hpp>
#include <onebin/api/core_v1.hpp>
#include <onebin/api/meta_v1.hpp>
#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/bytes.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::apimachinery;

namespace {

const TypeSchema& type_of(std::string_view name) {
  const TypeSchema* t = api::find_type(name);
  REQUIRE(t);
  return *t;
}
const TypeSchema& deployment() { return type_of("io.k8s.api.apps.v1.Deployment"); }
const TypeSchema& pod() { return type_of("io.k8s.api.core.v1.Pod"); }

std::string error_of(std::string_view json, const TypeSchema& type, const DecodeOptions& options = {}) {
  auto r = decode_json(json, &type, options);
  return r ? "" : r.status().message();
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("unknown and duplicate fields are told by path, in order") {
  const char* body = R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"},"spec":{"unknownField":"foo","replicas":2,
    "replicas":3,"template":{"spec":{"containers":[{"name":"x","nope":{"deep":1,"deep":2}}]}}}})";
  DecodeOptions options;
  options.validation = FieldValidation::Strict;
  auto strict = decode_json(body, &deployment(), options);
  REQUIRE_FALSE(strict);
  CHECK(strict.status().message() ==
        "strict decoding error: unknown field \"spec.unknownField\", duplicate field \"spec.replicas\", "
        "unknown field \"spec.template.spec.containers[0].nope\"");
  options.validation = FieldValidation::Warn;
  DecodeReport report;
  auto warned = decode_json(body, &deployment(), options, &report);
  REQUIRE(warned);
  CHECK(report.problems.size() == 3);
  CHECK(at_path(*warned, {"spec", "replicas"}) == 3);
  CHECK(at_path(*warned, {"spec", "unknownField"}).is_null());
  DecodeReport silent;
  REQUIRE(decode_json(body, &deployment(), {}, &silent));
  CHECK(silent.problems.empty());
}

TEST_CASE("unknown fields are kept on request, duplicates of labels are seen") {
  DecodeOptions options;
  options.validation = FieldValidation::Warn;
  options.keep_unknown = true;
  DecodeReport report;
  auto v = decode_json(R"({"metadata":{"labels":{"a":"1","a":"2"}},"x":{"y":1,"y":2}})", &pod(), options, &report);
  REQUIRE(v);
  CHECK(report.problems == std::vector<std::string>{"duplicate field \"metadata.labels.a\"", "unknown field \"x\"", "duplicate field \"x.y\""});
  CHECK(encode_json(*v, &pod()).find("\"x\":{\"y\":2}") != std::string::npos);
}

TEST_CASE("wrong types are errors in the words of Go's decoder") {
  CHECK(error_of(R"({"spec":{"replicas":"3"}})", deployment()) == "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32");
  CHECK(error_of(R"({"spec":{"replicas":1.5}})", deployment()) == "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32");
  CHECK(error_of(R"({"spec":{"replicas":3000000000}})", deployment()) == "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32");
  CHECK(error_of(R"({"spec":{"template":{"spec":{"containers":[{},{"name":5}]}}}})", deployment()) ==
        "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.name of type string");
  CHECK(error_of(R"({"spec":{"template":{"spec":{"containers":{}}}}})", deployment()) ==
        "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container");
  CHECK(error_of(R"({"spec":{"containers":[{"livenessProbe":{"httpGet":5}}]}})", pod()) ==
        "json: cannot unmarshal number into Go struct field Probe.spec.containers.livenessProbe.ProbeHandler.httpGet of type v1.HTTPGetAction");
  CHECK(error_of(R"({"spec":[]})", deployment()) == "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec");
  CHECK(error_of(R"([])", deployment()) == "json: cannot unmarshal array into Go value of type v1.Deployment");
  CHECK(error_of(R"({"metadata":{"labels":{"a":1}}})", pod()) == "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string");
  CHECK(error_of(R"({"metadata":{"labels":[]}})", pod()) == "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string");
  CHECK(error_of(R"({"metadata":{"creationTimestamp":"yesterday"}})", pod()) == R"(parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006")");
  CHECK(error_of(R"({"metadata":{"creationTimestamp":"2026-13-01T00:00:00Z"}})", pod()) == R"(parsing time "2026-13-01T00:00:00Z": month out of range)");
  CHECK(error_of(R"({"spec":{"containers":[{"resources":{"limits":{"cpu":"1x"}}}]}})", pod()) ==
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  CHECK(error_of(R"({"spec":{"containers":[{"resources":{"limits":{"cpu":"1ki"}}}]}})", pod()) == "unable to parse quantity's suffix");
}

TEST_CASE("malformed JSON is told in the words of Go's decoder") {
  auto refused = [](std::string_view text) {
    INFO(text);
    auto r = decode_json(text, nullptr);
    REQUIRE_FALSE(r);
    CHECK(r.status().code() == 400);
    return r.status().message();
  };
  for (const char* cut : {"", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "nul", "\"x", "1.", "1e", "-", "\"\\u12"}) CHECK(refused(cut) == "unexpected end of JSON input");
  CHECK(refused("{\"a\":1,}") == "invalid character '}' looking for beginning of object key string");
  CHECK(refused("{a:1}") == "invalid character 'a' looking for beginning of object key string");
  CHECK(refused("[1,]") == "invalid character ']' looking for beginning of value");
  CHECK(refused("truex") == "invalid character 'x' after top-level value");
  CHECK(refused("trux") == "invalid character 'x' in literal true (expecting 'e')");
  CHECK(refused("01") == "invalid character '1' after top-level value");
  CHECK(refused("-x") == "invalid character 'x' in numeric literal");
  CHECK(refused("\"\\x\"") == "invalid character 'x' in string escape code");
  CHECK(refused("\"\\u12\"") == "invalid character '\"' in \\u hexadecimal character escape");
  CHECK(refused("{}{}") == "invalid character '{' after top-level value");
  CHECK(refused("{\"a\":\"\x01\"}") == "invalid character '\\x01' in string literal");
  CHECK(refused("'a'") == "invalid character '\\'' looking for beginning of value");
  CHECK(refused("[1 2]") == "invalid character '2' after array element");
  CHECK(refused("\xC3\xA9") == "invalid character '\xC3\x83' looking for beginning of value");  // byte by byte
  CHECK(refused("{\n\n  \"a\" 1}") == "invalid character '1' after object key");
  DecodeOptions small;
  small.max_bytes = 10;
  CHECK(decode_json("{\"a\":\"bcdefgh\"}", nullptr, small).status().code() == 413);
}

TEST_CASE("depth is bounded in every format") {
  std::string open(200, '['), close(200, ']');
  CHECK_FALSE(decode_json(open + close, nullptr));
  CHECK_FALSE(decode_json(std::string(1000000, '['), nullptr));
  CHECK_FALSE(decode_yaml(open + close, nullptr));
  CHECK_FALSE(decode_yaml(std::string(100000, '['), nullptr));
  std::string nested;
  for (int i = 0; i < 500; ++i) {
    std::string outer;
    append_bytes_field(outer, 2, nested);  // spec
    nested = outer;
  }
  CHECK(decode_message(nested, pod()));  // unknown to the inner types: skipped
  const TypeSchema& schema = type_of("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");
  const FieldSchema* negated = schema.field("not");
  REQUIRE(negated);
  nested.clear();
  for (int i = 0; i < 500; ++i) {
    std::string outer;
    append_bytes_field(outer, negated->proto_number, nested);
    nested = outer;
  }
  CHECK_FALSE(decode_message(nested, schema));
  std::string out = "kept";
  CHECK_FALSE(append_json_from_message(out, nested, schema));
  CHECK(out == "kept");
}

TEST_CASE("values become canonical, null is absence") {
  auto v = decode_json(R"({"metadata":{"creationTimestamp":"2026-11-24T19:00:00.5+02:00","name":null,"labels":{"a":null}},
    "spec":{"nodeName":null,"containers":[{"name":"c","resources":{"limits":{"cpu":0.5,"memory":"1024Mi"}},"ports":null}]}})", &pod());
  REQUIRE(v);
  CHECK(encode_json(*v, &pod()) ==
        R"({"metadata":{"creationTimestamp":"2026-11-24T17:00:00Z","labels":{"a":""}},"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"500m","memory":"1Gi"}}}]},"status":{}})");
}

TEST_CASE("text is escaped as Go does") {
  std::string out;
  append_json_string(out, "a<b>&\"\\\n\t\x01\x7f\xe2\x80\xa8\xff\xc3\xa9");
  CHECK(out == "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\\t\\u0001\x7f\\u2028\\ufffd\xc3\xa9\"");
  auto v = decode_json(R"("\ud83d\ude00 \ud800 \u00e9 \/")", nullptr);
  REQUIRE(v);
  CHECK(v->get<std::string>() == "\xf0\x9f\x98\x80 \xef\xbf\xbd \xc3\xa9 /");
  auto numbers = decode_json("[1.0,0.1,1e21,1e-7,100000000000000000000,-5,9223372036854775807]", nullptr);
  REQUIRE(numbers);
  CHECK(encode_json(*numbers, nullptr) == "[1,0.1,1e+21,1e-7,100000000000000000000,-5,9223372036854775807]");
}

TEST_CASE("a message's text is escaped as a tree's, wherever in it a byte stands") {
  const TypeSchema& type = type_of("io.k8s.api.core.v1.ConfigMap");
  for (std::size_t length = 1; length <= 19; ++length) {
    for (std::size_t at = 0; at < length; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text(length, 'x');
        text[at] = static_cast<char>(byte);
        api::core::v1::ConfigMap c;
        c.data["k"] = text;
        std::string json, want = R"({"metadata":{},"data":{"k":)";
        REQUIRE(append_json_from_message(json, api::to_message(c), type));
        append_json_string(want, text);
        if (json != want + "}}") FAIL("byte " << byte << " at " << at << " of " << length << ": " << json);
      }
    }
  }
}

TEST_CASE("cut and flipped protobuf is refused or read, never worse") {
  api::core::v1::Pod p;
  p.metadata.name = "a";
  p.metadata.labels["k"] = "v";
  p.spec.containers.emplace_back().name = "c";
  p.spec.containers[0].resources.limits["cpu"] = Quantity::must_parse("1");
  p.spec.containers[0].ports.emplace_back().container_port = 80;
  p.spec.containers[0].liveness_probe.ensure().http_get.ensure().port = "web";
  p.status.start_time = Time::from_unix(1000);
  std::string bytes = api::to_protobuf(p);
  REQUIRE(api::from_protobuf<api::core::v1::Pod>(bytes));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string cut = bytes.substr(0, i);
    (void)decode_protobuf(cut, pod());
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      auto tree = decode_protobuf(flipped, pod());
      auto object = api::from_protobuf<api::core::v1::Pod>(flipped);
      if (tree) CHECK(encode_protobuf(*tree, pod()));
      auto envelope = open_envelope(flipped);
      std::string json;
      if (envelope && append_json_from_message(json, envelope->raw, pod())) CHECK(decode_json(json, nullptr));
    }
  }
  CHECK(decode_protobuf("{}", pod()).status().code() == 400);
  CHECK(decode_protobuf("", pod()).status().code() == 400);
}

TEST_CASE("resourceVersion is put in on the way out") {
  api::core::v1::Pod p;
  p.metadata.name = "a";
  p.metadata.uid = "u";
  std::string message = api::to_message(p);
  p.metadata.resource_version = "42";
  std::string want = api::to_message(p), got;
  REQUIRE(append_message_with_version(got, message, "42"));
  CHECK((got == want));
  got.clear();
  REQUIRE(append_message_with_version(got, want, "43"));
  p.metadata.resource_version = "43";
  CHECK((got == api::to_message(p)));
  TranscodeOptions options;
  options.kind = "Pod";
  options.api_version = "v1";
  options.resource_version = "43";
  std::string json;
  REQUIRE(append_json_from_message(json, message, pod(), options));
  CHECK(json == api::to_json(p));
  got.clear();
  REQUIRE(append_message_with_version(got, "", "7"));
  auto empty = decode_message(got, pod());
  REQUIRE(empty);
  CHECK(at_path(*empty, {"metadata", "resourceVersion"}) == "7");
  CHECK_FALSE(append_message_with_version(got, "\x0a\x05z", "7"));
}

TEST_CASE("lists and watch events are framed as client-go reads them") {
  api::core::v1::PodList list;
  list.metadata.resource_version = "9";
  list.metadata.continue_ = "c";
  list.metadata.remaining_item_count = 3;
  list.items.emplace_back().metadata.name = "a";
  list.items.emplace_back().metadata.name = "b";
  ListMetaFields meta{"9", "c", 3};
  std::string bytes;
  append_protobuf_list_meta(bytes, meta);
  std::string json = json_list_head("v1", "PodList", meta);
  bool first = true;
  for (const auto& item : list.items) {
    std::string message = api::to_message(item);
    append_protobuf_list_item(bytes, message);
    if (!first) json += ',';
    first = false;
    REQUIRE(append_json_from_message(json, message, pod()));
  }
  json += "]}";
  CHECK((bytes == api::to_message(list)));
  CHECK(json == api::to_json(list));

  std::string frame;
  append_protobuf_watch_event(frame, "ADDED", api::to_protobuf(list.items[0]));
  REQUIRE(frame.size() > 4);
  std::size_t length = 0;
  for (int i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(frame[static_cast<std::size_t>(i)]);
  CHECK(length == frame.size() - 4);
  auto event = parse_protobuf_watch_event(std::string_view(frame).substr(4));
  REQUIRE(event);
  CHECK(event->type == "ADDED");
  CHECK(api::from_protobuf<api::core::v1::Pod>(event->object)->metadata.name == "a");
  CHECK_FALSE(parse_protobuf_watch_event(std::string_view(frame).substr(4, 10)));
}

TEST_CASE("structs convert, and fill in their kind") {
  api::apps::v1::Deployment d;
  d.metadata.name = "web";
  d.spec.replicas = 3;
  d.spec.template_.spec.containers.emplace_back().name = "c";
  std::string json = api::to_json(d);
  CHECK(json.rfind(R"({"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web"},"spec":{"replicas":3,"selector":null,)", 0) == 0);
  auto back = api::from_json<api::apps::v1::Deployment>(json);
  REQUIRE(back);
  CHECK(back->kind == "Deployment");
  CHECK(back->spec == d.spec);
  const auto& info = api::resource_of<api::apps::v1::Deployment>();
  CHECK(info.plural == "deployments");
  CHECK(info.group == "apps");
  CHECK(info.namespaced);

  // Kinds without a protobuf form go the same way inside the process.
  api::meta::v1::Table table;
  table.column_definitions.emplace_back().name = "Name";
  table.rows.emplace_back().cells = {"\"a\"", "3"};
  auto table_json = api::to_json(table);
  CHECK(has(table_json, R"("cells":["a",3])"));
  auto table_back = api::from_json<api::meta::v1::Table>(table_json);
  REQUIRE(table_back);
  CHECK(table_back->rows == table.rows);
}

TEST_CASE("YAML is read as sigs.k8s.io/yaml reads it") {
  auto v = decode_yaml("a: yes\nb: 0x10\nc: 010\nd: 1.5\ne: ~\nf: 'yes'\ng: 2026-11-24\nh: 1_000\n1: n\ni: !!str 5\nj: |\n  x\n  y\nk: 1e3\n", nullptr);
  REQUIRE(v);
  CHECK(*v == Document::parse(R"({"a":true,"b":16,"c":8,"d":1.5,"e":null,"f":"yes","g":"2026-11-24","h":1000,"1":false,"i":"5","j":"x\ny\n","k":1000.0})"));
  auto merged = decode_yaml("base: &b {x: 1, z: 2}\nuse:\n  <<: *b\n  z: 3\n", nullptr);
  REQUIRE(merged);
  CHECK(at_path(*merged, {"use", "x"}) == 1);
  CHECK(at_path(*merged, {"use", "z"}) == 3);
  for (const char* bad : {"a: [", "a: *nope", "a: .inf", "? [x]\n: y", "a: 'x", "\t- a", "a: &x [*x]", "<<: 5", "a: b: c"}) {
    INFO(bad);
    CHECK_FALSE(decode_yaml(bad, nullptr));
  }
  std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c < 'k'; ++c) {
    bomb += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 10; ++i) bomb += std::string(i ? "," : "") + "*" + static_cast<char>(c - 1);
    bomb += "]\n";
  }
  auto refused = decode_yaml(bomb, nullptr);
  REQUIRE_FALSE(refused);
  CHECK(has(refused.status().message(), "excessive aliasing"));
}

TEST_CASE("malformed YAML is told in the words of Go's parser") {
  auto refused = [](std::string_view text) { return decode_yaml(text, nullptr).status().message(); };
  CHECK(refused("a: [") == "yaml: line 1: did not find expected node content");
  CHECK(refused("[a, b") == "yaml: line 1: did not find expected ',' or ']'");
  CHECK(refused("a: [b, c\nd: e\n") == "yaml: line 1: did not find expected ',' or ']'");
  CHECK(refused("{a: b") == "yaml: line 1: did not find expected ',' or '}'");
  CHECK(refused("a: b: c") == "yaml: mapping values are not allowed in this context");
  CHECK(refused("a:\n  b\n c: d\n") == "yaml: line 3: mapping values are not allowed in this context");
  CHECK(refused("a: b\n- c\n") == "yaml: line 1: did not find expected key");
  CHECK(refused("x: |\n\ty\n") == "yaml: line 2: found a tab character where an indentation space is expected");
  CHECK(refused("a: 'b") == "yaml: found unexpected end of stream");
  CHECK(refused("a: @x") == "yaml: found character that cannot start any token");
  CHECK(refused("a: *x") == "yaml: unknown anchor 'x' referenced");
}

TEST_CASE("what a struct leaves out is the same whether it is given or not") {
  auto d = decode_json(R"({"spec":{"hostNetwork":false,"nodeName":"","containers":[{"name":"","stdin":false,"ports":[{"containerPort":1,"hostPort":0}]}],"priority":0}})", &pod());
  REQUIRE(d);
  CHECK((*d)["spec"] == Document::parse(R"({"containers":[{"name":"","ports":[{"containerPort":1}]}],"priority":0})"));
}

TEST_CASE("YAML tells duplicates by line") {
  DecodeOptions strict;
  strict.validation = FieldValidation::Strict;
  auto r = decode_yaml("\napiVersion: v1\nkind: Pod\nspec:\n  nodeName: a\n  nodeName: b\n  nope: 1\n", &pod(), strict);
  REQUIRE_FALSE(r);
  CHECK(r.status().message() ==
        "strict decoding error: yaml: unmarshal errors:\n  line 6: key \"nodeName\" already set in map, unknown field \"spec.nope\"");
}

TEST_CASE("YAML streams are split at their markers") {
  auto parts = split_yaml("# only a comment\n---\na: 1\n---\n\n---\nb: |\n  ---x\n--- # c\nc: 3\n");
  REQUIRE(parts.size() == 3);
  CHECK(parts[0] == "a: 1\n");
  CHECK(parts[1] == "b: |\n  ---x\n");
  CHECK(parts[2] == "c: 3\n");
}

TEST_CASE("YAML that is written reads back as it was") {
  Document d = Document::parse(R"({"a":"yes","b":"1","c":"x: y","d":"multi\nline\n","e":"no newline\nat end","f":[],"g":{},"h":[{"x":1,"y":[1,2]},"s"],
    "i":"it's","j":" lead","k":"","l":"null","m":"#c","n":"2026-11-24","o":"- x","p":"tab\tin","q":"é","r":1.5,"s":true,"t":"trail:","u":"a #b","v":"0x1",
    "w":"\n","x":"two\n\n","y y":"*z","z":null,"1":"~","on":"off"})");
  std::string text = encode_yaml(d, nullptr);
  INFO(text);
  auto back = decode_yaml(text, nullptr);
  REQUIRE(back);
  CHECK(*back == d);
  CHECK(*decode_yaml(encode_yaml(Document("two\nlines"), nullptr), nullptr) == Document("two\nlines"));
  const std::string longest(128, 'k'), longer(129, 'k');
  const Document keys = {{longest, 1}, {longer, {{"a", 1}, {"b", {{longer, {1, 2}}}}}}};
  CHECK(encode_yaml(keys, nullptr) == longest + ": 1\n? " + longer + "\n: a: 1\n  b:\n    ? " + longer + "\n    : - 1\n      - 2\n");
  CHECK(*decode_yaml(encode_yaml(keys, nullptr), nullptr) == keys);
  CHECK(encode_yaml(Document::parse(R"({"b":[{"x":1,"y":"z"}],"a":"t"})"), nullptr) == "a: t\nb:\n- x: 1\n  \"y\": z\n");
}
