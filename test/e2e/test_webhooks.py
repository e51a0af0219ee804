"""Webhooks in a pod behind a Service: admission and conversion, asked by the API server through its own way to the pod."""
import base64, json, os, subprocess, tempfile, unittest
from harness import eventually, run
from test_basics import AGNHOST

SERVER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: %(name)s, namespace: hooks}
spec:
  replicas: 1
  selector: {matchLabels: {app: %(name)s}}
  template:
    metadata: {labels: {app: %(name)s}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: %(image)s
        args: [%(command)s, --tls-cert-file=/certs/tls.crt, --tls-private-key-file=/certs/tls.key, "-v=4"%(more)s]
        ports: [{containerPort: %(port)d}]
        readinessProbe: {httpGet: {scheme: HTTPS, path: /readyz, port: %(port)d}, periodSeconds: 1}
        volumeMounts: [{name: certs, mountPath: /certs, readOnly: true}]
      volumes: [{name: certs, secret: {secretName: certs}}]
---
apiVersion: v1
kind: Service
metadata: {name: %(name)s, namespace: hooks}
spec:
  selector: {app: %(name)s}
  ports: [{port: 8443, targetPort: %(port)d}]
"""

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: peers.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: peers, singular: peer, kind: Peer, listKind: PeerList}
  conversion:
    strategy: Webhook
    webhook:
      conversionReviewVersions: [v1]
      clientConfig: {caBundle: "%s", service: {namespace: hooks, name: convert, path: /crdconvert, port: 8443}}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {hostPort: {type: string}}}}}
  - {name: v2, served: true, storage: false, schema: {openAPIV3Schema: {type: object, properties: {host: {type: string}, port: {type: string}}}}}
"""


def certificates():
    """A CA and a certificate of both Services."""
    with tempfile.TemporaryDirectory() as d:
        at = lambda f: os.path.join(d, f)
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at("ca.key"), "-out", at("ca.crt"), "-days", "2", "-subj", "/CN=hooks-ca"])
        run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at("tls.key"), "-out", at("tls.csr"), "-subj", "/CN=hooks"])
        with open(at("ext"), "w") as f:
            f.write("subjectAltName=DNS:admit.hooks.svc,DNS:convert.hooks.svc\nextendedKeyUsage=serverAuth\n")
        run(["openssl", "x509", "-req", "-in", at("tls.csr"), "-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial", "-out", at("tls.crt"), "-days", "2", "-extfile", at("ext")])
        return [open(at(f), "rb").read() for f in ("ca.crt", "tls.crt", "tls.key")]


class Webhooks(unittest.TestCase):
    cluster = None

    @classmethod
    def setUpClass(cls):
        ca, cert, key = certificates()
        cls.bundle = base64.b64encode(ca).decode()
        cls.cluster.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: hooks}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: hooked, labels: {hooked: \"yes\"}}\n")
        cls.cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "certs", "namespace": "hooks"},
                                      "data": {"tls.crt": base64.b64encode(cert).decode(), "tls.key": base64.b64encode(key).decode()}}))
        cls.cluster.apply(SERVER % {"name": "admit", "image": AGNHOST, "command": "webhook", "port": 8444, "more": ', "--port=8444"'})
        cls.cluster.apply(SERVER % {"name": "convert", "image": AGNHOST, "command": "crd-conversion-webhook", "port": 9444, "more": ', "--port=9444"'})
        for name in ("admit", "convert"):
            cls.cluster.kubectl("-n", "hooks", "rollout", "status", f"deployment/{name}", "--timeout=90s")

    @classmethod
    def tearDownClass(cls):
        cls.cluster.kubectl("delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "--all", check=False)
        cls.cluster.kubectl("delete", "crd", "peers.stable.example.com", "--ignore-not-found")
        cls.cluster.kubectl("delete", "namespace", "hooked", "hooks")

    def configure(self, kind, path, resource, **more):
        self.cluster.apply(json.dumps({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "e2e"}, "webhooks": [{
            "name": "hook.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "namespaceSelector": {"matchLabels": {"hooked": "yes"}},
            "clientConfig": {"caBundle": self.bundle, "service": {"namespace": "hooks", "name": "admit", "path": path, "port": 8443}},
            "rules": [{"operations": ["CREATE", "UPDATE", "CONNECT"], "apiGroups": [""], "apiVersions": ["v1"], "resources": [resource]}], **more}]}))
        self.addCleanup(self.cluster.kubectl, "delete", kind, "e2e")

    def test_a_webhook_refuses_and_another_changes(self):
        self.configure("ValidatingWebhookConfiguration", "/configmaps", "configmaps")
        self.configure("MutatingWebhookConfiguration", "/mutating-configmaps", "configmaps")
        refused = self.cluster.kubectl("-n", "hooked", "create", "configmap", "bad", "--from-literal=webhook-e2e-test=webhook-disallow", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn('admission webhook "hook.example.com" denied the request: the configmap contains unwanted key and value', refused.stderr)
        self.cluster.kubectl("-n", "hooked", "create", "configmap", "changed", "--from-literal=mutation-start=yes")
        data = self.cluster.get("-n", "hooked", "configmap", "changed")["data"]
        self.assertEqual(data, {"mutation-start": "yes", "mutation-stage-1": "yes"})
        # Elsewhere nobody is asked.
        self.cluster.kubectl("create", "configmap", "bad", "--from-literal=webhook-e2e-test=webhook-disallow")
        self.cluster.kubectl("delete", "configmap", "bad")

    def test_a_webhook_without_pods_fails_closed_and_in_time(self):
        self.configure("ValidatingWebhookConfiguration", "/always-allow-delay-5s", "configmaps", timeoutSeconds=1)
        slow = self.cluster.kubectl("-n", "hooked", "create", "configmap", "slow", check=False)
        self.assertIn("context deadline exceeded", slow.stderr)
        self.cluster.kubectl("-n", "hooks", "scale", "deployment/admit", "--replicas=0")
        try:
            gone = lambda: "no endpoints available for service" in self.cluster.kubectl("-n", "hooked", "create", "configmap", "x", check=False).stderr
            eventually(gone, 30, "the webhook is gone")
        finally:
            self.cluster.kubectl("-n", "hooks", "scale", "deployment/admit", "--replicas=1")
            self.cluster.kubectl("-n", "hooks", "rollout", "status", "deployment/admit", "--timeout=60s")

    def test_custom_resources_are_converted(self):
        self.cluster.apply(DEFINITION % self.bundle)
        self.cluster.kubectl("wait", "--for=condition=Established", "crd/peers.stable.example.com", "--timeout=30s")
        peer = '{"apiVersion":"stable.example.com/v1","kind":"Peer","metadata":{"name":"a"},"hostPort":"localhost:8080"}'
        eventually(lambda: self.cluster.apply(peer), 30, "the definition is served")
        raw = lambda version: json.loads(self.cluster.kubectl("get", "--raw", f"/apis/stable.example.com/{version}/namespaces/default/peers").stdout)["items"]
        self.assertEqual([(i["host"], i["port"]) for i in raw("v2")], [("localhost", "8080")])
        self.cluster.kubectl("patch", "crd", "peers.stable.example.com", "--type=json", "-p",
                             '[{"op":"replace","path":"/spec/versions/0/storage","value":false},{"op":"replace","path":"/spec/versions/1/storage","value":true}]')
        self.cluster.apply('{"apiVersion":"stable.example.com/v2","kind":"Peer","metadata":{"name":"b"},"host":"example","port":"1"}')
        self.assertEqual(sorted(i["hostPort"] for i in raw("v1")), ["example:1", "localhost:8080"])
        self.assertEqual(sorted(i["host"] for i in raw("v2")), ["example", "localhost"])
