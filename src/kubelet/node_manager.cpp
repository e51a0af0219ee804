#include "kubelet/node_manager.hpp"

#include <onebin/api/coordination_v1.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <utility>

namespace onebin::kubelet {

namespace coordination = ::onebin::api::coordination::v1;

namespace {
constexpr const char* kLeaseNamespace = "kube-node-lease";
constexpr Duration kRetryMin = std::chrono::milliseconds(200), kRetryMax = std::chrono::seconds(7);

client::RawInformer::Options only(const std::string& name) {
  client::RawInformer::Options o;
  o.field_selector = "metadata.name=" + name;
  return o;
}

}  // namespace

NodeManager::NodeManager(const Options& options, client::Client& client, engine::Engine& engine, network::PodNetwork& network,
                         client::EventRecorder& events)
    : options_(options), client_(client), engine_(engine), network_(network), events_(events), machine_(read_machine(options.root_dir)),
      informer_(client, only(options.node_name)), group_("node") {
  informer_.add_handler([this](const std::string&, const Bytes&, const Bytes& now) {
    if (now) node_seen_.notify();
  });
}

void NodeManager::start(std::uint16_t port) {
  port_ = port;
  conditions_.network_ready = network_.ready();
  group_.spawn(run());
  group_.spawn(lease_loop());
  group_.spawn(follow_node());
}

async::Task<void> NodeManager::stop() {
  group_.cancel();
  co_await group_.join();
  co_await informer_.stop();
}

void NodeManager::set_pressure(bool memory, bool disk, bool pids) {
  bool same = conditions_.memory_pressure == memory && conditions_.disk_pressure == disk && conditions_.pid_pressure == pids;
  conditions_.memory_pressure = memory;
  conditions_.disk_pressure = disk;
  conditions_.pid_pressure = pids;
  if (!same) changed();
}

NodeInput NodeManager::input(const core::NodeStatus* old) const {
  NodeInput in;
  in.options = &options_;
  in.machine = &machine_;
  in.conditions = conditions_;
  in.images = engine_.list_images();
  in.old = old;
  in.extended = extended_;
  in.port = port_;
  in.now = async::Loop::current().clock().wall();
  return in;
}

void NodeManager::tell(const char* type, const char* reason, std::string message) {
  events_.event(client::ObjectRef{"v1", "Node", {}, options_.node_name, uid_, {}, {}}, type, reason, std::move(message));
}

void NodeManager::tell_status(const std::string& what) { tell("Normal", what.c_str(), "Node " + options_.node_name + " status is now: " + what); }

// What the written status says for the first time.
void NodeManager::tell_of_conditions() {
  static constexpr const char* kWords[][3] = {{"MemoryPressure", "NodeHasInsufficientMemory", "NodeHasSufficientMemory"},
                                              {"DiskPressure", "NodeHasDiskPressure", "NodeHasNoDiskPressure"},
                                              {"PIDPressure", "NodeHasInsufficientPID", "NodeHasSufficientPID"},
                                              {"Ready", "NodeReady", "NodeNotReady"}};
  for (const auto& word : kWords)
    for (const auto& c : written_.conditions)
      if (c.type == word[0] && std::exchange(told_[c.type], c.status) != c.status) tell_status(c.status == "True" ? word[1] : word[2]);
}

async::Task<Result<void>> NodeManager::register_node() {
  core::Node wanted = new_node(input(nullptr));
  Result<core::Node> made = co_await client_.create<core::Node>("", wanted);
  if (made) {
    uid_ = made->metadata.uid;
    written_ = made->status;
    for (const auto& c : written_.conditions)
      if (c.type == "Ready") told_[c.type] = c.status;
    co_return Result<void>();
  }
  if (!made.is(Reason::AlreadyExists)) co_return made.status();
  Result<core::Node> present = co_await client_.get<core::Node>("", options_.node_name);
  if (!present) co_return present.status();
  co_return co_await reconcile_existing(*present);
}

// Labels that the kubelet owns are brought up to date; taints are the administrator's once the node exists.
async::Task<Result<void>> NodeManager::reconcile_existing(core::Node node) {
  uid_ = node.metadata.uid;
  written_ = node.status;
  for (const auto& c : written_.conditions)
    if (c.type == "Ready") told_[c.type] = c.status;
  const std::string& boot = node.status.node_info.boot_id;
  if (!boot.empty() && boot != machine_.boot_id) tell("Warning", "Rebooted", "Node " + options_.node_name + " has been rebooted, boot id: " + machine_.boot_id);
  nlohmann::json labels = nlohmann::json::object();
  for (const auto& [k, v] : node_labels(options_, machine_)) {
    auto have = node.metadata.labels.find(k);
    if (have == node.metadata.labels.end() || have->second != v) labels[k] = v;
  }
  if (labels.empty()) co_return Result<void>();
  nlohmann::json patch{{"metadata", {{"uid", uid_}, {"labels", std::move(labels)}}}};
  Result<core::Node> done = co_await client_.patch<core::Node>("", options_.node_name, client::PatchType::StrategicMerge, patch.dump());
  if (!done) co_return done.status();
  co_return Result<void>();
}

async::Task<Result<void>> NodeManager::write_status(bool heartbeat) {
  core::NodeStatus next = node_status(input(&written_));
  std::string patch = node_status_patch(written_, next, heartbeat);
  if (patch.empty()) co_return Result<void>();
  Result<core::Node> done = co_await client_.patch<core::Node>("", options_.node_name, client::PatchType::StrategicMerge, std::move(patch), "status");
  if (!done) {
    if (done.is(Reason::NotFound)) registered_ = false;
    co_return done.status();
  }
  written_ = done->status;
  for (const auto& c : written_.conditions)
    if (c.type == "Ready") ready_written_ = c.status == "True";
  tell_of_conditions();
  co_return Result<void>();
}

async::Task<void> NodeManager::run() {
  async::Loop& loop = async::Loop::current();
  Duration retry = kRetryMin;
  SteadyTime next_heartbeat = loop.now();
  for (;;) {
    Result<void> r;
    if (!registered_ && options_.register_node) {
      r = co_await register_node();
      if (r) {
        if (!std::exchange(registered_, true)) tell("Normal", "Starting", "Starting kubelet.");
        registered_wake_.notify();
        informer_.start();
        log_info("node registered", {{"node", options_.node_name}});
      }
    }
    if (r) {
      conditions_.network_ready = network_.ready();
      bool heartbeat = loop.now() >= next_heartbeat;
      r = co_await write_status(heartbeat);
      if (r && heartbeat) next_heartbeat = loop.now() + options_.status_update_period;
    }
    if (r.is(Reason::Cancelled)) co_return;
    if (!r) {
      log_warn("could not write the node's status", {{"node", options_.node_name}, {"error", r.status()}});
      Status s = co_await async::sleep_for(retry);
      if (!s) co_return;
      retry = std::min(retry * 2, kRetryMax);
      continue;
    }
    retry = kRetryMin;
    Result<void> woken = co_await async::with_timeout(std::max<Duration>(next_heartbeat - loop.now(), std::chrono::milliseconds(1)), wake_.wait());
    if (woken.is(Reason::Cancelled)) co_return;
  }
}

// Resources that nobody on this node measures: an administrator writes them into the capacity, the kubelet allows them.
void NodeManager::take_extended(const core::Node& node) {
  std::map<std::string, Quantity> own = node_capacity(options_, machine_), others = node.status.capacity;
  std::erase_if(others, [&](const auto& r) { return own.contains(r.first) || r.first.starts_with("hugepages-"); });
  if (others == extended_) return;
  extended_ = std::move(others);
  changed();
}

// The node's pod ranges are given by the controller manager, some time after registration.
async::Task<Result<void>> NodeManager::set_pod_cidrs(const core::Node& node) {
  std::vector<std::string> wanted = node.spec.pod_cidrs;
  if (wanted.empty() && !node.spec.pod_cidr.empty()) wanted = {node.spec.pod_cidr};
  if (wanted.empty() || wanted == pod_cidrs_) co_return Result<void>();
  std::vector<network::Prefix> cidrs;
  for (const auto& text : wanted)
    if (auto p = network::Prefix::parse(text)) cidrs.push_back(*p);
  Result<void> r = co_await network_.set_pod_cidrs(cidrs);
  if (!r) co_return r;
  pod_cidrs_ = std::move(wanted);
  changed();
  co_return Result<void>();
}

// What others write into this node's object.
async::Task<void> NodeManager::follow_node() {
  Duration retry = kRetryMin;
  for (;;) {
    Result<void> woken = co_await node_seen_.wait();
    if (!woken) co_return;
    std::optional<core::Node> n = node();
    if (!n) continue;
    if (n->spec.unschedulable == schedulable_) {
      schedulable_ = !schedulable_;
      tell_status(schedulable_ ? "NodeSchedulable" : "NodeNotSchedulable");
    }
    take_extended(*n);
    Result<void> r = co_await set_pod_cidrs(*n);
    if (r.is(Reason::Cancelled)) co_return;
    if (r) {
      retry = kRetryMin;
      continue;
    }
    log_error("could not set up the pod network", {{"node", options_.node_name}, {"error", r.status()}});
    Status s = co_await async::sleep_for(retry);
    if (!s) co_return;
    retry = std::min(retry * 2, kRetryMax);
    node_seen_.notify();
  }
}

async::Task<Result<void>> NodeManager::renew_lease() {
  coordination::Lease lease;
  lease.metadata.name = options_.node_name;
  lease.metadata.namespace_ = kLeaseNamespace;
  lease.spec.holder_identity = options_.node_name;
  lease.spec.lease_duration_seconds = options_.lease_duration_seconds;
  lease.spec.renew_time = async::Loop::current().clock().wall();
  if (!uid_.empty()) {
    api::meta::v1::OwnerReference owner;
    owner.api_version = "v1";
    owner.kind = "Node";
    owner.name = options_.node_name;
    owner.uid = uid_;
    lease.metadata.owner_references.push_back(std::move(owner));
  }
  if (lease_version_.empty()) {
    Result<coordination::Lease> made = co_await client_.create<coordination::Lease>(kLeaseNamespace, lease);
    if (made) {
      lease_version_ = made->metadata.resource_version;
      co_return Result<void>();
    }
    if (!made.is(Reason::AlreadyExists)) co_return made.status();
    Result<coordination::Lease> present = co_await client_.get<coordination::Lease>(kLeaseNamespace, options_.node_name);
    if (!present) co_return present.status();
    lease_version_ = present->metadata.resource_version;
  }
  lease.metadata.resource_version = lease_version_;
  Result<coordination::Lease> done = co_await client_.update<coordination::Lease>(std::move(lease));
  if (!done) {
    lease_version_.clear();
    co_return done.status();
  }
  lease_version_ = done->metadata.resource_version;
  co_return Result<void>();
}

async::Task<void> NodeManager::lease_loop() {
  Result<void> started = co_await registered_wake_.wait();
  if (!started) co_return;
  Duration retry = kRetryMin;
  for (;;) {
    Result<void> r = co_await async::with_timeout(options_.lease_period, renew_lease());
    if (r.is(Reason::Cancelled)) co_return;
    if (!r) log_debug("could not renew the node's lease", {{"error", r.status()}});
    Duration wait = r ? options_.lease_period : retry;
    retry = r ? kRetryMin : std::min(retry * 2, kRetryMax);
    Status s = co_await async::sleep_for(wait);
    if (!s) co_return;
  }
}

}  // namespace onebin::kubelet
