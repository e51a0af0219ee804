#!/usr/bin/env python3
"""Makes the fuzzers' seed corpora: seeds.py DIR writes DIR/FUZZER/N, well-formed inputs and near misses, from code alone."""
import base64, gzip, io, json, os, struct, subprocess, sys, tarfile, tempfile, zlib

OBJECTS = [
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b", "labels": {"app": "x"}, "creationTimestamp": "2026-01-02T03:04:05Z",
     "managedFields": [{"manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
                        "fieldsV1": {"f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}}}, "f:x": {'v:"y"': {}}}}}]},
     "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "100m", "memory": "1.5Gi"}}, "ports": [{"containerPort": 80}],
              "livenessProbe": {"httpGet": {"port": "http", "path": "/"}}}], "tolerations": [{"operator": "Exists", "tolerationSeconds": 300}]}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "AAEC"}, "stringData": {"a": "é\U0001f600"}},
    {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 3, "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}}}},
    {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": [None, True, -1, 1.5e-3, 18446744073709551615, "\ud7ff", [], {}]},
]
JSON = [json.dumps(o).encode() for o in OBJECTS] + [b"[" * 200, b'{"a":1,"a":2}', b'{"a":1e999}', b'"\\ud800\\u0041"', b"-0", b" 1 x"]


def cbor(v):
    """Deterministic CBOR as Kubernetes writes it: byte strings for text."""
    def head(major, n):
        for info, limit, size in ((None, 24, 0), (24, 1 << 8, 1), (25, 1 << 16, 2), (26, 1 << 32, 4), (27, 1 << 64, 8)):
            if n < limit:
                return bytes([major << 5 | (n if info is None else info)]) + (n.to_bytes(size, "big") if size else b"")
    if v is None or isinstance(v, bool):
        return bytes([0xf6 if v is None else 0xf5 if v else 0xf4])
    if isinstance(v, int):
        return head(0, v) if v >= 0 else head(1, -1 - v)
    if isinstance(v, float):
        return b"\xfb" + struct.pack(">d", v)
    if isinstance(v, str):
        b = v.encode("utf-8", "surrogatepass")
        return head(2, len(b)) + b
    if isinstance(v, list):
        return head(4, len(v)) + b"".join(map(cbor, v))
    keys = sorted(v, key=lambda k: (len(k.encode()), k.encode()))
    return head(5, len(v)) + b"".join(cbor(k) + cbor(v[k]) for k in keys)


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def protobuf():
    meta = field(1, "name") + field(3, "ns") + field(5, "uid") + field(6, "7") + field(11, field(1, "k") + field(2, "v")) + field(8, field(1, 1700000000))
    container = field(1, "c") + field(2, "image") + field(3, "cmd") + field(6, field(1, "http") + field(3, 80)) + field(8, field(1, field(1, "cpu") + field(2, field(1, "100m"))))
    pod = field(1, meta) + field(2, field(2, container) + field(3, "Always") + field(4, 30)) + field(3, field(1, "Running"))
    envelope = b"k8s\0" + field(1, field(1, "v1") + field(2, "Pod")) + field(2, pod) + field(3, "") + field(4, "")
    deep = b""
    for _ in range(150):
        deep = field(2, deep)
    return [pod, envelope, deep, field(2, b"\xff" * 9), b"\x13\x14", field(1, "ADDED") + field(2, field(1, envelope))]


def h2():
    def frame(kind, flags, stream, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    get, post = b"\x82\x84\x86\x41\x01a", b"\x83\x84\x86\x41\x01a"
    settings = frame(4, 0, 0, struct.pack(">HI", 3, 100) + struct.pack(">HI", 4, 0))
    bomb = b"\x82\x84\x86\x41\x01a" + b"\x40\x01n\x7f\xf0\x1f" + b"v" * 4111 + b"\xbe" * 2000
    flows = [
        frame(1, 5, 3, get) + frame(8, 0, 3, struct.pack(">I", 1000)) + frame(3, 0, 3, struct.pack(">I", 8)),
        frame(1, 4, 3, post) + frame(0, 0, 3, b"x" * 100) + frame(0, 1, 3, b"y" * 10),
        frame(1, 1, 3, get[:3]) + frame(9, 0, 3, get[3:]) + frame(9, 4, 3),
        frame(1, 0, 3, get[:3]) + frame(9, 0, 3) * 20,
        b"".join(frame(1, 5, i, get) + frame(3, 0, i, struct.pack(">I", 8)) for i in range(3, 203, 2)),
        settings * 50 + frame(6, 0, 0, b"12345678") * 50,
        frame(1, 5, 3, bomb), frame(1, 37, 3, b"\0\0\0\0\x10" + get), frame(2, 0, 5, b"\0\0\0\3\x10"),
        frame(7, 0, 0, struct.pack(">II", 0, 0) + b"bye"), frame(8, 0, 0, struct.pack(">I", 0x7fffffff)), frame(1, 13, 3, b"\2" + get + b"\0\0"),
        frame(1, 4, 3, post + b"\x0f\x0d\x03" + b"999") + frame(0, 1, 3, b"short"),
    ]
    return [bytes([1]) + f for f in flows] + [bytes([0]) + flows[0]]


def spdy():
    def control(kind, payload, flags=0):
        return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload
    pack = zlib.compressobj()
    block = pack.compress(struct.pack(">I", 1) + struct.pack(">I", 10) + b"streamtype" + struct.pack(">I", 5) + b"stdin") + pack.flush(zlib.Z_SYNC_FLUSH)
    bomb = zlib.compress(struct.pack(">I", 1) + b"\0" * 1000000)
    frames = [control(1, struct.pack(">II", 1, 0) + b"\0\0" + block), control(2, struct.pack(">I", 1) + block), control(3, struct.pack(">II", 1, 5)),
              control(6, struct.pack(">I", 1)), control(7, struct.pack(">II", 1, 0)), control(9, struct.pack(">II", 1, 65536)), control(4, struct.pack(">I", 0)),
              struct.pack(">II", 1, 5) + b"hello", struct.pack(">II", 1, 1 << 24), control(1, struct.pack(">II", 3, 0) + b"\0\0" + bomb)]
    return [bytes([7]) + b"".join(frames)] + [bytes([63]) + f for f in frames] + [bytes([0x80]) + block, bytes([0x80]) + bomb, bytes([0x81]) + b"name: value;"]


def websocket():
    def frame(op, payload, fin=True, mask=b"\1\2\3\4", size=None):
        n = len(payload) if size is None else size
        head = bytes([(0x80 if fin else 0) | op])
        m = 0x80 if mask else 0
        head += bytes([m | n]) if n < 126 else bytes([m | 126]) + n.to_bytes(2, "big") if n < 65536 else bytes([m | 127]) + n.to_bytes(8, "big")
        return head + (mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if mask else payload)
    flows = [frame(1, b"hello"), frame(2, b"\0" + b"x" * 200) + frame(9, b"ping") + frame(8, b"\x03\xe8"), frame(1, b"a", False) + frame(9, b"") + frame(0, b"b"),
             frame(2, b"", size=1 << 62), frame(2, b"y" * 70000)]
    return [bytes([63]) + f for f in flows] + [bytes([62]) + frame(2, b"z" * 130, mask=None)]


def tars():
    def tar(members):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
            for name, kind, data in members:
                i = tarfile.TarInfo(name)
                i.type, i.mode = kind, 0o755
                if kind == tarfile.REGTYPE:
                    i.size = len(data)
                    t.addfile(i, io.BytesIO(data))
                else:
                    i.linkname = data.decode()
                    t.addfile(i)
        return out.getvalue()
    layer = tar([("bin", tarfile.DIRTYPE, b""), ("bin/sh", tarfile.REGTYPE, b"#!x"), ("l", tarfile.SYMTYPE, b"bin/sh"), ("h", tarfile.LNKTYPE, b"bin/sh"),
                 ("bin/.wh.old", tarfile.REGTYPE, b""), (".wh..wh..opq", tarfile.REGTYPE, b""), ("fifo", tarfile.FIFOTYPE, b""), ("n" * 200, tarfile.REGTYPE, b"long")])
    evil = tar([("../victim", tarfile.REGTYPE, b"evil"), ("up", tarfile.SYMTYPE, b".."), ("up/victim", tarfile.REGTYPE, b"evil"), ("/abs", tarfile.REGTYPE, b"x"),
                ("hl", tarfile.LNKTYPE, b"../victim")])
    import hashlib
    digest = lambda b: "sha256:" + hashlib.sha256(b).hexdigest()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"], "Env": ["A=b"]}, "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}).encode()
    docker = tar([("c.json", tarfile.REGTYPE, config), ("layer.tar", tarfile.REGTYPE, layer),
                  ("manifest.json", tarfile.REGTYPE, json.dumps([{"Config": "c.json", "RepoTags": ["a:b"], "Layers": ["layer.tar"]}]).encode())])
    manifest = json.dumps({"schemaVersion": 2, "config": {"digest": digest(config), "mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config)},
                           "layers": [{"digest": digest(layer), "mediaType": "application/vnd.oci.image.layer.v1.tar", "size": len(layer)}]}).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [{"digest": digest(manifest), "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": len(manifest),
                        "annotations": {"org.opencontainers.image.ref.name": "a:b"}}]}).encode()
    blob = lambda b: ("blobs/sha256/" + digest(b)[7:], tarfile.REGTYPE, b)
    oci = tar([("oci-layout", tarfile.REGTYPE, b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", tarfile.REGTYPE, index), blob(manifest), blob(config), blob(layer)])
    return [layer, evil, gzip.compress(layer), gzip.compress(b"\0" * 3000000)], [docker, oci, gzip.compress(docker)]


def certificates():
    out = []
    with tempfile.TemporaryDirectory() as d:
        ssl = lambda *a: subprocess.run(["openssl", *a], cwd=d, check=True, capture_output=True).stdout
        for i, algorithm in enumerate((["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["rsa:2048"], ["ed25519"])):
            san = "subjectAltName=DNS:a.b,IP:10.0.0.1,IP:::1,URI:spiffe://x/y,email:a@b"
            common = ["-newkey", *algorithm, "-nodes", "-keyout", f"k{i}", "-subj", "/O=system:nodes/O=x/CN=system:node:a", "-addext", san]
            out.append(ssl("req", "-new", *common))
            out.append(ssl("req", "-x509", "-days", "1", *common, "-addext", "extendedKeyUsage=clientAuth,serverAuth"))
            out.append(open(f"{d}/k{i}", "rb").read())
    return out + [base64.b64decode(b"".join(p.splitlines()[1:-1])) for p in list(out)] + [out[1] + out[4]]


def jwt():
    part = lambda v: base64.urlsafe_b64encode(json.dumps(v).encode()).rstrip(b"=")
    claims = {"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:a:b", "aud": ["x"], "exp": 4102444800, "kubernetes.io": {"namespace": "a"}}
    tokens = [part(h) + b"." + part(claims) + b"." + base64.urlsafe_b64encode(b"x" * 64).rstrip(b"=")
              for h in ({"alg": "ES256", "kid": ""}, {"alg": "none"}, {"alg": "RS256", "kid": "x"}, {"alg": "HS256"}, [])]
    return tokens + [b"h" + json.dumps({"alg": "ES256"}).encode() + b"\n" + json.dumps(claims).encode(), b"s\0\1A", b"s\0\x30b..", b"...", b"h" + b"[" * 500]


def main(root):
    layers, archives = tars()
    pairs = [[OBJECTS[0], [{"op": "add", "path": "/metadata/labels/x", "value": "y"}, {"op": "copy", "from": "/spec", "path": "/spec/x"}, {"op": "test", "path": "/kind", "value": "Pod"}]],
             [{"items": [{"name": "a", "n": 1}], "set": ["x"]}, {"items": [{"name": "a", "$patch": "delete"}, {"name": "b"}], "$setElementOrder/items": [{"name": "b"}]}],
             [{"map": {"a": "b"}, "one": {"name": "x"}}, {"map": {"a": None}, "one": {"$patch": "replace"}, "$retainKeys": ["one"]}]]
    http = [b"GET /api/v1/pods?watch=1&labelSelector=a%3Db HTTP/1.1\r\nHost: a\r\nAccept: application/json;q=0.5, */*\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\nGET / HTTP/1.0\r\n\r\n",
            b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcDELETE /x HTTP/1.1\r\nHost: b\r\n\r\n",
            b"GET http://h/p HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"]
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", b"HTTP/1.0 200\r\n\r\nrest"]
    question = lambda name, kind: struct.pack(">HHHHHH", 7, 256, 1, 0, 0, 0) + b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + struct.pack(">HH", kind, 1)
    seeds = {
        "json": [bytes([i]) + j for i in (0, 1, 7) for j in JSON],
        "cbor": [bytes([i]) + tag + cbor(o) for i in (0, 1, 7) for tag in (b"", b"\xd9\xd9\xf7") for o in OBJECTS] +
                [b"\0" + x for x in (b"\x9f\x01\xff", b"\xbf\x41a\x01\xff", b"\xf9\x3c\x00", b"\xd6\x43abc", b"\xc0\x54" + b"2026-01-02T03:04:05Z", b"\xc1\x1a\x60\0\0\0", b"\x5f\x41a\x41b\xff", b"\x81" * 200)],
        "protobuf": [bytes([i]) + p for i in (0, 2, 9) for p in protobuf()],
        "yaml": JSON[:4] + [b"a: &x [1, yes, ~, 0x1F, 1_000, .inf]\nb: *x\nc: {<<: *x}\n", b"- |\n  t\n- >-\n  u\n- !!binary AAEC\n", b"a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n", b"? a\n: 'b'\n--- %x\n"],
        "patch": [json.dumps(p).encode() for p in pairs] + [bytes(range(64)), bytes(range(255, 100, -1))],
        "cel": [b"self.spec.list.all(x, x > 0) && has(self.spec.name)", b"object.spec.containers.map(c, c.image).filter(i, i.matches('^n.*'))[?0].orValue('')",
                b"'%s %d %.2f'.format([1, 2, 3.0]) + b'x'.size() ? {'a': [1u, -1, 0x1F]} : r\"\\d\"", b"timestamp('2020-01-01T00:00:00Z') - duration('1h') < self.spec.when",
                b"quantity('1.5Gi').add(1).compareTo(quantity('1')) == 0", b"ip('::1').family() == 6 && cidr('10.0.0.0/8').containsIP('10.1.1.1')",
                b"url('https://a:80/b?c=d').getQuery()['c'].exists(i, v, v == 'd')", b"Object{spec: Object.spec{a: 1}}", b"[1, 2].transformMap(i, v, v * 2)", b"semver('1.2.3').major() in [1]"],
        "selector": [b"a=b,c!=d,e in (f,g),h notin (i),j,!k,l>5,m<6", b"metadata.name=x,spec.nodeName!=y", b"{.spec.list[?(@.a==\"b\")].n}", b"{range .items[*]}{.a['b']}{end}", b"$..a[0:2:1,3]", b"a\\,b=c"],
        "values": [b"100m", b"1.5Gi", b"12e6", b"-9223372036854775808", b"0.000000001n", b"1E18", b"1h2m3.5s", b"2026-01-02T03:04:05.123456789+01:00", b"0001-01-01T00:00:00Z", b"k:{\"a\":1.0,\"b\":\"c\"}", b"v:[1]", b"f:x", b"i:3", b"18446744073709551616"],
        "http": [b"\1" + x for x in http] + [b"\0" + x for x in answers] + [b"\2" + answers[0]],
        "http2": h2(), "spdy": spdy(), "websocket": websocket(), "jwt": jwt(), "certificate": certificates(),
        "review": [json.dumps(r).encode() for r in (
            {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "u", "allowed": False, "warnings": ["w"], "patchType": "JSONPatch", "patch": "W10=",
             "status": {"code": 403, "reason": "Forbidden", "message": "m", "details": {"name": "n", "causes": [{"reason": "r", "message": "m", "field": "f"}], "retryAfterSeconds": 1}}}},
            {"paths": {"/apis/g/v1/x": {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/x"}}}}}}, "definitions": {"x": {"properties": {"y": {"$ref": "#/definitions/b"}}}}})],
        "tar": [bytes([i]) + t for i in (0, 1) for t in layers], "archive": archives,
        "dns": [question(n, k) for n in ("a.default.svc.cluster.local", "h-0.h.default.svc.cluster.local", "_http._tcp.a.default.svc.cluster.local", "1.0.42.10.in-addr.arpa", "x.y") for k in (1, 28, 33, 12, 255)],
    }
    for name, inputs in seeds.items():
        os.makedirs(f"{root}/{name}", exist_ok=True)
        for i, data in enumerate(inputs):
            with open(f"{root}/{name}/seed-{i}", "wb") as f:
                f.write(data)


main(sys.argv[1])
