// The kubelet on the real engine (runc), the real pod network and the real server, over a fake API. It runs as a process
// of its own inside a network namespace: the outer test starts the inner one.
#include "engine/fixture.hpp"
#include "fakes/fake_api.hpp"
#include "kubelet/pods.hpp"

#include <onebin/base/pki.hpp>
#include <onebin/client/client.hpp>
#include <onebin/engine/runc_engine.hpp>
#include <onebin/kubelet/kubelet.hpp>
#include <onebin/net/client.hpp>
#include <onebin/net/websocket.hpp>
#include <onebin/network/pod_network.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>

using namespace onebin;
using namespace onebin::kubelet::test;
namespace core = onebin::api::core::v1;

namespace {

using engine_test::docker_archive;

bool has_runc() { return ::geteuid() == 0 && std::system("runc --version > /dev/null 2>&1 && ip netns list > /dev/null 2>&1") == 0; }

struct Node {
  std::unique_ptr<async::RealLoop> loop = async::RealLoop::create();
  std::string dir, cgroup_root;
  fakes::FakeApi api;
  client::Client client{api, "kubelet"};
  pki::KeyPair ca, serving, user;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<network::PodNetwork> network;
  std::unique_ptr<kubelet::Kubelet> kubelet;
  std::unique_ptr<net::HttpClient> http;

  Node() {
    char name[] = "/tmp/onebin-node-XXXXXX";
    dir = ::mkdtemp(name);
    cgroup_root = "/onebin-kubelet-" + std::to_string(::getpid());
    WallTime now = loop->clock().wall();
    ca = *pki::create_ca({"ca", {}}, now, std::chrono::hours(24));
    auto issue = [&](pki::Subject s, pki::Usage usage, std::vector<std::string> ips) {
      pki::SignOptions o;
      o.subject = std::move(s);
      o.usage = usage;
      o.ip_addresses = std::move(ips);
      o.not_before = now - std::chrono::hours(1);
      o.not_after = now + std::chrono::hours(1);
      return *pki::issue(ca, o);
    };
    serving = issue({"system:node:node1", {"system:nodes"}}, pki::Usage::Server, {"127.0.0.1"});
    user = issue({"kube-apiserver-kubelet-client", {}}, pki::Usage::Client, {});
    core::Service s;
    s.metadata.name = "kubernetes";
    s.metadata.namespace_ = "default";
    s.spec.cluster_ip = "10.43.0.1";
    s.spec.ports.emplace_back();
    s.spec.ports[0].port = 443;
    api.put(s);
  }
  ~Node() {
    stop();
    if (network) network.reset();
    auto cgroups = *engine::Cgroups::detect();
    (void)cgroups.kill_all(cgroup_root, 9);
    for (int i = 0; i < 100 && !cgroups.remove(cgroup_root); ++i) ::usleep(10000);
    ::umount2((dir + "/kubelet").c_str(), MNT_DETACH);
    auto mounts = read_file("/proc/self/mounts").value_or("");
    CHECK(mounts.find(dir) == std::string::npos);
    CHECK(remove_all(dir));
  }

  template <class T>
  static async::Task<void> keep(async::Task<T> task, std::optional<T>* out, async::RealLoop* loop) {
    out->emplace(co_await std::move(task));
    loop->stop();
  }
  template <class T>
  T run(async::Task<T> task) {
    std::optional<T> out;
    async::TaskGroup group("test");
    group.spawn(keep(std::move(task), &out, loop.get()));
    if (!out) loop->run();
    static_cast<boost::asio::io_context*>(loop->native())->restart();
    REQUIRE(out);
    return std::move(*out);
  }
  static async::Task<bool> wait(std::function<bool()> done, Duration limit) {
    SteadyTime end = async::Loop::current().now() + limit;
    while (!done()) {
      if (async::Loop::current().now() > end) co_return false;
      (void)co_await async::sleep_for(2ms);
    }
    co_return true;
  }
  bool until(std::function<bool()> done, Duration limit = 20s) { return run(wait(std::move(done), limit)); }
  static async::Task<bool> yes(async::Task<void> t) {
    co_await std::move(t);
    co_return true;
  }

  void start() {
    if (!engine) {
      engine::EngineOptions o;
      o.root_dir = dir + "/engine";
      o.run_dir = dir + "/engine-run";
      o.shim_cgroup = cgroup_root + "/shims";
      auto opened = run(engine::open_engine(*loop, o));
      REQUIRE(opened);
      engine = std::move(*opened);
    }
    if (!network) {
      network::PodNetworkConfig c;
      c.run_dir = dir + "/net";
      c.mtu = 1500;
      c.interface_prefix = "kt";
      c.table = "onebin-kubelet-test";
      c.node_ip = *network::Ip::parse("192.168.77.1");
      auto made = network::make_pod_network(c);
      INFO(made.status().to_string());
      REQUIRE(made);
      network = std::move(*made);
    }
    kubelet::Options o;
    o.node_name = "node1";
    o.node_ips = {"192.168.77.1"};
    o.root_dir = dir + "/kubelet";
    o.pod_logs_dir = dir + "/logs";
    o.run_dir = dir + "/run";
    o.cgroup_root = cgroup_root;
    o.bind_address = "127.0.0.1";
    o.port = 10250;
    o.serving_certificate = [this] { return kubelet::ServingCertificate{serving.certificate, serving.key}; };
    o.client_ca_pem = ca.certificate;
    kubelet = std::make_unique<kubelet::Kubelet>(o, client, *engine, *network);
    Result<void> r = run(kubelet->start());
    INFO(r.status().to_string());
    REQUIRE(r);
    REQUIRE(until([&] { return api.get<core::Node>("", "node1").has_value(); }));
    core::Node n = *api.get<core::Node>("", "node1");
    n.spec.pod_cidr = "10.211.0.0/24";
    n.spec.pod_cidrs = {n.spec.pod_cidr};
    api.put(n);
    REQUIRE(until([&] { return kubelet->node_ready(); }));
    net::TlsClientConfig t;
    t.ca_pem = ca.certificate;
    t.certificate_pem = user.certificate;
    t.key_pem = user.key;
    auto context = *net::TlsClientContext::create(t);
    net::ClientConfig c;
    c.base_url = "https://127.0.0.1:10250";
    c.tls = [context] { return context; };
    http = std::move(*net::HttpClient::create(c));
  }
  void stop_kubelet() {
    if (!kubelet) return;
    http.reset();
    run(yes(kubelet->stop()));
    kubelet.reset();
  }
  void stop() {
    stop_kubelet();
    if (!engine) return;
    (void)run(engine->stop());
    engine.reset();
  }
  core::Pod get(const std::string& name) { return api.get<core::Pod>("default", name).value_or(core::Pod()); }
  bool ready(const std::string& name) {
    core::Pod p = get(name);
    const auto* c = kubelet::find_condition(p.status, "Ready");
    return c && c->status == "True";
  }
  bool gone(const std::string& name) { return !api.get<core::Pod>("default", name); }
  void remove(const std::string& name, std::int64_t grace) {
    core::Pod p = get(name);
    p.metadata.deletion_timestamp = loop->clock().wall() + std::chrono::seconds(grace);
    p.metadata.deletion_grace_period_seconds = grace;
    api.put(p);
  }
  net::WholeResponse fetch(const std::string& target, const std::string& method = "GET") {
    net::ClientRequest q;
    q.method = method;
    q.target = target;
    auto r = run(http->fetch(q));
    INFO(target << ": " << r.status().to_string());
    REQUIRE(r);
    return *r;
  }
  // Runs a command by the WebSocket protocol v5; "OUTPUT|status JSON".
  static async::Task<Result<std::string>> exec_over(net::HttpClient* http, std::string target, std::string input) {
    net::ClientRequest q;
    q.target = target;
    Result<net::WebSocketPtr> ws = co_await net::websocket_connect(*http, q, {"v5.channel.k8s.io"});
    if (!ws) co_return ws.status();
    if (!input.empty()) {
      CO_RETURN_IF_ERROR(co_await (*ws)->send(std::string(1, '\0'), input, true));
      CO_RETURN_IF_ERROR(co_await (*ws)->send(std::string("\xff\x00", 2), true));
    }
    std::string out, status;
    for (;;) {
      Result<net::WsMessage> m = co_await (*ws)->recv();
      if (!m) break;
      if (m->data.empty()) continue;
      if (m->data[0] == 3) status += m->data.substr(1);
      else out += m->data.substr(1);
    }
    co_return out + "|" + status;
  }
  std::string exec(const std::string& pod, const std::string& script, const std::string& input = {}) {
    std::string target = "/exec/default/" + pod + "/x?stdout=true&stderr=true&command=sh&command=-c&command=" + net::percent_encode(script);
    if (!input.empty()) target += "&stdin=true";
    auto r = run(exec_over(http.get(), target, input));
    INFO(r.status().to_string());
    REQUIRE(r);
    return *r;
  }
};

core::Container shell(const std::string& script) {
  core::Container c = container("x", "example.test/busybox:1");
  c.command = {"/bin/sh", "-c", script};
  return c;
}
void mount(core::Container& c, const std::string& volume, const std::string& path) {
  core::VolumeMount m;
  m.name = volume;
  m.mount_path = path;
  c.volume_mounts.push_back(m);
}

core::Pod web_pod() {
  core::Pod p = pod("web", {shell("echo hello; echo trouble >&2; exec busybox httpd -f -p 8080 -h /data")});
  core::Container& c = p.spec.containers[0];
  core::Volume conf;
  conf.name = "conf";
  conf.config_map.emplace();
  conf.config_map->name = "cm";
  core::Volume memory;
  memory.name = "memory";
  memory.empty_dir.emplace();
  memory.empty_dir->medium = "Memory";
  core::Volume token;
  token.name = "token";
  token.projected.emplace();
  token.projected->sources.emplace_back();
  token.projected->sources[0].service_account_token.emplace();
  token.projected->sources[0].service_account_token->path = "token";
  core::Volume disk;
  disk.name = "disk";
  disk.empty_dir.emplace();
  p.spec.volumes = {conf, memory, token, disk};
  mount(c, "conf", "/data");
  mount(c, "memory", "/memory");
  mount(c, "token", "/token");
  mount(c, "disk", "/sub");
  c.volume_mounts.back().sub_path = "one/two";
  c.readiness_probe.emplace();
  c.readiness_probe->http_get.emplace();
  c.readiness_probe->http_get->path = "/k";
  c.readiness_probe->http_get->port = 8080;
  c.readiness_probe->period_seconds = 1;
  c.readiness_probe->timeout_seconds = 1;
  c.readiness_probe->success_threshold = c.readiness_probe->failure_threshold = 1;
  c.resources.limits["memory"] = apimachinery::Quantity::must_parse("64Mi");
  return p;
}

}  // namespace

TEST_CASE("pods on a real engine and network", "[.][node]") {
  Node n;
  n.start();
  REQUIRE(write_file(n.dir + "/image.tar", docker_archive({engine_test::busybox_image()})));
  auto imported = n.run(n.engine->import_images(n.dir + "/image.tar"));
  INFO(imported.status().to_string());
  REQUIRE(imported);

  core::ConfigMap cm;
  cm.metadata.name = "cm";
  cm.metadata.namespace_ = "default";
  cm.data["k"] = "first";
  n.api.put(cm);

  SteadyTime begin = n.loop->now();
  n.api.put(web_pod());
  bool up = n.until([&] { return n.ready("web"); });
  auto took = std::chrono::duration_cast<std::chrono::milliseconds>(n.loop->now() - begin).count();
  if (!up) WARN(api::to_json(n.get("web").status));
  REQUIRE(up);
  WARN("pod start to Ready: " << took << " ms");
  CHECK(n.get("web").status.pod_ip.starts_with("10.211.0."));

  // Volumes, files of the pod, limits.
  CHECK(n.exec("web", "cat /data/k /token/token; grep -c tmpfs.*/memory /proc/mounts; ls -d /sub").starts_with("firsttoken-"));
  CHECK(n.exec("web", "cat /etc/hosts").find("\tweb\n") != std::string::npos);
  CHECK(n.exec("web", "cat /etc/resolv.conf; hostname").find("web\n") != std::string::npos);
  CHECK(n.exec("web", "echo $KUBERNETES_SERVICE_HOST").starts_with("10.43.0.1\n"));
  CHECK(n.exec("web", "exit 7").find("\"ExitCode\",\"message\":\"7\"") != std::string::npos);
  CHECK(n.exec("web", "cat", "through and back").starts_with("through and back|"));
  CHECK(path_exists(n.dir + "/kubelet/pods/uid-of-web/volumes/kubernetes.io~empty-dir/disk/one/two"));

  // A change of the ConfigMap reaches the running container.
  cm.data["k"] = "second";
  n.api.put(cm);
  CHECK(n.until([&] { return n.exec("web", "cat /data/k").starts_with("second"); }));

  // Logs, and who may read them.
  CHECK(n.fetch("/containerLogs/default/web/x").body == "hello\ntrouble\n");
  CHECK(n.fetch("/containerLogs/default/web/x?tailLines=1").body == "trouble\n");
  CHECK(n.fetch("/containerLogs/default/web/none").status == 400);
  CHECK(n.fetch("/containerLogs/default/none/x").status == 404);
  CHECK(n.fetch("/pods").body.find("\"web\"") != std::string::npos);
  CHECK(n.fetch("/stats/summary").body.find("workingSetBytes") != std::string::npos);
  CHECK(n.fetch("/metrics/resource").body.find("container_memory_working_set_bytes{container=\"x\"") != std::string::npos);
  {
    net::TlsClientConfig t;
    t.insecure = true;
    auto context = *net::TlsClientContext::create(t);
    net::ClientConfig c;
    c.base_url = "https://127.0.0.1:10250";
    c.tls = [context] { return context; };
    auto stranger = *net::HttpClient::create(c);
    net::ClientRequest q;
    q.target = "/pods";
    auto r = n.run(stranger->fetch(q));
    REQUIRE(r);
    CHECK(r->status == 401);
  }

  // The kubelet and the engine go and come back: the container stays.
  std::int32_t pid = 0;
  for (const auto& c : n.engine->list_containers({})) pid = c.pid;
  core::PodStatus before = n.get("web").status;
  n.stop();
  n.start();
  (void)n.until([] { return false; }, 1500ms);
  REQUIRE(n.engine->list_containers({}).size() == 1);
  CHECK(n.engine->list_containers({})[0].pid == pid);
  CHECK(n.get("web").status == before);

  // A pod that ends with a message, one that is killed for its memory.
  core::Pod end = pod("end", {shell("echo oops > /dev/termination-log; exit 3")}, {}, "Never");
  n.api.put(end);
  REQUIRE(n.until([&] { return n.get("end").status.phase == "Failed"; }));
  CHECK(n.get("end").status.container_statuses[0].state.terminated->message == "oops\n");
  CHECK(n.get("end").status.container_statuses[0].state.terminated->exit_code == 3);
  core::Pod big = pod("big", {shell("x=a; while true; do x=$x$x$x$x; done")}, {}, "Never");
  big.spec.containers[0].resources.limits["memory"] = apimachinery::Quantity::must_parse("16Mi");
  n.api.put(big);
  CHECK(n.until([&] { return n.get("big").status.phase == "Failed"; }));
  CHECK(n.get("big").status.container_statuses[0].state.terminated->reason == "OOMKilled");

  for (const char* name : {"web", "end", "big"}) n.remove(name, 2);
  bool ended = n.until([&] { return n.gone("web") && n.gone("end") && n.gone("big"); });
  CHECK(ended);
  CHECK(n.until([&] { return n.engine->list_sandboxes({}).empty() && std::filesystem::is_empty(n.dir + "/logs"); }));
  CHECK(n.engine->list_containers({}).empty());
  CHECK(n.network->list().empty());
  CHECK(std::filesystem::is_empty(n.dir + "/kubelet/pods"));

  // Many at once.
  begin = n.loop->now();
  for (int i = 0; i < 20; ++i) n.api.put(pod("many" + std::to_string(i), {shell("exec sleep 1000")}));
  CHECK(n.until([&] {
    for (int i = 0; i < 20; ++i)
      if (!n.ready("many" + std::to_string(i))) return false;
    return true;
  }, 60s));
  WARN("20 pods to Ready: " << std::chrono::duration_cast<std::chrono::milliseconds>(n.loop->now() - begin).count() << " ms");
  for (int i = 0; i < 20; ++i) n.remove("many" + std::to_string(i), 0);
  CHECK(n.until([&] {
    for (int i = 0; i < 20; ++i)
      if (!n.gone("many" + std::to_string(i))) return false;
    return n.engine->list_sandboxes({}).empty();
  }, 60s));
}

TEST_CASE("the kubelet runs pods with runc in a network namespace of its own") {
  if (!has_runc()) {
    WARN("skipped: needs root, runc and ip");
    return;
  }
  std::string ns = "obk-" + std::to_string(::getpid());
  std::string exe = std::filesystem::read_symlink("/proc/self/exe").string();
  // An address of the node, from which its pods are reached.
  const std::string in = "ip -n " + ns + " ";
  REQUIRE(std::system(("ip netns add " + ns + " && " + in + "link set lo up && " + in + "link add up0 type veth peer name up1 && " + in +
                       "addr add 192.168.77.1/24 dev up0 && " + in + "link set up0 up && " + in + "link set up1 up").c_str()) == 0);
  int code = std::system(("nsenter --net=/run/netns/" + ns + " " + exe + " '[node]'").c_str());
  CHECK(std::system(("ip netns del " + ns).c_str()) == 0);
  CHECK(code == 0);
}
