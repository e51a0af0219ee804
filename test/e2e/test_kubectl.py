"""The verbs that people type."""
import json, os, signal, subprocess, tempfile, time, unittest
from harness import eventually, read_line, run
from test_basics import AGNHOST, BUSYBOX

POD = """
apiVersion: v1
kind: Pod
metadata: {name: box, labels: {app: box}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: box
    image: %s
    stdin: true
    command: [sh, -c, "echo started; trap exit TERM; while read l; do echo got $l; done; sleep 3600 & wait"]
""" % BUSYBOX

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: roll, labels: {app: roll}}
spec:
  replicas: 2
  selector: {matchLabels: {app: roll}}
  template:
    metadata: {labels: {app: roll}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: %s
        command: [sleep, "3600"]
        env: [{name: VERSION, value: "1"}]
""" % BUSYBOX


class Kubectl(unittest.TestCase):
    cluster = None

    @classmethod
    def setUpClass(cls):
        cls.k = cls.cluster.kubectl
        cls.k("create", "namespace", "verbs")
        cls.k("config", "set-context", "--current", "--namespace=verbs")
        cls.cluster.apply(POD)
        cls.k("wait", "--for=condition=Ready", "pod/box", "--timeout=60s")

    @classmethod
    def tearDownClass(cls):
        cls.k("config", "set-context", "--current", "--namespace=default")
        cls.k("delete", "namespace", "verbs", "--timeout=120s", timeout=150)

    def test_get_and_describe(self):
        self.assertIn("kind: Pod", self.k("get", "pod", "box", "-o", "yaml").stdout)
        self.assertRegex(self.k("get", "pod", "box", "-o", "wide").stdout, r"box\s+1/1\s+Running\s+0")
        text = self.k("describe", "pod", "box").stdout
        for word in ("Node:", "Conditions:", "Events:", "Scheduled", "Started"):
            self.assertIn(word, text)
        self.assertIn("Capacity:", self.k("describe", "node", "node-0").stdout)

    def test_events(self):
        eventually(lambda: "Scheduled" in self.k("get", "events").stdout, 20, "event of scheduling")

    def test_logs_follow(self):
        p = subprocess.Popen([self.cluster.kubectl_path, "logs", "-f", "box"], stdout=subprocess.PIPE, env=self.cluster.env())
        try:
            self.assertEqual(read_line(p), "started\n")
        finally:
            p.terminate()
            p.wait()
            p.stdout.close()
        self.assertIn("started", self.k("logs", "box", "--tail=5", "--timestamps").stdout)

    def exec_paths(self):
        for ws in ("true", "false"):
            yield {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": ws, "KUBECTL_PORT_FORWARD_WEBSOCKETS": ws}

    def test_exec(self):
        for env in self.exec_paths():
            with self.subTest(**env):
                self.assertEqual(self.k("exec", "box", "--", "sh", "-c", "echo out; echo err >&2", env=env).stdout, "out\n")
                p = self.k("exec", "box", "--", "sh", "-c", "exit 7", env=env, check=False)
                self.assertEqual(p.returncode, 7, p.stderr)
                p = self.k("exec", "-i", "box", "--", "cat", stdin="half\nclose\n", env=env)
                self.assertEqual(p.stdout, "half\nclose\n")
                data = os.urandom(4 << 20)
                p = run([self.cluster.kubectl_path, "exec", "-i", "box", "--", "cat"], input=data, text=False, env=self.cluster.env(**env))
                self.assertEqual(p.stdout, data)

    def test_exec_takes_the_path_that_was_asked_for(self):
        minor = json.loads(self.k("version", "--client", "-o", "json").stdout)["clientVersion"]["minor"]
        # kubectl speaks WebSocket from 1.29 on; what it does on the wire, test_streams.py records.
        for ws, word in (("true", "websocket" if int(minor.rstrip("+")) >= 29 else "spdy/3.1"), ("false", "spdy/3.1")):
            p = self.k("exec", "box", "-v=8", "--", "true", env={"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": ws})
            self.assertIn("101 Switching Protocols", p.stderr)
            self.assertIn(word, p.stderr.lower())

    def test_attach(self):
        for env in self.exec_paths():
            p = subprocess.Popen([self.cluster.kubectl_path, "attach", "-i", "box"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, env=self.cluster.env(**env))
            p.stdin.write(b"hello\n")
            p.stdin.flush()
            self.assertEqual(read_line(p), "got hello\n")
            p.kill()
            p.wait()
            p.stdin.close()
            p.stdout.close()

    def test_cp(self):
        with tempfile.TemporaryDirectory() as d:
            src, dst = os.path.join(d, "a"), os.path.join(d, "b")
            open(src, "wb").write(os.urandom(1 << 20))
            self.k("cp", src, "box:/tmp/a")
            self.k("cp", "box:/tmp/a", dst)
            self.assertEqual(open(src, "rb").read(), open(dst, "rb").read())

    def test_port_forward(self):
        self.k("run", "web", "--image=" + AGNHOST, "--", "netexec", "--http-port=8080")
        self.k("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
        # Ready without a probe means started; the program takes a moment to listen.
        eventually(lambda: self.k("exec", "web", "--", "curl", "-s", "http://localhost:8080/hostname").stdout == "web", 30, "the program listens")
        for env in self.exec_paths():
            with self.subTest(**env):
                p = subprocess.Popen([self.cluster.kubectl_path, "port-forward", "pod/web", ":8080"], stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, env=self.cluster.env(**env))
                try:
                    port = read_line(p).split(":")[1].split(" ")[0]
                    for _ in range(3):
                        self.assertEqual(run(["curl", "-s", "--max-time", "10", f"http://127.0.0.1:{port}/hostname"]).stdout, "web")
                finally:
                    p.terminate()
                    p.wait()
                    p.stdout.close()

    def test_rollout_scale_undo(self):
        self.cluster.apply(DEPLOYMENT)
        self.k("rollout", "status", "deployment/roll", "--timeout=60s")
        self.k("set", "env", "deployment/roll", "VERSION=2")
        self.k("rollout", "status", "deployment/roll", "--timeout=90s")
        self.assertEqual(self.k("rollout", "history", "deployment/roll").stdout.count("<none>"), 2)
        self.k("rollout", "undo", "deployment/roll")
        self.k("rollout", "status", "deployment/roll", "--timeout=90s")
        self.assertIn('"1"', json.dumps(self.cluster.get("deployment", "roll")["spec"]["template"]["spec"]["containers"][0]["env"]))
        self.k("scale", "deployment/roll", "--replicas=4")
        eventually(lambda: self.cluster.get("deployment", "roll")["status"].get("readyReplicas") == 4, 60, "four replicas")
        self.k("delete", "deployment", "roll")
        eventually(lambda: not self.cluster.get("pods", "-l", "app=roll")["items"], 60, "its pods are gone")

    def test_edit_diff_explain_discovery(self):
        self.k("create", "configmap", "cm", "--from-literal=a=1")
        self.k("edit", "configmap", "cm", env={"EDITOR": "sed -i s/^\\ \\ a:.*/\\ \\ a:\\ changed/"})
        self.assertEqual(self.cluster.get("configmap", "cm")["data"]["a"], "changed")
        manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\ndata: {a: other}\n"
        p = self.k("diff", "-f", "-", stdin=manifest, check=False)
        self.assertEqual(p.returncode, 1, p.stderr)
        self.assertIn("+  a: other", p.stdout)
        self.assertIn("FIELD", self.k("explain", "pod.spec.containers.image").stdout.upper())
        resources = self.k("api-resources").stdout
        for name in ("deployments", "endpointslices", "certificatesigningrequests"):
            self.assertIn(name, resources)

    def test_create_and_describe_what_people_create(self):
        since = int(json.loads(self.k("version", "--client", "-o", "json").stdout)["clientVersion"]["minor"].rstrip("+"))
        said = lambda want, *args, **kw: self.assertIn(want, self.k(*args, **kw).stdout)
        said("service/seen created", "run", "seen", "--image=" + AGNHOST, "--port=8080", "--labels=app=seen", "--expose", "--command", "--", "/agnhost", "netexec", "--http-port=8080")
        said("condition met", "wait", "--for=condition=Ready", "pod/seen", "--timeout=60s")
        said("exposed", "expose", "pod", "seen", "--name=seen-port", "--port=80", "--target-port=8080", "--type=NodePort")
        said("created", "create", "deployment", "web", "--image=" + AGNHOST, "--", "/agnhost", "pause")
        said("autoscaled", "autoscale", "deployment", "web", "--min=1", "--max=3", "--cpu-percent=80")
        said("updated", "set", "resources", "deployment", "web", "--limits=cpu=100m,memory=64Mi")
        said("restarted", "rollout", "restart", "deployment/web")
        said("successfully rolled out", "rollout", "status", "deployment/web", "--timeout=90s")
        said("created", "create", "job", "once", "--image=" + BUSYBOX, "--", "echo", "done")
        said("condition met", "wait", "--for=condition=complete", "job/once", "--timeout=60s")
        self.assertRegex(self.k("logs", "-l", "job-name=once", "--prefix", "--all-containers").stdout, r"\[pod/once-\w+/once\] done\n")
        for args in (["secret", "generic", "s", "--from-literal=a=b"], ["quota", "q", "--hard=pods=50"], ["role", "r", "--verb=get", "--resource=pods,pods/log"],
                     ["rolebinding", "rb", "--role=r", "--serviceaccount=verbs:default"], ["ingress", "i", "--rule=a.b/c*=seen:80"], ["serviceaccount", "sa"],
                     ["service", "clusterip", "cs", "--tcp=80:80"], ["service", "externalname", "es", "--external-name=a.b"]):
            said("created", "create", *args)
        for kind, name, want in (("deployment", "web", "StrategyType"), ("service", "seen", "Endpoints"), ("ingress", "i", "a.b"), ("hpa", "web", "Deployment/web"), ("job", "once", "Completions"),
                                 ("sa", "sa", "Name:"), ("role", "r", "pods/log"), ("quota", "q", "50"), ("secret", "s", "1 byte"), ("namespace", "verbs", "Active")):
            said(want, "describe", kind, name)
        # What is printed, and how.
        self.assertRegex(self.k("get", "pods", "-o", "custom-columns=N:.metadata.name,S:.status.phase").stdout, r"seen +Running")
        said("seen ", "get", "pods", "-l", "app=seen", "-o", "go-template={{range .items}}{{.metadata.name}} {{end}}")
        names = self.k("get", "pods", "--chunk-size=1", "--sort-by=.metadata.name", "-o", "name").stdout.split()
        self.assertEqual(names, sorted(names))
        self.assertIn("pod/seen", names)
        said("labeled", "label", "pod", "seen", "a=b")
        self.assertNotEqual(self.k("label", "pod", "seen", "a=c", check=False).returncode, 0)
        said("labeled", "label", "pod", "seen", "a=c", "--overwrite")
        said("app=seen", "get", "pod", "seen", "--show-labels")
        said("tainted", "taint", "node", "node-0", "verbs=y:PreferNoSchedule")
        said("untainted", "taint", "node", "node-0", "verbs-")
        said("replaced", "replace", "--force", "-f", "-", stdin='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"replaced"},"data":{"a":"1"}}')
        p = self.k("apply", "--server-side", "-f", "-", stdin='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"replaced"},"data":{"a":"2"}}', check=False)
        self.assertIn("conflict with \"kubectl-replace\"", p.stderr)
        if since >= 30:
            said("created", "create", "cronjob", "c", "--image=" + BUSYBOX, "--schedule=*/5 * * * *", "--", "true")
            said("created", "create", "pdb", "p", "--selector=app=seen", "--min-available=1")
            said("created", "create", "job", "twice", "--from=cronjob/c")
            self.assertRegex(self.k("get", "deployment", "web", "--subresource=scale").stdout, r"web +1 +1 ")
            self.assertEqual(self.k("create", "token", "default").stdout.count("."), 2)
            said("system:masters", "auth", "whoami")
            said("", "debug", "seen", "--image=" + BUSYBOX, "--target=seen", "--container=look", "--", "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline")
            eventually(lambda: "netexec" in self.k("logs", "seen", "-c", "look").stdout, 60, "the debugger sees its target's processes")
            said("metadata", "explain", "hpa", "--api-version=autoscaling/v2")
        said("deleted", "delete", "deployment", "web", "--cascade=orphan")
        self.assertIn("web-", self.k("get", "rs", "-l", "app=web", "-o", "name").stdout)
        said("deleted", "delete", "rs,jobs,services,hpa", "--all", "--timeout=60s")
        said("deleted", "delete", "pod", "seen", "--now")

    def test_auth_can_i(self):
        self.assertEqual(self.k("auth", "can-i", "create", "pods").stdout.strip(), "yes")
        p = self.k("auth", "can-i", "delete", "nodes", "--as=system:serviceaccount:verbs:default", check=False)
        self.assertEqual(p.stdout.strip(), "no")

    def test_field_validation_and_bad_input(self):
        bad = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\nnonsense: 1\n"
        p = self.k("apply", "-f", "-", stdin=bad, check=False)
        self.assertNotEqual(p.returncode, 0)
        self.assertIn('unknown field "nonsense"', p.stderr)
        p = self.k("create", "configmap", "Not_A_Name", check=False)
        self.assertIn("RFC 1123", p.stderr)

    def test_cordon_and_drain(self):
        if self.cluster.nodes < 2:
            self.skipTest("one node")
        self.cluster.apply(DEPLOYMENT.replace("roll", "drained"))
        self.k("rollout", "status", "deployment/drained", "--timeout=60s")
        node = f"node-{self.cluster.nodes - 1}"
        try:
            self.k("drain", node, "--ignore-daemonsets", "--force", "--delete-emptydir-data", "--timeout=90s")
            left = self.cluster.get("pods", "-A", "--field-selector", f"spec.nodeName={node}")["items"]
            self.assertEqual([p["metadata"]["name"] for p in left if not p["metadata"].get("deletionTimestamp")], [])
            self.assertIn("SchedulingDisabled", self.k("get", "node", node).stdout)
        finally:
            self.k("uncordon", node)
            self.k("delete", "deployment", "drained", "--ignore-not-found")
            self.cluster.apply(POD)
            eventually(lambda: self.k("wait", "--for=condition=Ready", "pod/box", "--timeout=60s").returncode == 0, 60, "box is back")
