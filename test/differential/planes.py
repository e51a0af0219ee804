"""The two servers: upstream's kube-apiserver over etcd, and onebin with neither controllers nor scheduler, so that nothing but
the test writes. Requests go to either by the same call."""
import base64
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import time
from collections import namedtuple
from urllib.parse import quote, urlencode

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVICE_RANGE = "10.96.0.0/16"

Reply = namedtuple("Reply", "code headers text body warnings")


def parse(text):
    """A JSON value; of a watch the list of its events; None where it is neither."""
    for read in (json.loads, lambda lines: [json.loads(line) for line in lines.splitlines()]):
        try:
            return read(text)
        except ValueError:
            pass
    return None


class Plane:
    def __init__(self, name, port, ca, cert, key):
        self.name, self.port = name, port
        self.context = ssl.create_default_context(cafile=ca)
        self.context.check_hostname = False
        self.context.load_cert_chain(cert, key)
        self.connection = None
        self.stop = lambda: None

    def request(self, method, path, body=None, content_type="application/json", accept="application/json", headers=None):
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        h = {"Accept": accept, "User-Agent": "differential/1", **(headers or {})}
        if body is not None:
            h["Content-Type"] = content_type
        for attempt in (0, 1):
            if self.connection is None:
                self.connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=60)
            try:
                self.connection.request(method, path, body, h)
                r = self.connection.getresponse()
                data = r.read()
                break
            except (http.client.HTTPException, OSError):
                self.connection = None
                if attempt:
                    raise
        text = data.decode("utf-8", "replace")
        parsed = parse(text)
        warnings = [re.sub(r'^299 \S+ "(.*)"$', lambda m: m.group(1).replace('\\"', '"').replace("\\\\", "\\"), w, flags=re.S) for w in (r.headers.get_all("Warning") or [])]
        return Reply(r.status, r.headers, text, parsed, warnings)


def url(group_version, resource, namespace=None, name=None, sub=None, query=None):
    root = f"/api/{group_version}" if "/" not in group_version else f"/apis/{group_version}"
    path = root + (f"/namespaces/{namespace}" if namespace else "") + f"/{resource}"
    if name is not None:
        path += "/" + quote(name, safe="")
    if sub:
        path += "/" + sub
    return path + ("?" + urlencode(query, doseq=True) if query else "")


def start_upstream(programs, folder, port):
    env = dict(os.environ, PORT=str(port), AUDIT="0")
    script = os.path.join(ROOT, "test/bench/upstream")
    subprocess.run([script, "start", programs, folder, "apiserver"], check=True, env=env, stdout=subprocess.DEVNULL)
    pki = os.path.join(folder, "pki")
    plane = Plane("upstream", port, f"{pki}/ca.crt", f"{pki}/admin.crt", f"{pki}/admin.key")
    plane.stop = lambda: subprocess.run([script, "stop", folder], check=False)
    return plane


def start_onebin(program, folder, port):
    os.makedirs(folder, exist_ok=True)
    config = os.path.join(folder, "admin.conf")
    log = open(os.path.join(folder, "log"), "wb")
    process = subprocess.Popen([program, "server", "--disable-agent", "--disable", "controller-manager,scheduler,coredns", "--data-dir", os.path.join(folder, "data"),
                                "--bind-address", "127.0.0.1", "--https-listen-port", str(port), "--service-cidr", SERVICE_RANGE, "--write-kubeconfig", config],
                               stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit("onebin ended: " + open(os.path.join(folder, "log")).read()[-2000:])
        if os.path.exists(config):
            break
        time.sleep(0.1)
    text = open(config).read()

    def part(key):
        path = os.path.join(folder, key)
        with open(path, "wb") as f:
            f.write(base64.b64decode(re.search(key + r'"?: *"?([A-Za-z0-9+/=]+)', text).group(1)))
        return path

    plane = Plane("onebin", port, part("certificate-authority-data"), part("client-certificate-data"), part("client-key-data"))

    def stop():
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(os.path.join(folder, "data"), ignore_errors=True)

    plane.stop = stop
    for _ in range(600):
        try:
            if plane.request("GET", "/readyz").code == 200:
                break
        except OSError:
            pass
        time.sleep(0.1)
    return plane
