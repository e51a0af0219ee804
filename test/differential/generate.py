"""Objects made from the schema tables (src/api/schema): every field is set at some time, with values that programs write and
with those that they write by mistake. The same seed makes the same objects."""
import base64
import json
import os
import random
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "src/api/schema"))
import tables  # noqa: E402

STRINGS = ["", "a", "web", "a-b.c", "Hello, world", "<a href=\"x\">&amp;</a>", "quote\" back\\slash /", "tab\tline\nend\r", "\u00e9\u00df\u4e16\u754c", "\U0001f600",
           "\u2028\u2029", "\u0000\u0001\u007f", " lead and trail ", "null", "true", "1", "0x10", "x" * 300, "a/b", "a=b,c!=d", "{}", "~1~0"]
INT32 = [0, 1, -1, 7, 80, 443, 2147483647, -2147483648, 65536]
INT64 = INT32 + [9223372036854775807, -9223372036854775808, 1 << 40, 9007199254740993]
DOUBLES = [0, 1, -1, 0.5, 1.5, 1e21, 1e-7, 123456789.125, 1e20, 3.0e10, 0.1, -2.5e-3, 100, 1e6]
# Not b"": protobuf tells it from absence, JSON and a stored object do not.
BYTES = [b"a", b"ab", b"abc", b"\x00\xff\xfe", bytes(range(64))]
TIMES = ["2026-11-29T16:00:00Z", "2026-11-29T16:00:00+02:00", "2026-11-29T16:00:00.999999999-07:30", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z",
         "2400-02-29T23:59:59Z", "9999-12-31T23:59:59Z", "2026-02-28T00:00:00.5Z"]
MICROTIMES = ["2026-11-29T16:00:00.000000Z", "2026-11-29T16:00:00.123456+02:00", "1970-01-01T00:00:00.000001Z", "1969-12-31T23:59:59.500000Z", "2026-11-29T16:00:00.100000Z"]
DURATIONS = ["0s", "1s", "1h2m3s", "1.5s", "300ms", "-1m", "1us", "1ns", "24h0m0s", "1h0.000000001s"]
QUANTITIES = ["0", "1", "100m", "1Gi", "1.5Gi", "1e3", "1E3", "1E", "0.1", ".5", "5.", "-1", "+5", "1500m", "1024Ki", "1000k", "1n", "1u", "0.001", "12345678901234567890", "1e-3",
              "1Ei", "100Pi", "123.456", "0.5Mi", "1e18", "-1.5Gi", "1000m", "3M", "00012", "1.0", "0Ki", "-0", "9223372036854775807", "1e9", "0.0000000001", 1, 0.5, 100, 1e3, 0, 1024]
INTORSTRINGS = [0, 1, 80, -1, 2147483647, "", "http", "50%", "80", "-1"]
# What has no schema is kept as a document, not as text: members come back sorted and numbers as they are held.
ANYS = [{}, {"a": "b"}, {"a": {"b": [1, 2.5, True, None, "x"]}, "n": None}, {"apiVersion": "v1", "kind": "Pod"}]
JSONS = ANYS + [1, 0, -1.5, "text", True, False, [], [1, "a"], ""]
FIELDS = [{}, {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}, {"f:spec": {"k:{\"name\":\"x\"}": {".": {}}, "v:1": {}}}]
KEYS = ["a", "app.kubernetes.io/name", "", "b", "<k>", "z" * 64, "\u00e9", "cpu", "10", "9"]


class Generator:
    """mode: full (everything is set), sparse (a few fields), empty (zero values, and nulls), mixed."""

    def __init__(self, seed, mode):
        self.r = random.Random(f"{seed}/{mode}")
        self.mode = mode

    def scalar(self, base):
        r, zero = self.r, self.mode == "empty" and self.r.random() < 0.7
        pick = lambda values, nothing: nothing if zero else r.choice(values)  # noqa: E731
        if base == "string":
            return pick(STRINGS, "")
        if base == "bool":
            return pick([True, True, False], False)
        if base == "int32":
            return pick(INT32, 0)
        if base == "int64":
            return pick(INT64, 0)
        if base == "double":
            return pick(DOUBLES, 0)
        if base == "bytes":
            return base64.b64encode(pick(BYTES, b"0")).decode()
        if base == "time":
            return pick(TIMES, None)
        if base == "microtime":
            return pick(MICROTIMES, None)
        if base == "duration":
            return pick(DURATIONS, "0s")
        if base == "quantity":
            return pick(QUANTITIES, "0")
        if base == "intorstring":
            return pick(INTORSTRINGS, 0)
        if base == "raw":
            return pick(ANYS, {})
        if base == "fields":
            return pick(FIELDS, {})
        return pick(JSONS, {})

    def one(self, field, depth):
        return self.object(field.target, depth + 1) if field.target is not None else self.scalar(field.base)

    def value(self, field, depth):
        r = self.r
        if self.mode == "empty" and r.random() < 0.15:
            return None
        few = 1 if depth > 6 else 2
        if field.card == "List":
            n = r.choice([0, 1]) if self.mode == "empty" else r.randint(0 if self.mode == "mixed" else 1, few)
            return [self.one(field, depth) for _ in range(n)]
        if field.card == "Map":
            n = r.choice([0, 1]) if self.mode == "empty" else r.randint(0 if self.mode == "mixed" else 1, 3)
            return {k: self.one(field, depth) for k in r.sample(KEYS, n)}
        return self.one(field, depth)

    def object(self, t, depth=0):
        r = self.r
        shape = t.attributes.get("shape")
        if shape == "array":
            return [r.choice(STRINGS) for _ in range(r.randint(0, 2))]
        if shape:
            first, second = t.fields[0], t.fields[1]
            if shape == "schemaorbool":
                return r.choice([True, False]) if depth > 4 else r.choice([True, self.object(second.target, depth + 1)])
            if shape == "schemaorarray":
                inner = lambda: self.object(first.target, depth + 1) if depth < 4 else {"type": "string"}  # noqa: E731
                return r.choice([inner(), [inner()]])
            return r.choice([["a", "b"], {"type": "integer"} if depth > 3 else self.object(first.target, depth + 1)])
        out = {}
        fields = list(t.fields)
        r.shuffle(fields)
        chance = {"full": 1.0, "sparse": 0.2, "empty": 0.6, "mixed": 0.5}[self.mode]
        if depth > 7:
            chance *= 0.3
        for f in fields:
            if f.name in ("kind", "apiVersion") and t.members and t.members[0] == "typemeta":
                continue
            if f.target is not None and depth > 4 and recursive(f.target) or depth > 14 and f.target is not None:
                continue
            if r.random() < chance:
                out[f.name] = self.value(f, depth)
        return out


_RECURSIVE = {}


def recursive(t):
    """Whether a type may hold one of its own kind."""
    if t.full not in _RECURSIVE:
        seen, todo = set(), [t]
        found = False
        while todo and not found:
            for f in todo.pop().fields:
                if f.target is t:
                    found = True
                if f.target is not None and f.target.full not in seen:
                    seen.add(f.target.full)
                    todo.append(f.target)
        _RECURSIVE[t.full] = found
    return _RECURSIVE[t.full]


def tops(model):
    """(apiVersion, kind, type) of every type that may stand alone."""
    for name in sorted(model.tables):
        table = model.tables[name]
        version = f"{table.group}/{table.version}" if table.group else table.version
        if table.group == "meta.k8s.io":
            continue
        for t in sorted(table.types.values(), key=lambda t: t.name):
            if t.members and t.members[0] == "typemeta":
                yield version, t.name, t
    meta = model.tables["meta_v1"]
    for name in ("Status", "DeleteOptions", "ListOptions", "CreateOptions", "UpdateOptions", "PatchOptions", "GetOptions", "APIGroup", "APIGroupList", "APIResourceList", "APIVersions"):
        if name in meta.types:
            yield "v1", name, meta.types[name]


def load():
    return tables.Model(os.path.join(ROOT, "src/api/schema"))


def main():
    """generate.py SEED COUNT: lines of {"apiVersion","kind","in"}; `in` is a text, so that its form is kept."""
    seed, count = sys.argv[1], int(sys.argv[2])
    for version, kind, t in tops(load()):
        for i in range(count):
            for mode in ("full", "sparse", "empty", "mixed"):
                g = Generator(f"{seed}/{version}/{kind}/{i}", mode)
                body = g.object(t)
                text = json.dumps({"kind": kind, "apiVersion": version, **body}, ensure_ascii=g.r.random() < 0.5, separators=(",", ":"))
                print(json.dumps({"apiVersion": version, "kind": kind, "name": f"{version}.{kind}.{mode}.{i}", "in": text}))


if __name__ == "__main__":
    main()
