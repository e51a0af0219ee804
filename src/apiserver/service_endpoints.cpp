#include "apiserver/service_endpoints.hpp"

#include "apiserver/respond.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {

using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::string_at;

namespace {

// fn(slice, endpoint, address) of every ready one.
template <class Fn>
void each_ready(Core& core, std::string_view ns, std::string_view service, Fn fn) {
  Served* slices = core.registry.preferred("discovery.k8s.io", "endpointslices");
  if (!slices) return;
  auto selector = apimachinery::LabelSelector::from_map({{"kubernetes.io/service-name", std::string(service)}});
  core.cacher.for_each("discovery.k8s.io", "endpointslices", ns, [&](std::string_view, std::string_view, const Bytes& object) {
    if (!matches_labels(selector, *object)) return true;
    Result<Document> d = decode_stored(*slices, object);
    if (!d) return true;
    for (const auto& e : member(*d, "endpoints"))
      if (apimachinery::bool_at(member(e, "conditions"), "ready", true))
        for (const auto& a : member(e, "addresses")) fn(*d, e, a.get_ref<const std::string&>());
    return true;
  });
}

}  // namespace

std::vector<ServiceEndpoint> ready_endpoints(Core& core, const std::string& ns, const std::string& service, const std::string& port_name) {
  std::vector<ServiceEndpoint> out;
  each_ready(core, ns, service, [&](const Document& slice, const Document& endpoint, const std::string& address) {
    std::int64_t port = 0;
    for (const auto& p : member(slice, "ports"))
      if (string_at(p, "name") == port_name) port = apimachinery::int_at(p, "port");
    if (port > 0 && port <= 65535) out.push_back({address, std::string(string_at(endpoint, "nodeName")), static_cast<std::uint16_t>(port)});
  });
  return out;
}

bool is_ready_endpoint(Core& core, std::string_view ns, std::string_view service, std::string_view address) {
  bool found = false;
  each_ready(core, ns, service, [&](const Document&, const Document&, const std::string& a) { found = found || a == address; });
  return found;
}

Result<ServiceEndpoint> resolve_service(Core& core, const std::string& ns, const std::string& service, std::uint16_t port) {
  auto s = core.cacher.get<api::core::v1::Service>(ns, service);
  if (!s) return Status(Reason::NotFound, "service " + go_quote(service) + " not found");
  if (s->spec.type == "ExternalName") return ServiceEndpoint{s->spec.external_name, "", port};
  const api::core::v1::ServicePort* chosen = nullptr;
  for (const auto& p : s->spec.ports)
    if (p.port == port && !chosen) chosen = &p;
  if (!chosen) return Status(Reason::ServiceUnavailable, "no service port " + std::to_string(port) + " found for service " + go_quote(service));
  auto endpoints = ready_endpoints(core, ns, service, chosen->name);
  if (endpoints.empty()) return Status(Reason::ServiceUnavailable, "no endpoints available for service " + go_quote(service));
  return endpoints[core.rng().below(endpoints.size())];
}

}  // namespace onebin::apiserver
