#include "fixture.hpp"

#include "engine/registry.hpp"

#include <onebin/net/client.hpp>
#include <onebin/net/server.hpp>

#include <csignal>
#include <sys/wait.h>

using namespace engine_test;

namespace {

struct Blobs {
  std::map<std::string, std::string> by_digest;
  std::string manifest, config;
  std::vector<std::string> layers;  // digests
};

Blobs blobs_of(const TestImage& image) {
  Blobs b;
  auto put = [&](const std::string& data, const char* type) {
    b.by_digest[digest_of(data)] = data;
    return nlohmann::json{{"mediaType", type}, {"digest", digest_of(data)}, {"size", data.size()}};
  };
  nlohmann::json layers = nlohmann::json::array();
  for (const auto& l : image.layers) {
    layers.push_back(put(l, "application/vnd.oci.image.layer.v1.tar"));
    b.layers.push_back(digest_of(l));
  }
  b.config = digest_of(image_config(image));
  nlohmann::json manifest = {{"schemaVersion", 2},
                             {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                             {"config", put(image_config(image), "application/vnd.oci.image.config.v1+json")},
                             {"layers", layers}};
  b.manifest = manifest.dump();
  return b;
}

async::Task<Result<void>> push(std::string base, std::string authorization, std::string repository, std::string tag, const Blobs* blobs) {
  net::ClientConfig config;
  config.base_url = base;
  CO_ASSIGN_OR_RETURN(auto client, net::HttpClient::create(config));
  net::Headers headers;
  if (!authorization.empty()) headers.add("Authorization", authorization);
  for (const auto& [digest, data] : blobs->by_digest) {
    net::ClientRequest begin;
    begin.method = "POST";
    begin.target = "/v2/" + repository + "/blobs/uploads/";
    begin.headers = headers;
    CO_ASSIGN_OR_RETURN(auto location, co_await client->fetch(begin));
    if (location.status != 202) co_return internal_error("upload: " + std::to_string(location.status) + location.body);
    CO_ASSIGN_OR_RETURN(auto url, net::parse_url(location.headers.get("Location")));
    net::ClientRequest put;
    put.method = "PUT";
    put.target = url.target() + "&digest=" + net::percent_encode(digest);
    put.headers = headers;
    put.headers.add("Content-Type", "application/octet-stream");
    put.body = data;
    CO_ASSIGN_OR_RETURN(auto done, co_await client->fetch(put));
    if (done.status != 201) co_return internal_error("blob: " + std::to_string(done.status) + done.body);
  }
  net::ClientRequest put;
  put.method = "PUT";
  put.target = "/v2/" + repository + "/manifests/" + tag;
  put.headers = headers;
  put.headers.add("Content-Type", "application/vnd.oci.image.manifest.v1+json");
  put.body = blobs->manifest;
  CO_ASSIGN_OR_RETURN(auto done, co_await client->fetch(put));
  if (done.status != 201) co_return internal_error("manifest: " + std::to_string(done.status) + done.body);
  co_return Result<void>();
}

// A registry that asks for tokens, redirects blobs, and breaks off in the middle of them.
struct FakeRegistry {
  Blobs blobs;
  std::string self;
  int breaks = 0, blob_requests = 0, tokens = 0, ranged = 0;
  bool lie = false;

  async::Task<void> handle(net::Request& q, net::ResponseWriter& w) {
    if (q.path == "/token") {
      ++tokens;
      bool right = q.headers.get("Authorization") == "Basic " + base64_encode("me:pw") && q.query.find("scope=repository") != std::string::npos;
      if (right) (void)co_await w.send(200, {}, R"({"token":"T1"})");
      else (void)co_await w.send(401, {}, R"({"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]})");
      co_return;
    }
    if (starts_with(q.path, "/elsewhere/")) {
      // The authorization is not for others to see.
      if (q.headers.has("Authorization") && q.host != self) co_return;
      co_await send_blob(q, w, q.path.substr(11));
      co_return;
    }
    if (q.headers.get("Authorization") != "Bearer T1") {
      net::Headers h{{"WWW-Authenticate", "Bearer realm=\"http://" + self + "/token\",service=\"fake\",scope=\"repository:a/b:pull\""}};
      (void)co_await w.send(401, h, "");
      co_return;
    }
    if (q.path == "/v2/a/b/manifests/1") {
      (void)co_await w.send(200, {{"Content-Type", "application/vnd.oci.image.manifest.v1+json"}}, blobs.manifest);
    } else if (starts_with(q.path, "/v2/a/b/blobs/")) {
      std::string digest = q.path.substr(14);
      if (digest == blobs.config) (void)co_await w.send(200, {}, blobs.by_digest[digest]);
      else (void)co_await w.send(307, {{"Location", "/elsewhere/" + digest}}, "");
    } else {
      (void)co_await w.send(404, {}, R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})");
    }
  }

  async::Task<void> send_blob(net::Request& q, net::ResponseWriter& w, std::string digest) {
    ++blob_requests;
    std::string data = blobs.by_digest[digest];
    if (lie) data.assign(data.size(), 'x');
    std::size_t from = 0;
    std::string range(q.headers.get("Range"));
    if (starts_with(range, "bytes=")) {
      ++ranged;
      from = std::strtoull(range.c_str() + 6, nullptr, 10);
    }
    net::Headers h{{"Content-Length", std::to_string(data.size() - from)}};
    (void)co_await w.start(from ? 206 : 200, h);
    std::size_t size = data.size() - from;
    if (breaks > 0) {
      --breaks;
      size /= 2;
      (void)co_await w.write(std::string_view(data).substr(from, size));
      (void)co_await w.flush();
      w.abort();
      co_return;
    }
    (void)co_await w.write(std::string_view(data).substr(from, size));
    (void)co_await w.finish();
  }
};

async::Task<bool> stop_server(net::HttpServer* server) {
  co_await server->stop();
  co_return true;
}

}  // namespace

TEST_CASE("WWW-Authenticate challenges") {
  auto c = parse_challenge("Bearer realm=\"https://auth.example/token\",service=\"r\", scope=\"repository:a,b:pull\"");
  REQUIRE(c);
  CHECK(c->scheme == "bearer");
  CHECK(c->parameters["scope"] == "repository:a,b:pull");
  auto two = parse_challenge("Negotiate, Basic realm=\"x\\\"y\", Bearer realm=z");
  REQUIRE(two);
  CHECK(two->scheme == "bearer");
  CHECK(two->parameters["realm"] == "z");
  CHECK(parse_challenge("Basic realm=\"x\\\"y\"")->parameters["realm"] == "x\"y");
  CHECK(!parse_challenge("Negotiate"));
  CHECK(!parse_challenge(""));
}

TEST_CASE("Endpoints: mirrors in order, rewrites, then the registry") {
  RegistriesConfig config;
  config.mirrors["docker.io"].endpoints = {"https://mirror.example/", "http://10.0.0.1:5000/v2"};
  config.mirrors["docker.io"].rewrites = {{"^library/(.*)$", "hub/$1"}};
  config.mirrors["*"].endpoints = {"all.example"};
  auto urls = [&](const char* text) {
    std::string out;
    auto endpoints = endpoints_of(*parse_reference(text), config);
    for (const auto& e : *endpoints) out += e.url + " " + e.repository + (e.name_space.empty() ? "" : " " + e.name_space) + "\n";
    return out;
  };
  CHECK(urls("busybox") ==
        "https://mirror.example hub/busybox docker.io\nhttp://10.0.0.1:5000 hub/busybox docker.io\nhttps://registry-1.docker.io library/busybox\n");
  CHECK(urls("quay.io/a/b") == "https://all.example a/b quay.io\nhttps://quay.io a/b\n");
  CHECK(urls("localhost:5000/x") == "https://all.example x localhost:5000\nhttp://localhost:5000 x\n");
}

TEST_CASE("Pull: tokens, redirects, broken downloads that go on, lies") {
  Fixture f;
  FakeRegistry fake;
  TestImage image = busybox_image();
  image.layers.push_back(TarBuilder().file("extra", std::string(3 << 20, 'e')).done());
  fake.blobs = blobs_of(image);
  net::ServerConfig config;
  config.listen = {{"127.0.0.1", 0}};
  auto server = net::HttpServer::start(config, [&fake](net::Request& q, net::ResponseWriter& w) { return fake.handle(q, w); });
  REQUIRE(server.is_ok());
  fake.self = (*server)->addresses()[0].to_string();
  std::string reference = fake.self + "/a/b:1";
  f.open();
  RegistryCredentials me;
  me.username = "me";
  me.password = "pw";
  SECTION("whole") {
    fake.breaks = 3;
    PullProgress last;
    auto r = f.run(f.engine->pull_image(reference, me, [&](const PullProgress& p) { last = p; }));
    INFO(r.status().to_string());
    REQUIRE(r.is_ok());
    CHECK(r->repo_tags == std::vector<std::string>{reference});
    CHECK(r->repo_digests == std::vector<std::string>{fake.self + "/a/b@" + digest_of(fake.blobs.manifest)});
    CHECK(last.layers_done == 2);
    CHECK(last.bytes_done == last.bytes_total);
    CHECK(fake.ranged >= 1);
    CHECK(list_dir(f.options.root_dir + "/downloads")->empty());
    auto c = Fixture::shell("head -c 3 /extra");
    c.image = reference;
    CHECK(f.run_script(c) == "eee");
    // What is there is not fetched again.
    int before = fake.blob_requests;
    REQUIRE(f.run(f.engine->pull_image(reference, me, nullptr)).is_ok());
    CHECK(fake.blob_requests == before);
  }
  SECTION("the wrong password") {
    me.password = "no";
    auto r = f.run(f.engine->pull_image(reference, me, nullptr));
    REQUIRE(!r.is_ok());
    CHECK(r.is(Reason::Unauthorized));
    CHECK(r.status().message().find("who are you") != std::string::npos);
  }
  SECTION("not there") {
    auto r = f.run(f.engine->pull_image(fake.self + "/a/b:2", me, nullptr));
    CHECK(r.is(Reason::NotFound));
    CHECK(r.status().message().find("manifest unknown") != std::string::npos);
  }
  SECTION("lies") {
    fake.lie = true;
    auto r = f.run(f.engine->pull_image(reference, me, nullptr));
    CHECK(!r.is_ok());
    CHECK(f.engine->list_images().empty());
    CHECK(f.run(f.engine->remove_image("x")).is_ok());
    CHECK(list_dir(f.options.root_dir + "/layers")->empty());
  }
  SECTION("a mirror first, then the registry") {
    f.abandon();
    f.options.registries.mirrors["registry.example"].endpoints = {"http://127.0.0.1:1", "http://" + fake.self};
    f.options.registries.configs[fake.self].credentials = me;
    f.open();
    auto r = f.run(f.engine->pull_image("registry.example/a/b:1", {}, nullptr));
    INFO(r.status().to_string());
    REQUIRE(r.is_ok());
    CHECK(r->repo_tags == std::vector<std::string>{"registry.example/a/b:1"});
  }
  f.close();
  (void)f.run(stop_server(server->get()));
}

TEST_CASE("Pull from Debian's docker-registry, with a password") {
  if (::access("/usr/bin/docker-registry", X_OK) != 0) {
    WARN("docker-registry is not installed: skipped");
    return;
  }
  Fixture f;
  int port = 0;
  {
    auto probe = net::Listener::tcp({"127.0.0.1", 0});
    REQUIRE(probe.is_ok());
    port = (*probe)->local().port;
    (*probe)->close();
  }
  std::string address = "127.0.0.1:" + std::to_string(port);
  REQUIRE(write_file(f.dir + "/htpasswd", "me:$2b$04$4CHVhzO3TupEg/tcdX6We.4yw5h6sQg7Lebq7mzm9kLxXKUbaoY0m\n").is_ok());
  REQUIRE(write_file(f.dir + "/registry.yml", "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: " + f.dir +
                                                  "/registry}}\nhttp: {addr: '" + address + "'}\nauth: {htpasswd: {realm: test, path: " + f.dir + "/htpasswd}}\n").is_ok());
  pid_t registry = ::fork();
  if (registry == 0) {
    int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 1);
    ::dup2(null, 2);
    ::execl("/usr/bin/docker-registry", "docker-registry", "serve", (f.dir + "/registry.yml").c_str(), nullptr);
    ::_exit(1);
  }
  TestImage image = busybox_image();
  Blobs blobs = blobs_of(image);
  Result<void> pushed = internal_error("");
  for (int i = 0; i < 100 && !pushed; ++i) {
    pushed = f.run(push("http://" + address, "Basic " + base64_encode("me:secret"), "team/busybox", "3", &blobs));
    if (!pushed) ::usleep(100000);
  }
  INFO(pushed.status().to_string());
  CHECK(pushed.is_ok());
  f.open();
  RegistryCredentials me;
  me.username = "me";
  me.password = "secret";
  auto anonymous = f.run(f.engine->pull_image(address + "/team/busybox:3", {}, nullptr));
  CHECK(anonymous.is(Reason::Unauthorized));
  auto r = f.run(f.engine->pull_image(address + "/team/busybox:3", me, nullptr));
  INFO(r.status().to_string());
  CHECK(r.is_ok());
  auto by_digest = f.run(f.engine->pull_image(address + "/team/busybox@" + digest_of(blobs.manifest), me, nullptr));
  CHECK(by_digest.is_ok());
  auto c = Fixture::shell("echo pulled");
  c.image = address + "/team/busybox:3";
  CHECK(f.run_script(c) == "pulled\n");
  ::kill(registry, SIGKILL);
  ::waitpid(registry, nullptr, 0);
}
