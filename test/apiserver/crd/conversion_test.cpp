#include "apiserver/hook_server.hpp"

#include <onebin/client/transport.hpp>

using namespace onebin;
using namespace onebin::apiserver;
using namespace onebin::apiserver::test;

namespace {

Document parse(const char* text) { return Document::parse(text); }

const std::string kDefinitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const std::string kV1 = "/apis/example.com/v1/namespaces/default/things", kV2 = "/apis/example.com/v2/namespaces/default/things";

// v1 has spec.hostPort, v2 spec.host and spec.port.
Document convert(Document o, const std::string& to) {
  Document& spec = o["spec"];
  if (to == "example.com/v2" && spec.contains("hostPort")) {
    std::string text = spec["hostPort"];
    spec = {{"host", text.substr(0, text.find(':'))}, {"port", text.substr(text.find(':') + 1)}};
  } else if (to == "example.com/v1" && spec.contains("host")) {
    spec = {{"hostPort", spec["host"].get<std::string>() + ":" + spec["port"].get<std::string>()}};
  }
  o["apiVersion"] = to;
  return o;
}

struct Converted {
  HookServer server;
  Fixture f{&server};
  std::function<void(Document& response)> spoil = [](Document&) {};
  std::size_t asked() const { return server.requests.size(); }

  Converted() {
    server.start(f);
    server.answer = [this](const HookServer::Request& r) {
      const Document& q = r.body["request"];
      Document list = Document::array();
      for (const auto& o : q["objects"]) list.push_back(convert(o, q["desiredAPIVersion"]));
      Document response = {{"uid", q["uid"]}, {"convertedObjects", list}, {"result", {{"status", "Success"}}}};
      spoil(response);
      return Document{{"kind", "ConversionReview"}, {"apiVersion", "apiextensions.k8s.io/v1"}, {"response", response}};
    };
    Document d = parse(R"({"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"things.example.com"},"spec":{"group":"example.com","scope":"Namespaced",
      "names":{"plural":"things","kind":"Thing","singular":"thing","listKind":"ThingList"},
      "conversion":{"strategy":"Webhook","webhook":{"conversionReviewVersions":["v1"],"clientConfig":{"service":{"namespace":"default","name":"hook","path":"/convert"}}}},
      "versions":[
       {"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"hostPort":{"type":"string"}}}}}},
        "selectableFields":[{"jsonPath":".spec.hostPort"}]},
       {"name":"v2","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"host":{"type":"string"},"port":{"type":"string"}}}}}},
        "selectableFields":[{"jsonPath":".spec.host"}]}]}})");
    d["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"] = server.ca_bundle();
    Answer a = f.post(kDefinitions, d);
    INFO(a.text);
    REQUIRE(a.code == 201);
    f.run(pause());
    Answer there = f.get(kV1);
    REQUIRE(there.code == 200);
  }
  ~Converted() { f.run(server.stop()); }
  static async::Task<void> pause() { (void)co_await async::sleep_for(std::chrono::milliseconds(300)); }
  Answer create(const std::string& path, const char* version, std::string name, Document spec) {
    return f.post(path, {{"apiVersion", version}, {"kind", "Thing"}, {"metadata", {{"name", std::move(name)}, {"labels", {{"a", "b"}}}}}, {"spec", std::move(spec)}});
  }
  void store_as_v2() {
    REQUIRE(f.send("PATCH", kDefinitions + "/things.example.com", parse(R"([{"op":"replace","path":"/spec/versions/0/storage","value":false},
      {"op":"replace","path":"/spec/versions/1/storage","value":true}])"), "application/json-patch+json").code == 200);
  }
};

async::Task<void> collect(client::Transport* t, std::string path, std::string query, std::vector<std::string>* out) {
  client::ApiRequest q;
  q.method = "GET";
  q.path = std::move(path);
  q.query = std::move(query);
  q.accept = "application/json";
  auto w = co_await t->watch(std::move(q));
  if (!w) co_return;
  for (;;) {
    auto events = co_await (*w)->next();
    if (!events) co_return;
    for (const auto& e : *events) out->push_back(e.error.is_ok() ? "event" : e.error.message());
  }
}

// What a client outside reads, piece by piece.
class Sink final : public net::ResponseWriter {
 public:
  std::string body;
  net::Task<Result<void>> send(int status, net::Headers, std::string_view text) override {
    status_ = status;
    body.append(text);
    co_return Result<void>();
  }
  net::Task<Result<void>> start(int status, net::Headers) override {
    status_ = status;
    co_return Result<void>();
  }
  net::Task<Result<void>> write(std::string_view chunk) override {
    body.append(chunk);
    co_return Result<void>();
  }
  net::Task<Result<void>> flush() override { co_return Result<void>(); }
  net::Task<Result<void>> finish() override { co_return Result<void>(); }
  void abort() override {}
  net::Task<Result<net::StreamPtr>> upgrade(net::Headers) override { co_return bad_request("no"); }
  bool started() const override { return status_ != 0; }
  int status() const override { return status_; }
  std::uint64_t body_bytes() const override { return body.size(); }
  std::vector<Document> events() const {
    std::vector<Document> out;
    for (const auto& line : split(body, '\n'))
      if (!line.empty()) out.push_back(Document::parse(line));
    return out;
  }

 private:
  int status_ = 0;
};

async::Task<void> ask(net::Handler handler, std::string target, Sink* sink) {
  net::Request r;
  r.method = "GET";
  (void)r.set_target(std::move(target));
  r.headers.add("Authorization", "Bearer nobody");
  r.headers.add("Accept", "application/json");
  r.peer = std::make_shared<const net::PeerInfo>();
  r.body = net::string_body("");
  co_await handler(r, *sink);
}

}  // namespace

TEST_CASE_METHOD(Converted, "a watch gives the version that is asked for, and selects by its fields") {
  REQUIRE(f.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", parse(R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"n"},
    "subjects":[{"kind":"User","name":"nobody","apiGroup":"rbac.authorization.k8s.io"}],"roleRef":{"kind":"ClusterRole","name":"cluster-admin","apiGroup":"rbac.authorization.k8s.io"}})")).code == 201);
  REQUIRE(create(kV1, "example.com/v1", "old", {{"hostPort", "h:1"}}).code == 201);
  Sink all, some;
  async::TaskGroup group("watches");
  group.spawn(ask(f.server->handler(), kV2 + "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", &all));
  group.spawn(ask(f.server->handler(), kV2 + "?watch=true&fieldSelector=spec.host%3Dh", &some));
  f.run(pause());
  REQUIRE(create(kV1, "example.com/v1", "new", {{"hostPort", "i:1"}}).code == 201);
  REQUIRE(f.send("PATCH", kV1 + "/new", parse(R"({"spec":{"hostPort":"h:2"}})"), "application/merge-patch+json").code == 200);
  REQUIRE(f.send("PATCH", kV1 + "/new", parse(R"({"spec":{"hostPort":"j:2"}})"), "application/merge-patch+json").code == 200);
  REQUIRE(f.send("DELETE", kV1 + "/old").code == 200);
  f.run(pause());
  std::vector<std::string> seen;
  for (const auto& e : all.events()) {
    if (e["type"] == "BOOKMARK") continue;
    CHECK(e["object"]["apiVersion"] == "example.com/v2");
    seen.push_back(e["type"].get<std::string>() + " " + e["object"]["metadata"]["name"].get<std::string>() + " " + e["object"]["spec"]["host"].get<std::string>());
  }
  CHECK(seen == std::vector<std::string>{"ADDED old h", "ADDED new i", "MODIFIED new h", "MODIFIED new j", "DELETED old h"});
  seen.clear();
  for (const auto& e : some.events())
    seen.push_back(e["type"].get<std::string>() + " " + e["object"]["metadata"]["name"].get<std::string>() + " " + e["object"]["spec"]["host"].get<std::string>());
  CHECK(seen == std::vector<std::string>{"ADDED old h", "ADDED new h", "DELETED new h", "DELETED old h"});
  group.cancel();
  f.run(group.join());
}

TEST_CASE_METHOD(Converted, "a custom resource is read and written in the version that is asked for") {
  REQUIRE(create(kV1, "example.com/v1", "one", {{"hostPort", "h:1"}}).code == 201);
  CHECK(asked() == 0);
  Answer a = f.get(kV2 + "/one");
  REQUIRE(a.code == 200);
  CHECK(a.body["apiVersion"] == "example.com/v2");
  CHECK(a.body["spec"] == parse(R"({"host":"h","port":"1"})"));
  CHECK(asked() == 1);
  CHECK(server.requests[0].target == "/convert");
  CHECK(server.requests[0].body["request"]["objects"][0]["spec"]["hostPort"] == "h:1");
  a = create(kV2, "example.com/v2", "two", {{"host", "i"}, {"port", "2"}});
  INFO(a.text);
  REQUIRE(a.code == 201);
  CHECK(a.body["spec"] == parse(R"({"host":"i","port":"2"})"));
  CHECK(f.get(kV1 + "/two").body["spec"] == parse(R"({"hostPort":"i:2"})"));
  REQUIRE(f.send("PATCH", kV2 + "/two", parse(R"({"spec":{"port":"3"}})"), "application/merge-patch+json").code == 200);
  CHECK(f.get(kV1 + "/two").body["spec"] == parse(R"({"hostPort":"i:3"})"));
  CHECK(f.send("DELETE", kV2 + "/two").code == 200);
}

TEST_CASE_METHOD(Converted, "a list of what was stored in several versions is converted in one call") {
  REQUIRE(create(kV1, "example.com/v1", "a", {{"hostPort", "a:1"}}).code == 201);
  REQUIRE(create(kV1, "example.com/v1", "b", {{"hostPort", "b:1"}}).code == 201);
  store_as_v2();
  REQUIRE(create(kV2, "example.com/v2", "c", {{"host", "c"}, {"port", "1"}}).code == 201);
  std::size_t before = asked();
  Answer a = f.get(kV2);
  REQUIRE(a.body["items"].size() == 3);
  CHECK(asked() == before + 1);
  CHECK(server.requests.back().body["request"]["objects"].size() == 2);
  for (const auto& item : a.body["items"]) CHECK(item["spec"]["port"] == "1");
  a = f.get(kV1);
  for (const auto& item : a.body["items"]) CHECK(item["spec"]["hostPort"].is_string());
  // Fields are selected of the version that is asked.
  a = f.get(kV2 + "?fieldSelector=spec.host%3Db");
  REQUIRE(a.body["items"].size() == 1);
  CHECK(a.body["items"][0]["metadata"]["name"] == "b");
  a = f.get(kV1 + "?fieldSelector=spec.hostPort%3Dc:1");
  REQUIRE(a.body["items"].size() == 1);
  CHECK(a.body["items"][0]["metadata"]["name"] == "c");
  CHECK(f.send("DELETE", kV1).code == 200);
  CHECK(f.get(kV1).body["items"].empty());
}

TEST_CASE_METHOD(Converted, "what a webhook does wrong is told in upstream's words") {
  REQUIRE(create(kV1, "example.com/v1", "x", {{"hostPort", "h:1"}}).code == 201);
  auto told = [&] {
    Answer a = f.get(kV2 + "/x");
    CHECK(a.code == 500);
    return a.body["message"].get<std::string>();
  };
  const std::string of = "conversion webhook for example.com/v1, Kind=Thing ";
  spoil = [](Document& r) { r["result"] = {{"status", "Failure"}, {"message", "not today"}}; };
  CHECK(told() == of + "failed: not today");
  spoil = [](Document& r) { r["convertedObjects"] = Document::array(); };
  CHECK(told() == of + "returned 0 objects, expected 1");
  spoil = [](Document& r) { r["convertedObjects"][0]["metadata"]["name"] = "y"; };
  CHECK(told() == of + "returned invalid object: must have the same name: x != y");
  spoil = [](Document& r) { r["convertedObjects"][0]["apiVersion"] = "example.com/v3"; };
  CHECK(told() == of + "returned invalid object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v3)");
  spoil = [](Document& r) { r["convertedObjects"][0]["metadata"]["labels"] = {{"a", 1}}; };
  CHECK(told() == of + "returned invalid metadata: metadata.labels[a] must be a string, but is int64 in converted object");
  spoil = [](Document& r) {
    r["convertedObjects"][0]["metadata"]["labels"] = {{"new", "label"}};
    r["convertedObjects"][0]["metadata"]["finalizers"] = {"mine"};
    r["convertedObjects"][0]["spec"]["unknown"] = 1;
  };
  Answer a = f.get(kV2 + "/x");
  REQUIRE(a.code == 200);
  CHECK(a.body["metadata"]["labels"] == parse(R"({"new":"label"})"));
  CHECK_FALSE(a.body["metadata"].contains("finalizers"));
  CHECK_FALSE(a.body["spec"].contains("unknown"));
  server.refuse = true;
  f.run(pause());
  server.code = 500;
  CHECK(starts_with(told(), of + "failed: "));
}

TEST_CASE_METHOD(Converted, "components of this process follow metadata, for which nothing is converted") {
  std::vector<std::string> events;
  async::TaskGroup group("watch");
  group.spawn(collect(f.transport.get(), "/apis/example.com/v2/things", "watch=true", &events));
  f.run(pause());
  REQUIRE(create(kV1, "example.com/v1", "x", {{"hostPort", "h:1"}}).code == 201);
  f.run(pause());
  CHECK(events == std::vector<std::string>{"event"});
  CHECK(asked() == 0);
  group.cancel();
  f.run(group.join());
}
