"""Objects that are a step away from a valid one, driven by the schema tables: each field gone, null, of another type, empty, out of
bounds, malformed, doubled or added."""
import copy

BAD_NAME = "Bad_Name!"
WRONG = {"string": 5, "bool": "yes", "int32": "1", "int64": "1", "double": "x", "bytes": 7, "time": "yesterday", "microtime": "yesterday", "duration": "soon", "quantity": "1x",
         "intorstring": True, "raw": None, "fields": "x", "json": None}
TRIES = {
    "string": ["", "x", BAD_NAME, "a" * 64, "a" * 254, "-a", "1.2.3.4", "/abs/../path"],
    "bool": [True, False], "int32": [0, 1, -1, 70000, 2147483647], "int64": [0, 1, -1, 1 << 33], "double": [0, -1],
    "bytes": ["", "AAE=", "not base64!"], "time": ["2026-11-29T10:00:00Z", None], "microtime": ["2026-11-29T10:00:00.000000Z", None], "duration": ["1s", "-1s"],
    "quantity": ["0", "1", "-1", "1.5", "100m", "1n", ""], "intorstring": [0, 1, -1, "10%", "x", "101%", "", 70000], "raw": [{}, {"a": 1}], "fields": [{}], "json": [1, "x", {}],
}


def fresh(field, depth=0):
    """Something of the field's type that is neither absent nor much."""
    def one():
        if field.target is None:
            return TRIES[field.base][1] if len(TRIES[field.base]) > 1 else TRIES[field.base][0]
        if field.target.attributes.get("shape"):
            return ["x"] if field.target.attributes["shape"] == "array" else True
        if depth > 2:
            return {}
        return {f.name: fresh(f, depth + 1) for f in field.target.fields if f.attributes.get("required") and "omitempty" not in f.attributes and f.target is not field.target}
    if field.card == "List":
        return [one()]
    if field.card == "Map":
        return {"k": one()}
    return one()


def changes(field, value, present):
    """(label, new value) of one field; the value REMOVE takes it away."""
    if present:
        yield "gone", REMOVE
        yield "null", None
    if field.card == "Map":
        yield "text", "x"
        if field.target is None:
            yield "bad key", {**(value or {}), BAD_NAME + " ": fresh(field)["k"]}
            yield "bad value", {**(value or {}), "k": WRONG[field.base]}
            for v in TRIES[field.base]:
                yield f"value {v!r:.20}", {**(value or {}), "k": v}
        yield "empty", {}
    elif field.card == "List":
        yield "text", "x"
        yield "empty", []
        if value:
            yield "doubled", value + [copy.deepcopy(value[0])]
            yield "reversed", value[::-1]
        if field.target is None:
            yield "wrong item", (value or []) + [WRONG[field.base]]
            for v in TRIES[field.base]:
                yield f"item {v!r:.20}", (value or []) + [v]
        else:
            yield "empty item", (value or []) + [{}]
            yield "number item", (value or []) + [5]
            if not present:
                yield "added", fresh(field)
    elif field.target is not None:
        yield "text", "x"
        yield "list", []
        yield "empty", {} if field.target.attributes.get("shape") != "array" else []
        if not present:
            yield "added", fresh(field)
    else:
        yield "wrong", WRONG[field.base]
        values = list(TRIES[field.base])
        values += [v for v in field.attributes.get("values", [])][:3]
        for v in values:
            if v != value:
                yield f"{v!r:.20}", v


REMOVE = object()


def walk(t, node, path, skip):
    """(path, field, holder getter) of every field below a typed node."""
    if not isinstance(node, dict):
        return
    for field in t.fields:
        if field.name in ("kind", "apiVersion") and t.members and t.members[0] == "typemeta" and path:
            continue
        here = path + [field.name]
        if ".".join(str(p) for p in here) in skip:
            continue
        yield here, field, field.name in node
        value = node.get(field.name)
        if field.target is None or value is None:
            continue
        if field.card == "List":
            for i, item in enumerate(value):
                yield from walk(field.target, item, here + [i], skip)
        elif field.card == "Map":
            for k, item in value.items():
                yield from walk(field.target, item, here + [k], skip)
        else:
            yield from walk(field.target, value, here, skip)


def put(root, path, value):
    out = copy.deepcopy(root)
    node = out
    for p in path[:-1]:
        node = node[p]
    if value is REMOVE:
        node.pop(path[-1], None)
    else:
        node[path[-1]] = value
    return out


def mutations(t, root, skip=()):
    """(label, object) for every change of every field."""
    for path, field, present in walk(t, root, [], set(skip)):
        node = root
        for p in path[:-1]:
            node = node[p]
        for label, value in changes(field, node.get(path[-1]), present):
            yield ".".join(str(p) for p in path) + ": " + label, put(root, path, value)
