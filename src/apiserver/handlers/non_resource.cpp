// Paths that are no resources: discovery, OpenAPI, version, health, metrics, OIDC discovery.
#include "apiserver/errors.hpp"
#include "apiserver/handlers/discovery.hpp"
#include "apiserver/handlers/handlers.hpp"

#include <onebin/base/metrics.hpp>

#include <sys/utsname.h>

#include <algorithm>

namespace onebin::apiserver {
namespace {

std::string platform() {
  utsname u{};
  uname(&u);
  std::string machine = u.machine;
  if (machine == "x86_64") machine = "amd64";
  else if (machine == "aarch64") machine = "arm64";
  return "linux/" + machine;
}

std::string version_json() {
  std::string v = ONEBIN_KUBERNETES_VERSION;  // "v1.37.2"
  auto parts = split(std::string_view(v).substr(1), '.');
  Document d = {{"major", parts[0]}, {"minor", parts[1]}, {"emulationMajor", parts[0]}, {"emulationMinor", parts[1]},
                {"minCompatibilityMajor", parts[0]}, {"minCompatibilityMinor", std::to_string(std::atoi(parts[1].c_str()) - 1)},
                {"gitVersion", v + "+onebin" ONEBIN_VERSION}, {"gitCommit", ""}, {"gitTreeState", "clean"},
                {"buildDate", "1970-01-01T00:00:00Z"}, {"goVersion", "none"}, {"compiler", __VERSION__}, {"platform", platform()}};
  return d.dump(2);
}

struct Check {
  std::string name;
  Status status;
};

std::vector<Check> checks(Core& core, std::string_view kind) {
  std::vector<Check> out;
  out.push_back({"ping", Status::ok()});
  out.push_back({"log", Status::ok()});
  out.push_back({"etcd", Status::ok()});
  if (kind == "readyz") out.push_back({"etcd-readiness", Status::ok()});
  if (kind == "readyz") out.push_back({"informer-sync", Status::ok()});
  out.push_back({"poststarthook/rbac/bootstrap-roles", core.ready() ? Status::ok() : Status(Reason::ServiceUnavailable, "not finished")});
  if (kind == "readyz") {
    for (const auto& [name, fn] : core.options.ready_checks) out.push_back({name, fn()});
    out.push_back({"shutdown", core.stopping() ? Status(Reason::ServiceUnavailable, "process is shutting down") : Status::ok()});
  }
  return out;
}

Handling health(RequestContext* c, std::string kind, std::string single) {
  std::vector<Check> all = checks(c->core, kind);
  if (!single.empty()) {
    for (const auto& check : all) {
      if (check.name != single) continue;
      if (check.status.is_ok()) co_return co_await send_text(c, 200, "text/plain; charset=utf-8", "ok");
      co_return co_await send_text(c, 500, "text/plain; charset=utf-8", "internal server error: " + check.status.message() + "\n");
    }
    co_return co_await page_not_found(c);
  }
  auto excluded = c->query.all("exclude");
  std::string text;
  bool bad = false;
  for (const auto& check : all) {
    bool skip = std::find(excluded.begin(), excluded.end(), std::string_view(check.name)) != excluded.end();
    if (skip) text += "[+]" + check.name + " excluded: ok\n";
    else if (check.status.is_ok()) text += "[+]" + check.name + " ok\n";
    else {
      text += "[-]" + check.name + " failed: reason withheld\n";
      bad = true;
    }
  }
  if (bad) co_return co_await send_text(c, 500, "text/plain; charset=utf-8", text + kind + " check failed\n");
  if (c->query.has("verbose")) co_return co_await send_text(c, 200, "text/plain; charset=utf-8", text + kind + " check passed\n");
  co_return co_await send_text(c, 200, "text/plain; charset=utf-8", "ok");
}

Handling root_paths(RequestContext* c) {
  Document paths = Document::array();
  for (const char* p : {"/.well-known/openid-configuration", "/api", "/api/v1", "/apis"}) paths.push_back(p);
  for (const auto& g : c->core.discovery->groups()) {
    paths.push_back("/apis/" + g.name);
    for (const auto& v : g.versions) paths.push_back("/apis/" + g.name + "/" + v.version);
  }
  for (const char* p : {"/healthz", "/healthz/ping", "/livez", "/livez/ping", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz",
                        "/readyz/ping", "/version"})
    paths.push_back(p);
  co_return co_await send_text(c, 200, "application/json", Document{{"paths", paths}}.dump(2));
}

Handling oidc(RequestContext* c, bool keys) {
  TokenIssuer* issuer = c->core.security.token_issuer.get();
  std::string body = !issuer ? std::string() : keys ? issuer->jwks() : issuer->discovery_document();
  if (body.empty()) co_return generic_not_found();
  net::Headers h = answer_headers(*c, keys ? "application/jwk-set+json" : "application/json");
  h.set("Cache-Control", "public, max-age=3600");
  co_return co_await c->writer.send(200, std::move(h), body);
}

}  // namespace

Handling handle_non_resource(RequestContext* c) {
  std::string path = c->info.path;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  auto parts = split(std::string_view(path).substr(path.empty() ? 0 : 1), '/');
  // Upstream routes some paths, by method and whether or not they end in a slash; the rest takes any method, and no slash.
  bool routed = parts[0] == "api" || parts[0] == "version" || path == "/openid/v1/jwks" || path == "/.well-known/openid-configuration";
  if (path.size() < c->info.path.size() && !routed && parts[0] != "apis" && !starts_with(path, "/openapi/v3")) co_return co_await page_not_found(c);
  if (parts[0] == "version" && parts.size() > 1) co_return generic_not_found();
  if (routed && !(parts[0] == "api" && parts.size() == 2) && c->request.method != "GET") co_return method_not_allowed();
  DiscoveryCache& discovery = *c->core.discovery;
  if (path == "/" || path == "/index.html") co_return co_await root_paths(c);
  if (path == "/version") {
    if (Status s = check_accept(*c, RouteForms::Json); !s) co_return s;
    co_return co_await send_text(c, 200, "application/json", version_json());
  }
  if (parts[0] == "api") {
    if (parts.size() == 1) co_return co_await discovery.api_versions(c);
    if (parts.size() == 2) co_return co_await discovery.resources(c, "", parts[1]);
  } else if (parts[0] == "apis") {
    if (parts.size() == 1) co_return co_await discovery.group_list(c);
    if (parts.size() == 2) co_return co_await discovery.group(c, parts[1]);
    if (parts.size() == 3) co_return co_await discovery.resources(c, parts[1], parts[2]);
  } else if (path == "/openapi/v2") {
    co_return co_await discovery.openapi_v2(c);
  } else if (path == "/openapi/v3" && path.size() == c->info.path.size()) {
    co_return co_await discovery.openapi_v3(c);
  } else if (starts_with(path, "/openapi/v3")) {
    if (parts.size() == 4 && parts[2] == "api") co_return co_await discovery.openapi_v3_of(c, "", parts[3]);
    if (parts.size() == 5 && parts[2] == "apis") co_return co_await discovery.openapi_v3_of(c, parts[3], parts[4]);
    constexpr std::size_t kRoot = std::string_view("/openapi/v3/").size();
    co_return co_await discovery.openapi_v3_route(c, path.size() > kRoot ? path.substr(kRoot) : std::string());
  } else if (parts[0] == "healthz" || parts[0] == "livez" || parts[0] == "readyz") {
    co_return co_await health(c, parts[0], parts.size() > 1 ? path.substr(parts[0].size() + 2) : std::string());
  } else if (path == "/metrics") {
    if (c->request.method == "DELETE") co_return method_not_allowed();  // which would begin them anew
    co_return co_await send_text(c, 200, "text/plain; version=0.0.4; charset=utf-8", metrics::render());
  } else if (path == "/.well-known/openid-configuration") {
    co_return co_await oidc(c, false);
  } else if (path == "/openid/v1/jwks") {
    co_return co_await oidc(c, true);
  }
  co_return co_await page_not_found(c);
}

Handling page_not_found(RequestContext* c) { return send_text(c, 404, "text/plain; charset=utf-8", "404 page not found\n"); }

}  // namespace onebin::apiserver
