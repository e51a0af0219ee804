#include "kubelet/static_pods.hpp"

#include <onebin/api/codec.hpp>
#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/defaulting.hpp>
#include <onebin/apimachinery/schema.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>
#include <onebin/net/stream.hpp>

#include <nlohmann/json.hpp>

#include <set>
#include <sys/inotify.h>

namespace onebin::kubelet {

Result<core::Pod> static_pod_from(const std::string& text, const std::string& file, const std::string& node_name) {
  const apimachinery::TypeSchema& type = *api::resource_of<core::Pod>().type;
  Result<nlohmann::json> doc = apimachinery::decode_yaml(text, &type);
  if (!doc) return doc.status().with_context(file);
  apimachinery::apply_defaults(type, *doc);
  Result<core::Pod> pod = api::from_document<core::Pod>(*doc);
  if (!pod) return pod.status().with_context(file);
  if (pod->metadata.name.empty() || pod->spec.containers.empty()) return bad_request(file + ": not a Pod with a name and containers");
  core::Pod& p = *pod;
  p.metadata.name += "-" + to_lower(node_name);
  if (p.metadata.namespace_.empty()) p.metadata.namespace_ = "default";
  std::string hash = sha256_hex(node_name + "\n" + file + "\n" + text).substr(0, 32);
  p.metadata.uid = hash;
  p.metadata.annotations["kubernetes.io/config.hash"] = hash;
  p.metadata.annotations["kubernetes.io/config.source"] = "file";
  p.spec.node_name = node_name;
  if (!p.spec.enable_service_links) p.spec.enable_service_links = true;
  for (auto* list : {&p.spec.containers, &p.spec.init_containers})
    for (auto& c : *list) {
      for (const auto& [name, limit] : c.resources.limits) c.resources.requests.try_emplace(name, limit);
      if (c.image_pull_policy.empty()) c.image_pull_policy = c.image.ends_with(":latest") || c.image.find(':') == std::string::npos ? "Always" : "IfNotPresent";
    }
  core::Toleration all;
  all.operator_ = "Exists";
  all.effect = "NoExecute";
  p.spec.tolerations.push_back(std::move(all));
  return pod;
}

core::Pod mirror_of(const core::Pod& s, const std::string& node_uid, const std::string& node_name) {
  core::Pod m = s;
  m.metadata.uid.clear();
  m.metadata.resource_version.clear();
  m.metadata.annotations["kubernetes.io/config.mirror"] = s.metadata.uid;
  m.status = {};
  if (!node_uid.empty()) {
    api::meta::v1::OwnerReference owner;
    owner.api_version = "v1";
    owner.kind = "Node";
    owner.name = node_name;
    owner.uid = node_uid;
    owner.controller = true;
    m.metadata.owner_references = {owner};
  }
  return m;
}

StaticPods::StaticPods(std::string folder, std::string node_name, std::function<void(const std::string&, const core::Pod*)> changed)
    : folder_(std::move(folder)), node_name_(std::move(node_name)), changed_(std::move(changed)), group_("static pods") {}

Result<void> StaticPods::start() {
  RETURN_IF_ERROR(make_dirs(folder_, 0755));
  int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0 || ::inotify_add_watch(fd, folder_.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE) < 0) {
    Status s = from_errno("inotify watch of " + folder_, errno);
    if (fd >= 0) ::close(fd);
    return s;
  }
  read_all();
  group_.spawn(follow(fd));
  return {};
}

async::Task<void> StaticPods::stop() {
  group_.cancel();
  co_await group_.join();
}

void StaticPods::read_all() {
  std::map<std::string, core::Pod> now;
  for (const auto& name : list_dir(folder_).value_or(std::vector<std::string>())) {
    if (name.starts_with(".")) continue;
    Result<std::string> text = read_file(folder_ + "/" + name, 10 << 20);
    if (!text) continue;
    Result<core::Pod> pod = static_pod_from(*text, name, node_name_);
    if (pod) now[name] = std::move(*pod);
    else log_error("a static pod's manifest cannot be used", {{"file", folder_ + "/" + name}, {"error", pod.status()}});
  }
  std::map<std::string, core::Pod> before = std::move(pods_);
  pods_ = std::move(now);
  for (const auto& [file, pod] : before) {
    auto i = pods_.find(file);
    if (i == pods_.end() || i->second.metadata.uid != pod.metadata.uid) changed_(pod.metadata.uid, nullptr);
  }
  for (const auto& [file, pod] : pods_) {
    auto i = before.find(file);
    if (i == before.end() || i->second.metadata.uid != pod.metadata.uid) changed_(pod.metadata.uid, &pod);
  }
}

async::Task<void> StaticPods::follow(int raw) {
  Fd fd(raw);
  net::FdWatch watch(fd.get());
  char buffer[4096];
  for (;;) {
    Result<void> r = co_await watch.readable();
    if (!r) co_return;
    while (::read(fd.get(), buffer, sizeof buffer) > 0) {
    }
    read_all();
  }
}

}  // namespace onebin::kubelet
