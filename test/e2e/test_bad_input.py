"""Bad input: each is refused with an error that names the thing and the remedy, and leaves nothing lost or half done."""
import base64, hashlib, http.client, io, json, os, re, shutil, signal, sqlite3, ssl, subprocess, tarfile, tempfile, time, unittest
from harness import eventually, run
from test_basics import BUSYBOX

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"


class Api:
    """The API server as a program of the administrator's sees it that writes its own requests."""

    def __init__(self, kubeconfig):
        text = open(kubeconfig).read()
        field = lambda k: re.search(k + r": (\S+)", text).group(1)
        self.host = field("server").replace("https://", "")
        self.context = ssl.create_default_context(cadata=base64.b64decode(field("certificate-authority-data")).decode())
        with tempfile.NamedTemporaryFile(suffix=".pem") as f:
            f.write(base64.b64decode(field("client-certificate-data")) + base64.b64decode(field("client-key-data")))
            f.flush()
            self.context.load_cert_chain(f.name)

    def call(self, method, path, body=None, content_type=JSON, **headers):
        """(status, headers, body); the body parsed where it is JSON."""
        c = http.client.HTTPSConnection(self.host, context=self.context, timeout=60)
        try:
            try:
                c.request(method, path, body, dict({"Content-Type": content_type} if body is not None else {}, **headers))
            except (OSError, ssl.SSLError):
                pass  # refused before all was sent: the answer is there all the same
            r = c.getresponse()
            data = r.read()
            return r.status, dict(r.getheaders()), json.loads(data) if r.headers.get("Content-Type", "").startswith(JSON) else data
        finally:
            c.close()


def config_map(name, **fields):
    return json.dumps(dict({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}, **fields))


class Requests(unittest.TestCase):
    """Requests to the API server of the cluster that all tests share."""
    cluster = None
    MAPS = "/api/v1/namespaces/bad/configmaps"

    @classmethod
    def setUpClass(cls):
        cls.cluster.kubectl("create", "namespace", "bad")
        cls.api = Api(cls.cluster.kubeconfig)
        cls.cluster.kubectl("-n", "bad", "create", "configmap", "kept", "--from-literal=a=1")
        cls.kept = cls.cluster.get("configmap", "kept", "-n", "bad")

    @classmethod
    def tearDownClass(cls):
        cls.cluster.kubectl("delete", "namespace", "bad", "--timeout=120s", timeout=150)

    def tearDown(self):
        # Whatever was refused: what is there is as it was, nothing came into being, and the server serves.
        self.assertEqual(self.cluster.get("configmap", "kept", "-n", "bad"), self.kept)
        self.assertEqual({m["metadata"]["name"] for m in self.cluster.get("configmaps", "-n", "bad")["items"]}, {"kept", "kube-root-ca.crt"})

    def refused(self, code, reason, *words, path=None, method="POST", body=None, content_type=JSON):
        status, headers, answer = self.api.call(method, path or self.MAPS, body, content_type)
        self.assertEqual((status, answer.get("kind"), answer.get("reason"), answer.get("code")), (code, "Status", reason, code), answer)
        for w in words:
            self.assertIn(w, answer["message"])
        return answer

    def test_malformed_bodies(self):
        for content_type, body, word in (
                (JSON, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"', "unexpected end of JSON input"), (JSON, "hello", "invalid character 'h'"), (JSON, "", "empty"),
                (JSON, "[]", "array"), (JSON, config_map("x") + "}", "top-level value"),
                (YAML, "a: [1\nb: {", "yaml: line 1: did not find expected ',' or ']'"), (YAML, "apiVersion: v1\n\tkind: x", "line 2"), (YAML, "a: &a [*a]", ""),
                (PROTOBUF, b"k8s\0\x0a\xff\xff\xff\xff\xff", "protobuf"), (PROTOBUF, b"{}", "k8s"), (PROTOBUF, b"k8s\0", "empty")):
            with self.subTest(content_type=content_type, body=body):
                self.refused(400, "BadRequest", word, body=body, content_type=content_type)
        for patch, body in (("application/json-patch+json", '{"not":"a list"}'), ("application/merge-patch+json", "["), ("application/strategic-merge-patch+json", "nonsense"),
                            ("application/apply-patch+yaml", "a: [")):
            with self.subTest(patch=patch):
                path = self.MAPS + "/kept" + ("?fieldManager=x" if "apply" in patch else "")
                self.refused(400, "BadRequest", path=path, method="PATCH", body=body, content_type=patch)
        self.refused(415, "UnsupportedMediaType", "application/json", body="<xml/>", content_type="application/xml")

    def test_unknown_and_duplicate_fields(self):
        twice = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1","a":"2"}}'
        for body, words in ((config_map("x", nonsense=1), 'unknown field "nonsense"'), (twice, 'duplicate field "data.a"')):
            with self.subTest(body=body):
                path = self.MAPS + "?dryRun=All&fieldValidation="
                status, headers, _ = self.api.call("POST", path + "Ignore", body)
                self.assertEqual((status, headers.get("Warning")), (201, None))
                status, headers, made = self.api.call("POST", path + "Warn", body)
                self.assertEqual(status, 201)
                self.assertIn(json.dumps(words), headers["Warning"])
                self.assertNotIn("nonsense", made)
                self.refused(400, "BadRequest", "strict decoding error: " + words, path=path + "Strict", body=body)
        self.refused(422, "Invalid", "fieldValidation", "Strict", path=self.MAPS + "?fieldValidation=Sometimes", body=config_map("x"))
        # As kubectl sends it, in YAML.
        p = self.cluster.kubectl("-n", "bad", "create", "--validate=strict", "-f", "-", stdin="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nnonsense: 1\n", check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn('unknown field "nonsense"', p.stderr)

    def test_wrong_types_and_values(self):
        self.refused(400, "BadRequest", "data", body=config_map("x", data=5))
        self.refused(400, "BadRequest", "ConfigMap.data", body=config_map("x", data={"a": 5}))
        self.refused(422, "Invalid", "253", body=config_map("a" * 254))
        self.refused(422, "Invalid", "RFC 1123", body=config_map("Not_A_Name"))
        self.refused(422, "Invalid", "253", body=config_map("x", data={"k" * 254: "1"}))
        self.refused(422, "Invalid", "metadata.labels", "63", body=json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": {"k": "v" * 64}}}))
        self.refused(400, "BadRequest", "Secret", body=json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}))
        self.refused(404, "NotFound", path="/api/v1/nonsense", method="GET")
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "Main", "image": BUSYBOX, "ports": [{"containerPort": 80000}]}]}}
        answer = self.refused(422, "Invalid", "spec.containers[0].name", "spec.containers[0].ports[0].containerPort", path="/api/v1/namespaces/bad/pods", body=json.dumps(pod))
        self.assertEqual({c["field"] for c in answer["details"]["causes"]}, {"spec.containers[0].name", "spec.containers[0].ports[0].containerPort"})

    def test_bodies_over_the_limit(self):
        for size in (3 << 20, 16 << 20):
            self.refused(413, "RequestEntityTooLarge", "3145728", body=config_map("x", data={"k": "1" * size}))
            self.refused(413, "RequestEntityTooLarge", "3145728", path=self.MAPS + "/kept", method="PATCH", body=json.dumps({"data": {"k": "1" * size}}),
                         content_type="application/merge-patch+json")
        self.refused(422, "Invalid", "1048576", body=config_map("x", data={"k": "1" * (1100 << 10)}))
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            f.write(config_map("x", data={"k": "1" * (4 << 20)}))
            f.flush()
            p = self.cluster.kubectl("-n", "bad", "create", "-f", f.name, check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn("too large", p.stderr.lower())

    def test_nobody(self):
        """Without a certificate, or with a token that nobody gave."""
        c = self.api.context
        self.api.context = ssl.create_default_context()
        self.api.context.check_hostname, self.api.context.verify_mode = False, ssl.CERT_NONE
        try:
            status, _, answer = self.api.call("GET", self.MAPS, Authorization="Bearer nonsense")
            self.assertEqual((status, answer["reason"]), (401, "Unauthorized"))
            status, _, answer = self.api.call("GET", self.MAPS)
            self.assertEqual((status, answer["reason"]), (403, "Forbidden"))
            self.assertIn("system:anonymous", answer["message"])
        finally:
            self.api.context = c


def tree(engine):
    """Every file of the image store: containers' own files come and go."""
    return sorted(os.path.join(d, f) for d, _, files in os.walk(engine) for f in files if not d.startswith(os.path.join(engine, "containers")))


class Images(unittest.TestCase):
    """Archives that no node must take."""
    cluster = None

    def image(self, verb, *args, check=False):
        return run([self.cluster.binary, "image", "--run-dir", f"/run/ob{self.cluster.settings()['ID']}/node-0", verb, *args], check=check)

    def archive(self, path, **members):
        """A docker-archive of one layer with these members: name -> (tar type, content or link target)."""
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as t:
            for name, (kind, content) in members.items():
                i = tarfile.TarInfo(name)
                i.type = kind
                if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                    i.linkname = content
                    t.addfile(i)
                else:
                    i.size = len(content)
                    t.addfile(i, io.BytesIO(content))
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()]}})
        manifest = json.dumps([{"Config": "config.json", "RepoTags": ["example.com/bad:1"], "Layers": ["layer.tar"]}])
        with tarfile.open(path, "w") as t:
            for name, data in (("layer.tar", layer.getvalue()), ("config.json", config.encode()), ("manifest.json", manifest.encode())):
                i = tarfile.TarInfo(name)
                i.size = len(data)
                t.addfile(i, io.BytesIO(data))

    def refused(self, path, *words):
        p = self.image("import", path)
        self.assertEqual(p.returncode, 1, p.stdout)
        self.assertIn(os.path.basename(path), p.stderr)
        for w in words or ("nothing of it was imported",):
            self.assertIn(w, p.stderr)
        self.assertEqual(self.image("ls", check=True).stdout, self.images)
        self.assertEqual(tree(self.engine), self.files)

    def test_archives(self):
        self.engine = os.path.join(self.cluster.state, "node-0/data/agent/engine")
        self.images, self.files = self.image("ls", check=True).stdout, tree(self.engine)
        self.assertTrue(self.files)
        with tempfile.TemporaryDirectory() as d:
            whole = os.path.join(self.cluster.images, "BusyBox.tar")
            size = os.path.getsize(whole)
            for part in (100, 512, size // 3, size - 20000):
                cut = os.path.join(d, f"cut-{part}.tar")
                with open(whole, "rb") as f, open(cut, "wb") as g:
                    g.write(f.read(part))
                with self.subTest(cut=part):
                    self.refused(cut)
            f = tarfile.REGTYPE
            for name, members in (("up", {"../../../../../../tmp/onebin-escaped": (f, b"x")}), ("up2", {"a/../../../../../../../tmp/onebin-escaped": (f, b"x")}),
                                  ("hardlink", {"h": (tarfile.LNKTYPE, "../../../../../../etc/passwd")})):
                path = os.path.join(d, name + ".tar")
                self.archive(path, **members)
                with self.subTest(layer=name):
                    self.refused(path, "..", "leads out", "nothing of it was imported")
                    self.assertFalse(os.path.exists("/tmp/onebin-escaped"))
            # A link may point anywhere; what is written through it stays inside.
            path = os.path.join(d, "link.tar")
            self.archive(path, **{"out": (tarfile.SYMTYPE, "/tmp"), "out/onebin-escaped": (f, b"x")})
            self.image("import", path)
            self.assertFalse(os.path.exists("/tmp/onebin-escaped"))
            self.image("rm", "example.com/bad:1")
            # The archive's own members.
            path = os.path.join(d, "members.tar")
            with tarfile.open(path, "w") as t:
                for name in ("../onebin-escaped", "manifest.json"):
                    i = tarfile.TarInfo(name)
                    i.size = 2
                    t.addfile(i, io.BytesIO(b"[]"))
            self.refused(path, "../onebin-escaped", "leads out")
            self.assertFalse(os.path.exists(os.path.join(os.path.dirname(d), "onebin-escaped")))
            self.refused(os.path.join(d, "not-there.tar"), "no such file")


class Hosts(unittest.TestCase):
    """Programs that must not start: each tries in folders and a network namespace of its own."""
    cluster = None

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="onebin-bad-")
        cls.netns = "obbad" + os.path.basename(cls.dir)[-4:]
        run(["ip", "netns", "add", cls.netns])
        run(["ip", "-n", cls.netns, "link", "set", "lo", "up"])
        run(["ip", "-n", cls.netns, "addr", "add", "192.0.2.1/32", "dev", "lo"])

    @classmethod
    def tearDownClass(cls):
        run(["ip", "netns", "del", cls.netns])
        shutil.rmtree(cls.dir)

    def tearDown(self):
        # No process, mount or control group of what did not start.
        self.assertEqual([p for p in filter(str.isdigit, os.listdir("/proc")) if self.dir in self.command_line(p)], [])
        self.assertNotIn(self.dir, open("/proc/self/mountinfo").read())
        self.assertEqual([os.path.join(b, d) for b, dirs, _ in os.walk("/sys/fs/cgroup") for d in dirs if d == self.netns], [])

    @staticmethod
    def command_line(pid):
        try:
            return open(f"/proc/{pid}/cmdline").read()
        except OSError:
            return ""

    def path(self, name):
        return os.path.join(self.dir, name)

    def command(self, verb, name, *flags):
        node = ["--node-name", "bad", "--node-ip", "192.0.2.1", "--run-dir", self.path(name + "-run"), "--root-dir", self.path(name + "-root"), "--pod-logs-dir", self.path(name + "-logs"),
                "--cgroup-root", "/" + self.netns]
        if verb == "server":
            node += ["--advertise-address", "192.0.2.1", "--write-kubeconfig", self.path(name + ".kubeconfig")]
        return ["nsenter", f"--net=/run/netns/{self.netns}", self.cluster.binary, verb, "--config", "/dev/null", "--data-dir", self.path(name), *node, *flags]

    def refused(self, verb, name, *flags, env=None):
        p = run(self.command(verb, name, *flags), check=False, timeout=60, env=dict(os.environ, **(env or {})))
        self.assertGreater(p.returncode, 0, p.stderr)
        errors = [l for l in p.stderr.splitlines() if l.startswith("onebin: ")]
        self.assertEqual(len(errors), 1, p.stderr)
        return errors[0]

    def serve(self, name, *flags):
        """A server that starts: the process, and kubectl for it."""
        log = open(self.path(name + ".log"), "a")
        p = subprocess.Popen(self.command("server", name, "--disable-agent", *flags), stdout=log, stderr=log)
        log.close()
        def kubectl(*args, **kw):
            return run(["nsenter", f"--net=/run/netns/{self.netns}", self.cluster.kubectl_path, "--kubeconfig", self.path(name + ".kubeconfig"), *args], env=self.cluster.env(), **kw)
        try:
            eventually(lambda: kubectl("get", "--raw", "/readyz").stdout == "ok", 60, "the server is ready")
        except AssertionError:
            self.stop(p)
            raise
        return p, kubectl

    def stop(self, p):
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(30), 0)

    def test_server(self):
        p, kubectl = self.serve("good")
        try:
            kubectl("create", "configmap", "kept", "--from-literal=a=1")
            # The port.
            error = self.refused("server", "second", "--disable-agent")
            for w in ("6443", "in use", "--https-listen-port"):
                self.assertIn(w, error)
            self.assertFalse(os.path.exists(self.path("second.kubeconfig")))
            # The folder.
            error = self.refused("server", "good", "--disable-agent", "--https-listen-port", "6444")
            for w in (self.path("good"), str(p.pid), "stop it"):
                self.assertIn(w, error)
            self.assertEqual(kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}").stdout, "1")
        finally:
            self.stop(p)
        # A folder that a newer onebin has written: refused, and not one byte of it changed.
        db = self.path("good/server/db/state.db")
        def set_version(n):
            with sqlite3.connect(db) as c:
                was = c.execute("PRAGMA user_version").fetchone()[0]
                c.execute(f"PRAGMA user_version={n}")
            c.close()
            return was
        was = set_version(9999)
        before = open(db, "rb").read()
        error = self.refused("server", "good", "--disable-agent")
        for w in (db, "newer", "9999", "snapshot"):
            self.assertIn(w, error)
        self.assertEqual(open(db, "rb").read(), before)
        set_version(was)
        p, kubectl = self.serve("good")
        try:
            self.assertEqual(kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}").stdout, "1")
        finally:
            self.stop(p)
        # Flags and files.
        for flags, words in ((["--https-listen-port", "many"], ["--https-listen-port", "many"]), (["--no-such-flag"], ["--no-such-flag"]), (["--service-cidr", "10.43.0.0/99"], ["--service-cidr"]),
                             (["--token", "nonsense"], ["token"]), (["--service-node-port-range", "7"], ["--service-node-port-range", "30000-32767"])):
            with self.subTest(flags=flags):
                p = run(self.command("server", "flags", "--disable-agent", *flags), check=False, timeout=60)
                self.assertGreater(p.returncode, 0)
                for w in words:
                    self.assertIn(w, p.stderr + p.stdout)
        for text, words in (("a: [1", ["line"]), ("- list", ["map"]), ("no-such-flag: 1", ["no-such-flag"])):
            with self.subTest(config=text), open(self.path("config.yaml"), "w") as f:
                f.write(text)
                f.flush()
                p = run([self.cluster.binary, "server", "--config", f.name], check=False, timeout=60)
                self.assertGreater(p.returncode, 0)
                for w in words:
                    self.assertIn(w, p.stderr + p.stdout)

    def test_agent(self):
        p, kubectl = self.serve("joined")
        try:
            token = run([self.cluster.binary, "token", "--data-dir", self.path("joined")]).stdout.strip()
            ca, secret = token.split("::")
            other = "K10" + "".join("0123456789abcdef"[15 - int(c, 16)] for c in ca[3:])
            join = lambda t, *flags, **kw: self.refused("agent", "agent", "--join", "https://192.0.2.1:6443", *(["--token", t] if t else []), *flags, **kw)
            for name, t, words in (("secret", f"{ca}::{secret.split('.')[0]}.0123456789abcdef", ["token", "'onebin token'"]),
                                   ("id", f"{ca}::abcdef.0123456789abcdef", ["token", "'onebin token'"]),
                                   ("CA's hash", f"{other}::{secret}", ["https://192.0.2.1:6443", "CA", other[3:15], "'onebin token'"]),
                                   ("no CA's hash", secret, ["CA", "'onebin token'"]), ("malformed", "nonsense", ["malformed", "'onebin token'"]),
                                   ("none", "", ["token", "'onebin token'"])):
                with self.subTest(token=name):
                    error = join(t)
                    for w in words:
                        self.assertIn(w, error)
                    self.assertFalse(os.path.exists(self.path("agent/pki/client-kubelet.crt")))
            self.assertEqual(json.loads(kubectl("get", "nodes,csr", "-o", "json").stdout)["items"], [])
            # No runtime: the server is a node too, and an agent.
            for env, flags, words in ((dict(PATH="/nonexistent"), [], ["runc", "install", "--runc"]), ({}, ["--runc", "/no/such/runc"], ["/no/such/runc", "--runc"])):
                command = self.command("agent", "agent", "--join", "https://192.0.2.1:6443", "--token", token, *flags)
                command[0] = shutil.which("nsenter")
                p2 = run(command, check=False, timeout=60, env=dict(os.environ, **env))
                self.assertEqual(p2.returncode, 1, p2.stderr)
                error = [l for l in p2.stderr.splitlines() if l.startswith("onebin: ")]
                self.assertEqual(len(error), 1, p2.stderr)
                for w in words:
                    self.assertIn(w, error[0])
            self.assertEqual(json.loads(kubectl("get", "nodes", "-o", "json").stdout)["items"], [])
        finally:
            self.stop(p)
        p = run([self.cluster.binary, "check-config"], check=False, env=dict(os.environ, PATH="/nonexistent"))
        self.assertEqual(p.returncode, 1)
        self.assertRegex(p.stdout, r"missing +runc\n +-> apt-get install runc")
