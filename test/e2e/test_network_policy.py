"""NetworkPolicies between pods of two namespaces on two nodes: who reaches whom, before, under and after each."""
import concurrent.futures, json, unittest
from harness import eventually

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.66.1"
# Name: namespace, node, labels. Every pod serves TCP 8080 ("http") and 9090 ("alt"), and UDP 8081.
PODS = {
    "web": ("np-x", 0, "app: web"),
    "near": ("np-x", 0, "app: client, tier: near"),
    "far": ("np-x", 1, "app: client, tier: far"),
    "guest": ("np-y", 1, "app: client"),
    "other": ("np-y", 0, "app: other"),
}
NAMESPACES = """
apiVersion: v1
kind: Namespace
metadata: {name: np-x, labels: {team: "x"}}
---
apiVersion: v1
kind: Namespace
metadata: {name: np-y, labels: {team: "y"}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: np-x}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
---
"""


def pod_text(name, ns, node, labels, more=""):
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {ns}, labels: {{{labels}}}}}
spec:
  nodeName: node-{node}
  terminationGracePeriodSeconds: 1
  {more}
  containers:
  - name: first
    image: {AGNHOST}
    args: [netexec, --http-port=8080, --udp-port=8081]
    ports: [{{containerPort: 8080, name: http}}, {{containerPort: 8081, name: udp, protocol: UDP}}]
    readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1}}
  - name: second
    image: {AGNHOST}
    args: [netexec, --http-port=9090, --udp-port=-1]
    ports: [{{containerPort: 9090, name: alt}}]
---
"""


class NetworkPolicies(unittest.TestCase):
    cluster = None  # set by the runner

    @classmethod
    def setUpClass(cls):
        cls.cluster.apply(NAMESPACES + "".join(pod_text(name, *where) for name, where in PODS.items()))
        for ns in ("np-x", "np-y"):
            cls.cluster.kubectl("wait", "-n", ns, "--for=condition=Ready", "pod", "--all", "--timeout=120s", timeout=150)
        cls.ip = {name: cls.address(name, where[0]) for name, where in PODS.items()}
        cls.service = cls.cluster.get("-n", "np-x", "service", "web")["spec"]["clusterIP"]

    @classmethod
    def tearDownClass(cls):
        cls.cluster.kubectl("delete", "namespace", "np-x", "np-y", "--ignore-not-found", "--timeout=120s", timeout=150)

    def tearDown(self):
        for ns in ("np-x", "np-y"):
            self.cluster.kubectl("delete", "networkpolicy", "--all", "-n", ns)
        self.expect({"near>web": True, "far>web": True, "guest>web": True, "web>guest": True})

    @classmethod
    def address(cls, name, ns):
        return cls.cluster.get("-n", ns, "pod", name)["status"]["podIP"]

    def connects(self, source, target, port, protocol="tcp"):
        p = self.cluster.kubectl("exec", "-n", PODS[source][0], source, "-c", "first", "--", "/agnhost", "connect", f"{target}:{port}", "--timeout=2s",
                                 f"--protocol={protocol}", check=False)
        return p.returncode == 0

    def probe(self, what):
        """'far>web', 'far>web:9090', 'far>web:8081/udp', 'far>10.0.0.1:80'"""
        source, target = what.split(">")
        target, _, port = target.partition(":")
        port, _, protocol = (port or "8080").partition("/")
        return self.connects(source, self.ip.get(target, target), port, protocol or "tcp")

    def expect(self, wanted):
        """All of it holds at once, soon."""
        def seen():
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                got = dict(zip(wanted, pool.map(self.probe, wanted)))
            wrong = {k: v for k, v in got.items() if v != wanted[k]}
            if wrong:
                raise AssertionError(f"not as wanted: {wrong}")
            return True
        eventually(seen, 30, "reachability")

    def policy(self, name, spec, ns="np-x"):
        self.cluster.apply(json.dumps({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": ns}, "spec": spec}))

    def resolves(self, pod):
        p = self.cluster.kubectl("exec", "-n", PODS[pod][0], pod, "-c", "first", "--", "nslookup", "-timeout=2", "web.np-x.svc.cluster.local", check=False)
        return p.returncode == 0 and self.service in p.stdout

    def test_deny_all_ingress_and_its_end(self):
        self.policy("deny", {"podSelector": {"matchLabels": {"app": "web"}}})
        # What it asks for is answered; who is not selected is reached.
        self.expect({"near>web": False, "far>web": False, "guest>web": False, f"far>{self.service}:80": False, "near>web:8081/udp": False,
                     "web>guest": True, "web>near": True, "guest>far": True})
        # Its own node reaches it, another one does not.
        self.cluster.on_node(0, "curl", "-s", "--max-time", "5", f"http://{self.ip['web']}:8080/hostname")
        self.assertNotEqual(self.cluster.on_node(1, "curl", "-s", "--max-time", "2", f"http://{self.ip['web']}:8080/hostname", check=False).returncode, 0)
        # So does it itself, by its Service too.
        self.expect({"web>web": True, f"web>{self.service}:80": True})

    def test_allow_by_label(self):
        self.policy("far", {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"tier": "far"}}}]}]})
        self.expect({"near>web": False, "far>web": True, "guest>web": False, f"far>{self.service}:80": True})
        # Policies add up.
        self.policy("near", {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"tier": "near"}}}]}]})
        self.expect({"near>web": True, "far>web": True, "guest>web": False})
        # A pod whose labels change is another peer.
        self.cluster.kubectl("label", "-n", "np-x", "pod", "far", "tier=away", "--overwrite")
        self.expect({"near>web": True, "far>web": False})
        self.cluster.kubectl("label", "-n", "np-x", "pod", "far", "tier=far", "--overwrite")
        self.expect({"near>web": True, "far>web": True})

    def test_allow_by_namespace_and_by_both(self):
        self.policy("y", {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "y"}}}]}]})
        self.expect({"near>web": False, "far>web": False, "guest>web": True, "other>web": True})
        self.policy("y", {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [
            {"namespaceSelector": {"matchLabels": {"team": "y"}}, "podSelector": {"matchLabels": {"app": "client"}}}]}]})
        self.expect({"near>web": False, "guest>web": True, "other>web": False})
        self.cluster.kubectl("label", "namespace", "np-y", "team=z", "--overwrite")
        self.expect({"guest>web": False})
        self.cluster.kubectl("label", "namespace", "np-y", "team=y", "--overwrite")
        self.expect({"guest>web": True})

    def test_address_blocks_and_exceptions(self):
        self.policy("block", {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [
            {"ipBlock": {"cidr": "10.42.0.0/16", "except": [self.ip["far"] + "/32", self.ip["other"] + "/32"]}}]}]})
        self.expect({"near>web": True, "far>web": False, "guest>web": True, "other>web": False})
        self.policy("out", {"podSelector": {"matchLabels": {"tier": "near"}}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": self.ip["web"] + "/32"}}]}]})
        self.expect({"near>web": True, "near>guest": False, "near>far": False})

    def test_ports_by_number_range_name_and_protocol(self):
        select = {"matchLabels": {"app": "web"}}
        self.policy("ports", {"podSelector": select, "ingress": [{"ports": [{"port": "alt"}]}]})
        self.expect({"far>web": False, "far>web:9090": True, "far>web:8081/udp": False})
        self.policy("ports", {"podSelector": select, "ingress": [{"ports": [{"port": 8000, "endPort": 8090}]}]})
        self.expect({"far>web": True, "far>web:9090": False, "far>web:8081/udp": False})
        self.policy("ports", {"podSelector": select, "ingress": [{"ports": [{"port": 8081, "protocol": "UDP"}, {"port": 9090, "protocol": "TCP"}],
                                                                  "from": [{"podSelector": {}}]}]})
        self.expect({"far>web": False, "far>web:9090": True, "far>web:8081/udp": True, "guest>web:9090": False})

    def test_egress_named_port_and_dns(self):
        select = {"matchLabels": {"app": "client"}}
        self.assertTrue(self.resolves("far"))
        self.policy("deny", {"podSelector": select, "policyTypes": ["Egress"]})
        self.expect({"far>web": False, "near>web": False, "guest>web": True, f"far>{self.service}:80": False, "web>far": True})
        self.assertFalse(self.resolves("far"))
        self.policy("dns", {"podSelector": select, "policyTypes": ["Egress"], "egress": [{
            "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
            "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}]})
        eventually(lambda: self.resolves("far") and self.resolves("near"), 30, "DNS under a policy that allows it")
        self.expect({"far>web": False, f"far>{self.service}:80": False})
        # The port's name is one of the pod that is asked; a Service's address is not what counts, but where it leads.
        self.policy("web", {"podSelector": select, "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": "http"}]}]})
        self.expect({"far>web": True, "near>web": True, f"far>{self.service}:80": True, "far>web:9090": False, "far>guest": False})

    def test_an_agent_that_is_killed_leaves_its_policies_in_place(self):
        self.policy("deny", {"podSelector": {"matchLabels": {"app": "client"}}}, "np-y")
        self.expect({"near>guest": False, "near>far": True})
        self.cluster.kill("agent-1")
        self.assertEqual({w: self.probe(w) for w in ("near>guest", "near>far")}, {"near>guest": False, "near>far": True})
        self.policy("deny", {"podSelector": {"matchLabels": {"app": "client"}}})  # while it is away
        self.cluster.start()
        self.expect({"near>guest": False, "near>far": False, "far>web": True})
        self.cluster.kubectl("delete", "networkpolicy", "deny", "-n", "np-y")
        self.expect({"near>guest": True, "near>far": False})

    def test_both_ends_must_agree(self):
        deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        self.policy("deny", deny)
        self.policy("deny", deny, "np-y")
        self.expect({"near>web": False, "far>web": False, "guest>web": False, "web>guest": False, "web>web": True})
        self.policy("in", {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{}]})
        self.expect({"near>web": False, "far>web": False, "guest>web": False})
        self.policy("out", {"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"], "egress": [{}]}, "np-y")
        self.expect({"guest>web": True, "near>web": False, "other>web": False})

    def test_a_pod_that_starts_under_a_policy(self):
        self.policy("deny", {"podSelector": {"matchLabels": {"app": "late"}}})
        self.policy("late", {"podSelector": {"matchLabels": {"app": "late"}}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]}]})
        self.cluster.apply(pod_text("late", "np-x", 1, "app: late") + pod_text("bare", "np-x", 1, "app: late", "hostNetwork: true"))
        # The node's probes reach it, or it would not become ready.
        self.cluster.kubectl("wait", "-n", "np-x", "--for=condition=Ready", "pod/late", "pod/bare", "--timeout=60s", timeout=90)
        late = self.address("late", "np-x")
        # A pod on the host's network is not selected.
        self.expect({f"web>{late}:8080": False, f"near>{late}:8080": True, f"far>{late}:8080": True, f"guest>{late}:8080": False,
                     f"guest>{self.cluster.node_ip(1)}:8080": True, f"web>{self.cluster.node_ip(1)}:8080": True})
        self.cluster.kubectl("delete", "-n", "np-x", "pod", "late", "bare")
