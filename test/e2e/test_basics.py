"""The main job: a Deployment and a Service whose containers run and answer."""
import re, subprocess, time, unittest
from harness import eventually, run

BUSYBOX = "registry.k8s.io/e2e-test-images/busybox:1.37.0-2"
AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.66.1"

WEB = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, labels: {{app: web}}}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: {AGNHOST}
        args: [netexec, --http-port=8080]
        ports: [{{containerPort: 8080, name: http}}]
        readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  type: NodePort
  selector: {{app: web}}
  ports: [{{port: 80, targetPort: http, protocol: TCP}}]
"""


class Basics(unittest.TestCase):
    cluster = None  # set by the runner

    @classmethod
    def setUpClass(cls):
        cls.cluster.apply(WEB)
        cls.cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s", timeout=150)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.kubectl("delete", "deployment/web", "service/web", "--ignore-not-found")

    def test_nodes_are_ready(self):
        nodes = self.cluster.get("nodes")["items"]
        self.assertEqual(len(nodes), self.cluster.nodes)
        wide = self.cluster.kubectl("get", "nodes", "-o", "wide").stdout
        self.assertIn("INTERNAL-IP", wide)
        self.assertEqual(wide.count(" Ready "), self.cluster.nodes)

    def test_pods_spread_over_nodes(self):
        pods = self.cluster.get("pods", "-l", "app=web")["items"]
        self.assertEqual(len(pods), 3)
        self.assertGreater(len({p["spec"]["nodeName"] for p in pods}), 1 if self.cluster.nodes > 1 else 0)

    def answers(self, url, node):
        """Names of the replicas that answered."""
        seen = set()
        for _ in range(40):
            seen.add(self.cluster.on_node(node, "curl", "-s", "--max-time", "5", url + "/hostname").stdout.strip())
            if len(seen) == 3:
                break
        return seen

    def test_node_port_of_every_node_reaches_every_replica(self):
        port = self.cluster.get("service", "web")["spec"]["ports"][0]["nodePort"]
        names = {p["metadata"]["name"] for p in self.cluster.get("pods", "-l", "app=web")["items"]}
        for i in range(self.cluster.nodes):
            self.assertEqual(self.answers(f"http://{self.cluster.node_ip(i)}:{port}", 0), names)

    def test_cluster_ip_reaches_every_replica_from_every_node(self):
        ip = self.cluster.get("service", "web")["spec"]["clusterIP"]
        names = {p["metadata"]["name"] for p in self.cluster.get("pods", "-l", "app=web")["items"]}
        for i in range(self.cluster.nodes):
            self.assertEqual(self.answers(f"http://{ip}", i), names)

    def test_a_pod_resolves_and_reaches_the_service(self):
        pod = self.cluster.get("pods", "-l", "app=web")["items"][0]["metadata"]["name"]
        ip = self.cluster.get("service", "web")["spec"]["clusterIP"]
        out = self.cluster.kubectl("exec", pod, "--", "nslookup", "web.default.svc.cluster.local").stdout
        self.assertIn(ip, out)
        out = self.cluster.kubectl("exec", pod, "--", "curl", "-s", "http://web/hostname").stdout
        self.assertRegex(out, r"^web-")

    def test_endpoint_slices_and_endpoints_agree(self):
        addresses = {a["ip"] for s in self.cluster.get("endpoints", "web")["subsets"] for a in s["addresses"]}
        slices = self.cluster.get("endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
        self.assertEqual({a for s in slices for e in s["endpoints"] for a in e["addresses"]}, addresses)
        self.assertEqual(len(addresses), 3)

    def test_pods_have_a_token_that_the_api_accepts(self):
        pod = self.cluster.get("pods", "-l", "app=web")["items"][0]["metadata"]["name"]
        script = ("curl -s --cacert /var/run/secrets/kubernetes.io/serviceaccount/ca.crt "
                  "-H \"Authorization: Bearer $(cat /var/run/secrets/kubernetes.io/serviceaccount/token)\" https://kubernetes.default/version")
        self.assertIn('"gitVersion"', self.cluster.kubectl("exec", pod, "--", "sh", "-c", script).stdout)
