#include <onebin/api/core_v1.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/client/informer.hpp>
#include <onebin/client/workqueue.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::client;
namespace v1 = onebin::api::core::v1;

namespace {

// A server with one ConfigMap list, whose watches are fed by the test.
class FakeTransport final : public Transport {
 public:
  async::Task<Result<ApiResponse>> request(ApiRequest) override { co_return internal_error("no requests here"); }
  async::Task<Result<std::unique_ptr<WatchStream>>> watch(ApiRequest q) override {
    queries.push_back(q.query);
    auto stream = std::make_unique<Stream>(*this);
    std::unique_ptr<WatchStream> out = std::move(stream);
    co_return Result<std::unique_ptr<WatchStream>>(std::move(out));
  }
  void send(WatchType type, const std::string& name, const std::string& version, const std::string& value = "") {
    v1::ConfigMap m;
    m.metadata.name = name;
    m.metadata.namespace_ = name.empty() ? "" : "ns";
    m.metadata.resource_version = version;
    if (!value.empty()) m.data["v"] = value;
    WatchEvent e;
    e.type = type;
    e.object = make_bytes(api::to_protobuf(m));
    events.try_send(std::move(e));
  }
  void fail(Status s) {
    WatchEvent e;
    e.error = std::move(s);
    events.try_send(std::move(e));
  }
  std::vector<std::string> queries;
  async::Channel<WatchEvent> events{100};

 private:
  struct Stream final : WatchStream {
    explicit Stream(FakeTransport& t) : transport(t) {}
    async::Task<Result<std::vector<WatchEvent>>> next() override {
      Result<WatchEvent> e = co_await transport.events.recv();
      if (!e) co_return e.status();
      std::vector<WatchEvent> out;
      out.push_back(std::move(*e));
      co_return Result<std::vector<WatchEvent>>(std::move(out));
    }
    FakeTransport& transport;
  };
};

async::Task<void> stop_informer(RawInformer* i, bool* stopped) {
  co_await i->stop();
  *stopped = true;
}

async::Task<ReconcileResult> flaky(std::vector<std::string>* seen, int* failures, std::string key) {
  seen->push_back(key);
  if (key == "bad" && (*failures)-- > 0) co_return ReconcileResult{internal_error("no")};
  co_return ReconcileResult{};
}

}  // namespace

TEST_CASE("an informer is in step after the initial events, and misses nothing over an expired watch") {
  auto loop = async::SimLoop::create(WallTime{});
  FakeTransport t;
  Client c(t, "test");
  Informer<v1::ConfigMap> informer(c);
  std::vector<std::string> log;
  informer.on_event([&](const std::string& key, const v1::ConfigMap* before, const v1::ConfigMap* now) {
    log.push_back(key + (!before ? " added" : !now ? " deleted" : " changed to " + now->data.at("v")));
  });
  informer.start();
  t.send(WatchType::Added, "a", "1");
  t.send(WatchType::Added, "b", "2");
  loop->run_for(1s);
  CHECK_FALSE(informer.synced());
  CHECK(t.queries[0].find("sendInitialEvents=true") != std::string::npos);
  t.send(WatchType::Bookmark, "", "5");
  loop->run_for(1s);
  CHECK(informer.synced());
  CHECK(log == std::vector<std::string>{"ns/a added", "ns/b added"});
  t.send(WatchType::Modified, "a", "6", "x");
  loop->run_for(1s);
  CHECK(log.back() == "ns/a changed to x");
  CHECK(informer.get("ns", "a")->data["v"] == "x");
  // The watch expires; meanwhile b was deleted and c made.
  t.fail(Status(Reason::Expired, "too old"));
  loop->run_for(20s);
  t.send(WatchType::Added, "a", "6", "x");
  t.send(WatchType::Added, "c", "8");
  t.send(WatchType::Bookmark, "", "9");
  loop->run_for(1s);
  CHECK(log.size() == 5);
  CHECK(log[3] == "ns/b deleted");
  CHECK(log[4] == "ns/c added");
  async::TaskGroup group("stop");
  bool stopped = false;
  group.spawn(stop_informer(&informer, &stopped));
  loop->run_ready();
  CHECK(stopped);
}

TEST_CASE("a work queue holds a key once, retries what failed with back-off, and waits where told") {
  auto loop = async::SimLoop::create(WallTime{});
  Workqueue q(Workqueue::Backoff{1s, 10s});
  async::TaskGroup group("workers");
  std::vector<std::string> seen;
  int failures = 2;
  q.add("good");
  q.add("good");
  q.add("bad");
  run_workers(group, q, 2, "test", [&](std::string key) { return flaky(&seen, &failures, std::move(key)); });
  loop->run_ready();
  CHECK(seen == std::vector<std::string>{"good", "bad"});
  loop->run_for(1500ms);
  CHECK(seen.size() == 3);
  loop->run_for(3s);
  CHECK(seen.size() == 4);
  loop->run_for(1min);
  CHECK(seen.size() == 4);
  q.add_after("later", 5s);
  q.add_after("later", 2s);  // the earlier wins
  loop->run_for(3s);
  CHECK(seen.back() == "later");
  q.shut_down();
  loop->run_ready();
  CHECK(group.size() == 0);
}

TEST_CASE("headers and lists are read without decoding") {
  v1::ConfigMap m;
  m.metadata.name = "a";
  m.metadata.namespace_ = "ns";
  m.metadata.uid = "u";
  m.metadata.resource_version = "7";
  std::string bytes = api::to_protobuf(m);
  auto h = peek(bytes);
  REQUIRE(h);
  CHECK(h->name == "a");
  CHECK(h->namespace_ == "ns");
  CHECK(h->resource_version == "7");
  CHECK_FALSE(peek("garbage"));
  CHECK_FALSE(peek(bytes.substr(0, bytes.size() - 3)));
}
