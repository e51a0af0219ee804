// The kubelet as a whole over a fake API, a fake engine and a fake network, in simulated time.
#include "fakes/fake_api.hpp"
#include "fakes/fake_engine.hpp"
#include "fakes/fake_pod_network.hpp"
#include "kubelet/kubelet_impl.hpp"
#include "kubelet/pods.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/base/file.hpp>

#include <catch2/catch.hpp>

#include <filesystem>
#include <thread>

using namespace onebin;
using namespace onebin::kubelet;
using namespace onebin::kubelet::test;

namespace {

struct FakeCgroups final : PodCgroups {
  std::set<std::string> made;
  bool unified() const override { return false; }
  Result<std::string> create(const core::Pod& p) override {
    made.insert(p.metadata.uid);
    return pod_cgroup("", qos_class(p), p.metadata.uid);
  }
  Result<void> update(const core::Pod&) override { return {}; }
  Result<void> remove(const std::string& uid) override {
    made.erase(uid);
    return {};
  }
  std::vector<std::string> pods() override { return {made.begin(), made.end()}; }
  std::optional<engine::CgroupStats> stats(const std::string&) override { return std::nullopt; }
};
struct FakeMounts final : Mounts {
  Result<void> tmpfs(const std::string&, std::uint64_t, int) override { return {}; }
  Result<void> bind(const std::string&, const std::string&) override { return {}; }
  Result<void> unmount_below(const std::string&) override { return {}; }
};

async::Task<void> start_it(Kubelet::Impl* k, bool* done) {
  Result<void> r = co_await k->start();
  CHECK(r);
  *done = true;
}
async::Task<void> stop_it(Kubelet::Impl* k, bool* done) {
  co_await k->stop();
  *done = true;
}

struct World {
  std::unique_ptr<async::SimLoop> loop = async::SimLoop::create(from_unix(1700000000));
  std::string dir;
  fakes::FakeApi api;
  client::Client client{api, "kubelet"};
  fakes::FakeEngine engine;
  fakes::FakePodNetwork network;
  SeededRng rng{7};
  FakeMounts mounts;
  FakeCgroups* cgroups = nullptr;
  std::unique_ptr<async::TaskGroup> group = std::make_unique<async::TaskGroup>("test");
  std::unique_ptr<Kubelet::Impl> kubelet;

  World() {
    char name[] = "/tmp/onebin-kubelet-XXXXXX";
    dir = ::mkdtemp(name);
    engine.images = {"busybox:1"};
    core::Service s;
    s.metadata.name = "kubernetes";
    s.metadata.namespace_ = "default";
    s.spec.cluster_ip = "10.43.0.1";
    s.spec.ports.emplace_back();
    s.spec.ports[0].port = 443;
    api.put(s);
  }
  ~World() {
    stop();
    std::filesystem::remove_all(dir);
  }
  void start() {
    Options o;
    o.node_name = "node1";
    o.node_ips = {"192.168.0.1"};
    o.root_dir = dir + "/kubelet";
    o.pod_logs_dir = dir + "/logs";
    o.run_dir = dir + "/run";
    o.port = 0;
    o.rng = &rng;
    kubelet = std::make_unique<Kubelet::Impl>(o, client, engine, network);
    auto fake = std::make_unique<FakeCgroups>();
    cgroups = fake.get();
    kubelet->use(std::move(fake), &mounts);
    bool done = false;
    group->spawn(start_it(kubelet.get(), &done));
    settle();
    REQUIRE(done);
  }
  void stop() {
    if (!kubelet) return;
    bool done = false;
    group->spawn(stop_it(kubelet.get(), &done));
    for (int i = 0; i < 200 && !done; ++i) {
      settle();
      if (!done) loop->run_for(std::chrono::seconds(1));
    }
    REQUIRE(done);
    kubelet.reset();
  }
  // Until nothing moves without time passing; files are written by real threads.
  void settle() {
    while (loop->run_ready() || !async::BlockingPool::shared().idle())
      if (!async::BlockingPool::shared().idle()) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  void pass(Duration d) {
    const Duration step = d > std::chrono::minutes(2) ? Duration(std::chrono::seconds(5)) : Duration(std::chrono::milliseconds(500));
    settle();
    for (Duration left = d; left > Duration::zero(); left -= step) {
      loop->run_for(std::min(left, step));
      settle();
    }
  }
  void create(const core::Pod& p) {
    api.put(p);
    settle();
  }
  core::Pod get(const std::string& name) {
    auto p = api.get<core::Pod>("default", name);
    return p ? *p : core::Pod();
  }
  bool exists(const std::string& name) { return api.get<core::Pod>("default", name).has_value(); }
  void remove(const std::string& name, std::int64_t grace) {
    core::Pod p = get(name);
    p.metadata.deletion_timestamp = loop->clock().wall() + std::chrono::seconds(grace);
    p.metadata.deletion_grace_period_seconds = grace;
    api.put(p);
    settle();
  }
  std::string reason(const std::string& pod, const std::string& c) {
    core::Pod p = get(pod);
    const auto* s = find_status(p.status, c);
    if (!s) return "no status";
    if (s->state.waiting) return s->state.waiting->reason;
    if (s->state.running) return "Running";
    return s->state.terminated ? s->state.terminated->reason : "none";
  }
  std::int64_t ends_at(const std::string& name) { return std::count(engine.calls.begin(), engine.calls.end(), name); }
  std::size_t index_of(const std::string& call) { return static_cast<std::size_t>(std::find(engine.calls.begin(), engine.calls.end(), call) - engine.calls.begin()); }
};

bool ready(const core::Pod& p) {
  const auto* c = find_condition(p.status, "Ready");
  return c && c->status == "True";
}
core::Probe exec_probe(int period, int failures) {
  core::Probe p;
  p.exec.emplace();
  p.exec->command = {"check"};
  p.period_seconds = period;
  p.failure_threshold = failures;
  p.success_threshold = 1;
  p.timeout_seconds = 1;
  return p;
}

}  // namespace

TEST_CASE("the node registers, becomes Ready and renews its lease") {
  World w;
  w.network.up = false;
  w.start();
  auto node = w.api.get<core::Node>("", "node1");
  REQUIRE(node);
  CHECK(node->metadata.labels["kubernetes.io/os"] == "linux");
  CHECK(node->status.capacity.contains("cpu"));
  auto is_ready = [&] {
    core::Node now = *w.api.get<core::Node>("", "node1");
    for (const auto& c : now.status.conditions)
      if (c.type == "Ready") return c.status == "True";
    return false;
  };
  CHECK_FALSE(is_ready());
  node->spec.pod_cidr = "10.42.0.0/24";
  node->spec.pod_cidrs = {"10.42.0.0/24"};
  w.api.put(*node);
  w.settle();
  REQUIRE(w.network.cidrs.size() == 1);
  CHECK(is_ready());
  CHECK(w.kubelet->node_ready());
  // What others put into the capacity may be allocated, as long as it is there.
  node = w.api.get<core::Node>("", "node1");
  node->status.capacity["example.com/x"] = Quantity::from_units(3);
  w.api.put(*node);
  w.settle();
  node = w.api.get<core::Node>("", "node1");
  CHECK(node->status.allocatable["example.com/x"] == Quantity::from_units(3));
  node->status.capacity.erase("example.com/x");
  w.api.put(*node);
  w.settle();
  CHECK_FALSE(w.api.get<core::Node>("", "node1")->status.allocatable.contains("example.com/x"));
  auto lease = w.api.get<api::coordination::v1::Lease>("kube-node-lease", "node1");
  REQUIRE(lease);
  Time first = lease->spec.renew_time;
  w.pass(std::chrono::seconds(11));
  CHECK(w.api.get<api::coordination::v1::Lease>("kube-node-lease", "node1")->spec.renew_time > first);
  std::size_t before = w.api.log.size();
  w.pass(std::chrono::seconds(100));
  CHECK(w.api.log.size() - before <= 11);  // leases only
}

TEST_CASE("a pod comes up, and goes with its grace") {
  World w;
  w.start();
  w.create(pod("a", {container("x"), container("y")}));
  core::Pod p = w.get("a");
  CHECK(p.status.phase == "Running");
  CHECK(ready(p));
  CHECK(p.status.pod_ip.starts_with("10.42."));
  CHECK(p.status.host_ip == "192.168.0.1");
  CHECK(w.cgroups->made.size() == 1);
  const auto* c = w.engine.config(w.engine.running("x")->id);
  REQUIRE(c);
  bool hosts = false;
  for (const auto& m : c->mounts) hosts = hosts || m.container_path == "/etc/hosts";
  CHECK(hosts);

  w.engine.stop_time["x"] = std::chrono::seconds(5);
  w.engine.stop_time["y"] = std::chrono::seconds(500);
  w.remove("a", 20);
  w.pass(std::chrono::seconds(6));
  CHECK(w.exists("a"));
  CHECK_FALSE(w.engine.running("x"));
  CHECK(w.engine.running("y"));
  w.pass(std::chrono::seconds(16));
  CHECK_FALSE(w.exists("a"));
  CHECK(w.engine.list_containers({}).empty());
  CHECK(w.engine.list_sandboxes({}).empty());
  CHECK(w.network.list().empty());
  CHECK(w.cgroups->made.empty());
  CHECK(w.kubelet->workers().empty());
}

TEST_CASE("a second, shorter deletion ends the pod earlier") {
  World w;
  w.start();
  w.create(pod("a", {container("x")}));
  w.engine.stop_time["x"] = std::chrono::seconds(500);
  w.remove("a", 300);
  w.pass(std::chrono::seconds(5));
  CHECK(w.exists("a"));
  w.remove("a", 1);
  w.pass(std::chrono::seconds(4));
  CHECK_FALSE(w.exists("a"));
}

TEST_CASE("a pod that vanished from the API is ended at once") {
  World w;
  w.start();
  w.create(pod("a", {container("x")}));
  w.engine.stop_time["x"] = std::chrono::seconds(500);
  w.api.erase<core::Pod>("default", "a");
  w.pass(std::chrono::seconds(4));
  CHECK(w.engine.list_containers({}).empty());
  CHECK(w.kubelet->workers().empty());
}

TEST_CASE("crashes back off: 0, 10, 20, 40 s") {
  World w;
  w.start();
  w.create(pod("a", {container("x")}));
  CHECK(w.engine.starts("x") == 1);
  w.engine.exit("x", 1);
  w.settle();
  CHECK(w.engine.starts("x") == 2);
  CHECK(w.get("a").status.container_statuses[0].restart_count == 1);
  w.engine.exit("x", 1);
  w.settle();
  CHECK(w.engine.starts("x") == 2);
  CHECK(w.reason("a", "x") == "CrashLoopBackOff");
  w.pass(std::chrono::seconds(9));
  CHECK(w.engine.starts("x") == 2);
  w.pass(std::chrono::seconds(2));
  CHECK(w.engine.starts("x") == 3);
  w.engine.exit("x", 1);
  w.pass(std::chrono::seconds(18));
  CHECK(w.engine.starts("x") == 3);
  w.pass(std::chrono::seconds(3));
  CHECK(w.engine.starts("x") == 4);
  CHECK(w.get("a").status.phase == "Running");
  CHECK(w.engine.list_containers({}).size() <= 3);
}

TEST_CASE("pods that end by themselves") {
  World w;
  w.start();
  w.create(pod("ok", {container("x")}, {}, "Never"));
  w.engine.exit("x", 0);
  w.settle();
  CHECK(w.get("ok").status.phase == "Succeeded");
  CHECK(w.network.list().empty());
  CHECK(w.engine.list_containers({}).size() == 1);  // its log is kept
  w.create(pod("bad", {container("z")}, {}, "Never"));
  w.engine.exit("z", 2);
  w.settle();
  CHECK(w.get("bad").status.phase == "Failed");
  CHECK(w.get("bad").status.container_statuses[0].state.terminated->exit_code == 2);
  w.remove("bad", 30);
  CHECK_FALSE(w.exists("bad"));
  w.create(pod("retry", {container("r")}, {}, "OnFailure"));
  w.engine.exit("r", 1);
  w.settle();
  CHECK(w.engine.starts("r") == 2);
  w.engine.exit("r", 0);
  w.settle();
  CHECK(w.get("retry").status.phase == "Succeeded");
}

TEST_CASE("init containers and sidecars, up and down in order") {
  World w;
  w.start();
  w.create(pod("a", {container("x")}, {container("i1"), sidecar("s"), container("i2")}));
  CHECK(w.reason("a", "x") == "PodInitializing");
  w.engine.exit("i1", 0);
  w.settle();
  CHECK(w.engine.running("s"));
  CHECK(w.engine.running("i2"));
  CHECK_FALSE(w.engine.running("x"));
  w.engine.exit("i2", 0);
  w.settle();
  CHECK(w.engine.running("x"));
  CHECK(ready(w.get("a")));
  w.engine.stop_time["x"] = std::chrono::seconds(3);
  w.remove("a", 30);
  w.pass(std::chrono::seconds(2));
  CHECK(w.engine.running("s"));
  w.pass(std::chrono::seconds(3));
  CHECK_FALSE(w.exists("a"));
  CHECK(w.index_of("stop x") < w.index_of("stop s"));
}

TEST_CASE("a sidecar does not hold up a job's end") {
  World w;
  w.start();
  w.create(pod("a", {container("x")}, {sidecar("s")}, "Never"));
  w.engine.exit("x", 0);
  w.pass(std::chrono::seconds(1));
  CHECK_FALSE(w.engine.running("s"));
  CHECK(w.get("a").status.phase == "Succeeded");
}

TEST_CASE("images that cannot be had, and those that come later") {
  World w;
  w.start();
  w.engine.missing = {"ghost:1"};
  w.create(pod("a", {container("x", "ghost:1")}));
  CHECK(w.reason("a", "x") == "ErrImagePull");
  w.pass(std::chrono::seconds(11));
  CHECK(std::count(w.engine.calls.begin(), w.engine.calls.end(), "pull ghost:1") == 2);
  w.engine.missing.clear();
  w.pass(std::chrono::seconds(25));
  CHECK(w.get("a").status.phase == "Running");
  core::Pod never = pod("b", {container("n", "other:1")});
  never.spec.containers[0].image_pull_policy = "Never";
  w.create(never);
  CHECK(w.reason("b", "n") == "ErrImageNeverPull");
  w.create(pod("c", {container("n", "BAD NAME")}));
  CHECK(w.reason("c", "n") == "InvalidImageName");
}

TEST_CASE("a deletion does not wait for a pull") {
  World w;
  w.start();
  w.engine.pull_time = std::chrono::minutes(10);
  w.create(pod("a", {container("x", "huge:1")}));
  w.pass(std::chrono::seconds(2));
  w.remove("a", 30);
  w.pass(std::chrono::seconds(1));
  CHECK_FALSE(w.exists("a"));
}

TEST_CASE("containers that cannot start say why") {
  World w;
  w.start();
  w.engine.start_errors["x"] = internal_error("exec: no such file");
  w.create(pod("a", {container("x")}));
  CHECK(w.reason("a", "x") == "RunContainerError");
  core::Pod p = pod("b", {container("y")});
  core::EnvVar v;
  v.name = "A";
  v.value_from.emplace();
  v.value_from->config_map_key_ref.emplace();
  v.value_from->config_map_key_ref->name = "later";
  v.value_from->config_map_key_ref->key = "k";
  p.spec.containers[0].env.push_back(v);
  w.create(p);
  CHECK(w.reason("b", "y") == "CreateContainerConfigError");
  core::ConfigMap m;
  m.metadata.name = "later";
  m.metadata.namespace_ = "default";
  m.data["k"] = "v";
  w.api.put(m);
  w.settle();
  CHECK(w.reason("b", "y") == "Running");  // at once, not at the next retry
}

TEST_CASE("volumes are filled before the start and follow their objects") {
  World w;
  w.start();
  core::Pod p = pod("a", {container("x")});
  core::Volume v;
  v.name = "conf";
  v.config_map.emplace();
  v.config_map->name = "cm";
  p.spec.volumes.push_back(v);
  core::VolumeMount m;
  m.name = "conf";
  m.mount_path = "/conf";
  p.spec.containers[0].volume_mounts.push_back(m);
  w.create(p);
  CHECK(w.reason("a", "x") == "ContainerCreating");
  core::ConfigMap cm;
  cm.metadata.name = "cm";
  cm.metadata.namespace_ = "default";
  cm.data["k"] = "1";
  w.api.put(cm);
  w.settle();
  CHECK(w.reason("a", "x") == "Running");
  std::string file = w.dir + "/kubelet/pods/" + w.get("a").metadata.uid + "/volumes/kubernetes.io~configmap/conf/k";
  CHECK(read_file(file).value_or("") == "1");
  cm.data["k"] = "2";
  w.api.put(cm);
  w.settle();
  CHECK(read_file(file).value_or("") == "2");
  CHECK(w.engine.starts("x") == 1);
  w.remove("a", 0);
  w.pass(std::chrono::seconds(1));
  CHECK_FALSE(path_exists(w.dir + "/kubelet/pods/uid-of-a"));
}

TEST_CASE("liveness failures restart, readiness failures hide, startup holds both back") {
  World w;
  w.start();
  int live = 0, up = 0, ok = 0;
  w.engine.on_exec = [&](const std::string&, const std::vector<std::string>& cmd) -> Result<engine::ExecResult> {
    engine::ExecResult r;
    r.exit_code = cmd[0] == "live" ? live : cmd[0] == "up" ? up : ok;
    return r;
  };
  core::Pod p = pod("a", {container("x")});
  auto probe = [](const char* cmd, int period, int failures) {
    core::Probe q = exec_probe(period, failures);
    q.exec->command = {cmd};
    return q;
  };
  p.spec.containers[0].startup_probe = probe("up", 1, 30);
  p.spec.containers[0].liveness_probe = probe("live", 1, 3);
  p.spec.containers[0].readiness_probe = probe("ok", 1, 1);
  up = 1;
  live = 1;
  w.create(p);
  w.pass(std::chrono::seconds(10));
  CHECK(w.engine.starts("x") == 1);  // the startup probe has not let liveness begin
  CHECK_FALSE(ready(w.get("a")));
  live = up = 0;
  w.pass(std::chrono::seconds(3));
  CHECK(ready(w.get("a")));
  ok = 1;
  w.pass(std::chrono::seconds(2));
  CHECK_FALSE(ready(w.get("a")));
  ok = 0;
  w.pass(std::chrono::seconds(2));
  CHECK(ready(w.get("a")));
  live = 1;
  w.pass(std::chrono::seconds(5));
  CHECK(w.engine.starts("x") == 2);
  CHECK(w.get("a").status.container_statuses[0].restart_count == 1);
}

TEST_CASE("a kubelet that comes back finds its containers and restarts none") {
  World w;
  w.start();
  w.create(pod("a", {container("x")}));
  w.create(pod("gone", {container("g")}));
  core::PodStatus before = w.get("a").status;
  w.stop();
  CHECK(w.engine.running("x"));
  w.api.erase<core::Pod>("default", "gone");
  w.pass(std::chrono::seconds(30));
  w.start();
  w.pass(std::chrono::seconds(3));
  CHECK(w.engine.starts("x") == 1);
  CHECK(w.engine.running("x"));
  CHECK(w.get("a").status == before);
  CHECK_FALSE(w.engine.running("g"));  // an orphan
  CHECK(w.engine.list_sandboxes({}).size() == 1);
}

TEST_CASE("after a reboot the sandbox is built again and the containers with it") {
  World w;
  w.start();
  w.create(pod("a", {container("x")}, {container("i")}));
  w.engine.exit("i", 0);
  w.settle();
  CHECK(w.engine.running("x"));
  w.stop();
  w.engine.sandbox_dies();
  w.network.broken = {w.get("a").metadata.uid};
  w.start();
  w.pass(std::chrono::seconds(1));
  CHECK(w.engine.running("i"));
  w.engine.exit("i", 0);
  w.pass(std::chrono::seconds(12));
  CHECK(w.engine.running("x"));
  CHECK(w.get("a").status.container_statuses[0].restart_count == 1);
}

TEST_CASE("lifecycle hooks: postStart fails the container, preStop runs within the grace") {
  World w;
  w.start();
  std::vector<std::string> ran;
  int code = 0;
  w.engine.on_exec = [&](const std::string& c, const std::vector<std::string>& cmd) -> Result<engine::ExecResult> {
    ran.push_back(c + " " + cmd[0]);
    engine::ExecResult r;
    r.exit_code = code;
    return r;
  };
  core::Pod p = pod("a", {container("x")});
  auto& l = p.spec.containers[0].lifecycle.ensure();
  l.post_start.emplace();
  l.post_start->exec.emplace();
  l.post_start->exec->command = {"post"};
  l.pre_stop.emplace();
  l.pre_stop->exec.emplace();
  l.pre_stop->exec->command = {"pre"};
  w.create(p);
  CHECK(ran == std::vector<std::string>{"x post"});
  w.remove("a", 30);
  w.pass(std::chrono::seconds(1));
  CHECK(ran == std::vector<std::string>{"x post", "x pre"});
  CHECK_FALSE(w.exists("a"));
  code = 1;
  p.metadata.name = "b";
  p.metadata.uid = "uid-b";
  w.create(p);
  w.pass(std::chrono::seconds(1));
  CHECK(w.engine.starts("x") >= 2);
  CHECK_FALSE(ready(w.get("b")));
}

TEST_CASE("pods that do not fit are Failed and leave nothing") {
  World w;
  w.start();
  core::Pod p = pod("a", {container("x")});
  p.spec.containers[0].resources.requests["cpu"] = Quantity::from_units(10000);
  w.create(p);
  CHECK(w.get("a").status.phase == "Failed");
  CHECK(w.get("a").status.reason == "OutOfcpu");
  CHECK(w.get("a").status.message.starts_with("Pod was rejected: Node didn't have enough resource: cpu"));
  CHECK(w.get("a").status.container_statuses.empty());
  CHECK(w.engine.calls.empty());
  w.remove("a", 30);
  CHECK_FALSE(w.exists("a"));
}

TEST_CASE("activeDeadlineSeconds ends a pod") {
  World w;
  w.start();
  core::Pod p = pod("a", {container("x")});
  p.spec.active_deadline_seconds = 5;
  w.create(p);
  w.pass(std::chrono::seconds(4));
  CHECK(w.get("a").status.phase == "Running");
  w.pass(std::chrono::seconds(3));
  CHECK(w.get("a").status.phase == "Failed");
  CHECK(w.get("a").status.reason == "DeadlineExceeded");
}

TEST_CASE("with the server gone pods go on, and are told of when it is back") {
  World w;
  w.start();
  w.create(pod("a", {container("x")}));
  w.api.down = true;
  w.engine.exit("x", 1);
  w.pass(std::chrono::seconds(2));
  CHECK(w.engine.starts("x") == 2);
  CHECK(w.get("a").status.container_statuses[0].restart_count == 0);
  w.api.down = false;
  w.pass(std::chrono::seconds(40));
  CHECK(w.get("a").status.container_statuses[0].restart_count == 1);
}

TEST_CASE("a pod's status is written by few patches") {
  World w;
  w.start();
  std::size_t before = w.api.log.size();
  w.create(pod("a", {container("x")}));
  std::size_t patches = 0;
  for (std::size_t i = before; i < w.api.log.size(); ++i) patches += w.api.log[i].starts_with("PATCH /api/v1/namespaces/default/pods/a/status");
  CHECK(patches >= 1);
  CHECK(patches <= 4);
}

TEST_CASE("resources are resized in place, by restart where asked, or wait for room") {
  World w;
  w.start();
  core::Pod p = pod("a", {container("x")});
  auto& r = p.spec.containers[0].resources;
  r.requests["cpu"] = r.limits["cpu"] = Quantity::from_milli(100);
  w.create(p);
  CHECK(w.get("a").status.container_statuses[0].allocated_resources.at("cpu") == Quantity::from_milli(100));
  auto resize = [&](Quantity q) {
    core::Pod now = w.get("a");
    auto& res = now.spec.containers[0].resources;
    res.requests["cpu"] = res.limits["cpu"] = q;
    ++now.metadata.generation;
    w.api.put(now);
    w.settle();
  };
  auto runs_with = [&] { return w.get("a").status.container_statuses[0].resources->limits.at("cpu"); };
  resize(Quantity::from_milli(200));
  CHECK(w.engine.updates == std::vector<std::string>{"x 20000"});
  CHECK(runs_with() == Quantity::from_milli(200));
  core::Pod seen = w.get("a");
  CHECK(find_condition(seen.status, "PodResizeInProgress") == nullptr);
  CHECK(w.engine.starts("x") == 1);
  resize(Quantity::from_units(100000));
  seen = w.get("a");
  REQUIRE(find_condition(seen.status, "PodResizePending"));
  CHECK(find_condition(seen.status, "PodResizePending")->reason == "Infeasible");
  CHECK(runs_with() == Quantity::from_milli(200));
  resize(Quantity::from_milli(300));
  seen = w.get("a");
  CHECK(find_condition(seen.status, "PodResizePending") == nullptr);
  CHECK(runs_with() == Quantity::from_milli(300));
  seen = w.get("a");
  core::ContainerResizePolicy policy;
  policy.resource_name = "cpu";
  policy.restart_policy = "RestartContainer";
  seen.spec.containers[0].resize_policy = {policy};
  w.api.put(seen);
  resize(Quantity::from_milli(400));
  CHECK(w.engine.starts("x") == 2);
  CHECK(runs_with() == Quantity::from_milli(400));
}
