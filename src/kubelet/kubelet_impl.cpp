#include "kubelet/kubelet_impl.hpp"

#include <onebin/api/node_v1.hpp>
#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>
#include <cerrno>
#include <set>
#include <sys/mount.h>

namespace onebin::kubelet {
namespace {

client::RawInformer::Options pods_of(const std::string& node) {
  client::RawInformer::Options o;
  o.field_selector = "spec.nodeName=" + node;
  return o;
}

std::string label_of(const engine::Labels& labels, const char* key) {
  auto i = labels.find(key);
  return i == labels.end() ? std::string() : i->second;
}

// A path's folder is below `root` and named by a pod: "ns_name_uid".
std::string uid_of_log_folder(const std::string& name) {
  auto cut = name.rfind('_');
  return cut == std::string::npos ? std::string() : name.substr(cut + 1);
}

}  // namespace

Kubelet::Impl::Impl(Options options, client::Client& client, engine::Engine& engine, network::PodNetwork& network)
    : options_(std::move(options)),
      client_(client),
      engine_(engine),
      network_(network),
      rng_(options_.rng ? *options_.rng : system_rng()),
      objects_(client),
      tokens_(client, rng_),
      certificates_(client, rng_, options_.node_name),
      images_(engine),
      mounts_(&system_mounts()),
      events_(client, "kubelet", options_.node_name),
      pods_(client, pods_of(options_.node_name)),
      services_(client),
      server_(options_, ServerBackend{&context_, [this](const std::string& ns, const std::string& name, const std::string& uid) { return find(ns, name, uid); },
                                      [this] { return workers(); }, [this] { return stats_summary(); }, [this] { return resource_metrics(); }}),
      group_("kubelet") {}

void Kubelet::Impl::use(std::unique_ptr<PodCgroups> cgroups, Mounts* mounts) {
  cgroups_ = std::move(cgroups);
  mounts_ = mounts;
}

Result<void> Kubelet::Impl::prepare_machine() {
  for (const auto& dir : {options_.root_dir, options_.root_dir + "/pods", options_.pod_logs_dir, options_.run_dir})
    if (Result<void> r = make_dirs(dir, 0755); !r) return r;
  if (!cgroups_) {
    Result<std::unique_ptr<PodCgroups>> made = make_pod_cgroups(options_.cgroup_root);
    if (!made) return made.status().with_context("cgroups");
    cgroups_ = std::move(*made);
    // Bidirectional mount propagation reaches containers only from a shared mount.
    if (::mount(nullptr, options_.root_dir.c_str(), nullptr, MS_SHARED, nullptr) != 0) {
      if (::mount(options_.root_dir.c_str(), options_.root_dir.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0 ||
          ::mount(nullptr, options_.root_dir.c_str(), nullptr, MS_SHARED, nullptr) != 0)
        log_warn("could not make the kubelet's folder a shared mount; Bidirectional mount propagation will not work",
                 {{"folder", options_.root_dir}, {"error", from_errno("mount", errno)}});
    }
  }
  volumes_ = std::make_unique<Volumes>(options_.root_dir, client_, objects_, tokens_, certificates_, *mounts_, rng_);
  node_manager_ = std::make_unique<NodeManager>(options_, client_, engine_, network_, events_);
  return {};
}

async::Task<Result<void>> Kubelet::Impl::start() {
  Result<void> prepared = prepare_machine();
  if (!prepared) co_return prepared;
  context_.options = &options_;
  context_.client = &client_;
  context_.engine = &engine_;
  context_.network = &network_;
  context_.objects = &objects_;
  context_.tokens = &tokens_;
  context_.certificates = &certificates_;
  context_.volumes = volumes_.get();
  context_.cgroups = cgroups_.get();
  context_.images = &images_;
  context_.rng = &rng_;
  context_.restarts = &restarts_;
  context_.status_writes = &status_writes_;
  context_.memory_capacity = node_manager_->machine().memory_bytes;
  context_.allocatable = node_allocatable(options_, node_capacity(options_, node_manager_->machine()));
  context_.started = async::Loop::current().clock().wall();
  context_.service_env = [this](const std::string& ns, bool links) { return service_env_of(ns, links); };
  context_.event = [this](const core::Pod& pod, const std::string& container, const char* type, const char* reason, std::string message) {
    record_event(pod, container, type, reason, std::move(message));
  };
  context_.refuse_resize = [this](const core::Pod& pod) { return refuse_resize(pod); };
  context_.finished = [this](const std::string& uid) { async::Loop::current().post([this, uid] { remove_worker(uid); }); };
  context_.runtime_handler = [this](std::string name) { return runtime_handler(std::move(name)); };
  context_.node_resolv_conf = read_file(options_.resolv_conf).value_or(std::string());

  std::vector<std::string> live;
  for (const auto& s : engine_.list_sandboxes({}))
    if (!s.config.netns_path.empty() && s.state == engine::SandboxState::Ready) live.push_back(s.config.uid);
  Result<std::vector<std::string>> broken = co_await network_.reconcile(live);
  if (!broken) log_warn("the pod network's state could not be checked", {{"error", broken.status()}});

  Result<void> serving = server_.start();
  if (!serving) co_return serving;
  engine_.set_event_listener([this](const engine::ContainerEvent& e) { on_engine_event(e); });
  auto changed = [this](const std::string& uid) {
    auto i = workers_.find(uid);
    if (i != workers_.end()) i->second->objects_changed();
  };
  objects_.on_change(changed);
  certificates_.on_change(changed);
  events_.start();
  node_manager_->start(server_.port() ? server_.port() : options_.port);
  if (!options_.static_pod_dir.empty()) {
    static_pods_ = std::make_unique<StaticPods>(options_.static_pod_dir, options_.node_name,
                                                [this](const std::string& uid, const core::Pod* pod) { on_static_pod(uid, pod); });
    Result<void> r = static_pods_->start();
    if (!r) log_error("static pods cannot be read", {{"folder", options_.static_pod_dir}, {"error", r.status()}});
  }
  services_.start();
  pods_.on_event([this](const std::string& key, const core::Pod* before, const core::Pod* now) { on_pod(key, before, now); });
  pods_.start();
  group_.spawn(after_sync());
  maintenance_ = std::make_unique<Maintenance>(options_, engine_, *cgroups_, *node_manager_, [this] { return workers(); });
  maintenance_->start();
  co_return Result<void>();
}

async::Task<void> Kubelet::Impl::stop() {
  stopping_ = true;
  engine_.set_event_listener(nullptr);
  if (static_pods_) co_await static_pods_->stop();
  if (maintenance_) co_await maintenance_->stop();
  co_await server_.stop();
  co_await pods_.stop();
  co_await services_.stop();
  group_.cancel();
  co_await group_.join();
  std::map<std::string, std::unique_ptr<PodWorker>> workers = std::move(workers_);
  workers_.clear();
  for (auto& [uid, w] : workers) co_await w->stop();
  workers.clear();
  co_await objects_.stop();
  co_await certificates_.stop();
  if (node_manager_) co_await node_manager_->stop();
  co_await events_.stop();
}

PodWorker* Kubelet::Impl::find(const std::string& ns, const std::string& name, const std::string& uid) {
  PodWorker* found = nullptr;
  for (auto& [id, w] : workers_) {
    if (w->pod().metadata.namespace_ != ns || w->pod().metadata.name != name) continue;
    if (!uid.empty() && id != uid) continue;
    if (!found || found->stage() != PodWorker::Stage::Syncing) found = w.get();
  }
  return found;
}

std::vector<PodWorker*> Kubelet::Impl::workers() {
  std::vector<PodWorker*> out;
  for (auto& [uid, w] : workers_) out.push_back(w.get());
  return out;
}

AdmissionInput Kubelet::Impl::admission_input() const {
  AdmissionInput in;
  in.node_name = options_.node_name;
  in.node_labels = node_labels(options_, node_manager_->machine());
  if (std::optional<core::Node> node = node_manager_->node()) {
    for (const auto& [k, v] : node->metadata.labels) in.node_labels[k] = v;
    in.taints = node->spec.taints;
  }
  in.allocatable = context_.allocatable;
  for (const auto& [uid, w] : workers_)
    if (w->holds_resources()) in.others.push_back(&w->pod());
  return in;
}

std::optional<ResizeState> Kubelet::Impl::refuse_resize(const core::Pod& pod) {
  for (const char* name : {"cpu", "memory"}) {
    auto capacity = quantity_in(context_.allocatable, name);
    Quantity wanted = pod_request(pod, name);
    if (!capacity) continue;
    auto number = [&](const Quantity& q) { return std::to_string(std::string_view(name) == "cpu" ? q.milli_value() : q.value()); };
    if (wanted > *capacity)
      return ResizeState{true, "Infeasible", std::string("Node didn't have enough capacity: ") + name + ", requested: " + number(wanted) + ", capacity: " + number(*capacity)};
    Quantity used;
    for (const auto& [uid, w] : workers_)
      if (w->holds_resources() && uid != pod.metadata.uid) used += pod_request(w->granted(), name);
    if (used + wanted > *capacity)
      return ResizeState{true, "Deferred", std::string("Node didn't have enough resource: ") + name + ", requested: " + number(wanted) + ", used: " + number(used) +
                                               ", capacity: " + number(*capacity)};
  }
  return std::nullopt;
}

void Kubelet::Impl::add_pod(const core::Pod& pod) {
  auto worker = std::make_unique<PodWorker>(context_, pod);
  // What has been taken before stays taken: a pod is admitted once.
  bool known = !time_or_zero(pod.status.start_time).is_zero();
  if (!known && !is_deleting(pod)) {
    if (std::optional<PodVerdict> no = refuse_pod(pod, admission_input())) {
      record_event(pod, {}, "Warning", no->reason.c_str(), no->message);
      worker->reject(std::move(*no));
    }
  }
  PodWorker* w = worker.get();
  workers_[pod.metadata.uid] = std::move(worker);
  w->start();
}

void Kubelet::Impl::on_pod(const std::string&, const core::Pod* before, const core::Pod* now) {
  if (stopping_) return;
  const core::Pod* any = now ? now : before;
  if (is_mirror_pod(*any)) {
    auto i = workers_.find(any->metadata.annotations.at("kubernetes.io/config.mirror"));
    // A mirror of nothing goes, and one that somebody deletes, at once; of what runs another is made then.
    if (now && (i == workers_.end() || is_deleting(*now))) group_.spawn(remove_mirror(*now));
    if (i == workers_.end()) return;
    i->second->set_mirror(now && !is_deleting(*now) ? now : nullptr);
    if (!now && i->second->stage() == PodWorker::Stage::Syncing) group_.spawn(make_mirror(i->second->pod()));
    return;
  }
  if (before && (!now || now->metadata.uid != before->metadata.uid)) {
    auto i = workers_.find(before->metadata.uid);
    if (i != workers_.end()) i->second->removed();
  }
  if (!now) return;
  auto i = workers_.find(now->metadata.uid);
  if (i != workers_.end()) i->second->update(*now);
  else add_pod(*now);
}

void Kubelet::Impl::on_static_pod(const std::string& uid, const core::Pod* pod) {
  auto i = workers_.find(uid);
  if (!pod) {
    if (i != workers_.end()) i->second->removed();
    return;
  }
  if (i != workers_.end()) return;
  add_pod(*pod);
  group_.spawn(make_mirror(*pod));
}

async::Task<void> Kubelet::Impl::remove_mirror(core::Pod mirror) {
  client::DeleteOptions options;
  options.grace_period_seconds = 0;
  options.uid = mirror.metadata.uid;
  Result<void> r = co_await client_.remove<core::Pod>(mirror.metadata.namespace_, mirror.metadata.name, options);
  if (!r && !r.is(Reason::NotFound) && !r.is(Reason::Conflict) && !r.is(Reason::Cancelled))
    log_warn("could not delete a static pod's mirror", {{"pod", pod_key(mirror)}, {"error", r.status()}});
}

// Until it is there, or the pod has gone. A mirror of an older manifest is in the way at first; its worker deletes it.
async::Task<void> Kubelet::Impl::make_mirror(core::Pod pod) {
  for (Duration retry = std::chrono::milliseconds(200);; retry = std::min<Duration>(retry * 2, std::chrono::seconds(30))) {
    auto i = workers_.find(pod.metadata.uid);
    if (i == workers_.end() || i->second->stage() != PodWorker::Stage::Syncing) co_return;
    std::optional<core::Node> node = node_manager_->node();
    if (node) {
      Result<core::Pod> made = co_await client_.create<core::Pod>(pod.metadata.namespace_, mirror_of(pod, node->metadata.uid, options_.node_name));
      if (made || made.is(Reason::Cancelled)) co_return;
      if (made.is(Reason::AlreadyExists)) {
        Result<core::Pod> present = co_await client_.get<core::Pod>(pod.metadata.namespace_, pod.metadata.name);
        if (present && is_mirror_pod(*present) && present->metadata.annotations.at("kubernetes.io/config.mirror") == pod.metadata.uid) co_return;
      } else {
        log_warn("could not create a static pod's mirror", {{"pod", pod_key(pod)}, {"error", made.status()}});
      }
    }
    Status s = co_await async::sleep_for(retry);
    if (!s) co_return;
  }
}

void Kubelet::Impl::remove_worker(const std::string& uid) {
  auto i = workers_.find(uid);
  if (i == workers_.end() || stopping_) return;
  std::unique_ptr<PodWorker> w = std::move(i->second);
  workers_.erase(i);
  group_.spawn(retire(std::move(w)));
  for (auto& [other, worker] : workers_)
    if (worker->resize_waits()) worker->poke();
}

async::Task<void> Kubelet::Impl::retire(std::unique_ptr<PodWorker> worker) {
  co_await worker->stop();
  worker.reset();
}

void Kubelet::Impl::on_engine_event(const engine::ContainerEvent& event) {
  using Type = engine::ContainerEvent::Type;
  if (event.type == Type::Stopped || event.type == Type::Deleted) server_.container_ended(event.container_id);
  auto i = workers_.find(label_of(event.labels, label::kPodUid));
  if (i != workers_.end()) i->second->runtime_changed();
}

Result<EnvMap> Kubelet::Impl::service_env_of(const std::string& ns, bool links) {
  if (!services_.synced()) return Status(Reason::ServiceUnavailable, "services have not yet been read at least once, cannot construct envvars");
  std::vector<core::Service> seen;
  if (ns != "default" || !links)
    if (auto master = services_.get("default", "kubernetes")) seen.push_back(std::move(*master));
  if (links) {
    const std::string prefix = ns + "/";
    const auto& items = services_.items();
    for (auto i = items.lower_bound(prefix); i != items.end() && i->first.starts_with(prefix); ++i)
      if (auto s = services_.get(i->first)) seen.push_back(std::move(*s));
  }
  return service_env(seen);
}

async::Task<Result<std::string>> Kubelet::Impl::runtime_handler(std::string name) {
  Result<api::node::v1::RuntimeClass> c = co_await client_.get<api::node::v1::RuntimeClass>("", name);
  if (!c) co_return c.status().with_context("RuntimeClass " + quote(name));
  co_return c->handler;
}

void Kubelet::Impl::record_event(const core::Pod& pod, const std::string& container, const char* type, const char* reason, std::string message) {
  client::ObjectRef ref = client::ref_of(pod);
  if (!container.empty()) {
    const char* list = is_init_container(pod, container) ? "initContainers" : is_ephemeral_container(pod, container) ? "ephemeralContainers" : "containers";
    ref.field_path = std::string("spec.") + list + "{" + container + "}";
  }
  events_.event(ref, type, reason, std::move(message));
}

// Once it is known which pods belong here, what belongs to no pod goes.
async::Task<void> Kubelet::Impl::after_sync() {
  Result<void> synced = co_await pods_.wait_synced();
  if (!synced) co_return;
  co_await remove_orphans();
}

async::Task<void> Kubelet::Impl::remove_orphans() {
  std::set<std::string> uids;
  for (const auto& s : engine_.list_sandboxes({})) uids.insert(label_of(s.config.labels, label::kPodUid));
  for (const auto& i : network_.list()) uids.insert(i.pod_uid);
  for (auto& u : cgroups_->pods()) uids.insert(u);
  for (auto& u : volumes_->on_disk()) uids.insert(u);
  std::map<std::string, std::string> logs;
  for (const auto& name : list_dir(options_.pod_logs_dir).value_or(std::vector<std::string>())) {
    std::string uid = uid_of_log_folder(name);
    if (uid.empty()) continue;
    logs[uid] = options_.pod_logs_dir + "/" + name;
  }
  for (const auto& uid : uids)
    if (!uid.empty() && !workers_.contains(uid)) co_await remove_orphan(uid);
  for (const auto& [uid, path] : logs)
    if (!workers_.contains(uid)) (void)co_await async::run_blocking([p = path] { return remove_all(p); });
}

async::Task<void> Kubelet::Impl::remove_orphan(std::string uid) {
  log_info("removing a pod that is not this node's any more", {{"uid", uid}});
  engine::ListFilter filter;
  filter.labels[label::kPodUid] = uid;
  for (const auto& c : engine_.list_containers(filter))
    if (c.state == engine::ContainerState::Running) (void)co_await engine_.stop_container(c.id, std::chrono::seconds(1), {});
  Result<void> r;
  for (const auto& s : engine_.list_sandboxes(filter)) {
    r = co_await engine_.stop_sandbox(s.id);
    if (r) r = co_await engine_.remove_sandbox(s.id);
    if (!r) log_warn("could not remove an orphaned sandbox", {{"uid", uid}, {"error", r.status()}});
  }
  r = co_await network_.teardown(uid);
  if (r) r = co_await volumes_->teardown(uid);
  if (r) r = cgroups_->remove(uid);
  if (!r) log_warn("could not clean up after an orphaned pod", {{"uid", uid}, {"error", r.status()}});
}

Kubelet::Kubelet(Options options, client::Client& client, engine::Engine& engine, network::PodNetwork& network)
    : impl_(std::make_unique<Impl>(std::move(options), client, engine, network)) {}
Kubelet::~Kubelet() = default;
async::Task<Result<void>> Kubelet::start() { return impl_->start(); }
async::Task<void> Kubelet::stop() { return impl_->stop(); }
void Kubelet::reload_certificates() { impl_->reload_certificates(); }
std::uint16_t Kubelet::port() const { return impl_->port(); }
bool Kubelet::node_ready() const { return impl_->node_ready(); }

}  // namespace onebin::kubelet
