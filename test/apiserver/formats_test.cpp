// Wire formats as a client over HTTP sees them: CBOR behind its feature gate, and gzip under upstream's conditions.
#include "support.hpp"

#include <onebin/apimachinery/cbor.hpp>
#include <onebin/base/bytes.hpp>

#include <zlib.h>

using namespace onebin;
using namespace onebin::apiserver;
using apimachinery::Document;

namespace {

struct Recorder final : net::ResponseWriter {
  int code = 0;
  net::Headers headers;
  std::string body;
  async::Task<Result<void>> send(int status, net::Headers h, std::string_view text) override {
    code = status;
    headers = std::move(h);
    body = text;
    co_return Result<void>();
  }
  async::Task<Result<void>> start(int status, net::Headers h) override {
    code = status;
    headers = std::move(h);
    co_return Result<void>();
  }
  async::Task<Result<void>> write(std::string_view chunk) override {
    body += chunk;
    co_return Result<void>();
  }
  async::Task<Result<void>> flush() override { co_return Result<void>(); }
  async::Task<Result<void>> finish() override { co_return Result<void>(); }
  void abort() override {}
  async::Task<Result<net::StreamPtr>> upgrade(net::Headers) override { co_return bad_request("no upgrade"); }
  bool started() const override { return code != 0; }
  int status() const override { return code; }
  std::uint64_t body_bytes() const override { return body.size(); }
};

class Wire {
 public:
  explicit Wire(bool cbor) : loop_(async::SimLoop::create(from_unix(1795000000))), store_(storage::make_memory_store()) {
    Options o;
    o.advertise_address = "10.0.0.1";
    o.rng = &rng_;
    o.cbor = cbor;
    StaticToken admin;
    admin.token = "admin";
    admin.user.name = "admin";
    admin.user.groups = {std::string(kMastersGroup)};
    o.static_tokens.push_back(admin);
    server_ = std::make_unique<ApiServer>(std::move(o), *store_);
    run(start(server_.get()));
  }
  ~Wire() { run(stop(server_.get(), store_.get())); }

  Recorder call(std::string method, std::string target, std::string body = {}, net::Headers headers = {}) {
    Recorder w;
    net::Request q;
    q.method = std::move(method);
    REQUIRE(q.set_target(std::move(target)));
    headers.add("Authorization", "Bearer admin");
    q.headers = std::move(headers);
    q.peer = std::make_shared<const net::PeerInfo>();
    q.content_length = static_cast<std::int64_t>(body.size());
    q.body = net::string_body(std::move(body));
    net::Handler handler = server_->handler();
    run(handler(q, w));
    return w;
  }

 private:
  static async::Task<void> start(ApiServer* s) {
    Result<void> r = co_await s->start();
    CHECK(r);
  }
  static async::Task<void> stop(ApiServer* s, storage::Store* store) {
    co_await s->stop();
    co_await store->close();
  }
  static async::Task<void> mark(async::Task<void> task, bool* done) {
    co_await std::move(task);
    *done = true;
  }
  void run(async::Task<void> task) {
    bool done = false;
    group_.spawn(mark(std::move(task), &done));
    for (int i = 0; i < 1000 && !done; ++i) {
      loop_->run_ready();
      if (!done) loop_->run_for(std::chrono::milliseconds(10));
    }
    REQUIRE(done);
  }

  SeededRng rng_{42};
  std::unique_ptr<async::SimLoop> loop_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<ApiServer> server_;
  async::TaskGroup group_{"test"};
};

constexpr const char* kPath = "/api/v1/namespaces/default/secrets";
std::string secret(std::string name, std::size_t size = 3) {
  Document d = {{"apiVersion", "v1"}, {"kind", "Secret"}, {"metadata", {{"name", std::move(name)}}}, {"data", {{"k", base64_encode(std::string(size, 'x'))}}}};
  return d.dump();
}
Document uncbor(std::string_view bytes) {
  CHECK(starts_with(bytes, apimachinery::kCborMagic));
  auto d = apimachinery::decode_cbor(bytes, nullptr);
  REQUIRE(d);
  return *d;
}
// Any number of members, as gzip allows.
std::string gunzip(std::string_view data) {
  std::string out;
  while (!data.empty()) {
    z_stream z{};
    REQUIRE(inflateInit2(&z, 15 + 16) == Z_OK);
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    z.avail_in = static_cast<uInt>(data.size());
    char buffer[65536];
    int state = Z_OK;
    while (state == Z_OK) {
      z.next_out = reinterpret_cast<Bytef*>(buffer);
      z.avail_out = sizeof buffer;
      state = inflate(&z, Z_NO_FLUSH);
      out.append(buffer, sizeof buffer - z.avail_out);
    }
    REQUIRE(state == Z_STREAM_END);
    data.remove_prefix(data.size() - z.avail_in);
    inflateEnd(&z);
  }
  return out;
}

}  // namespace

TEST_CASE("CBOR is no format unless its feature gate is on") {
  Wire w(false);
  CHECK(w.call("GET", kPath, "", {{"Accept", "application/cbor"}}).code == 406);
  CHECK(w.call("GET", std::string(kPath) + "?watch=1&timeoutSeconds=1", "", {{"Accept", "application/cbor-seq"}}).code == 406);
  CHECK(w.call("POST", kPath, secret("a"), {{"Content-Type", "application/cbor"}}).code == 415);
  CHECK(w.call("PATCH", std::string(kPath) + "/a", "{}", {{"Content-Type", "application/apply-patch+cbor"}}).code == 415);
  auto other = w.call("GET", kPath, "", {{"Accept", "application/cbor,application/json;q=0.9"}});
  CHECK(other.headers.get("Content-Type") == "application/json");
}

TEST_CASE("CBOR for objects, lists, tables, watches, patches and errors") {
  Wire w(true);
  net::Headers both = {{"Accept", "application/cbor"}, {"Content-Type", "application/cbor"}};
  std::string body = *apimachinery::encode_cbor(Document::parse(secret("a")), nullptr);
  auto made = w.call("POST", kPath, body, both);
  CHECK(made.code == 201);
  CHECK(made.headers.get("Content-Type") == "application/cbor");
  CHECK(made.body.find("\xd6\x43xxx") != std::string::npos);  // bytes, not base64
  Document d = uncbor(made.body);
  CHECK(d["kind"] == "Secret");
  CHECK(d["data"]["k"] == "eHh4");
  auto json = Document::parse(w.call("GET", std::string(kPath) + "/a").body);
  CHECK(json == d);
  CHECK(uncbor(w.call("GET", kPath, "", both).body)["items"].size() == 1);
  Document list = uncbor(w.call("GET", kPath, "", both).body), same = Document::parse(w.call("GET", kPath).body);
  CHECK(list == same);
  Document table = uncbor(w.call("GET", kPath, "", {{"Accept", "application/cbor;as=Table;v=v1;g=meta.k8s.io"}}).body);
  CHECK(table["kind"] == "Table");
  CHECK(table["rows"].size() == 1);
  Document partial = uncbor(w.call("GET", std::string(kPath) + "/a", "", {{"Accept", "application/cbor;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}}).body);
  CHECK(partial["kind"] == "PartialObjectMetadata");

  auto watch = w.call("GET", std::string(kPath) + "?watch=1&timeoutSeconds=1", "", both);
  CHECK(watch.headers.get("Content-Type") == "application/cbor-seq");
  CHECK(uncbor(watch.body)["object"]["metadata"]["name"] == "a");

  std::string apply = *apimachinery::encode_cbor(Document::parse(secret("a", 6)), nullptr);
  auto patched = w.call("PATCH", std::string(kPath) + "/a?fieldManager=m&force=true", apply, {{"Content-Type", "application/apply-patch+cbor"}});
  CHECK(patched.code == 200);
  auto gone = w.call("GET", std::string(kPath) + "/b", "", both);
  CHECK(gone.code == 404);
  CHECK(uncbor(gone.body)["reason"] == "NotFound");
  CHECK(w.call("POST", kPath, "\xa1\x61", both).code == 400);
  auto removed = w.call("DELETE", std::string(kPath) + "/a", *apimachinery::encode_cbor({{"kind", "DeleteOptions"}, {"apiVersion", "v1"}, {"dryRun", {"All"}}}, nullptr), both);
  CHECK(removed.code == 200);
  CHECK(w.call("GET", std::string(kPath) + "/a").code == 200);
}

TEST_CASE("answers larger than 128 KB are compressed for those who ask") {
  Wire w(false);
  net::Headers gzip = {{"Accept-Encoding", "gzip"}};
  CHECK(w.call("POST", kPath, secret("small")).code == 201);
  CHECK(w.call("POST", kPath, secret("large", 150000)).code == 201);
  CHECK(w.call("GET", std::string(kPath) + "/small", "", gzip).headers.get("Content-Encoding").empty());
  CHECK(w.call("GET", std::string(kPath) + "/large").headers.get("Content-Encoding").empty());
  for (const char* target : {"/large", ""}) {
    auto plain = w.call("GET", std::string(kPath) + target), packed = w.call("GET", std::string(kPath) + target, "", gzip);
    CHECK(packed.headers.get("Content-Encoding") == "gzip");
    CHECK(packed.headers.get("Vary") == "Accept-Encoding");
    CHECK(packed.body.size() < plain.body.size() / 10);
    CHECK(gunzip(packed.body) == plain.body);
  }
  CHECK(w.call("GET", kPath, "", {{"Accept-Encoding", "br, gzip"}}).headers.get("Content-Encoding") == "gzip");
  CHECK(w.call("GET", kPath, "", {{"Accept-Encoding", "gzip;q=0"}}).headers.get("Content-Encoding").empty());
  CHECK(w.call("GET", std::string(kPath) + "?limit=1&fieldSelector=metadata.name%3Dsmall", "", gzip).headers.get("Content-Encoding").empty());
}

TEST_CASE("a watch that begins with a list is compressed for those who ask") {
  Wire w(false);
  CHECK(w.call("POST", kPath, secret("small")).code == 201);
  CHECK(w.call("POST", kPath, secret("large", 150000)).code == 201);
  std::string initial = std::string(kPath) + "?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&sendInitialEvents=true";
  net::Headers gzip = {{"Accept-Encoding", "gzip"}};
  auto plain = w.call("GET", initial), packed = w.call("GET", initial, "", gzip);
  CHECK(packed.headers.get("Content-Encoding") == "gzip");
  CHECK(packed.body.size() < plain.body.size() / 10);
  CHECK(gunzip(packed.body) == plain.body);
  CHECK(w.call("GET", std::string(kPath) + "?watch=1&timeoutSeconds=1", "", gzip).headers.get("Content-Encoding").empty());
}
