#include "cluster.hpp"
#include "controller/servicelb_plan.hpp"

using namespace onebin;
using namespace onebin::controller;
using namespace onebin::controller::test;

namespace {

namespace core1 = api::core::v1;
using List = std::vector<std::string>;

Balanced balanced(const std::string& created, List ports, List families = {"IPv4"}) {
  Balanced s;
  s.uid = "uid";
  s.created = created;
  s.ports = std::move(ports);
  s.families = std::move(families);
  return s;
}
// Two nodes of both families.
BalancerState two_nodes() {
  BalancerState s;
  s.addresses = {{"172.31.0.1", "a"}, {"fd00::1", "a"}, {"172.31.0.2", "b"}, {"fd00::2", "b"}};
  s.kubelet_ports = {{"a", "10250/TCP"}, {"b", "10251/TCP"}};
  return s;
}
BalancerDecision of(const BalancerPlan& plan, const std::string& key) {
  for (const auto& d : plan.services)
    if (d.key == key) return d;
  return {};
}
BalancerDecision decided(const BalancerState& s, const std::string& key, const PortClaims& before = {}) { return of(plan_balancers(s, before), key); }

core1::NodeAddress address(const char* type, const char* text) {
  core1::NodeAddress a;
  a.type = type;
  a.address = text;
  return a;
}
core1::Node node(const std::string& name) {
  core1::Node n;
  n.metadata.name = name;
  core1::NodeCondition ready;
  ready.type = "Ready";
  ready.status = "True";
  n.status.conditions = {ready};
  n.status.addresses = {address("InternalIP", "172.31.0.1"), address("InternalIP", "fd00::1"), address("Hostname", "a")};
  return n;
}

const std::string kServices = "/api/v1/namespaces/default/services";
Document service(const std::string& name, int port, Document more = Document::object()) {
  Document spec = {{"type", "LoadBalancer"}, {"ports", Document::array({{{"port", port}}})}};
  spec.update(more);
  return object("v1", "Service", name, std::move(spec));
}
void add_node(Cluster& c, const std::string& name, const std::string& ip) {
  c.create("/api/v1/nodes", {{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", name}}}});
  c.patch("/api/v1/nodes/" + name + "/status",
          {{"status",
            {{"conditions", Document::array({{{"type", "Ready"}, {"status", "True"}}})}, {"addresses", Document::array({{{"type", "InternalIP"}, {"address", ip}}})}}}});
}
List given(Cluster& c, const std::string& name) {
  List out;
  Document s = c.get(kServices + "/" + name).body;
  for (const auto& i : s["status"]["loadBalancer"].value("ingress", Document::array())) out.push_back(i["ip"]);
  return out;
}

}  // namespace

TEST_CASE("a balancer's addresses are those of the nodes that serve, by the Service's families") {
  BalancerState s = two_nodes();
  s.services["d/v4"] = balanced("1", {"80/TCP"});
  s.services["d/both"] = balanced("1", {"81/TCP"}, {"IPv6", "IPv4"});
  s.services["d/local"] = balanced("1", {"82/TCP"});
  s.services["d/local"].local = true;
  s.services["d/local"].local_nodes = {"b", "unknown"};
  s.services["d/leaving"] = balanced("1", {"83/TCP"});
  s.services["d/leaving"].deleting = true;
  CHECK(decided(s, "d/v4").addresses == List{"172.31.0.1", "172.31.0.2"});
  CHECK(decided(s, "d/both").addresses == List{"fd00::1", "fd00::2", "172.31.0.1", "172.31.0.2"});
  CHECK(decided(s, "d/local").addresses == List{"172.31.0.2"});
  CHECK(decided(s, "d/leaving").addresses.empty());
  CHECK(decided(s, "d/leaving").refusal.empty());
  s.services["d/local"].local_nodes.clear();
  CHECK(decided(s, "d/local").addresses.empty());
  CHECK(decided(s, "d/local").refusal.empty());
}

TEST_CASE("who has a port of the nodes keeps it, else the older Service gets it") {
  BalancerState s = two_nodes();
  s.services["d/a"] = balanced("2026-01-02", {"80/TCP", "443/TCP"});
  s.services["d/b"] = balanced("2026-01-01", {"80/TCP"});
  s.services["d/c"] = balanced("2026-01-03", {"443/TCP"});
  s.services["d/udp"] = balanced("2026-01-03", {"80/UDP"});
  s.services["d/six"] = balanced("2026-01-03", {"80/TCP"}, {"IPv6"});
  BalancerPlan plan = plan_balancers(s, {});
  CHECK(of(plan, "d/b").addresses.size() == 2);
  CHECK(of(plan, "d/a").addresses.empty());
  CHECK(of(plan, "d/a").refusal == "port 80/TCP of the nodes is in use by Service d/b");
  CHECK(of(plan, "d/c").addresses.size() == 2);  // who waits holds nothing back
  CHECK(of(plan, "d/udp").addresses.size() == 2);
  CHECK(of(plan, "d/six").addresses == List{"fd00::1", "fd00::2"});

  // An older Service that comes to want the port waits for it.
  s.services["d/old"] = balanced("2025-01-01", {"80/TCP"});
  plan = plan_balancers(s, plan.claims);
  CHECK(of(plan, "d/b").addresses.size() == 2);
  CHECK(of(plan, "d/old").refusal == "port 80/TCP of the nodes is in use by Service d/b");
  s.services.erase("d/b");
  plan = plan_balancers(s, plan.claims);
  CHECK(of(plan, "d/old").addresses.size() == 2);
  // One of whose ports is another's by now loses the others too.
  s.services["d/c"].ports = {"443/TCP", "80/TCP"};
  plan = plan_balancers(s, plan.claims);
  CHECK(of(plan, "d/c").addresses.empty());
  CHECK_FALSE(plan.claims.count("IPv4 443/TCP"));

  // After a restart, the statuses say who has what.
  BalancerState again = two_nodes();
  again.services["d/young"] = balanced("2026-01-02", {"80/TCP"});
  again.services["d/young"].ingress = {"172.31.0.1"};
  again.services["d/old"] = balanced("2026-01-01", {"80/TCP"});
  CHECK(decided(again, "d/young", claims_of_status(again)).addresses.size() == 2);
  CHECK(decided(again, "d/old", claims_of_status(again)).addresses.empty());
}

TEST_CASE("what a node needs itself is refused") {
  BalancerState s = two_nodes();
  s.api_port = "7443/TCP";
  s.node_ports = {{"30080/TCP", "d/other"}, {"30081/TCP", "d/s"}};
  auto refusal = [&](const char* port) {
    s.services["d/s"] = balanced("1", {port});
    BalancerDecision d = decided(s, "d/s");
    CHECK(d.refusal.empty() == (d.addresses.size() == 2));
    return d.refusal;
  };
  CHECK(refusal("7443/TCP") == "port 7443/TCP of the nodes is the API server's");
  CHECK(refusal("10251/TCP") == "port 10251/TCP of the nodes is the kubelet's");
  CHECK(refusal("4789/UDP") == "port 4789/UDP of the nodes is the pod network's");
  CHECK(refusal("30080/TCP") == "port 30080/TCP of the nodes is a node port of Service d/other");
  CHECK(refusal("30081/TCP").empty());
  CHECK(refusal("6443/TCP").empty());
  CHECK(refusal("10250/UDP").empty());
  CHECK(refusal("22/TCP").empty());
  // Not even who has it keeps it.
  s.services["d/s"] = balanced("1", {"30080/TCP"});
  CHECK(decided(s, "d/s", {{"IPv4 30080/TCP", "d/s"}}).addresses.empty());
}

TEST_CASE("a pod's host port, or another Service's external address, takes a node away from the Service") {
  BalancerState s = two_nodes();
  s.services["d/s"] = balanced("1", {"80/TCP"});
  s.held = {{"a 80/TCP", "Pod d/pod"}, {"b 80/UDP", "Pod d/pod"}};
  CHECK(decided(s, "d/s").addresses == List{"172.31.0.2"});
  CHECK(decided(s, "d/s").refusal.empty());
  s.held["172.31.0.2 80/TCP"] = "Service d/other";
  CHECK(decided(s, "d/s").addresses.empty());
  CHECK(decided(s, "d/s").refusal == "port 80/TCP of 172.31.0.2 is in use by Service d/other");
  s.held["172.31.0.2 80/TCP"] = "Service d/s";  // its own
  CHECK(decided(s, "d/s").addresses == List{"172.31.0.2"});
}

TEST_CASE("what objects say to ServiceLB") {
  core1::Node n = node("a");
  CHECK(addresses_of(n) == Entries{{"172.31.0.1", "a"}, {"fd00::1", "a"}});
  CHECK(kubelet_port_of(n) == "10250/TCP");
  n.status.daemon_endpoints.kubelet_endpoint.port = 10251;
  CHECK(kubelet_port_of(n) == "10251/TCP");
  // An external address stands for the internal ones of its family; what is no address is none.
  n.status.addresses.push_back(address("ExternalIP", "203.0.113.1"));
  n.status.addresses.push_back(address("ExternalIP", "host\"}"));
  CHECK(addresses_of(n) == Entries{{"203.0.113.1", "a"}, {"fd00::1", "a"}});
  core1::Node excluded = n, unready = n;
  excluded.metadata.labels["node.kubernetes.io/exclude-from-external-load-balancers"] = "";
  unready.status.conditions[0].status = "Unknown";
  CHECK(addresses_of(excluded).empty());
  CHECK(addresses_of(unready).empty());

  core1::Service s;
  s.metadata.namespace_ = "d";
  s.metadata.name = "s";
  s.metadata.uid = "u";
  s.spec.type = "LoadBalancer";
  s.spec.external_traffic_policy = "Local";
  s.spec.health_check_node_port = 31000;
  core1::ServicePort port;
  port.port = 80;
  port.protocol = "TCP";
  port.node_port = 30080;
  s.spec.ports = {port};
  CHECK(project_balanced(s).uid == "u");
  CHECK(project_balanced(s).local);
  CHECK(project_balanced(s).ports == List{"80/TCP"});
  CHECK(node_ports_of(s) == Entries{{"30080/TCP", "d/s"}, {"31000/TCP", "d/s"}});
  CHECK(external_ports_of(s).empty());
  s.spec.external_ips = {"172.31.0.2"};
  CHECK(external_ports_of(s) == Entries{{"172.31.0.2 80/TCP", "Service d/s"}});
  s.spec.load_balancer_class = kServiceLbClass;
  CHECK(project_balanced(s).uid == "u");
  s.spec.load_balancer_class = "example.com/other";
  CHECK(project_balanced(s).uid.empty());
  s.spec.load_balancer_class.reset();
  s.spec.type = "NodePort";
  CHECK(project_balanced(s).uid.empty());

  core1::Pod p;
  p.metadata.namespace_ = "d";
  p.metadata.name = "p";
  core1::Container c;
  core1::ContainerPort held, loopback, plain;
  held.host_port = 80;
  loopback.host_port = 81;
  loopback.host_ip = "127.0.0.1";
  plain.container_port = 82;
  c.ports = {held, loopback, plain};
  p.spec.containers = {c};
  CHECK(host_ports_of(p).empty());
  p.spec.node_name = "a";
  CHECK(host_ports_of(p) == Entries{{"a 80/TCP", "Pod d/p"}});
  p.status.phase = "Succeeded";
  CHECK(host_ports_of(p).empty());

  api::discovery::v1::EndpointSlice slice;
  slice.endpoints.resize(3);
  slice.endpoints[0].node_name = "a";
  slice.endpoints[1].node_name = "b";
  slice.endpoints[1].conditions.ready = false;
  std::set<std::string> nodes;
  add_ready_nodes(nodes, slice);
  CHECK(nodes == std::set<std::string>{"a"});
}

TEST_CASE("a Service of type LoadBalancer gets the nodes' addresses, and loses them with its type") {
  Cluster c({"servicelb"});
  add_node(c, "a", "172.31.0.1");
  c.create(kServices, service("web", 80));
  CHECK(given(c, "web") == List{"172.31.0.1"});
  CHECK(c.has_event("EnsuredLoadBalancer"));
  add_node(c, "b", "172.31.0.2");
  CHECK(given(c, "web") == List{"172.31.0.1", "172.31.0.2"});
  c.patch("/api/v1/nodes/a/status", {{"status", {{"conditions", Document::array({{{"type", "Ready"}, {"status", "Unknown"}}})}}}});
  CHECK(given(c, "web") == List{"172.31.0.2"});

  c.create(kServices, service("late", 80));
  CHECK(given(c, "late").empty());
  CHECK(c.has_event("SyncLoadBalancerFailed"));
  c.patch(kServices + "/web", {{"spec", {{"type", "ClusterIP"}}}});
  CHECK(given(c, "web").empty());
  CHECK(given(c, "late") == List{"172.31.0.2"});
  CHECK_FALSE(c.get(kServices + "/late").body["metadata"].contains("finalizers"));
  // Somebody else's status is put right; an update that is none of ours stays.
  c.patch(kServices + "/late/status", {{"status", {{"loadBalancer", {{"ingress", Document::array({{{"ip", "203.0.113.7"}}})}}}}}});
  CHECK(given(c, "late") == List{"172.31.0.2"});
  c.remove(kServices + "/late");
  c.patch(kServices + "/web", {{"spec", {{"type", "LoadBalancer"}}}});
  CHECK(given(c, "web") == List{"172.31.0.2"});
  c.remove("/api/v1/nodes/b");
  CHECK(given(c, "web").empty());
}

TEST_CASE("with the policy Local a Service has the nodes with a ready endpoint") {
  Cluster c({"servicelb"});
  add_node(c, "a", "172.31.0.1");
  add_node(c, "b", "172.31.0.2");
  c.create(kServices, service("web", 80, {{"externalTrafficPolicy", "Local"}}));
  CHECK(given(c, "web").empty());
  auto endpoint = [](const char* ip, const char* node, bool ready) {
    return Document{{"addresses", Document::array({ip})}, {"nodeName", node}, {"conditions", {{"ready", ready}}}};
  };
  const std::string slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
  c.create(slices, {{"apiVersion", "discovery.k8s.io/v1"},
                    {"kind", "EndpointSlice"},
                    {"metadata", {{"name", "of-web"}, {"labels", {{"kubernetes.io/service-name", "web"}}}}},
                    {"addressType", "IPv4"},
                    {"endpoints", Document::array({endpoint("10.42.0.2", "a", true), endpoint("10.42.1.2", "b", false)})}});
  CHECK(given(c, "web") == List{"172.31.0.1"});
  c.patch(slices + "/of-web", {{"endpoints", Document::array({endpoint("10.42.1.2", "b", true)})}});
  CHECK(given(c, "web") == List{"172.31.0.2"});
  c.patch(kServices + "/web", {{"spec", {{"externalTrafficPolicy", "Cluster"}}}});
  CHECK(given(c, "web") == List{"172.31.0.1", "172.31.0.2"});
}

TEST_CASE("another's Services are left alone: of another class, or with ServiceLB turned off") {
  Document status = {{"status", {{"loadBalancer", {{"ingress", Document::array({{{"ip", "203.0.113.7"}}})}}}}}};
  {
    Cluster c({"servicelb"});
    add_node(c, "a", "172.31.0.1");
    c.create(kServices, service("other", 80, {{"loadBalancerClass", "example.com/other"}}));
    c.create(kServices, service("ours", 80, {{"loadBalancerClass", kServiceLbClass}}));
    CHECK(given(c, "ours") == List{"172.31.0.1"});
    CHECK(given(c, "other").empty());
    c.patch(kServices + "/other/status", status);
    CHECK(given(c, "other") == List{"203.0.113.7"});
  }
  Cluster off({"service-cidr-controller"});
  add_node(off, "a", "172.31.0.1");
  off.create(kServices, service("web", 80));
  CHECK(given(off, "web").empty());
  off.patch(kServices + "/web/status", status);
  CHECK(given(off, "web") == List{"203.0.113.7"});
}
