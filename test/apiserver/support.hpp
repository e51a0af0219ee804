// A server over the memory store, with requests made in the process.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apiserver/apiserver.hpp>
#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/storage/store.hpp>

#include <catch2/catch.hpp>

#include <chrono>
#include <functional>
#include <thread>

namespace onebin::apiserver::test {

using apimachinery::Document;

struct Answer {
  int code = 0;
  Document body;
  std::string text, content_type;
};

// Runs tasks to their end on a simulated loop.
class Fixture {
 public:
  explicit Fixture(NodeDialer* dialer = nullptr, const std::function<void(Options&)>& adjust = {}) : loop(async::SimLoop::create(from_unix(1795000000))), store(storage::make_memory_store()) {
    Options o;
    o.advertise_address = "10.0.0.1";
    o.rng = &rng;
    StaticToken nobody;
    nobody.token = "nobody";
    nobody.user.name = "nobody";
    o.static_tokens.push_back(nobody);
    if (adjust) adjust(o);
    server = std::make_unique<ApiServer>(std::move(o), *store, dialer);
    run(start(this));
    if (!server->ready()) {
      run(stop(this));
      FAIL("the server does not start");
    }
    transport = server->local_transport(system_user("admin", {std::string(kMastersGroup)}));
    post("/api/v1/namespaces/default/serviceaccounts", {{"apiVersion", "v1"}, {"kind", "ServiceAccount"}, {"metadata", {{"name", "default"}}}});
  }
  ~Fixture() {
    transport.reset();
    run(stop(this));
  }

  void run(async::Task<void> task) {
    bool done = false;
    group.spawn(mark(std::move(task), &done));
    for (int i = 0; i < 1000 && !done; ++i) {
      loop->run_ready();
      if (!done) loop->run_for(std::chrono::milliseconds(10));
    }
    REQUIRE(done);
  }

  Answer send(std::string method, std::string path, Document body = nullptr, std::string content_type = "application/json",
              std::string accept = "application/json") {
    return send_text(std::move(method), std::move(path), body.is_null() ? std::string() : body.dump(), std::move(content_type), std::move(accept));
  }
  Answer send_text(std::string method, std::string path, std::string body, std::string content_type = "application/json",
                   std::string accept = "application/json") {
    client::ApiRequest q;
    q.method = std::move(method);
    std::size_t mark = path.find('?');
    q.path = path.substr(0, mark);
    if (mark != std::string::npos) q.query = path.substr(mark + 1);
    q.body = std::move(body);
    q.content_type = q.body.empty() ? "" : std::move(content_type);
    q.accept = std::move(accept);
    Answer a;
    run(request(transport.get(), std::move(q), &a));
    return a;
  }
  // Of what threads of the blocking pool make (OpenAPI), which simulated time does not wait for.
  Answer fetch(std::string path, std::string accept = "application/json") {
    client::ApiRequest q;
    q.method = "GET";
    std::size_t at = path.find('?');
    q.path = path.substr(0, at);
    if (at != std::string::npos) q.query = path.substr(at + 1);
    q.accept = std::move(accept);
    Answer a;
    bool done = false;
    group.spawn(mark(request(transport.get(), std::move(q), &a), &done));
    for (int i = 0; i < 120000 && !done; ++i) {
      loop->run_ready();
      if (!done) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    REQUIRE(done);
    return a;
  }
  Answer get(std::string path) { return send("GET", std::move(path)); }
  Answer post(std::string path, Document body) { return send("POST", std::move(path), std::move(body)); }

  SeededRng rng{42};
  std::unique_ptr<async::SimLoop> loop;
  std::unique_ptr<storage::Store> store;
  std::unique_ptr<ApiServer> server;
  std::unique_ptr<client::Transport> transport;
  async::TaskGroup group{"test"};

 private:
  static async::Task<void> mark(async::Task<void> task, bool* done) {
    co_await std::move(task);
    *done = true;
  }
  static async::Task<void> start(Fixture* f) {
    Result<void> r = co_await f->server->start();
    INFO(r.status().to_string());
    CHECK(r.is_ok());
  }
  static async::Task<void> stop(Fixture* f) {
    co_await f->server->stop();
    co_await f->store->close();
  }
  static async::Task<void> request(client::Transport* t, client::ApiRequest q, Answer* out) {
    Result<client::ApiResponse> r = co_await t->request(std::move(q));
    if (!r) {
      out->text = r.status().to_string();
      co_return;
    }
    out->code = r->code;
    out->content_type = r->content_type;
    out->text = r->body;
    out->body = Document::parse(r->body, nullptr, false);
  }
};

inline Document config_map(std::string name, std::string value = "v") {
  return {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", {{"name", std::move(name)}}}, {"data", {{"k", std::move(value)}}}};
}
inline Document pod(std::string name) {
  Document container = {{"name", "c"}, {"image", "busybox"}};
  return {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", {{"name", std::move(name)}, {"labels", {{"app", "x"}}}}}, {"spec", {{"containers", Document::array({container})}}}};
}

}  // namespace onebin::apiserver::test
