#!/usr/bin/env python3
"""Bad input against a control plane of its own: refused with the right status, and others still served.

test_robustness.py [--binary FILE] [--idle N] [NAME...]. Needs no cluster and no root. The last line is 'N passed, N failed'."""
import argparse, base64, json, os, re, resource, shutil, signal, socket, ssl, subprocess, sys, tempfile, threading, time, unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
OPTIONS = argparse.Namespace(binary=os.path.join(ROOT, "build/release/onebin"), idle=10000)
GIVE_UP = 120  # seconds


class Plane:
    """`onebin server --disable-agent` on a free port of 127.0.0.1."""

    def __init__(self, *flags):
        self.folder = tempfile.mkdtemp(prefix="onebin-robust-")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        config = os.path.join(self.folder, "kubeconfig")
        self.log = open(os.path.join(self.folder, "log"), "w")
        self.process = subprocess.Popen([OPTIONS.binary, "server", "--disable-agent", "--data-dir", os.path.join(self.folder, "data"), "--bind-address", "127.0.0.1",
                                         "--https-listen-port", str(self.port), "--write-kubeconfig", config, *flags], stdout=self.log, stderr=self.log)
        end = time.time() + GIVE_UP
        while not os.path.exists(config):
            if self.process.poll() is not None or time.time() > end:
                raise AssertionError("the server did not start:\n" + open(self.log.name).read())
            time.sleep(0.05)
        text = open(config).read()
        parts = {k: base64.b64decode(re.search(rf"{k}-data: (\S+)", text).group(1)) for k in ("certificate-authority", "client-certificate", "client-key")}
        for k, v in parts.items():
            with open(os.path.join(self.folder, k), "wb") as f:
                f.write(v)
        self.anonymous = ssl.create_default_context(cafile=os.path.join(self.folder, "certificate-authority"))
        self.admin = ssl.create_default_context(cafile=os.path.join(self.folder, "certificate-authority"))
        self.admin.load_cert_chain(os.path.join(self.folder, "client-certificate"), os.path.join(self.folder, "client-key"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(GIVE_UP)
        self.log.close()
        shutil.rmtree(self.folder)

    def dial(self, context=None, timeout=GIVE_UP):
        s = socket.create_connection(("127.0.0.1", self.port), timeout)
        return (context or self.admin).wrap_socket(s, server_hostname="127.0.0.1")

    def rss(self):
        """Kilobytes resident."""
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{self.process.pid}/status").read()).group(1))

    def raw(self, data, context=None, timeout=GIVE_UP):
        """What comes back for these bytes until the server closes; the status of the first answer is its first number."""
        with self.dial(context, timeout) as s:
            try:
                s.sendall(data)
            except OSError:
                pass  # refused before all was sent
            out = b""
            try:
                while chunk := s.recv(65536):
                    out += chunk
            except OSError:
                pass
            return out

    def call(self, method, path, body=b"", content_type="application/json", headers=(), context=None):
        """One request on a connection of its own: (status, body)."""
        head = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}", f"Content-Type: {content_type}", *headers]
        answer = self.raw("\r\n".join(head).encode() + b"\r\n\r\n" + body, context)
        head, _, rest = answer.partition(b"\r\n\r\n")
        return status(head), rest, head


def status(answer):
    m = re.match(rb"HTTP/1\.1 (\d+)", answer)
    return int(m.group(1)) if m else 0


class Robustness(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plane = Plane()
        cls.served, cls.unserved, cls.watching = 0, [], True
        cls.watcher = threading.Thread(target=cls.watch)
        cls.watcher.start()

    @classmethod
    def watch(cls):
        """Another client all the while: each of its requests must be answered."""
        while cls.watching:
            code, _, _ = cls.plane.call("GET", "/api/v1/namespaces/default")
            if code == 200:
                cls.served += 1
            else:
                cls.unserved.append(code)
            time.sleep(0.2)

    @classmethod
    def tearDownClass(cls):
        cls.watching = False
        cls.watcher.join()
        cls.plane.stop()

    def setUp(self):
        self.served_before = self.served

    def tearDown(self):
        self.assertIsNone(self.plane.process.poll(), "the server has ended")
        end = time.time() + GIVE_UP
        while self.served < self.served_before + 2 and not self.unserved:  # of two, one began during the test or after it
            self.assertLess(time.time(), end, "another client waits for its answer")
            time.sleep(0.1)
        self.assertEqual(self.unserved, [], "another client was not served")
        self.assertLess(self.plane.rss(), 400000, "memory")

    def refused(self, codes, *call, **kw):
        code, body, _ = self.plane.call(*call, **kw)
        self.assertIn(code, codes, body[:300])
        return body

    def test_headers(self):
        p = self.plane
        self.assertEqual(status(p.raw(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * (2 << 20))), 431)
        self.assertEqual(status(p.raw(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 60000 + b"\r\n")), 431)
        self.assertEqual(status(p.raw(b"GET /version?" + b"a" * 500000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")), 200)
        for bad in (b"GET\r\n\r\n", b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", b"\0\0\0\0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"G\xffT / HTTP/1.1\r\nHost: x\r\n\r\n"):
            self.assertEqual(status(p.raw(bad)), 400, bad)

    def test_smuggling(self):
        inner = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        for head in (b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"Content-Length: 4\r\nContent-Length: 40", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding : chunked"):
            answer = self.plane.raw(b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + inner)
            self.assertEqual(status(answer), 400, head)
            self.assertEqual(answer.count(b"HTTP/1.1 "), 1, head)

    def test_pipelining(self):
        n = 500
        answer = self.plane.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * n + b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertEqual(answer.count(b"HTTP/1.1 200"), n + 1)

    def test_bodies(self):
        path = "/api/v1/namespaces/default/configmaps"
        self.refused([413], "POST", path, b"x" * (4 << 20))
        chunked = b"".join(b"%x\r\n" % 65536 + b"y" * 65536 + b"\r\n" for _ in range(80)) + b"0\r\n\r\n"
        answer = self.plane.raw(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode() + chunked)
        self.assertEqual(status(answer), 413)
        import gzip
        bomb = gzip.compress(b"\0" * (64 << 20))
        self.refused([400], "POST", path, bomb, headers=["Content-Encoding: gzip"])  # bodies are never unpacked, as upstream
        self.refused([415], "POST", path, b"{}", "application/cbor")
        self.refused([406], "GET", path, headers=["Accept: application/cbor"])

    def test_nesting(self):
        path = "/api/v1/namespaces/default/configmaps"
        n = 1 << 20
        for kind, body in (("application/json", b'{"metadata":{"name":"a"},"data":' + b"[" * n), ("application/json", b'{"a":' * (n // 4)), ("application/yaml", b"[" * n),
                           ("application/yaml", b"- " * n), ("application/yaml", b"a: &a [x,x,x,x]\n" + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 24)) for i in range(8))),
                           ("application/yaml", b"a: &a " + b"x" * n + b"\nb: [" + b"*a," * 300000 + b"]\n"), ("application/vnd.kubernetes.protobuf", b"k8s\0" + b"\x12\x80\x01" * (n // 2)),
                           ("application/vnd.kubernetes.protobuf", b"k8s\0" + b"\x0b" * n)):
            self.refused([400], "POST", path, body, kind)
        deep = "[" * 400000 + "]" * 400000
        fields = json.dumps({"metadata": {"name": "deep", "managedFields": [{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"v:" + deep: {}}}]}})
        code, body, _ = self.plane.call("POST", path, fields.encode())
        self.assertIn(code, (201, 400, 422, 500), body[:200])
        noted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "noted", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "[" * 250000}}}
        self.refused([201], "POST", path, json.dumps(noted).encode())
        applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "noted"}, "data": {"a": "b"}}
        self.refused([200], "PATCH", path + "/noted?fieldManager=kubectl&force=true", json.dumps(applied).encode(), "application/apply-patch+yaml")

    def test_patches(self):
        path = "/api/v1/namespaces/default/configmaps"
        self.refused([201], "POST", path, json.dumps({"metadata": {"name": "target"}, "data": {"a": "b"}}).encode())
        target, kind = path + "/target", "application/json-patch+json"
        body = self.refused([413], "PATCH", target, json.dumps([{"op": "test", "path": "/data/a", "value": "b"}] * 10001).encode(), kind)
        self.assertIn(b"The allowed maximum operations in a JSON patch is 10000, got 10001", body)
        self.refused([200], "PATCH", target, json.dumps([{"op": "test", "path": "/data/a", "value": "b"}] * 10000).encode(), kind)
        doubling, where = [{"op": "add", "path": "/x", "value": {}}], "/x"
        for i in range(17):
            doubling.append({"op": "copy", "from": "/x", "path": where + "/x"})
            where += "/x" * (1 << i)
        self.refused([400, 413, 422], "PATCH", target, json.dumps(doubling).encode(), kind)
        shifting = [{"op": "add", "path": "/l", "value": [0] * 500000}] + [{"op": "add", "path": "/l/0", "value": 0}] * 9000
        self.refused([400, 413, 422], "PATCH", target, json.dumps(shifting, separators=(",", ":")).encode(), kind)
        growing = [{"op": "add", "path": "/l", "value": "x" * 1000000}] + [{"op": "copy", "from": "/l", "path": f"/l{i}"} for i in range(9000)]
        self.refused([400, 413, 422], "PATCH", target, json.dumps(growing).encode(), kind)
        self.refused([400, 415, 422], "PATCH", target, b"[" * 1000000, "application/merge-patch+json")
        self.refused([415], "PATCH", target, b"{}", "application/apply-patch+cbor")

    def test_selectors(self):
        path = "/api/v1/pods?"
        self.refused([200], "GET", path + "labelSelector=a+in+(" + "v," * 100000 + "v)")
        for q in ("labelSelector=" + "%28" * 100000, "labelSelector=a" + "!" * 100000, "fieldSelector=" + "%5C" * 100000, "fieldSelector=spec.nope%3Dx", "limit=99999999999999999999",
                  "resourceVersion=x", "continue=" + "A" * 100000, "timeoutSeconds=1e9"):
            self.refused([400, 410, 422], "GET", path + q)
        self.refused([500], "GET", path + "watch=1&resourceVersion=-1")  # as upstream

    def test_credentials(self):
        p = self.plane
        tokens = ["x", "a.b.c", ".." , "." * 5000, "A" * 200000, base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=") + ".e30.",
                  base64.urlsafe_b64encode(b'{"alg":"ES256","kid":' + b"[" * 100000).decode() + ".e30.AAAA"]
        for t in tokens:
            code, _, _ = p.call("GET", "/api", headers=["Authorization: Bearer " + t], context=p.anonymous)
            self.assertEqual(code, 401, t[:50])
        with tempfile.TemporaryDirectory() as d:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k", "-out", "c", "-days", "1", "-subj",
                            "/O=system:masters/CN=" + "x" * 60], cwd=d, check=True, capture_output=True)
            stranger = ssl.create_default_context(cafile=os.path.join(p.folder, "certificate-authority"))
            stranger.load_cert_chain(os.path.join(d, "c"), os.path.join(d, "k"))
            self.assertEqual(p.call("GET", "/api", context=stranger)[0], 401)
            csr = {"metadata": {"name": "bad"}, "spec": {"signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}}
            for request in (b"x", b"-----BEGIN CERTIFICATE REQUEST-----\n" + b"A" * 100000 + b"\n-----END CERTIFICATE REQUEST-----\n", open(os.path.join(d, "c"), "rb").read()):
                csr["spec"]["request"] = base64.b64encode(request).decode()
                self.refused([422], "POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", json.dumps(csr).encode())
        for hello in (b"\x16\x03\x01\xff\xff" + b"\x01" * 65535, b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000)):
            with socket.create_connection(("127.0.0.1", p.port), 30) as s:
                try:
                    s.sendall(hello)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                except OSError:
                    pass

    def test_idle_and_slow(self):
        """Many idle connections, heads that come a byte at a time and bodies that do not come, while others are served."""
        p, idle, slow = self.plane, [], []
        before = p.rss()
        for _ in range(100):
            s = p.dial()
            s.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\nX: ")
            s.setblocking(False)
            slow.append(s)
        waiting, answers, bodies = list(slow), [], []
        for _ in range(100):
            s = p.dial()
            s.sendall(b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")
            bodies.append(s)

        def trickle():
            """One more byte on each; those that were answered or ended are done."""
            for s in list(waiting):
                try:
                    s.send(b"y")
                    answers.append(s.recv(4096))
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    continue
                except OSError:
                    answers.append(b"")
                waiting.remove(s)

        for i in range(min(OPTIONS.idle, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1000)):
            idle.append(p.dial(p.anonymous))
            if i % 50 == 0:
                trickle()
        grown = p.rss() - before
        print(f"{len(idle)} idle connections: {grown / len(idle):.1f} KB each", end=" ... ", flush=True)
        self.assertLess(grown / len(idle), 60)
        self.assertEqual(p.call("GET", "/readyz")[0], 200)
        # None was closed to make room, and each is still served.
        for s in idle[::100]:
            s.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(status(s.recv(4096)), 200)
        # A slow head has its time, however it trickles.
        end = time.time() + GIVE_UP
        while waiting:
            self.assertLess(time.time(), end, f"{len(waiting)} slow connections still stand")
            trickle()
            time.sleep(0.5)
        for answer in answers:
            self.assertIn(status(answer), (0, 408))
        for s in slow + bodies + idle:
            s.close()


class Cbor(unittest.TestCase):
    """The format is off unless its feature gate is on, as upstream."""

    def test_gate(self):
        p = Plane("--feature-gates", "CBORServingAndStorage=true")
        try:
            path = "/api/v1/namespaces/default/secrets"
            #  {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"k": 22(h'0102')}}
            made = bytes.fromhex("d9d9f7a4446b696e644653656372657448" "6d65746164617461" "a1446e616d654163" "4a61706956657273696f6e" "427631" "4464617461" "a1416bd6420102")
            code, body, head = p.call("POST", path, made, "application/cbor", ["Accept: application/cbor"])
            self.assertEqual(code, 201, body)
            self.assertIn(b"Content-Type: application/cbor\r\n", head + b"\r\n")
            self.assertTrue(body.startswith(b"\xd9\xd9\xf7"))
            self.assertIn(bytes.fromhex("416bd6420102"), body)
            code, body, _ = p.call("GET", path + "/c")
            self.assertEqual(json.loads(body)["data"], {"k": "AQI="})
            code, body, _ = p.call("GET", path, headers=["Accept: application/cbor"])
            self.assertEqual(code, 200)
            self.assertIn(b"\x44kind\x4aSecretList\x45items", body)
            code, body, _ = p.call("PATCH", path + "/c?fieldManager=m&force=true", made, "application/apply-patch+cbor")
            self.assertEqual(code, 200, body)
            code, body, head = p.call("GET", path + "?watch=1&timeoutSeconds=1&resourceVersion=0", headers=["Accept: application/cbor"])
            self.assertIn(b"Content-Type: application/cbor-seq", head)
            self.assertIn(b"\x44type\x45ADDED", body)
            code, body, _ = p.call("POST", path, b"\xa1\x61a\xff", "application/cbor")
            self.assertEqual(code, 400)
            code, body, _ = p.call("GET", path + "/none", headers=["Accept: application/cbor"])
            self.assertEqual(code, 404)
            self.assertTrue(body.startswith(b"\xd9\xd9\xf7"))
        finally:
            p.stop()


if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--binary", default=OPTIONS.binary)
    a.add_argument("--idle", type=int, default=OPTIONS.idle)
    a.add_argument("names", nargs="*")
    a.parse_args(namespace=OPTIONS)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    loader = unittest.TestLoader()
    if OPTIONS.names:
        loader.testNamePatterns = [f"*{n}*" for n in OPTIONS.names]
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(loader.loadTestsFromModule(sys.modules[__name__]))
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
