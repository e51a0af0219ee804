// Every kind, from and to JSON and protobuf, byte for byte what upstream writes. test/differential/roundtrip makes the objects
// and runs this: ONEBIN_API_ORACLE is a folder of what upstream's own encoders made, ONEBIN_API_LINES a file of objects made
// from our schema tables with what upstream's types make of each. Without them there is nothing to compare.
#include <onebin/api/admissionregistration_v1.hpp>
#include <onebin/api/apiextensions_v1.hpp>
#include <onebin/api/apps_v1.hpp>
#include <onebin/api/authentication_v1.hpp>
#include <onebin/api/authorization_v1.hpp>
#include <onebin/api/autoscaling_v2.hpp>
#include <onebin/api/batch_v1.hpp>
#include <onebin/api/codec.hpp>
#include <onebin/api/core_v1.hpp>
#include <onebin/api/discovery_v1.hpp>
#include <onebin/api/document.hpp>
#include <onebin/api/networking_v1.hpp>
#include <onebin/api/rbac_v1.hpp>
#include <onebin/api/registry.hpp>
#include <onebin/api/resource_v1.hpp>
#include <onebin/apimachinery/cbor.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/bytes.hpp>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace onebin;
using namespace onebin::apimachinery;

namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// The files of upstream's own test data are indented.
std::string compact(const std::string& json) {
  std::string out;
  bool quoted = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    char c = json[i];
    if (quoted && c == '\\') {
      out += c;
      out += json[++i];
      continue;
    }
    if (c == '"') quoted = !quoted;
    if (quoted || (c != ' ' && c != '\n' && c != '\t' && c != '\r')) out += c;
  }
  return out;
}

struct Sample {
  std::string name, json, proto, cbor;
  const KindSchema* kind = nullptr;
};

std::vector<Sample> samples() {
  std::vector<Sample> out;
  const char* folder = std::getenv("ONEBIN_API_ORACLE");
  if (!folder) return out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".pb") continue;
    Sample s{entry.path().stem(), "", read(entry.path()), read(std::filesystem::path(entry.path()).replace_extension(".cbor")), nullptr};
    s.json = compact(read(std::filesystem::path(entry.path()).replace_extension(".json")));
    auto envelope = open_envelope(s.proto);
    REQUIRE(envelope);
    std::string_view version = envelope->api_version;
    std::size_t slash = version.find('/');
    std::string_view group = slash == std::string_view::npos ? std::string_view() : version.substr(0, slash);
    s.kind = api::find_kind(group, version.substr(slash + 1), envelope->kind);
    // Kinds of meta/v1 are registered with every group upstream.
    if (!s.kind && ends_with(version, "v1")) s.kind = api::find_kind("meta.k8s.io", "v1", envelope->kind);
    if (s.kind && s.kind->type) out.push_back(std::move(s));
  }
  return out;
}

// Where two texts part, for a failure that can be read.
std::string difference(const std::string& a, const std::string& b) {
  std::size_t i = 0;
  while (i < a.size() && i < b.size() && a[i] == b[i]) ++i;
  if (i == a.size() && i == b.size()) return "";
  std::size_t from = i > 80 ? i - 80 : 0;
  return "ours: " + a.substr(from, 160) + "\nupstream: " + b.substr(from, 160);
}

template <class T>
void structs(const std::vector<Sample>& all) {
  const auto& info = api::info_of<T>();
  for (const Sample& s : all) {
    if (s.kind->kind != info.kind || s.kind->group != info.group || s.kind->version != info.version) continue;
    INFO(s.name);
    auto object = api::from_protobuf<T>(s.proto);
    REQUIRE(object);
    CHECK((api::to_protobuf(*object) == s.proto));
    CHECK(difference(api::to_json(*object), s.json) == "");
    auto again = api::from_json<T>(s.json);
    REQUIRE(again);
    CHECK((*again == *object));
    auto third = api::from_document<T>(api::to_document(*object));
    REQUIRE(third);
    CHECK((*third == *object));
  }
}

}  // namespace

TEST_CASE("protobuf and JSON are upstream's, byte for byte", "[oracle]") {
  auto all = samples();
  INFO(all.size());
  for (const Sample& s : all) {
    INFO(s.name);
    const TypeSchema& type = *s.kind->type;
    Envelope envelope = *open_envelope(s.proto);

    std::string json;
    TranscodeOptions options;
    options.kind = envelope.kind;
    options.api_version = envelope.api_version;
    REQUIRE(append_json_from_message(json, envelope.raw, type, options));
    CHECK(difference(json, s.json) == "");

    auto tree = decode_protobuf(s.proto, type);
    REQUIRE(tree);
    CHECK(difference(encode_json(*tree, &type), s.json) == "");
    auto bytes = encode_protobuf(*tree, type);
    REQUIRE(bytes);
    CHECK((*bytes == s.proto));

    DecodeOptions strict;
    strict.validation = FieldValidation::Strict;
    auto parsed = decode_json(s.json, &type, strict);
    if (!parsed) FAIL(parsed.status().to_string());
    CHECK(difference(encode_json(*parsed, &type), s.json) == "");
    bytes = encode_protobuf(*parsed, type);
    REQUIRE(bytes);
    CHECK((*bytes == s.proto));

    Document copy = *parsed;
    REQUIRE(conform(copy, type, strict));
    CHECK((copy == *parsed));
  }
  if (!all.empty()) WARN("compared " << all.size() << " objects");
}

TEST_CASE("CBOR is upstream's, byte for byte", "[oracle]") {
  for (const Sample& s : samples()) {
    INFO(s.name);
    const TypeSchema& type = *s.kind->type;
    DecodeOptions strict;
    strict.validation = FieldValidation::Strict;
    auto tree = decode_cbor(s.cbor, &type, strict);
    if (!tree) FAIL(tree.status().to_string());
    CHECK(difference(encode_json(*tree, &type), s.json) == "");
    auto bytes = encode_cbor(*tree, &type);
    REQUIRE(bytes);
    CHECK(difference(hex_encode(*bytes), hex_encode(s.cbor)) == "");
  }
}

namespace {

// One object that was generated, and upstream's forms of it (test/differential/codec says what each is).
struct Case {
  std::string name, in, error, json, proto, from_proto, from_json;
  const KindSchema* kind = nullptr;
};

std::vector<Case> cases() {
  std::vector<Case> out;
  const char* file = std::getenv("ONEBIN_API_LINES");
  if (!file) return out;
  std::ifstream in(file, std::ios::binary);
  REQUIRE(in);
  for (std::string text; std::getline(in, text);) {
    Document line = Document::parse(text);
    auto bytes = [&](const char* member) {
      auto decoded = base64_decode(line.value(member, ""));
      REQUIRE(decoded);
      return *decoded;
    };
    Case c{line["name"], line["in"], line.value("error", ""), line.value("json", ""), bytes("proto"), line.value("fromProto", ""), bytes("fromJson"), nullptr};
    std::string version = line["apiVersion"], kind = line["kind"];
    std::size_t slash = version.find('/');
    c.kind = api::find_kind(slash == std::string::npos ? "" : version.substr(0, slash), version.substr(slash + 1), kind);
    if (!c.kind && version == "v1") c.kind = api::find_kind("meta.k8s.io", "v1", kind);
    if (c.kind && c.kind->type) out.push_back(std::move(c));
  }
  return out;
}

// Our forms of it, and of upstream's; "" where they are upstream's own.
std::string parts_from_upstream(const Case& c) {
  const TypeSchema& type = *c.kind->type;
  auto tree = decode_json(c.in, &type, {});
  if (!c.error.empty()) return tree ? "read what upstream does not: " + c.error : "";
  if (!tree) return "not read: " + tree.status().to_string();
  if (std::string d = difference(encode_json(*tree, &type), c.json); !d.empty()) return "JSON\n" + d;
  if (c.proto.empty()) return "";
  auto bytes = encode_protobuf(*tree, type);
  if (!bytes) return "not encoded: " + bytes.status().to_string();
  if (*bytes != c.proto) {
    auto again = decode_protobuf(*bytes, type);
    return "protobuf differs\n" + (again ? difference(encode_json(*again, &type), c.from_proto) : again.status().to_string());
  }
  auto from_proto = decode_protobuf(c.proto, type);
  if (!from_proto) return "protobuf not read: " + from_proto.status().to_string();
  if (std::string d = difference(encode_json(*from_proto, &type), c.from_proto); !d.empty()) return "protobuf to JSON\n" + d;
  auto again = encode_protobuf(*from_proto, type);
  if (!again || *again != c.proto) return "protobuf to protobuf differs";
  std::string text;
  auto envelope = open_envelope(c.proto);
  if (!envelope) return envelope.status().to_string();
  TranscodeOptions options;
  options.kind = envelope->kind;
  options.api_version = envelope->api_version;
  if (Status s = append_json_from_message(text, envelope->raw, type, options); !s) return s.to_string();
  if (std::string d = difference(text, c.from_proto); !d.empty()) return "protobuf straight to JSON\n" + d;
  auto from_json = decode_json(c.json, &type, {});
  if (!from_json) return "upstream's JSON not read: " + from_json.status().to_string();
  auto third = encode_protobuf(*from_json, type);
  if (!third || *third != c.from_json) return "JSON to JSON to protobuf differs";
  if (std::string d = difference(encode_json(*from_json, &type), c.json); !d.empty()) return "JSON to JSON\n" + d;
  return "";
}

}  // namespace

TEST_CASE("generated objects of every kind go round as they do upstream", "[oracle]") {
  auto all = cases();
  int wrong = 0;
  for (const Case& c : all) {
    std::string what = parts_from_upstream(c);
    if (what.empty()) continue;
    ++wrong;
    UNSCOPED_INFO(c.name << ": " << what);
    if (wrong == 40) break;
  }
  CHECK(wrong == 0);
  if (!all.empty()) WARN("compared " << all.size() << " generated objects");
}

TEST_CASE("structs read and write what upstream's do", "[oracle]") {
  auto all = samples();
  structs<api::core::v1::Pod>(all);
  structs<api::core::v1::Node>(all);
  structs<api::core::v1::Service>(all);
  structs<api::core::v1::Secret>(all);
  structs<api::core::v1::Event>(all);
  structs<api::core::v1::PersistentVolume>(all);
  structs<api::core::v1::PodList>(all);
  structs<api::apps::v1::Deployment>(all);
  structs<api::apps::v1::DaemonSet>(all);
  structs<api::apps::v1::StatefulSet>(all);
  structs<api::apps::v1::ControllerRevision>(all);
  structs<api::batch::v1::Job>(all);
  structs<api::batch::v1::CronJob>(all);
  structs<api::autoscaling::v2::HorizontalPodAutoscaler>(all);
  structs<api::discovery::v1::EndpointSlice>(all);
  structs<api::networking::v1::NetworkPolicy>(all);
  structs<api::networking::v1::Ingress>(all);
  structs<api::rbac::v1::ClusterRole>(all);
  structs<api::authentication::v1::TokenReview>(all);
  structs<api::authorization::v1::SubjectAccessReview>(all);
  structs<api::resource::v1::ResourceSlice>(all);
  structs<api::admissionregistration::v1::ValidatingWebhookConfiguration>(all);
  structs<api::apiextensions::v1::CustomResourceDefinition>(all);
}
