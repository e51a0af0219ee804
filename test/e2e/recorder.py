"""A recording proxy between kubectl and the API server: it ends kubectl's TLS, presents the administrator's certificate to
the server, passes bytes on unchanged and keeps the first request head and answer head of every connection. What a
connection was upgraded to is thus seen on the wire, not taken from anybody's word."""
import asyncio, base64, os, re, ssl, tempfile, threading, urllib.parse
from harness import run


class Exchange:
    """One connection: the heads as sent, the upgrade's name, and how many bytes went each way after the heads."""

    def __init__(self):
        self.request = self.answer = b""
        self.up = self.down = 0

    @staticmethod
    def header(head, name):
        m = re.search(rb"^" + name.encode() + rb":[ \t]*(.*?)\r$", head, re.I | re.M)
        return m.group(1).decode() if m else ""

    @property
    def method(self):
        return self.request.split(b" ", 1)[0].decode()

    @property
    def path(self):
        return self.request.split(b" ", 2)[1].decode().split("?")[0] if self.request.count(b" ") >= 2 else ""

    @property
    def status(self):
        return self.answer.split(b" ", 2)[1].decode() if self.answer.count(b" ") >= 1 else ""

    @property
    def upgrade(self):
        """What the server agreed to: its answer's Upgrade header, and only with status 101."""
        return self.header(self.answer, "Upgrade").lower() if self.status == "101" else ""

    @property
    def protocol(self):
        """The protocol that the server chose."""
        return self.header(self.answer, "Sec-WebSocket-Protocol") or self.header(self.answer, "X-Stream-Protocol-Version")

    def __repr__(self):
        return f"{self.method} {self.path} -> {self.status} {self.upgrade} {self.protocol} (up {self.up}, down {self.down})"


class Recorder:
    def __init__(self, kubeconfig):
        text = open(kubeconfig).read()
        field = lambda k: re.search(k + r": (\S+)", text).group(1)
        self.dir = tempfile.TemporaryDirectory()
        path = lambda name: os.path.join(self.dir.name, name)
        for name, key in (("ca", "certificate-authority-data"), ("admin.crt", "client-certificate-data"), ("admin.key", "client-key-data")):
            with open(os.open(path(name), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
                f.write(base64.b64decode(field(key)))
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=recorder",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path("key"), "-out", path("crt")])
        url = urllib.parse.urlparse(field("server"))
        self.server = (url.hostname, url.port)
        self.to_server = ssl.create_default_context(cafile=path("ca"))
        self.to_server.load_cert_chain(path("admin.crt"), path("admin.key"))
        self.to_server.set_alpn_protocols(["http/1.1"])
        self.to_client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.to_client.load_cert_chain(path("crt"), path("key"))
        self.to_client.set_alpn_protocols(["http/1.1"])
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.to_client, limit=1 << 18)
        self.listener = asyncio.run_coroutine_threadsafe(start, self.loop).result(10)
        port = self.listener.sockets[0].getsockname()[1]
        self.lock, self.all = threading.Lock(), []
        namespace = re.search(r"namespace: (\S+)", text)
        self.kubeconfig = path("kubeconfig")
        with open(self.kubeconfig, "w") as f:
            f.write(f"""apiVersion: v1
kind: Config
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u, namespace: {namespace.group(1) if namespace else "default"}}}}}]
clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: {path("crt")}}}}}]
users: [{{name: u, user: {{username: recorder, password: recorder}}}}]
""")

    def close(self):
        async def stop():
            self.listener.close()
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for t in tasks:
                t.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        asyncio.run_coroutine_threadsafe(stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
        self.dir.cleanup()

    def clear(self):
        with self.lock:
            self.all = []

    def upgrades(self, suffix):
        """Connections that were upgraded for a path with this ending, since clear()."""
        with self.lock:
            return [x for x in self.all if x.path.endswith(suffix) and x.status == "101"]

    async def _serve(self, client_in, client_out):
        x, server_out = Exchange(), None
        with self.lock:
            self.all.append(x)
        try:
            server_in, server_out = await asyncio.open_connection(*self.server, ssl=self.to_server, limit=1 << 18)
            ways = [asyncio.ensure_future(self._pump(client_in, server_out, x, "request", "up")),
                    asyncio.ensure_future(self._pump(server_in, client_out, x, "answer", "down"))]
            # Neither side ends one direction of TLS alone: the end of one is the end of both.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for w in ways:
                w.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, ssl.SSLError):
            pass
        finally:
            for w in filter(None, (client_out, server_out)):
                w.close()

    @staticmethod
    async def _pump(source, target, x, head, count):
        """Bytes from one side to the other; those up to the first empty line are kept."""
        seen, open_head = b"", True
        while data := await source.read(1 << 18):
            if open_head:
                seen += data
                end = seen.find(b"\r\n\r\n")
                if end >= 0 or len(seen) > 1 << 16:
                    open_head = False
                    setattr(x, head, seen[:end + 4])
                    setattr(x, count, len(seen) - end - 4)
            else:
                setattr(x, count, getattr(x, count) + len(data))
            target.write(data)
            await target.drain()
