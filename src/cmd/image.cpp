#include "options.hpp"

#include <onebin/agent/local_api.hpp>
#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/net/client.hpp>
#include <onebin/net/url.hpp>

#include <nlohmann/json.hpp>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace onebin::cmd {
namespace {

std::string absolute(const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  char cwd[PATH_MAX] = "";
  return ::getcwd(cwd, sizeof cwd) ? std::string(cwd) + "/" + path : path;
}

struct Call {
  std::string method, target;
};

std::vector<Call> calls(const ImageOptions& o) {
  std::vector<Call> out;
  auto target = [](const char* path, std::vector<std::pair<std::string, std::string>> pairs) {
    net::Query q;
    for (auto& [k, v] : pairs) q.add(k, v);
    return std::string(path) + "?" + q.encode();
  };
  if (o.action == "ls") return {{"GET", "/v1/images"}};
  if (o.action == "export") {
    net::Query q;
    q.add("path", absolute(o.output));
    for (const auto& n : o.names) q.add("ref", n);
    return {{"POST", "/v1/images/export?" + q.encode()}};
  }
  for (const auto& n : o.names) {
    if (o.action == "import") out.push_back({"POST", target("/v1/images/import", {{"path", absolute(n)}})});
    else if (o.action == "pull") out.push_back({"POST", target("/v1/images/pull", {{"ref", n}})});
    else out.push_back({"DELETE", target("/v1/images", {{"ref", n}})});
  }
  return out;
}

void print_images(const nlohmann::json& images) {
  std::printf("%-70s %-14s %s\n", "IMAGE", "ID", "SIZE");
  for (const auto& i : images) {
    std::string id = i.value("id", "");
    auto colon = id.find(':');
    id = id.substr(colon == std::string::npos ? 0 : colon + 1, 12);
    double mb = static_cast<double>(i.value("size", std::uint64_t{0})) / 1e6;
    auto names = i.value("tags", std::vector<std::string>());
    if (names.empty()) names = i.value("digests", std::vector<std::string>());
    if (names.empty()) names = {"<none>"};
    for (const auto& n : names) std::printf("%-70s %-14s %.1fMB\n", n.c_str(), id.c_str(), mb);
  }
}

async::Task<Result<net::WholeResponse>> ask(net::HttpClient* http, Call call) {
  net::ClientRequest q;
  q.method = call.method;
  q.target = call.target;
  return http->fetch(std::move(q));
}

async::Task<void> run_calls(async::RealLoop* loop, ImageOptions o, int* exit_code) {
  net::ClientConfig c;
  c.base_url = "http://unix";
  c.unix_path = agent::local_api_socket(o.run_dir);
  c.header_timeout = Duration(0);
  auto http = net::HttpClient::create(std::move(c));
  if (!http) {
    std::fprintf(stderr, "onebin: %s\n", http.status().message().c_str());
    *exit_code = 1;
    loop->stop();
    co_return;
  }
  for (const auto& call : calls(o)) {
    Result<net::WholeResponse> r = co_await ask(http->get(), call);
    if (!r) {
      std::fprintf(stderr, "onebin: %s (does onebin run on this host? --run-dir names its folder, here %s)\n", r.status().message().c_str(), o.run_dir.c_str());
      *exit_code = 1;
      break;
    }
    nlohmann::json body = nlohmann::json::parse(r->body, nullptr, false);
    if (!r->ok()) {
      std::fprintf(stderr, "onebin: %s\n", body.is_object() ? body.value("message", r->body).c_str() : r->body.c_str());
      *exit_code = 1;
      continue;
    }
    if (body.is_array()) print_images(body);
    else if (body.is_object() && body.contains("id")) print_images(nlohmann::json::array({body}));
  }
  (*http)->close_idle();
  loop->stop();
}

}  // namespace

int run_image(const Parsed& p) {
  auto loop = async::RealLoop::create();
  int exit_code = 0;
  async::TaskGroup group("image");
  group.spawn(run_calls(loop.get(), p.image, &exit_code));
  loop->run();
  return exit_code;
}

}  // namespace onebin::cmd
