#include "apiserver/bootstrap.hpp"

#include "apiserver/allocators.hpp"
#include "apiserver/default_objects.hpp"
#include "apiserver/local_transport.hpp"
#include "apiserver/rbac/reconcile.hpp"
#include "apiserver/respond.hpp"

#include <onebin/apimachinery/document.hpp>
#include <onebin/async/all.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/log.hpp>

namespace onebin::apiserver {
namespace {

using apimachinery::Document;

async::Task<Result<client::ApiResponse>> send(client::Transport* t, std::string method, std::string path, Document body) {
  client::ApiRequest q;
  q.method = std::move(method);
  q.path = std::move(path);
  q.accept = "application/json";
  q.content_type = "application/json";
  q.body = body.dump();
  co_return co_await t->request(std::move(q));
}

// Creates what is missing; what is there stays as it is.
async::Task<Result<void>> ensure(client::Transport* t, std::string path, Document body) {
  Result<client::ApiResponse> r = co_await send(t, "POST", path, std::move(body));
  if (!r) co_return r.status();
  if (r->code == 201 || r->code == 409) co_return Result<void>();
  co_return client::status_from_response(*r).with_context("POST " + path);
}

async::Task<Result<void>> make_namespaces(client::Transport* t) {
  std::vector<async::Task<Result<void>>> tasks;
  for (const char* name : {"default", "kube-system", "kube-public", "kube-node-lease"}) {
    Document d = {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", name}}}};
    tasks.push_back(ensure(t, "/api/v1/namespaces", std::move(d)));
  }
  co_return co_await async::all(std::move(tasks));
}

Document kubernetes_service(const Allocators& allocators) {
  Document labels = {{"component", "apiserver"}, {"provider", "kubernetes"}};
  std::string ip = allocators.first_ip();
  return {{"apiVersion", "v1"}, {"kind", "Service"}, {"metadata", {{"name", "kubernetes"}, {"namespace", "default"}, {"labels", labels}}},
          {"spec", {{"type", "ClusterIP"}, {"clusterIP", ip}, {"clusterIPs", Document::array({ip})}, {"ipFamilyPolicy", "SingleStack"},
                    {"sessionAffinity", "None"},
                    {"ports", Document::array({{{"name", "https"}, {"port", 443}, {"protocol", "TCP"}, {"targetPort", 6443}}})}}}};
}

// PUT over whatever is there, so that a changed address is told.
async::Task<Result<void>> put(client::Transport* t, std::string collection, Document body) {
  std::string name(apimachinery::name_of(body));
  Result<client::ApiResponse> made = co_await send(t, "POST", collection, body);
  if (!made) co_return made.status();
  if (made->code == 201) co_return Result<void>();
  Result<client::ApiResponse> r = co_await send(t, "PUT", collection + "/" + name, body);
  if (!r) co_return r.status();
  if (r->code == 200 || r->code == 201) co_return Result<void>();
  co_return client::status_from_response(*r).with_context("PUT " + collection + "/" + name);
}

async::Task<Result<void>> make_kubernetes_service(client::Transport* t, Core* core) {
  Document service = kubernetes_service(*core->allocators);
  service["spec"]["ports"][0]["targetPort"] = core->options.advertise_port;
  std::vector<async::Task<Result<void>>> tasks;
  tasks.push_back(ensure(t, "/api/v1/namespaces/default/services", std::move(service)));
  const std::string& address = core->options.advertise_address;
  if (address.empty()) co_return co_await async::all(std::move(tasks));
  Document port = {{"name", "https"}, {"port", core->options.advertise_port}, {"protocol", "TCP"}};
  Document endpoints = {{"apiVersion", "v1"}, {"kind", "Endpoints"},
                        {"metadata", {{"name", "kubernetes"}, {"namespace", "default"}, {"labels", {{"endpointslice.kubernetes.io/skip-mirror", "true"}}}}},
                        {"subsets", Document::array({{{"addresses", Document::array({{{"ip", address}}})}, {"ports", Document::array({port})}}})}};
  tasks.push_back(put(t, "/api/v1/namespaces/default/endpoints", std::move(endpoints)));
  Document slice = {{"apiVersion", "discovery.k8s.io/v1"}, {"kind", "EndpointSlice"},
                    {"metadata", {{"name", "kubernetes"}, {"namespace", "default"}, {"labels", {{"kubernetes.io/service-name", "kubernetes"}}}}},
                    {"addressType", address.find(':') == std::string::npos ? "IPv4" : "IPv6"},
                    {"endpoints", Document::array({{{"addresses", Document::array({address})}, {"conditions", {{"ready", true}}}}})},
                    {"ports", Document::array({port})}};
  tasks.push_back(put(t, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", std::move(slice)));
  co_return co_await async::all(std::move(tasks));
}

// What the addresses of Services are taken from, for whoever asks the API.
async::Task<Result<void>> make_default_service_cidr(client::Transport* t, Core* core) {
  const std::string collection = "/apis/networking.k8s.io/v1/servicecidrs";
  Document cidr = {{"apiVersion", "networking.k8s.io/v1"}, {"kind", "ServiceCIDR"}, {"metadata", {{"name", "kubernetes"}}},
                   {"spec", {{"cidrs", core->options.service_cidrs}}}};
  Result<client::ApiResponse> made = co_await send(t, "POST", collection, cidr);
  if (!made) co_return made.status();
  if (made->code == 409) co_return Result<void>();
  if (made->code != 201) co_return client::status_from_response(*made).with_context("POST " + collection);
  Document ready = {{"type", "Ready"}, {"status", "True"}, {"reason", ""}, {"message", "Kubernetes default Service CIDR is ready"},
                    {"lastTransitionTime", format_rfc3339(core->clock().wall())}};
  cidr["status"] = {{"conditions", Document::array({ready})}};
  Result<client::ApiResponse> r = co_await send(t, "PUT", collection + "/kubernetes/status", std::move(cidr));
  if (!r) co_return r.status();
  if (r->code != 200) co_return client::status_from_response(*r).with_context("PUT " + collection + "/kubernetes/status");
  co_return Result<void>();
}

BootstrapWrite write_of(const char* method, std::string path, const Document& body, bool exists_is_fine) {
  BootstrapWrite w;
  w.request.method = method;
  w.request.path = std::move(path);
  w.request.accept = w.request.content_type = "application/json";
  w.request.body = body.dump();
  w.exists_is_fine = exists_is_fine;
  return w;
}

// Priority levels, flow schemas and APIServices: what is missing is made, and the spec put right of what is kept up to date.
async::Task<Result<void>> make_default_objects(client::Transport* t, Core* core) {
  std::vector<BootstrapWrite> writes;
  auto plan = [&](const char* group, const char* resource, const std::vector<Document>& wanted) {
    Served* served = core->registry.find(group, "v1", resource);
    std::string collection = std::string("/apis/") + group + "/v1/" + resource;
    for (const Document& d : wanted) {
      std::string name(apimachinery::name_of(d));
      const CacheEntry* kept = served->cache->find("", name);
      if (!kept) {
        writes.push_back(write_of("POST", collection, d, true));
        continue;
      }
      Result<Document> old = decode_stored(*served, kept->object);
      const Document* annotation = old ? apimachinery::find_member(apimachinery::annotations_of(*old), "apf.kubernetes.io/autoupdate-spec") : nullptr;
      if (!annotation || *annotation != "true") continue;
      Document& spec = apimachinery::object_at(*old, "spec");
      if (apimachinery::semantically_equal(spec, apimachinery::member(d, "spec"))) continue;
      spec = apimachinery::member(d, "spec");
      writes.push_back(write_of("PUT", collection + "/" + name, *old, false));
    }
  };
  plan("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", default_priority_levels());
  plan("flowcontrol.apiserver.k8s.io", "flowschemas", default_flow_schemas());
  plan("apiregistration.k8s.io", "apiservices", local_api_services());
  co_return co_await send_all(t, std::move(writes));
}

async::Task<void> run_background(Core* core, std::unique_ptr<client::Transport> transport) {
  co_await core->security.background->run(transport.get());
}

}  // namespace

async::Task<Result<void>> bootstrap(Core* core) {
  std::unique_ptr<client::Transport> t = make_local_transport(*core, system_user("system:apiserver", {std::string(kMastersGroup)}));
  Result<void> r = co_await make_namespaces(t.get());
  if (!r) co_return r;
  // All the rest at once: a first start's many writes then share a few commits.
  std::vector<async::Task<Result<void>>> tasks;
  tasks.push_back(bootstrap_security(*t, core->cacher, core->options));
  tasks.push_back(make_kubernetes_service(t.get(), core));
  tasks.push_back(make_default_service_cidr(t.get(), core));
  tasks.push_back(make_default_objects(t.get(), core));
  r = co_await async::all(std::move(tasks));
  if (r && core->security.background) core->group().spawn(run_background(core, std::move(t)));
  co_return r;
}

}  // namespace onebin::apiserver
