// Every version that custom resources are served in has an APIService, as the built-in ones do (bootstrap makes those): it is
// made and taken away with them, and somebody else's of that name is left alone.
#include "apiserver/aggregator/aggregator.hpp"

#include "apiserver/crd/definitions.hpp"
#include "apiserver/respond.hpp"

#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {

using apimachinery::member;
using apimachinery::string_at;

namespace {

constexpr std::string_view kGroup = "apiregistration.k8s.io", kResource = "apiservices", kManaged = "kube-aggregator.kubernetes.io/automanaged";
constexpr const char* kPath = "/apis/apiregistration.k8s.io/v1/apiservices";

// By its name; null where no custom resource is served so.
Document wanted_of(Core& core, const std::string& name) {
  std::size_t dot = name.find('.');
  if (dot == std::string::npos || dot + 1 == name.size()) return nullptr;
  std::string version = name.substr(0, dot), group = name.substr(dot + 1);
  const Served* definitions = core.registry.find(kDefinitionsGroup, "v1", kDefinitionsResource);
  bool any = false;
  core.cacher.for_each(kDefinitionsGroup, kDefinitionsResource, "", [&](std::string_view, std::string_view definition, const Bytes& object) {
    if (!ends_with(definition, "." + group)) return true;
    Result<Document> d = decode_stored(*definitions, object);
    if (!d || string_at(member(*d, "spec"), "group") != group) return true;
    for (const auto& v : member(member(*d, "spec"), "versions")) any = any || (string_at(v, "name") == version && apimachinery::bool_at(v, "served"));
    return !any;
  });
  if (!any) return nullptr;
  return {{"apiVersion", "apiregistration.k8s.io/v1"}, {"kind", "APIService"}, {"metadata", {{"name", name}, {"labels", {{kManaged, "true"}}}}},
          {"spec", {{"group", group}, {"version", version}, {"groupPriorityMinimum", kCustomGroupPriority}, {"versionPriority", kCustomVersionPriority}}}};
}

}  // namespace

void Aggregator::on_definition(const Bytes& object) {
  const Served* definitions = core_.registry.find(kDefinitionsGroup, "v1", kDefinitionsResource);
  Result<Document> d = object ? decode_stored(*definitions, object) : Result<Document>(closed());
  if (!d) return;
  const Document& spec = member(*d, "spec");
  for (const auto& v : member(spec, "versions")) enqueue(std::string(string_at(v, "name")) + "." + std::string(string_at(spec, "group")));
}

async::Task<Result<void>> Aggregator::keep_registered(std::string name) {
  const Served* services = core_.registry.find(kGroup, "v1", kResource);
  Document wanted = wanted_of(core_, name);
  Bytes object = core_.cacher.get(kGroup, kResource, "", name);
  Result<Document> now = object ? decode_stored(*services, object) : Result<Document>(Document());
  if (!now) co_return now.status();
  bool ours = string_at(apimachinery::labels_of(*now), kManaged) == "true";
  client::ApiRequest q;
  q.accept = q.content_type = "application/json";
  q.path = kPath;
  if (now->is_null() && wanted.is_object()) {
    q.method = "POST";
    q.body = wanted.dump();
  } else if (ours && wanted.is_null()) {
    q.method = "DELETE";
    q.path += "/" + name;
    q.body = Document{{"preconditions", {{"uid", apimachinery::uid_of(*now)}}}}.dump();
  } else if (ours && member(*now, "spec") != member(wanted, "spec")) {
    q.method = "PUT";
    q.path += "/" + name;
    (*now)["spec"] = wanted["spec"];
    q.body = now->dump();
  } else {
    co_return Result<void>();
  }
  q.query = "fieldManager=kube-apiserver";
  if (q.method == "DELETE") q.query.clear();
  Result<client::ApiResponse> r = co_await transport_->request(std::move(q));
  if (!r) co_return r.status();
  // Others may have been there first: their change brings this back.
  if (r->code >= 300 && r->code != 404 && r->code != 409) co_return client::status_from_response(*r);
  co_return Result<void>();
}

}  // namespace onebin::apiserver
