#include "apiserver/handlers/discovery.hpp"

#include "apiserver/errors.hpp"
#include "apiserver/handlers/handlers.hpp"
#include "apiserver/respond.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>

namespace onebin::apiserver {
namespace {

std::string to_upper(std::string text) {
  for (char& ch : text)
    if (ch >= 'a' && ch <= 'z') ch = static_cast<char>(ch - 32);
  return text;
}

// Upstream's StorageVersionHash: of "group/version/kind" as stored.
std::string storage_hash(const Served& s) {
  std::string key = std::string(s.storage_kind->group) + "/" + std::string(s.storage_kind->version) + "/" + std::string(s.storage_kind->kind);
  std::string digest = sha256(key);
  return base64_encode(std::string_view(digest).substr(0, 8));
}

Document strings(std::span<const std::string_view> list) {
  Document d = Document::array();
  for (auto s : list) d.push_back(s);
  return d;
}

const apimachinery::TypeSchema* discovery_type(std::string_view kind) {
  const KindSchema* k = api::find_kind("", "v1", kind);
  if (!k) k = api::find_kind("meta.k8s.io", "v1", kind);
  return k ? k->type : nullptr;
}

// Aggregated discovery is asked for by media type parameters.
std::string aggregated_version(const RequestContext& c) {
  for (const auto& clause : parse_accept(c.request.headers.get("Accept"))) {
    if (clause.type != "application/json" && clause.type != "*/*") continue;
    if (clause.param("as") != "APIGroupDiscoveryList") return {};
    if (clause.param("g") != "apidiscovery.k8s.io") continue;
    if (clause.param("v") == "v2" || clause.param("v") == "v2beta1") return std::string(clause.param("v"));
  }
  return {};
}

}  // namespace

DiscoveryCache::Text& DiscoveryCache::cached(const std::string& key, const std::function<std::string()>& make) {
  Text& t = texts_[key];
  if (t.generation == core_.registry.generation()) return t;
  t.generation = core_.registry.generation();
  t.body = make();
  t.etag = "\"" + to_upper(sha256_hex(t.body)) + "\"";
  return t;
}

Handling DiscoveryCache::send_cached(RequestContext* c, Text* text, std::string content_type) {
  net::Headers h = answer_headers(*c, std::move(content_type));
  h.set("Cache-Control", "public");
  h.add("ETag", text->etag);
  h.add("Vary", "Accept");
  if (c->request.headers.get("If-None-Match") == text->etag) {
    h.remove("Content-Type");
    co_return co_await c->writer.send(304, std::move(h), {});
  }
  std::string body = text->body;
  if (compresses(*c, body.size())) {
    body = gzip(body);
    h.add("Content-Encoding", "gzip");
  }
  co_return co_await c->writer.send(200, std::move(h), body);
}

std::vector<DiscoveredGroup> DiscoveryCache::groups() const {
  if (!core_.aggregator->empty()) return core_.aggregator->groups();
  std::vector<DiscoveredGroup> out;
  for (const auto& g : core_.registry.groups()) {
    if (g.empty()) continue;
    out.push_back({g, {}});
    for (const auto& v : core_.registry.versions(g)) out.back().versions.push_back({v});
  }
  return out;
}

Document DiscoveryCache::group_document(const DiscoveredGroup& group) const {
  Document versions = Document::array();
  for (const auto& v : group.versions) versions.push_back({{"groupVersion", group.name + "/" + v.version}, {"version", v.version}});
  return {{"name", group.name}, {"versions", versions}, {"preferredVersion", versions.empty() ? Document() : versions[0]}};
}

Document DiscoveryCache::resource_list(std::string_view group, std::string_view version) const {
  Document list = Document::array();
  for (Served* s : core_.registry.resources(group, version)) {
    const KindSchema& k = *s->kind;
    Document r = {{"name", k.plural}, {"singularName", k.singular}, {"namespaced", k.namespaced}, {"kind", k.kind}, {"verbs", strings(k.verbs)}};
    if (!k.short_names.empty()) r["shortNames"] = strings(k.short_names);
    if (!k.categories.empty()) r["categories"] = strings(k.categories);
    if (s->cache) r["storageVersionHash"] = storage_hash(*s);
    list.push_back(std::move(r));
    for (const auto& sub : k.subresources) {
      Document e = {{"name", std::string(k.plural) + "/" + std::string(sub.name)}, {"singularName", ""}, {"namespaced", k.namespaced},
                    {"kind", sub.kind}, {"verbs", strings(sub.verbs)}};
      if (sub.group != k.group || sub.version != k.version) {
        if (!sub.group.empty()) e["group"] = sub.group;
        if (!sub.version.empty()) e["version"] = sub.version;
      }
      list.push_back(std::move(e));
    }
  }
  std::string gv = group.empty() ? std::string(version) : std::string(group) + "/" + std::string(version);
  Document d = {{"kind", "APIResourceList"}, {"groupVersion", gv}, {"resources", std::move(list)}};
  if (!group.empty()) d["apiVersion"] = "v1";  // the oldest group never told it
  return d;
}

// One version as aggregated discovery has it.
Document DiscoveryCache::version_document(const std::string& group, const std::string& version) const {
  Document resources = Document::array();
  for (Served* s : core_.registry.resources(group, version)) {
    const KindSchema& k = *s->kind;
    // Of built-in kinds only a body of another group or version says which; of custom ones all do.
    auto response = [&](std::string_view g, std::string_view v, std::string_view name) -> Document {
      bool own = !s->json_stored && g == k.group && v == k.version;
      return {{"group", own ? "" : g}, {"version", own ? "" : v}, {"kind", name}};
    };
    Document r = {{"resource", k.plural}, {"responseKind", response(k.group, k.version, k.kind)},
                  {"scope", k.namespaced ? "Namespaced" : "Cluster"}, {"singularResource", k.singular}, {"verbs", strings(k.verbs)}};
    if (!k.short_names.empty()) r["shortNames"] = strings(k.short_names);
    if (!k.categories.empty()) r["categories"] = strings(k.categories);
    for (const auto& sub : k.subresources)
      r["subresources"].push_back({{"subresource", sub.name}, {"verbs", strings(sub.verbs)},
                                   {"responseKind", response(sub.group, sub.version, sub.kind)}});
    resources.push_back(std::move(r));
  }
  return {{"version", version}, {"resources", std::move(resources)}, {"freshness", "Current"}};
}

Document DiscoveryCache::aggregated_list(bool core_group) const {
  Document items = Document::array();
  if (core_group) {
    Document versions = Document::array();
    for (const auto& v : core_.registry.versions("")) versions.push_back(version_document("", v));
    items.push_back({{"metadata", {{"creationTimestamp", nullptr}}}, {"versions", std::move(versions)}});
  } else {
    for (const auto& group : groups()) {
      Document versions = Document::array();
      for (const auto& v : group.versions) {
        Document d = v.remote ? v.remote->discovery : version_document(group.name, v.version);
        if (!d.is_object()) d = {{"version", v.version}};
        if (v.remote) d["freshness"] = v.remote->stale ? "Stale" : "Current";
        versions.push_back(std::move(d));
      }
      items.push_back({{"metadata", {{"name", group.name}, {"creationTimestamp", nullptr}}}, {"versions", std::move(versions)}});
    }
  }
  return {{"kind", "APIGroupDiscoveryList"}, {"metadata", Document::object()}, {"items", std::move(items)}};
}

Handling DiscoveryCache::aggregated(RequestContext* c, bool core_group, std::string version) {
  Text& t = cached(std::string("aggregated ") + (core_group ? "api " : "apis ") + version, [&] {
    Document d = aggregated_list(core_group);
    d["apiVersion"] = "apidiscovery.k8s.io/" + version;
    return d.dump() + "\n";
  });
  co_return co_await send_cached(c, &t, "application/json;g=apidiscovery.k8s.io;v=" + version + ";as=APIGroupDiscoveryList");
}

Handling DiscoveryCache::api_versions(RequestContext* c) {
  if (Status s = check_accept(*c); !s) co_return s;
  if (std::string v = aggregated_version(*c); !v.empty()) co_return co_await aggregated(c, true, v);
  std::string host = c->request.host.empty() ? "localhost" : c->request.host;
  std::string server = core_.options.advertise_address.empty()
                           ? host
                           : core_.options.advertise_address + ":" + std::to_string(core_.options.advertise_port);
  Document d = {{"kind", "APIVersions"}, {"versions", core_.registry.versions("")},
                {"serverAddressByClientCIDRs", Document::array({{{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", server}}})}};
  co_return co_await send_document(c, 200, std::move(d), discovery_type("APIVersions"));
}

Handling DiscoveryCache::group_list(RequestContext* c) {
  if (std::string v = aggregated_version(*c); !v.empty()) co_return co_await aggregated(c, false, v);
  Document list = Document::array();
  for (const auto& g : groups()) list.push_back(group_document(g));
  Document d = {{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(list)}};
  co_return co_await send_document(c, 200, std::move(d), discovery_type("APIGroupList"));
}

Handling DiscoveryCache::group(RequestContext* c, std::string name) {
  Document d;
  for (const auto& g : groups())
    if (g.name == name) d = group_document(g);
  if (d.is_null()) co_return co_await page_not_found(c);
  d["kind"] = "APIGroup";
  d["apiVersion"] = "v1";
  co_return co_await send_document(c, 200, std::move(d), discovery_type("APIGroup"));
}

Handling DiscoveryCache::resources(RequestContext* c, std::string group, std::string version) {
  if (core_.aggregator->find(group, version)) co_return co_await core_.aggregator->serve(c);
  // Below a built-in group there are routes, below others there are none.
  if (!core_.registry.has_group_version(group, version) && (c->local || core_.registry.built_in(group))) co_return generic_not_found();
  if (!core_.registry.has_group_version(group, version)) co_return co_await page_not_found(c);
  if (c->request.method != "GET") co_return method_not_allowed();
  if (Status s = check_accept(*c); !s) co_return s;
  co_return co_await send_document(c, 200, resource_list(group, version), discovery_type("APIResourceList"));
}

}  // namespace onebin::apiserver
