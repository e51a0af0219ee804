"""Client programs that need a build of their own: client-go, the JavaScript client, helm and kustomize (clients/build)."""
import json, os, re, shutil, tempfile, unittest
from clients import HERE, TOOLS, follows, works
from harness import eventually, run
from test_basics import AGNHOST
from test_python import PROGRAM as PYTHON


class Python(unittest.TestCase):
    """That it sees the same objects, the quick tier shows (test_python.py)."""
    cluster = None

    def test_everyday_work(self):
        works(self, PYTHON, self.cluster.env(), ["create", "replace", "patch", "apply", "list", "watch", "scale", "exec", "port-forward", "log", "delete"], AGNHOST)


class Go(unittest.TestCase):
    """client-go over HTTP/2 and protobuf."""
    cluster = None
    program = os.path.join(TOOLS, "informer")

    def test_sees_the_same_objects_by_protobuf(self):
        wire = follows(self, [self.program, "follow"], self.cluster.env()).wire
        self.assertEqual({w["protocol"] for w in wire}, {"HTTP/2.0"})
        self.assertEqual({re.sub("; *", ";", w["type"]) for w in wire if w["watch"]}, {"application/vnd.kubernetes.protobuf;stream=watch"})
        self.assertLessEqual({w["type"] for w in wire if not w["watch"]}, {"application/vnd.kubernetes.protobuf"})
        self.assertEqual({w["wire"].rsplit("/", 1)[1] for w in wire if w["watch"]}, {"configmaps", "deployments"})

    def test_everyday_work(self):
        works(self, [self.program], self.cluster.env(), ["create", "update", "patch", "apply", "list", "watch", "leader election", "OpenAPI", "delete"])


class JavaScript(unittest.TestCase):
    cluster = None
    program = ["node", os.path.join(TOOLS, "javascript/client.js")]

    def test_sees_the_same_objects(self):
        follows(self, [*self.program, "follow"], self.cluster.env())

    def test_everyday_work(self):
        works(self, self.program, self.cluster.env(), ["create", "replace", "patch", "apply", "list", "watch", "scale", "log", "exec", "port-forward", "delete"], AGNHOST)


class Helm(unittest.TestCase):
    cluster = None
    program = os.path.join(TOOLS, "helm")

    def helm(self, *args, **kw):
        return run([self.program, "--namespace", "charts", *args], env=self.cluster.env(), timeout=180, **kw)

    def greeting(self):
        pods = self.cluster.get("pods", "-n", "charts", "-l", "app.kubernetes.io/instance=web", "--field-selector=status.phase=Running")["items"]
        live = [p["metadata"]["name"] for p in pods if not p["metadata"].get("deletionTimestamp")]
        return {self.cluster.kubectl("-n", "charts", "exec", p, "--", "sh", "-c", "echo $GREETING").stdout.strip() for p in live}, len(live)

    def test_install_upgrade_rollback_uninstall(self):
        chart = os.path.join(HERE, "chart")
        try:
            self.helm("lint", chart, "--set", "image=" + AGNHOST)
            # --dry-run=server asks the cluster for its kinds, of which the chart's own is none yet, and validates against its OpenAPI.
            self.assertIn("kind: Deployment", self.helm("install", "web", chart, "--dry-run=server", "--set", "gadget=false,image=" + AGNHOST).stdout)
            self.helm("install", "web", chart, "--create-namespace", "--wait", "--timeout=120s", "--set", "image=" + AGNHOST)
            self.assertEqual(self.greeting(), ({"hello"}, 2))
            self.assertEqual(self.cluster.get("job", "web-before", "-n", "charts")["status"].get("succeeded"), 1)
            self.assertIn("Succeeded", self.helm("test", "web", "--timeout=60s").stdout)
            self.assertNotEqual(self.helm("install", "web", chart, "--set", "image=" + AGNHOST, check=False).returncode, 0)
            self.helm("upgrade", "web", chart, "--reuse-values", "--set", "greeting=again,replicas=3", "--wait", "--timeout=120s")
            eventually(lambda: self.greeting() == ({"again"}, 3), 30, "the upgraded pods alone")
            # An upgrade that cannot succeed is undone.
            p = self.helm("upgrade", "web", chart, "--reuse-values", "--set", "replicas=-1", "--rollback-on-failure", "--timeout=60s", check=False)
            self.assertNotEqual(p.returncode, 0)
            self.assertIn("spec.replicas", p.stderr)
            self.assertEqual(self.cluster.get("deployment", "web", "-n", "charts")["spec"]["replicas"], 3)
            # One whose hook fails, and one that a custom resource's schema forbids.
            p = self.helm("upgrade", "web", chart, "--reuse-values", "--set", "hook=false", "--wait", "--timeout=60s", check=False)
            self.assertIn("post-upgrade hooks failed", p.stderr)
            p = self.helm("upgrade", "web", chart, "--reuse-values", "--set", "size=0", check=False)
            self.assertIn("spec.size in body should be greater than or equal to 1", p.stderr)
            self.helm("rollback", "web", "1", "--wait", "--timeout=120s")
            eventually(lambda: self.greeting() == ({"hello"}, 2), 30, "the first release's pods alone")
            releases = json.loads(self.helm("list", "-o", "json").stdout)
            self.assertEqual([(r["name"], r["status"]) for r in releases], [("web", "deployed")])
            history = json.loads(self.helm("history", "web", "-o", "json").stdout)
            self.assertEqual(history[-1]["description"], "Rollback to 1")
            self.assertIn("greeting: hello", self.helm("get", "manifest", "web").stdout.replace('"', ""))
            self.helm("uninstall", "web", "--keep-history", "--wait", "--timeout=60s")
            self.helm("rollback", "web", "1", "--wait", "--timeout=120s")
            self.assertEqual(self.cluster.get("gadget", "web", "-n", "charts")["spec"], {"size": 1})
            self.helm("uninstall", "web", "--wait", "--timeout=60s")
            left = self.cluster.get("deployments,services,replicasets,pods,gadgets", "-n", "charts")["items"]
            self.assertEqual([i["kind"] + " " + i["metadata"]["name"] for i in left if not i["metadata"]["name"].startswith(("web-before", "web-after"))], [])  # hooks are nobody's to remove
            self.assertEqual(json.loads(self.helm("list", "-o", "json").stdout), [])
        finally:
            self.cluster.kubectl("delete", "namespace", "charts", "--ignore-not-found", "--timeout=120s", timeout=150)
            self.cluster.kubectl("delete", "crd", "gadgets.charts.example.com", "--ignore-not-found", "--timeout=60s")


class Kustomize(unittest.TestCase):
    cluster = None
    program = os.path.join(TOOLS, "kustomize")

    def test_apply_change_delete(self):
        k = lambda *a, **kw: self.cluster.kubectl("-n", "overlay", *a, **kw)
        self.cluster.kubectl("create", "namespace", "overlay")
        try:
            with tempfile.TemporaryDirectory() as d:
                shutil.copytree(os.path.join(HERE, "kustomize"), d, dirs_exist_ok=True)
                overlay = os.path.join(d, "overlay")
                built = run([self.program, "build", overlay]).stdout
                self.assertEqual(k("kustomize", overlay).stdout, built)
                self.assertEqual(k("apply", "-k", overlay).stdout.count(" created"), 2)
                k("rollout", "status", "deployment/prod-web", "--timeout=60s", timeout=90)
                web = self.cluster.get("deployment", "prod-web", "-n", "overlay")
                self.assertEqual((web["spec"]["replicas"], web["spec"]["selector"]["matchLabels"]), (2, {"app": "web", "tier": "prod"}))
                self.assertEqual(k("exec", "deployment/prod-web", "--", "sh", "-c", "echo $greeting $more").stdout, "hello yes\n")
                # What kustomize builds is what the cluster holds: nothing to do, nothing differs.
                self.assertEqual(k("apply", "-f", "-", stdin=built).stdout.count(" unchanged"), 2)
                self.assertEqual(k("diff", "-k", overlay, check=False).returncode, 0)
                path = os.path.join(overlay, "kustomization.yaml")
                text = open(path).read()
                with open(path, "w") as f:
                    f.write(text.replace("more=yes", "more=changed"))
                self.assertEqual(k("diff", "-k", overlay, check=False).returncode, 1)
                k("apply", "-k", overlay, "--server-side", "--force-conflicts")
                k("rollout", "status", "deployment/prod-web", "--timeout=60s", timeout=90)
                eventually(lambda: k("exec", "deployment/prod-web", "--", "sh", "-c", "echo $more").stdout == "changed\n", 30, "the new settings")
                self.assertEqual(len([c for c in self.cluster.get("configmaps", "-n", "overlay")["items"] if c["metadata"]["name"].startswith("prod-settings-")]), 2)
                k("delete", "-k", overlay, "--timeout=60s")
                self.assertEqual(self.cluster.get("deployments,replicasets", "-n", "overlay")["items"], [])
        finally:
            self.cluster.kubectl("delete", "namespace", "overlay", "--timeout=120s", timeout=150)
