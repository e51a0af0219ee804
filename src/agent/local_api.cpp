#include <onebin/agent/local_api.hpp>

#include <onebin/net/url.hpp>

#include <nlohmann/json.hpp>

namespace onebin::agent {
namespace {

nlohmann::json describe(const engine::ImageInfo& i) {
  return {{"id", i.id}, {"tags", i.repo_tags}, {"digests", i.repo_digests}, {"size", i.size}};
}
nlohmann::json describe(const std::vector<engine::ImageInfo>& images) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& i : images) out.push_back(describe(i));
  return out;
}

async::Task<void> answer(net::ResponseWriter* w, int code, nlohmann::json body) {
  std::string text = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  Result<void> sent = co_await w->send(code, {{"Content-Type", "application/json"}}, text);
  (void)sent;  // the client went away: nobody to tell
}

async::Task<void> answer_status(net::ResponseWriter* w, Status s) {
  return answer(w, s.is_ok() ? 200 : s.code(), s.is_ok() ? nlohmann::json::object() : nlohmann::json{{"message", s.message()}});
}

async::Task<void> serve(net::Request* q, net::ResponseWriter* w, engine::Engine* engine) {
  net::Query query = net::Query::parse(q->query);
  std::string path(query.get("path")), ref(query.get("ref"));
  std::vector<std::string> refs;
  for (auto r : query.all("ref")) refs.emplace_back(r);
  w->set_write_timeout(Duration(0));
  if (q->method == "GET" && q->path == "/v1/images") {
    co_await answer(w, 200, describe(engine->list_images()));
  } else if (q->method == "POST" && q->path == "/v1/images/import") {
    Result<std::vector<engine::ImageInfo>> r = co_await engine->import_images(path);
    if (r) co_await answer(w, 200, describe(*r));
    else co_await answer_status(w, r.status());
  } else if (q->method == "POST" && q->path == "/v1/images/pull") {
    Result<engine::ImageInfo> r = co_await engine->pull_image(ref, {}, nullptr);
    if (r) co_await answer(w, 200, describe(*r));
    else co_await answer_status(w, r.status());
  } else if (q->method == "POST" && q->path == "/v1/images/export") {
    Result<void> r = co_await engine->export_images(refs, path);
    co_await answer_status(w, r.status());
  } else if (q->method == "DELETE" && q->path == "/v1/images") {
    Result<void> r = co_await engine->remove_image(ref);
    co_await answer_status(w, r.status());
  } else {
    co_await answer_status(w, Status(Reason::NotFound, "no such resource"));
  }
}

}  // namespace

std::string local_api_socket(const std::string& run_dir) { return run_dir + "/onebin.sock"; }

Result<std::unique_ptr<net::HttpServer>> start_local_api(const std::string& run_dir, engine::Engine& engine) {
  net::ServerConfig c;
  c.name = "local-api";
  c.listen_unix = {local_api_socket(run_dir)};
  c.http2 = false;
  engine::Engine* e = &engine;
  return net::HttpServer::start(std::move(c), [e](net::Request& q, net::ResponseWriter& w) { return serve(&q, &w, e); });
}

}  // namespace onebin::agent
