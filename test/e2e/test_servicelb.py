"""Services of type LoadBalancer: the nodes' addresses lead to them."""
import shutil, time, unittest
from harness import Cluster, eventually, run

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.66.1"

WEB = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: servicelb}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: web, namespace: servicelb}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: {AGNHOST}
        args: [netexec, --http-port=8080, --udp-port=8081]
        readinessProbe: {{httpGet: {{path: /healthz, port: 8080}}, periodSeconds: 1}}
"""


class ServiceLb(unittest.TestCase):
    cluster = None  # set by the runner

    @classmethod
    def setUpClass(cls):
        if cls.cluster.nodes < 2:
            raise unittest.SkipTest("wants two nodes")
        cls.cluster.apply(WEB)
        cls.kubectl("rollout", "status", "daemonset/web", "--timeout=120s", timeout=150)
        cls.nodes = {cls.cluster.node_ip(i) for i in range(cls.cluster.nodes)}
        cls.pods = {p["spec"]["nodeName"]: p["metadata"]["name"] for p in cls.cluster.get("pods", "-n", "servicelb", "-l", "app=web")["items"]}

    @classmethod
    def tearDownClass(cls):
        cls.kubectl("delete", "namespace", "servicelb", "--ignore-not-found", "--timeout=60s")

    def tearDown(self):
        self.kubectl("delete", "services", "--all")
        self.kubectl("delete", "pod", "holder", "--ignore-not-found", "--now")

    @classmethod
    def kubectl(cls, *args, **kw):
        return cls.cluster.kubectl("-n", "servicelb", *args, **kw)

    def service(self, name, port, target=8080, protocol="TCP", **spec):
        lines = "".join(f"  {k}: {v}\n" for k, v in spec.items())
        self.cluster.apply(f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: servicelb}}
spec:
  type: LoadBalancer
  selector: {{app: web}}
  ports: [{{port: {port}, targetPort: {target}, protocol: {protocol}}}]
{lines}""")

    def addresses(self, name):
        status = self.cluster.get("service", name, "-n", "servicelb")["status"]
        return {i["ip"] for i in status["loadBalancer"].get("ingress", [])}

    def has_addresses(self, name, want):
        eventually(lambda: self.addresses(name) == want, 30, f"addresses {want} of {name}")

    def curl(self, address, port, node=None, pod=None, path="hostname"):
        """What answers at an address: asked from this machine, which is no node, from a node or from a pod; "" when nothing does."""
        args = ["curl", "-s", "--max-time", "3", f"http://{address}:{port}/{path}"]
        if pod:
            return self.kubectl("exec", pod, "--", *args, check=False).stdout.strip()
        return (self.cluster.on_node(node, *args, check=False) if node is not None else run(args, check=False)).stdout.strip()

    def reaches(self, address, port, want=True, **where):
        eventually(lambda: bool(self.curl(address, port, **where)) == want, 20, f"{address}:{port} {'answers' if want else 'is silent'} {where}")

    def events(self, name):
        return " ".join(e["message"] for e in self.cluster.get("events", "-n", "servicelb", "--field-selector", f"involvedObject.name={name}")["items"])

    def test_the_addresses_are_the_nodes_and_lead_to_every_pod(self):
        self.service("lb", 8888)
        self.has_addresses("lb", self.nodes)
        shown = self.kubectl("get", "service", "lb").stdout
        for ip in self.nodes:
            self.assertIn(ip, shown)
        for ip in self.nodes:
            self.reaches(ip, 8888)
            self.assertEqual({self.curl(ip, 8888) for _ in range(30)}, set(self.pods.values()))
            for i in range(self.cluster.nodes):
                self.reaches(ip, 8888, node=i)
            for pod in self.pods.values():
                self.reaches(ip, 8888, pod=pod)
        # Other ports of a node are its own.
        self.assertIn("gitVersion", run(["curl", "-sk", f"https://{self.cluster.node_ip(0)}:6443/version"]).stdout)
        self.assertIn("EnsuredLoadBalancer", self.kubectl("get", "events").stdout)
        self.kubectl("patch", "service", "lb", "-p", '{"spec":{"type":"ClusterIP"}}')
        self.has_addresses("lb", set())
        self.reaches(self.cluster.node_ip(0), 8888, want=False)

    def test_udp_and_tcp_on_one_port_are_two(self):
        self.service("lb", 8888)
        self.service("lb-udp", 8888, target=8081, protocol="UDP")
        self.has_addresses("lb", self.nodes)
        self.has_addresses("lb-udp", self.nodes)
        ask = ["sh", "-c", f"echo hostname | socat -t 2 - UDP:{self.cluster.node_ip(1)}:8888"]
        eventually(lambda: run(ask, check=False).stdout.strip() in self.pods.values(), 20, "an answer by UDP")

    def test_the_local_policy_gives_the_nodes_that_have_an_endpoint(self):
        only = "node-1"
        self.kubectl("label", "pod", self.pods[only], "only=here")
        self.service("lb", 8889, externalTrafficPolicy="Local", selector="{only: here}")
        there = self.cluster.node_ip(1)
        self.has_addresses("lb", {there})
        # The client's own address arrives.
        eventually(lambda: self.curl(there, 8889, path="clientip").startswith(self.cluster.settings()["PREFIX"] + ".1:"), 20, "the client's address")
        self.reaches(self.cluster.node_ip(0), 8889, want=False)
        # What is on a node reaches it wherever it is.
        self.reaches(there, 8889, node=0)
        self.reaches(there, 8889, pod=self.pods["node-0"])
        self.kubectl("label", "pod", self.pods["node-0"], "only=here")
        self.has_addresses("lb", {there, self.cluster.node_ip(0)})
        self.reaches(self.cluster.node_ip(0), 8889)
        self.kubectl("label", "pod", self.pods[only], "only-")
        self.has_addresses("lb", {self.cluster.node_ip(0)})
        self.kubectl("label", "pod", self.pods["node-0"], "only-")

    def test_the_second_service_on_a_port_waits_and_gets_it_when_it_is_free(self):
        self.service("first", 8888)
        self.has_addresses("first", self.nodes)
        self.service("second", 8888)
        eventually(lambda: "port 8888/TCP of the nodes is in use by Service servicelb/first" in self.events("second"), 20, "the event")
        self.assertEqual(self.addresses("second"), set())
        self.assertIn("<pending>", self.kubectl("get", "service", "second").stdout)
        self.kubectl("delete", "service", "first")
        self.has_addresses("second", self.nodes)
        self.reaches(self.cluster.node_ip(0), 8888)
        self.kubectl("delete", "service", "second")
        self.reaches(self.cluster.node_ip(0), 8888, want=False)

    def test_a_restart_of_the_server_takes_no_address_away(self):
        self.service("z-first", 8888)
        self.has_addresses("z-first", self.nodes)
        self.service("a-second", 8888)
        eventually(lambda: "in use by Service servicelb/z-first" in self.events("a-second"), 20, "the event")
        self.cluster.kill("server")
        self.reaches(self.cluster.node_ip(1), 8888)
        self.cluster.start()
        self.service("later", 8889)
        self.has_addresses("later", self.nodes)  # so that all were decided on again
        self.assertEqual(self.addresses("z-first"), self.nodes)
        self.assertEqual(self.addresses("a-second"), set())

    def test_ports_of_the_node_are_refused(self):
        for name, port, whose in (("api", 6443, "the API server's"), ("kubelet", 10250, "the kubelet's")):
            self.service(name, port)
            eventually(lambda: whose in self.events(name), 20, "the event")
            self.assertEqual(self.addresses(name), set())
        self.assertIn("gitVersion", run(["curl", "-sk", f"https://{self.cluster.node_ip(0)}:6443/version"]).stdout)

    def test_a_pod_that_holds_the_port_keeps_its_node(self):
        self.cluster.apply(f"""
apiVersion: v1
kind: Pod
metadata: {{name: holder, namespace: servicelb}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers: [{{name: c, image: {AGNHOST}, args: [pause], ports: [{{containerPort: 80, hostPort: 8888}}]}}]
""")
        self.service("lb", 8888)
        self.has_addresses("lb", self.nodes - {self.cluster.node_ip(1)})
        self.kubectl("delete", "pod", "holder", "--now")
        self.has_addresses("lb", self.nodes)

    def test_source_ranges_hold(self):
        me = self.cluster.settings()["PREFIX"] + ".1/32"
        self.service("lb", 8888, loadBalancerSourceRanges=f"[{me}]")
        self.has_addresses("lb", self.nodes)
        for ip in self.nodes:
            self.reaches(ip, 8888)
        self.reaches(self.cluster.node_ip(0), 8888, want=False, node=1)
        # A node whose address is in the ranges, and no other although its address is one of the Service's.
        self.service("lb", 8888, loadBalancerSourceRanges=f"[{self.cluster.node_ip(0)}/32]")
        self.reaches(self.cluster.node_ip(0), 8888, node=0)
        self.reaches(self.cluster.node_ip(1), 8888, node=0)
        self.reaches(self.cluster.node_ip(0), 8888, want=False, node=1)
        self.reaches(self.cluster.node_ip(0), 8888, want=False)

    def test_nodes_come_and_go(self):
        self.service("lb", 8888)
        self.has_addresses("lb", self.nodes)
        self.cluster.kubectl("label", "node", "node-1", "node.kubernetes.io/exclude-from-external-load-balancers=true")
        self.has_addresses("lb", self.nodes - {self.cluster.node_ip(1)})
        self.cluster.kubectl("label", "node", "node-1", "node.kubernetes.io/exclude-from-external-load-balancers-")
        self.has_addresses("lb", self.nodes)

    def test_an_external_address_stands_for_the_internal_one(self):
        add = '[{"op":"add","path":"/status/addresses/-","value":{"type":"ExternalIP","address":"203.0.113.5"}}]'
        self.cluster.kubectl("patch", "node", "node-1", "--subresource=status", "--type=json", "-p", add)
        try:
            self.service("lb", 8888)
            self.has_addresses("lb", self.nodes - {self.cluster.node_ip(1)} | {"203.0.113.5"})
            # As a router before the node sends it; and as a pod does, which has no such router.
            self.reaches(self.cluster.node_ip(1), 8888)
            self.reaches("203.0.113.5", 8888, pod=self.pods["node-0"])
        finally:
            at = [a["type"] for a in self.cluster.get("node", "node-1")["status"]["addresses"]].index("ExternalIP")
            self.cluster.kubectl("patch", "node", "node-1", "--subresource=status", "--type=json", "-p", f'[{{"op":"remove","path":"/status/addresses/{at}"}}]')
        self.has_addresses("lb", self.nodes)
        self.reaches(self.cluster.node_ip(1), 8888)

    def test_another_class_is_left_alone(self):
        self.service("other", 8888, loadBalancerClass="example.com/other")
        self.service("ours", 8888, loadBalancerClass="onebin.io/servicelb")
        self.has_addresses("ours", self.nodes)
        self.assertEqual(self.addresses("other"), set())
        self.kubectl("patch", "service", "other", "--subresource=status", "--type=merge", "-p", '{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.7"}]}}}')
        self.kubectl("label", "service", "other", "touched=yes")
        self.cluster.kubectl("annotate", "node", "node-1", f"touched={time.time()}")
        self.assertEqual(self.addresses("other"), {"203.0.113.7"})


class OtherFlags(unittest.TestCase):
    """A server of its own: --disable servicelb, and an external address."""
    cluster = None  # set by the runner

    @classmethod
    def setUpClass(cls):
        flags = ["--disable", "servicelb", "--node-external-ip", "203.0.113.9"]
        cls.other = Cluster(1, cls.cluster.binary, None, cls.cluster.kubectl_path, server_flags=flags)
        cls.addClassCleanup(shutil.rmtree, cls.other.state, ignore_errors=True)
        cls.addClassCleanup(cls.other.down)
        cls.other.up()

    def test_another_controller_has_the_status_for_itself(self):
        self.other.kubectl("create", "service", "loadbalancer", "lb", "--tcp=8888:80")
        self.assertIn("<pending>", self.other.kubectl("get", "service", "lb").stdout)
        self.other.kubectl("patch", "service", "lb", "--subresource=status", "--type=merge", "-p", '{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.7"}]}}}')
        # What would have made it decide: the node, and the Service itself.
        self.other.kubectl("annotate", "node", "node-0", "touched=yes")
        self.other.kubectl("label", "service", "lb", "touched=yes")
        self.other.kubectl("create", "service", "loadbalancer", "later", "--tcp=8889:80")
        ingress = [s["status"]["loadBalancer"].get("ingress", []) for s in self.other.get("services", "lb", "later")["items"]]
        self.assertEqual(ingress, [[{"ip": "203.0.113.7", "ipMode": "VIP"}], []])

    def test_the_node_tells_its_external_address(self):
        addresses = self.other.get("node", "node-0")["status"]["addresses"]
        self.assertIn({"type": "ExternalIP", "address": "203.0.113.9"}, addresses)
        self.assertIn({"type": "InternalIP", "address": self.other.node_ip(0)}, addresses)
