// OpenAPI documents: made on first use, away from the loop, and kept compressed.
#include "apiserver/aggregator/openapi_merge.hpp"
#include "apiserver/crd/custom_kind.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/handlers/discovery.hpp"
#include "apiserver/handlers/handlers.hpp"
#include "apiserver/packed.hpp"
#include "apiserver/respond.hpp"

#include <onebin/api/published.hpp>
#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/openapi.hpp>
#include <onebin/async/pool.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

using apimachinery::OpenApiDescriptions;
using apimachinery::OpenApiResource;
using apimachinery::OpenApiTypes;

std::vector<OpenApiResource> openapi_resources(const Registry& registry, const std::string* group, const std::string* version) {
  std::vector<OpenApiResource> out;
  for (Served* s : registry.all()) {
    const KindSchema& k = *s->kind;
    if (group && (k.group != *group || k.version != *version)) continue;
    OpenApiResource r;
    r.group = k.group;
    r.version = k.version;
    r.kind = k.kind;
    r.plural = k.plural;
    r.namespaced = k.namespaced;
    r.verbs.assign(k.verbs.begin(), k.verbs.end());
    r.type = s->custom ? nullptr : k.type;
    if (s->custom) r.schema = s->custom->published_schema();
    r.returns_object = s->strategy->returns_deleted && k.kind != "Namespace";
    if (!s->custom && !k.list_kind.empty())
      if (const KindSchema* list = api::find_kind(k.group, k.version, k.list_kind)) r.list_type = list->type;
    out.push_back(r);
    for (const auto& sub : k.subresources) {
      OpenApiResource e = r;
      e.list_type = nullptr;
      e.parent_kind = k.kind;
      e.subresource = sub.name;
      e.kind = sub.kind;
      e.kind_group = sub.group;
      e.kind_version = sub.version;
      e.verbs.assign(sub.verbs.begin(), sub.verbs.end());
      const KindSchema* body = api::find_kind(sub.group, sub.version, sub.kind);
      e.type = body ? body->type : nullptr;
      const KindSchema* options = sub.kind.ends_with("Options") ? body : sub.name == "log" ? api::find_kind("", "v1", "PodLogOptions") : nullptr;
      if (options) e.options = options->type;
      out.push_back(std::move(e));
    }
  }
  return out;
}

std::shared_ptr<const OpenApiDescriptions> descriptions() {
  auto out = std::make_shared<OpenApiDescriptions>();
  std::string text = unpacked(api::packed_descriptions()), type;
  for (const auto& line : split(text, '\n')) {
    std::size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    std::string about = line.substr(colon + 2);
    if (line[0] == '\t') {
      out->emplace(type + "." + line.substr(1, colon - 1), std::move(about));
      continue;
    }
    type = line.substr(0, colon);
    if (!about.empty()) out->emplace(type, std::move(about));
  }
  return out;
}

OpenApiTypes openapi_types() {
  auto meta = [](const char* kind) { return api::find_type(std::string("io.k8s.apimachinery.pkg.apis.meta.v1.") + kind); };
  OpenApiTypes t;
  t.status = meta("Status");
  t.delete_options = meta("DeleteOptions");
  t.object_meta = meta("ObjectMeta");
  t.list_meta = meta("ListMeta");
  t.api_resource_list = meta("APIResourceList");
  t.api_versions = meta("APIVersions");
  t.api_group = meta("APIGroup");
  t.api_group_list = meta("APIGroupList");
  t.watch_event = meta("WatchEvent");
  t.published = api::published_fields();
  t.kinds = api::all_kinds();
  t.descriptions = descriptions();
  return t;
}

std::string to_path(std::string_view group, std::string_view version) {
  return group.empty() ? "api/" + std::string(version) : "apis/" + std::string(group) + "/" + std::string(version);
}

std::vector<std::string> routes(const Registry& registry) {
  std::vector<std::string> out = {".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version"};
  for (const auto& g : registry.groups())
    if (!g.empty()) out.push_back("apis/" + g);
  return out;
}

std::string upper_hash(std::string_view text) {
  std::string hash = sha256_hex(text);
  for (char& ch : hash)
    if (ch >= 'a' && ch <= 'z') ch = static_cast<char>(ch - 32);
  return hash;
}

// The form of a document that the client likes best: 0 JSON, 1 protobuf (`version` of the specification); -1 neither.
int openapi_form(const RequestContext& c, const std::string& version) {
  std::string_view accept = c.request.headers.get("Accept");
  if (accept.empty()) return 0;
  for (const auto& clause : parse_accept(accept)) {
    if (clause.type == "application/json" || clause.type == "*/*" || clause.type == "application/*") return 0;
    for (const char* separator : {".", "@"})
      if (clause.type == "application/com.github.proto-openapi.spec." + version + separator + "v1.0+protobuf") return 1;
  }
  return -1;
}
std::string openapi_type(bool protobuf, const std::string& version) {
  return protobuf ? "application/com.github.proto-openapi.spec." + version + ".v1.0+protobuf" : "application/json";
}

}  // namespace

std::string DiscoveryCache::openapi_hash(const std::string& route) const {
  std::string of = route + " " ONEBIN_VERSION;
  if (route.empty() && !core_.aggregator->empty()) of += " " + std::to_string(core_.registry.generation());
  for (Served* s : core_.registry.all()) {
    if (!s->json_stored || (!route.empty() && to_path(s->group(), s->kind->version) != route)) continue;
    // Changes are counted from the start of the process on.
    if (started_.empty()) started_ = format_rfc3339_nano(core_.clock().wall());
    of += " " + std::to_string(core_.registry.generation()) + " " + started_;
    break;
  }
  return upper_hash(of);
}

async::Task<Result<DiscoveryCache::Packed*>> DiscoveryCache::openapi_text(std::string key, std::string hash, std::function<std::string()> make) {
  Packed* text = &packed_[key];
  if (text->hash == hash) co_return text;
  if (auto turn = co_await making_.acquire(); !turn) co_return turn.status();
  if (text->hash != hash) {
    std::string body = co_await async::run_blocking([make] { return gzip_at(6, make()); });
    text->etag = "\"" + hash + "\"";
    body.shrink_to_fit();  // kept
    text->body = std::move(body);
    text->hash = std::move(hash);
  }
  making_.release();
  co_return text;
}

Handling DiscoveryCache::send_openapi(RequestContext* c, Packed* text, std::string content_type) {
  net::Headers h = answer_headers(*c, std::move(content_type));
  h.set("Cache-Control", "public");
  if (c->query.has("hash")) h.set("Cache-Control", "public, immutable");
  h.add("ETag", text->etag);
  h.add("Vary", "Accept");
  if (c->request.headers.get("If-None-Match") == text->etag) {
    h.remove("Content-Type");
    co_return co_await c->writer.send(304, std::move(h), {});
  }
  // Copied: another request may make the document anew while this one is sent.
  std::string body = text->body;
  if (accepts_gzip(*c)) h.add("Content-Encoding", "gzip");
  else body = co_await async::run_blocking([packed = std::move(body)] { return unpacked(packed); });
  co_return co_await c->writer.send(200, std::move(h), body);
}

Handling DiscoveryCache::openapi_v2(RequestContext* c) {
  bool protobuf = openapi_form(*c, "v2") == 1;
  std::vector<RemoteOpenApi> remotes;
  for (const auto& [name, r] : core_.aggregator->remotes())
    if (r.openapi_v2) remotes.push_back({r.path(), r.openapi_v2});
  auto make = [resources = openapi_resources(core_.registry, nullptr, nullptr), names = routes(core_.registry), protobuf, remotes] {
    std::string json = apimachinery::openapi_v2_json(resources, names, openapi_types());
    if (!remotes.empty()) json = merge_openapi_v2(std::move(json), remotes);
    return protobuf ? apimachinery::openapi_v2_protobuf(json) : json;
  };
  auto text = co_await openapi_text(protobuf ? "v2 protobuf" : "v2", openapi_hash({}), std::move(make));
  if (!text) co_return text.status();
  co_return co_await send_openapi(c, *text, openapi_type(protobuf, "v2"));
}

Handling DiscoveryCache::openapi_v3(RequestContext* c) {
  Text& index = cached("openapi v3", [&] {
    Document paths = Document::object();
    auto add = [&](const std::string& route) { paths[route] = {{"serverRelativeURL", "/openapi/v3/" + route + "?hash=" + openapi_hash(route)}}; };
    for (const auto& r : routes(core_.registry)) add(r);
    for (const auto& g : core_.registry.groups())
      for (const auto& v : core_.registry.versions(g)) add(to_path(g, v));
    for (const auto& [name, r] : core_.aggregator->remotes())
      if (!r.openapi_v3.empty()) paths[to_path(r.group, r.version)] = {{"serverRelativeURL", r.openapi_v3}};
    return Document{{"paths", std::move(paths)}}.dump();
  });
  co_return co_await send_cached(c, &index, "application/json");
}

// `hash` in the query says which state of the document is meant, so that it may be kept for ever; another leads to this one.
Handling DiscoveryCache::openapi_document(RequestContext* c, std::string route, std::function<std::string()> make) {
  int form = openapi_form(*c, "v3");
  if (form < 0) {
    net::Headers h = answer_headers(*c, "text/plain; charset=utf-8");
    h.add("Vary", "Accept");
    co_return co_await c->writer.send(406, std::move(h), {});
  }
  std::string hash = openapi_hash(route);
  if (c->query.has("hash") && c->query.get("hash") != hash) {
    net::Headers h = answer_headers(*c, "text/plain; charset=utf-8");
    h.add("Location", "/openapi/v3/" + route + "?hash=" + hash);
    co_return co_await c->writer.send(301, std::move(h), {});
  }
  bool protobuf = form == 1;
  if (protobuf) make = [json = std::move(make)] { return apimachinery::openapi_v3_protobuf(json()); };
  auto text = co_await openapi_text((protobuf ? "v3 protobuf " : "v3 ") + route, std::move(hash), std::move(make));
  if (!text) co_return text.status();
  co_return co_await send_openapi(c, *text, openapi_type(protobuf, "v3"));
}

namespace {
Handling no_document(RequestContext* c) {
  net::Headers h = answer_headers(*c, {});
  h.remove("Content-Type");
  return c->writer.send(404, std::move(h), {});
}
}  // namespace

Handling DiscoveryCache::openapi_v3_of(RequestContext* c, std::string group, std::string version) {
  if (core_.aggregator->find(group, version))
    co_return co_await core_.aggregator->serve_path(c, group, version, c->request.raw_path + (c->request.query.empty() ? "" : "?" + c->request.query));
  if (!core_.registry.has_group_version(group, version)) co_return co_await no_document(c);
  auto make = [resources = openapi_resources(core_.registry, &group, &version)] { return apimachinery::openapi_v3_json(resources, openapi_types()); };
  co_return co_await openapi_document(c, to_path(group, version), std::move(make));
}

Handling DiscoveryCache::openapi_v3_route(RequestContext* c, std::string route) {
  auto known = routes(core_.registry);
  if (std::find(known.begin(), known.end(), route) == known.end()) co_return co_await no_document(c);
  co_return co_await openapi_document(c, route, [route] { return apimachinery::openapi_v3_route_json(route, openapi_types()); });
}

}  // namespace onebin::apiserver
