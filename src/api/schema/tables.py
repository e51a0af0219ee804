"""Reads X.schema and X.overlay; README.md says what is in them."""
import os
import shlex


class Field:
    def __init__(self, name, number, text, attributes):
        self.name, self.number, self.type_text = name, number, text
        self.attributes = dict(a.split("=", 1) if "=" in a else (a, True) for a in attributes)
        self.declared = dict(self.attributes)  # without what overlays add
        self.inlined = False
        self.about = None
        card, base = "Single", text
        if text.startswith("*"):
            card, base = "Optional", text[1:]
        elif text.startswith("[]"):
            card, base = "List", text[2:]
        elif text.startswith("map["):
            card, base = "Map", text[4:-1]
        self.card, self.base = card, base

    def copy(self):
        other = Field(self.name, self.number, self.type_text, [])
        other.attributes = dict(self.attributes)
        other.declared = self.declared
        other.target = getattr(self, "target", None)
        return other


class Embedded:
    def __init__(self, number, base):
        self.number, self.base = number, base


class Type:
    def __init__(self, table, name, attributes):
        self.table, self.name = table, name
        self.attributes = dict(a.split("=", 1) if "=" in a else (a, True) for a in attributes)
        self.members = []  # Field, Embedded or "typemeta", as declared
        self.about = None
        self.fields = None  # flat, set by link()
        self.entries = None  # (number, first, embedded type or None)

    @property
    def full(self):
        return self.table.file + "." + self.name

    @property
    def symbol(self):
        return self.table.file + "_" + self.name


class Kind:
    def __init__(self, table, words):
        self.table, self.kind, self.plural = table, words[0], words[1]
        self.attributes = dict(w.split("=", 1) for w in words[2:])
        self.subs = []
        self.unserved = False
        self.prefix = None
        self.storage = None

    def list(self, name):
        text = self.attributes.get(name, "")
        return text.split(",") if text else []


class Table:
    def __init__(self, folder, file):
        self.file = file
        self.types, self.kinds, self.enums = {}, [], {}
        self.group = self.version = self.openapi = ""
        self.path = os.path.join(folder, file + ".schema")
        self.overlay_path = os.path.join(folder, file + ".overlay")
        self.read()

    def read(self):
        current = None
        for number, line in enumerate(open(self.path), 1):
            words = [] if line.startswith("#") else line.split()
            if not words:
                continue
            if line.startswith("  "):
                if isinstance(current, Kind):
                    current.subs.append((words[1], words[2], words[3].split("=", 1)[1].split(",")))
                elif words[0] == "~":
                    proto = 0 if words[1] == "-" else int(words[1])
                    current.members.append("typemeta" if words[2] == "typemeta" else Embedded(proto, words[2]))
                else:
                    proto = 0 if words[1] == "-" else int(words[1])
                    current.members.append(Field(words[0], proto, words[2], words[3:]))
            elif words[0] == "group":
                self.group = "" if words[1] == "core" else words[1]
            elif words[0] in ("version", "openapi"):
                setattr(self, words[0], words[1])
            elif words[0] == "kind":
                current = Kind(self, words[1:])
                self.kinds.append(current)
            elif words[0] == "type":
                current = Type(self, words[1], words[2:])
                self.types[current.name] = current
            elif words[0] == "enum":
                self.enums[words[1]] = shlex.split(line)[2:]
            else:
                raise SystemExit(f"{self.path}:{number}: what is '{words[0]}'?")


SCALARS = {
    "string": "String", "bool": "Bool", "int32": "Int32", "int64": "Int64", "double": "Double", "bytes": "Bytes", "time": "Time",
    "microtime": "MicroTime", "duration": "Duration", "quantity": "Quantity", "intorstring": "IntOrString", "raw": "RawExtension",
    "fields": "FieldsV1", "json": "Json",
}


class Model:
    def __init__(self, folder):
        names = sorted(f[:-7] for f in os.listdir(folder) if f.endswith(".schema"))
        self.tables = {n: Table(folder, n) for n in names}
        for table in self.tables.values():
            for t in table.types.values():
                for m in t.members:
                    if isinstance(m, Field) and m.base not in SCALARS:
                        m.target = self.find(table, m.base)
                    elif isinstance(m, Field):
                        m.target = None
        for table in self.tables.values():
            for t in table.types.values():
                self.link(t)
        for table in self.tables.values():
            self.overlay(table)
            self.describe(table)
        # Embedded structs' fields were copied: give the copies what overlays said of the originals.
        for table in self.tables.values():
            for t in table.types.values():
                for f in t.fields:
                    if f.inlined:
                        merged = dict(f.origin.attributes)
                        merged.update(f.own)
                        f.attributes = merged

    def find(self, table, name):
        if "." in name:
            file, name = name.split(".", 1)
            table = self.tables[file]
        if name not in table.types:
            raise SystemExit(f"{table.path}: no type {name}")
        return table.types[name]

    def link(self, t):
        if t.fields is not None:
            return
        t.fields, t.entries = [], []
        for m in t.members:
            if m == "typemeta":
                for name in ("kind", "apiVersion"):
                    f = Field(name, 0, "string", ["omitempty"])
                    f.target = None
                    t.fields.append(f)
            elif isinstance(m, Embedded):
                inner = self.find(t.table, m.base)
                self.link(inner)
                if m.number:
                    t.entries.append((m.number, len(t.fields), inner))
                for f in inner.fields:
                    c = f.copy()
                    c.inlined, c.origin, c.own = True, getattr(f, "origin", f), {}
                    t.fields.append(c)
            else:
                if m.number:
                    t.entries.append((m.number, len(t.fields), None))
                t.fields.append(m)
        names = [f.name for f in t.fields]
        if len(set(names)) != len(names):
            raise SystemExit(f"{t.full}: a member is hidden by another: {sorted(n for n in names if names.count(n) > 1)}")
        t.no_protobuf = not t.entries and bool(t.fields)
        if t.no_protobuf:
            # Numbers of our own, only for the way between structs and documents inside the process.
            number = 0
            for i, f in enumerate(t.fields):
                if f.name in ("kind", "apiVersion") and t.members[0] == "typemeta":
                    continue
                f.number = number + 1
                number += 1
                t.entries.append((number, i, None))
        t.entries.sort(key=lambda e: e[0])

    def overlay(self, table):
        if not os.path.exists(table.overlay_path):
            return
        for number, line in enumerate(open(table.overlay_path), 1):
            line = line.split(" #")[0].strip()
            if not line or line.startswith("#"):
                continue
            where = f"{table.overlay_path}:{number}"
            verb, rest = line.split(None, 1)
            if verb in ("prefix", "storage", "unserved"):
                self.overlay_kind(table, verb, rest.split(), where)
                continue
            path, _, value = rest.partition(" ")
            value = value.strip()
            type_name, _, field_name = path.partition(".")
            t = table.types.get(type_name)
            field = next((f for f in t.fields if f.name == field_name), None) if t else None
            if field is None:
                raise SystemExit(f"{where}: there is no {path}")
            attributes = field.own if field.inlined else field.attributes
            if verb == "enum":
                attributes["values"] = shlex.split(value)
            elif verb in ("required", "nonempty", "immutable"):
                attributes[verb] = True
                if verb == "nonempty":
                    attributes["required"] = True
            elif verb in ("optional", "mutable"):
                attributes["required" if verb == "optional" else "immutable"] = False
            elif verb in ("default", "min", "max", "minlength", "maxlength", "minitems", "maxitems", "pattern", "format", "description"):
                attributes[verb] = value
            else:
                raise SystemExit(f"{where}: what is '{verb}'?")

    def describe(self, table):
        """X.descriptions: `TYPE: text`, then its fields, indented: `  FIELD: text`."""
        path = table.path[:-len("schema")] + "descriptions"
        if not os.path.exists(path):
            return
        current = None
        for number, line in enumerate(open(path), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, text = line.strip().partition(":")
            if not line.startswith(" "):
                current = table.types.get(name)
                target = current
            else:
                target = next((f for f in current.fields if f.name == name), None)
            if target is None:
                raise SystemExit(f"{path}:{number}: there is no {name}")
            target.about = text.strip()

    def overlay_kind(self, table, verb, words, where):
        plural, _, sub = words[0].partition("/")
        kind = next((k for k in table.kinds if k.plural == plural), None)
        if kind is None:
            raise SystemExit(f"{where}: there is no resource {plural}")
        if verb == "prefix":
            kind.prefix = words[1]
        elif verb == "storage":
            kind.storage = ("" if words[1] == "core" else words[1], words[2])
        elif sub:
            kind.subs = [s for s in kind.subs if s[0] != sub]
        else:
            kind.unserved = True
