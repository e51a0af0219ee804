#include "support.hpp"

#include <onebin/api/codec.hpp>
#include <onebin/client/client.hpp>
#include <onebin/client/objects.hpp>

using namespace onebin;
using namespace onebin::apiserver::test;

namespace {

struct Seen {
  std::vector<std::string> events;
  bool ended = false;
  std::string error;
};

async::Task<void> follow(client::Transport* t, std::string path, std::string query, Seen* seen) {
  client::ApiRequest q;
  q.path = std::move(path);
  q.query = "watch=true&" + query;
  Result<std::unique_ptr<client::WatchStream>> w = co_await t->watch(std::move(q));
  if (!w) {
    seen->error = w.status().to_string();
    co_return;
  }
  for (;;) {
    Result<std::vector<client::WatchEvent>> events = co_await (*w)->next();
    if (!events) break;
    for (const auto& e : *events) {
      if (e.type == client::WatchType::Error) {
        seen->error = e.error.message();
        continue;
      }
      auto h = client::peek(*e.object);
      std::string name = h ? std::string(h->name) : "?";
      const char* type = e.type == client::WatchType::Added ? "+" : e.type == client::WatchType::Modified ? "~" : e.type == client::WatchType::Deleted ? "-" : "b";
      seen->events.push_back(type + name);
    }
  }
  seen->ended = true;
}

const std::string kMaps = "/api/v1/namespaces/default/configmaps";

// The frames of a watch of two seconds, as a client of JSON reads them.
async::Task<void> read_frames(client::Transport* t, std::string accept, std::vector<Document>* frames) {
  client::ApiRequest q;
  q.path = kMaps;
  q.query = "watch=true&timeoutSeconds=2";
  q.accept = std::move(accept);
  Result<client::ApiResponse> r = co_await t->request(std::move(q));
  if (!r) co_return;
  std::size_t at = 0;
  for (std::size_t end; (end = r->body.find('\n', at)) != std::string::npos; at = end + 1)
    frames->push_back(Document::parse(r->body.substr(at, end - at), nullptr, false));
}

}  // namespace

TEST_CASE("watchers share an encoding only where they asked for the same form") {
  Fixture f;
  std::vector<Document> plain, again, v1, v1beta1, table;
  async::TaskGroup group("watches");
  group.spawn(read_frames(f.transport.get(), "application/json", &plain));
  group.spawn(read_frames(f.transport.get(), "application/json", &again));
  group.spawn(read_frames(f.transport.get(), "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", &v1));
  group.spawn(read_frames(f.transport.get(), "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1beta1", &v1beta1));
  group.spawn(read_frames(f.transport.get(), "application/json;as=Table;g=meta.k8s.io;v=v1", &table));
  f.loop->run_ready();
  f.post(kMaps, config_map("a"));
  f.send_text("PATCH", kMaps + "/a", R"({"data":{"more":"x"}})", "application/merge-patch+json");
  f.loop->run_for(std::chrono::seconds(3));
  f.run(group.join());
  REQUIRE(plain.size() == 2);
  CHECK(plain == again);
  CHECK(plain[0]["type"] == "ADDED");
  CHECK(plain[1]["object"]["data"]["more"] == "x");
  REQUIRE(v1.size() == 2);
  REQUIRE(v1beta1.size() == 2);
  CHECK(v1[0]["object"]["apiVersion"] == "meta.k8s.io/v1");
  CHECK(v1beta1[0]["object"]["apiVersion"] == "meta.k8s.io/v1beta1");
  CHECK(v1[1]["object"]["metadata"]["name"] == "a");
  REQUIRE(table.size() == 2);
  CHECK(table[0]["object"]["kind"] == "Table");
  CHECK(table[0]["object"]["columnDefinitions"].size() == 3);
  CHECK(table[1]["object"]["columnDefinitions"].is_null());  // told once
  CHECK(table[1]["object"]["rows"][0]["cells"][1] == 2);
  CHECK(table[1]["object"]["metadata"]["resourceVersion"] == plain[1]["object"]["metadata"]["resourceVersion"]);
}

TEST_CASE("many watchers get a burst in one piece, and an event after a pause at once") {
  Fixture f;
  std::vector<Seen> seen(100);
  async::TaskGroup group("watches");
  for (Seen& s : seen) group.spawn(follow(f.transport.get(), kMaps, "timeoutSeconds=60", &s));
  f.loop->run_ready();
  f.loop->run_for(std::chrono::seconds(1));
  f.post(kMaps, config_map("a"));
  f.loop->run_ready();
  for (const Seen& s : seen) CHECK(s.events == std::vector<std::string>{"+a"});
  f.post(kMaps, config_map("b"));
  f.post(kMaps, config_map("c"));
  f.send("DELETE", kMaps + "/b");
  f.loop->run_ready();
  for (const Seen& s : seen) CHECK(s.events.size() == 1);
  f.loop->run_for(std::chrono::milliseconds(25));
  for (const Seen& s : seen) CHECK(s.events == std::vector<std::string>{"+a", "+b", "+c", "-b"});
  f.loop->run_for(std::chrono::seconds(61));
  f.run(group.join());
}

TEST_CASE("a watch shows the state and then the changes") {
  Fixture f;
  f.post(kMaps, config_map("a"));
  Seen all, labelled;
  async::TaskGroup group("watches");
  group.spawn(follow(f.transport.get(), kMaps, "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=60", &all));
  group.spawn(follow(f.transport.get(), kMaps, "labelSelector=l%3D1&timeoutSeconds=60", &labelled));
  f.loop->run_ready();
  CHECK(all.events == std::vector<std::string>{"+a", "b"});
  f.post(kMaps, config_map("b"));
  f.send_text("PATCH", kMaps + "/b", R"({"metadata":{"labels":{"l":"1"}}})", "application/merge-patch+json");
  f.send_text("PATCH", kMaps + "/b", R"({"metadata":{"labels":{"l":"2"}}})", "application/merge-patch+json");
  f.send("DELETE", kMaps + "/b");
  f.loop->run_ready();
  CHECK(all.events == std::vector<std::string>{"+a", "b", "+b", "~b", "~b", "-b"});
  CHECK(labelled.events == std::vector<std::string>{"+b", "-b"});
  f.loop->run_for(std::chrono::seconds(61));
  CHECK(all.ended);
  f.run(group.join());
}

TEST_CASE("a watch from a revision misses nothing, and is refused where that is gone") {
  Fixture f;
  Answer a = f.post(kMaps, config_map("a"));
  f.post(kMaps, config_map("b"));
  Seen seen;
  async::TaskGroup group("watches");
  group.spawn(follow(f.transport.get(), kMaps, "timeoutSeconds=5&resourceVersion=" + a.body["metadata"]["resourceVersion"].get<std::string>(), &seen));
  f.loop->run_ready();
  CHECK(seen.events == std::vector<std::string>{"+b"});
  f.loop->run_for(std::chrono::seconds(6));
  CHECK(seen.ended);
  f.run(group.join());
}
