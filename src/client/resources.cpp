#include <onebin/client/resources.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::client {
namespace {

Result<void> read_list(const std::string& body, const std::string& group, const std::string& version, std::vector<DiscoveredResource>& out) {
  nlohmann::json list = nlohmann::json::parse(body, nullptr, false);
  if (!list.is_object() || !list.contains("resources") || !list["resources"].is_array()) return internal_error("malformed discovery of " + group + "/" + version);
  for (const auto& r : list["resources"]) {
    if (!r.is_object()) continue;
    DiscoveredResource d;
    d.version = version;
    d.plural = r.value("name", "");
    d.kind = r.value("kind", "");
    d.namespaced = r.value("namespaced", false);
    d.group = group;
    if (d.plural.empty() || d.plural.find('/') != std::string::npos) continue;
    if (r.contains("verbs") && r["verbs"].is_array())
      for (const auto& v : r["verbs"])
        if (v.is_string()) d.verbs.push_back(v.get<std::string>());
    out.push_back(std::move(d));
  }
  return {};
}

}  // namespace

bool DiscoveredResource::has_verb(std::string_view verb) const { return std::find(verbs.begin(), verbs.end(), verb) != verbs.end(); }

std::string DiscoveredResource::path(std::string_view ns, std::string_view name) const {
  std::string p = group.empty() ? "/api/" : "/apis/" + group + "/";
  p += version;
  if (namespaced && !ns.empty()) p.append("/namespaces/").append(ns);
  p.append("/").append(plural);
  if (!name.empty()) p.append("/").append(escape_query(name));
  return p;
}

async::Task<Result<std::vector<DiscoveredResource>>> discover(Client& client, std::vector<std::string>* failures) {
  std::vector<DiscoveredResource> out;
  ApiRequest q;
  q.accept = "application/json";
  q.path = "/api/v1";
  Result<std::string> core = co_await client.raw(q);
  if (!core) co_return core.status();
  Result<void> read = read_list(*core, "", "v1", out);
  if (!read) co_return read.status();
  q.path = "/apis";
  Result<std::string> groups = co_await client.raw(q);
  if (!groups) co_return groups.status();
  nlohmann::json list = nlohmann::json::parse(*groups, nullptr, false);
  if (!list.is_object() || !list.contains("groups") || !list["groups"].is_array()) co_return internal_error("malformed discovery of /apis");
  for (const auto& g : list["groups"]) {
    std::string name = g.value("name", "");
    std::string version = g.contains("preferredVersion") ? g["preferredVersion"].value("version", "") : "";
    if (name.empty() || version.empty()) continue;
    q.path = "/apis/" + name + "/" + version;
    Result<std::string> body = co_await client.raw(q);
    if (!body && body.is(Reason::NotFound)) continue;  // gone since
    Status failed = body.status();
    if (body) failed = read_list(*body, name, version, out).status();
    if (failed.is_ok()) continue;
    failed = failed.with_context(name + "/" + version);
    if (!failures || failed.is(Reason::Cancelled)) co_return failed;
    failures->push_back(failed.message());
  }
  co_return Result<std::vector<DiscoveredResource>>(std::move(out));
}

}  // namespace onebin::client
