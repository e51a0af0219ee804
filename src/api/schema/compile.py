#!/usr/bin/env python3
"""Makes C++ from the schema tables: compile.py SCHEMA-FOLDER OUTPUT-FOLDER (see README.md). Needs Python 3.8, no packages.

OUTPUT/include/onebin/api/X.hpp  the structs
OUTPUT/X_types.inc, X_structs.inc  field tables, reflection tables
OUTPUT/tables.hpp  what the tables share
OUTPUT/kinds.cpp, types.cpp, structs_N.cpp  the translation units: the kinds, and the above in bundles of like size
OUTPUT/published.cpp  what only OpenAPI documents say: descriptions, and fields of which something else is published
"""
import os
import re
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tables import SCALARS, Model  # noqa: E402

CORE_PARTS, BUNDLES = 2, 4  # CMakeLists.txt names the bundles

KEYWORDS = set("""alignas alignof and asm auto bool break case catch char class concept const constexpr continue default delete do
double else enum explicit export extern false float for friend goto if inline int long mutable namespace new not operator or
private protected public register requires return short signed sizeof static struct switch template this throw true try typedef
typeid typename union unsigned using virtual void volatile while xor""".split())
RENAMED = {"openAPIV3Schema": "open_api_v3_schema", "$ref": "ref", "$schema": "schema", "jSONSchemas": "json_schemas"}

CPP = {
    "String": "std::string", "Bool": "bool", "Int32": "std::int32_t", "Int64": "std::int64_t", "Double": "double", "Bytes": "std::string",
    "Time": "apimachinery::Time", "MicroTime": "apimachinery::Time", "Duration": "onebin::Duration", "Quantity": "apimachinery::Quantity",
    "IntOrString": "apimachinery::IntOrString", "RawExtension": "std::string", "FieldsV1": "std::string", "Json": "std::string",
}
# What is absent by its own value, so that a pointer to it needs no std::optional.
SELF_OPTIONAL = {"Time", "MicroTime", "RawExtension", "FieldsV1", "Json"}


def snake(name):
    if name in RENAMED:
        return RENAMED[name]
    name = re.sub(r"[^A-Za-z0-9]+", "_", name)
    name = re.sub(r"([A-Z]+)s(?=[A-Z]|$|_)", lambda m: m.group(1)[0] + m.group(1)[1:].lower() + "s", name) \
        if re.search(r"[A-Z]{2,}s(?=[A-Z]|$|_)", name) else name
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = name.lower()
    return name + "_" if name in KEYWORDS else name


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def namespace(table):
    group, version = table.file.rsplit("_", 1)
    return f"onebin::api::{group}::{version}"


def type_name(t, table):
    if t.table is table:
        return t.name
    return f"::{namespace(t.table)}::{t.name}"


def member_type(f, table):
    base = type_name(f.target, table) if f.target else CPP[SCALARS[f.base]]
    if f.card == "Single":
        return base
    if f.card == "Optional":
        if f.target:
            return f"Box<{base}>"
        return base if SCALARS[f.base] in SELF_OPTIONAL else f"std::optional<{base}>"
    if f.card == "List":
        return f"std::vector<{base}>"
    return f"std::map<std::string, {base}>"


def write(path, text):
    """Leaves an unchanged file alone, so that nothing is compiled again for it."""
    if os.path.exists(path) and open(path).read() == text:
        return
    with open(path, "w") as out:
        out.write(text)


def ordered(table):
    """Types so that what a struct holds by value comes before it."""
    done, order, busy = set(), [], set()

    def visit(t):
        if t.name in done or t.name in busy:
            return
        busy.add(t.name)
        for f in t.fields:
            if f.target and f.target.table is table and f.card in ("Single", "List", "Map"):
                visit(f.target)
        busy.discard(t.name)
        done.add(t.name)
        order.append(t)

    for t in table.types.values():
        visit(t)
    return order


def header(table):
    needs = sorted({f.target.table.file for t in table.types.values() for f in t.fields if f.target and f.target.table is not table})
    out = [f"// Structs of {table.group or 'the core group'}/{table.version}, made from src/api/schema/{table.file}.schema (README.md there; names: the",
           "// JSON name in snake_case). A pointer to a struct is a Box, which is used as std::optional is; a pointer to a value a",
           "// std::optional; bytes, and JSON kept as it is (RawExtension, FieldsV1, any), a std::string, empty when absent.",
           "#pragma once"]
    out += [f"#include <onebin/api/{n}.hpp>" for n in needs]
    out += ["#include <onebin/apimachinery/quantity.hpp>", "#include <onebin/apimachinery/values.hpp>", "#include <onebin/base/box.hpp>", "",
            "#include <cstdint>", "#include <map>", "#include <optional>", "#include <string>", "#include <vector>", "",
            "namespace onebin::apimachinery {", "struct StructInfo;", "}", f"namespace {namespace(table)} {{", ""]
    types = ordered(table)
    out += [f"struct {t.name};" for t in types] + [""]
    plain = {"bool": " = false", "std::int32_t": " = 0", "std::int64_t": " = 0", "double": " = 0", "onebin::Duration": "{}"}
    for t in types:
        out.append(f"struct {t.name} {{")
        for f in t.fields:
            c = member_type(f, table)
            out.append(f"  {c} {snake(f.name)}{plain.get(c, '')};")
        out.append(f"  bool operator==(const {t.name}&) const = default;")
        out += ["};", ""]
    out += [f"const apimachinery::StructInfo& struct_info(const {t.name}*);" for t in types]
    out += ["", f"}}  // namespace {namespace(table)}", ""]
    return "\n".join(out)


class Rules:
    """FieldRules and the arrays they point to, each once a file."""

    def __init__(self, prefix=""):
        self.prefix, self.lines, self.seen = prefix, [], {}

    def array(self, values):
        text = "{" + ", ".join(quote(v) for v in values) + "}"
        return self.keep("A", f"static constexpr std::string_view %s[] = {text};", text)

    def keep(self, letter, line, key):
        if key not in self.seen:
            self.seen[key] = f"{letter}{len(self.seen)}{self.prefix}"
            self.lines.append(line.replace("%s", self.seen[key], 1))
        return self.seen[key]

    def of(self, f, table):
        a, parts = f.attributes, []
        if a.get("keys"):
            parts.append(f".list_map_keys = {self.array(a['keys'].split(','))}")
        if a.get("mergekey"):
            parts.append(f".patch_merge_key = {quote(a['mergekey'])}")
        # A default that is what an absent value means anyway says nothing, but where items of a list are told apart by it.
        empty = f.card == "Single" and a.get("default") in ('""', "false", "0") and not getattr(f, "is_key", False)
        if a.get("default") and not empty:
            parts.append(f".default_json = {quote(a['default'])}")
        declared = f.enum_of.enums[a["enum"]] if a.get("enum") else None
        values = a.get("values") or declared
        if values and a.get("values") == []:
            a = dict(a, format="k8s-open-enum")  # the values are published, not checked
        if values:
            parts.append(f".enum_values = {self.array(values)}")
        if a.get("oneof"):
            parts.append(f".union_name = {quote(a['oneof'] if a['oneof'] is not True else 'union')}")
        for name in ("format", "pattern", "description"):
            if a.get(name):
                parts.append(f".{name} = {quote(a[name])}")
        for name, member in (("min", "minimum"), ("max", "maximum")):
            if a.get(name):
                parts.append(f".{member} = {a[name]}")
        for name, member in (("minlength", "min_length"), ("maxlength", "max_length"), ("minitems", "min_items"), ("maxitems", "max_items")):
            if a.get(name):
                parts.append(f".{member} = {a[name]}")
        if a.get("patch"):
            bits = sum({"merge": 1, "replace": 2, "retainKeys": 4}[p] for p in a["patch"].split(","))
            parts.append(f".patch_strategy = PatchStrategy({bits})")
        if not parts:
            return "&kNoRules"
        text = "{" + ", ".join(parts) + "}"
        return "&" + self.keep("R", f"static constexpr FieldRules %s{text};", text)


def field_line(f, table, rules, shape):
    a = f.attributes
    card = "Single" if shape == "Array" else f.card  # there the field stands for the element
    kind = "Message" if f.target else SCALARS[f.base]
    message = f"&{f.target.symbol}" if f.target else "nullptr"
    list_type = {"atomic": "Atomic", "set": "Set", "map": "Map"}.get(a.get("list"), "Unset")
    atomicity = "Atomic" if "atomic" in (a.get("map"), a.get("struct")) else "Granular" if "granular" in (a.get("map"), a.get("struct")) else "Unset"
    flags = ["omitempty", "omitzero", "required", "immutable", "nullable"]
    bits = ["true" if a.get(x) else "false" for x in flags] + ["true" if f.inlined else "false", "true" if a.get("nonempty") else "false"]
    return (f"  {{{quote(f.name)}, {message}, {rules.of(f, table)}, {f.number}, FieldKind::{kind}, Cardinality::{card}, "
            f"ListType::{list_type}, Atomicity::{atomicity}, {', '.join(bits)}}},")


def types_inc(table):
    out = ['#include "tables.hpp"', "", "namespace onebin::api::tables {", "using namespace apimachinery;", ""]
    rules, body = Rules("_" + table.file), []
    for t in table.types.values():
        s = t.symbol
        shape = {"array": "Array", "schemaorbool": "SchemaOrBool", "schemaorarray": "SchemaOrArray",
                 "schemaorstrings": "SchemaOrStrings"}.get(t.attributes.get("shape"), "Object")
        if t.fields:
            body.append(f"static constexpr FieldSchema F_{s}[] = {{")
            body += [field_line(f, table, rules, shape) for f in t.fields]
            body.append("};")
            by_name = sorted(range(len(t.fields)), key=lambda i: t.fields[i].name)
            body.append(f"static constexpr std::uint16_t N_{s}[] = {{{', '.join(map(str, by_name))}}};")
        if t.entries:
            entries = ", ".join(f"{{{n}, {first}, {'&' + e.symbol if e else 'nullptr'}}}" for n, first, e in t.entries)
            body.append(f"static constexpr ProtoEntry P_{s}[] = {{{entries}}};")
            numbers = [0] * (t.entries[-1][0] + 1)
            for i, e in enumerate(t.entries):
                numbers[e[0]] = i + 1
            body.append(f"static constexpr std::uint8_t I_{s}[] = {{{', '.join(map(str, numbers))}}};")
        parts = [f".name = {quote(table.openapi + '.' + t.name)}", f".go_name = {quote(t.name)}"]
        if t.fields:
            parts += [f".fields = F_{s}", f".by_name = N_{s}"]
        if t.entries:
            parts += [f".proto = P_{s}", f".by_number = I_{s}"]
        parts.append(f".shape = Shape::{shape}")
        if t.attributes.get("atomic"):
            parts.append(".atomicity = Atomicity::Atomic")
        if t.no_protobuf:
            parts.append(".no_protobuf = true")
        if t.members and t.members[0] == "typemeta":
            parts.append(".has_type_meta = true")
        if any(f.name == "metadata" and f.target and f.target.name == "ObjectMeta" for f in t.fields):
            parts.append(".has_object_meta = true")
        body.append(f"constinit const TypeSchema {s}{{{', '.join(parts)}}};")
    return "\n".join(out + rules.lines + body + ["", "}  // namespace onebin::api::tables", ""])


def structs_inc(table, part, parts):
    ns = namespace(table)
    out = [f"#include <onebin/api/{table.file}.hpp>", "", '#include "tables.hpp"', "", "#include <cstddef>", "",
           '#pragma GCC diagnostic ignored "-Winvalid-offsetof"', f"namespace {ns} {{", "using namespace apimachinery;", ""]
    types = ordered(table)
    mine = [t for i, t in enumerate(types) if i % parts == part]
    for t in mine:
        s = t.symbol
        if t.fields:
            out.append(f"static constexpr MemberInfo M_{t.name}[] = {{")
            for f in t.fields:
                info, ops = "nullptr", "nullptr"
                if f.target:
                    info = f"&::onebin::api::tables::S_{f.target.symbol}"
                    wrapper = {"Optional": "BoxOps", "List": "VectorOps", "Map": "MapOps"}.get(f.card)
                    if wrapper:
                        ops = f"&{wrapper}<{member_type(f, table)}>::ops"
                out.append(f"  {{offsetof({t.name}, {snake(f.name)}), {info}, {ops}}},")
            out.append("};")
        else:
            out.append(f"static constexpr std::span<const MemberInfo> M_{t.name}{{}};")
        out.append(f"const StructInfo& struct_info(const {t.name}*) {{ return ::onebin::api::tables::S_{s}; }}")
    out += ["", f"}}  // namespace {ns}", "namespace onebin::api::tables {", "using namespace apimachinery;"]
    for t in mine:
        kind = quote(t.name) if t.members and t.members[0] == "typemeta" else '""'
        group = "" if table.file == "meta_v1" else table.group
        out.append(f"constinit const StructInfo S_{t.symbol}{{&{t.symbol}, ::{ns}::M_{t.name}, {quote(group)}, {quote(table.version)}, {kind}}};")
    return "\n".join(out + ["}  // namespace onebin::api::tables", ""])


def tables_hpp(model):
    out = ["// What the generated tables share.", "#pragma once", "#ifdef __clang__",
           '#pragma clang diagnostic ignored "-Wmissing-designated-field-initializers"', "#endif", "#include <onebin/apimachinery/reflect.hpp>", "#include <onebin/apimachinery/schema.hpp>", "",
           "namespace onebin::api::tables {", ""]
    for table in model.tables.values():
        for t in table.types.values():
            out.append(f"extern const apimachinery::TypeSchema {t.symbol};")
            out.append(f"extern const apimachinery::StructInfo S_{t.symbol};")
    out += ["", "extern const std::span<const apimachinery::KindSchema> kKinds;          // every kind, sorted by group, version, kind",
            "extern const std::span<const apimachinery::KindSchema* const> kResources;  // those with a resource, in discovery order",
            "extern const std::span<const apimachinery::TypeSchema* const> kTypes;      // sorted by name", "", "}  // namespace onebin::api::tables", ""]
    return "\n".join(out)


# Groups as discovery orders them: by the priority that upstream registers them with.
GROUP_ORDER = ["", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
               "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io", "admissionregistration.k8s.io",
               "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "resource.k8s.io",
               "flowcontrol.apiserver.k8s.io", "storagemigration.k8s.io"]


def kinds_cpp(model):
    rules = Rules()
    rows = []  # (group, version, kind, text, resource order or None)
    for table in model.tables.values():
        resources = {k.kind: k for k in table.kinds if not k.unserved}
        served = not re.search("alpha|beta", table.version) and table.file != "admission_v1"
        for t in table.types.values():
            if not (t.members and t.members[0] == "typemeta"):
                continue
            groups = [table.group] if table.file != "meta_v1" else ["meta.k8s.io", ""]
            k = resources.get(t.name) if served else None
            for group in groups:
                if table.file == "meta_v1" and group == "" and t.name in model.tables["core_v1"].types:
                    continue  # core has a List of its own
                text, order = kind_text(model, table, t, k, group, rules), None
                if k:
                    versions = {"v2": 0, "v1": 1}
                    order = (GROUP_ORDER.index(group), versions[table.version], k.plural)
                rows.append((group, table.version, t.name, text, order))
    rows.sort(key=lambda r: r[:3])
    for a, b in zip(rows, rows[1:]):
        if a[:3] == b[:3]:
            raise SystemExit(f"{a[:3]} is there twice")
    out = ['#include "tables.hpp"', "", "namespace onebin::api::tables {", "using namespace apimachinery;", ""] + rules.lines
    out.append("static constexpr KindSchema kKindTable[] = {")
    out += [r[3] for r in rows]
    out.append("};")
    resources = sorted((r[4], i) for i, r in enumerate(rows) if r[4])
    out.append("static constexpr const KindSchema* kResourceTable[] = {" + ", ".join(f"&kKindTable[{i}]" for _, i in resources) + "};")
    types = sorted((table.openapi + "." + t.name, t.symbol) for table in model.tables.values() for t in table.types.values())
    out.append("static constexpr const TypeSchema* kTypeTable[] = {" + ", ".join(f"&{s}" for _, s in types) + "};")
    out += ["constinit const std::span<const KindSchema> kKinds{kKindTable};", "constinit const std::span<const KindSchema* const> kResources{kResourceTable};",
            "constinit const std::span<const TypeSchema* const> kTypes{kTypeTable};", "", "}  // namespace onebin::api::tables", ""]
    return "\n".join(out)


def kind_text(model, table, t, k, group, rules):
    parts = [f".group = {quote(group)}", f".version = {quote(table.version)}", f".kind = {quote(t.name)}"]
    if k:
        parts += [f".plural = {quote(k.plural)}", f".singular = {quote(k.attributes['singular'])}"]
        for name, member in (("short", "short_names"), ("categories", "categories"), ("verbs", "verbs")):
            if k.list(name):
                parts.append(f".{member} = {rules.array(k.list(name))}")
        subs = []
        for name, body, verbs in k.subs:
            gv, kind = body.rsplit(".", 1)
            sub_group, version = gv.split("/")
            sub_group = "" if sub_group == "core" else sub_group
            subs.append(f"{{{quote(name)}, {quote(sub_group)}, {quote(version)}, {quote(kind)}, {rules.array(verbs)}}}")
        if subs:
            text = "{" + ", ".join(subs) + "}"
            array = rules.keep("U", f"static constexpr SubresourceSchema %s[] = {text};", "subs " + text)
            parts.append(f".subresources = {array}")
        if k.attributes["scope"] == "namespaced":
            parts.append(".namespaced = true")
        if "list" in k.list("verbs") and t.name + "List" in table.types:
            parts.append(f".list_kind = {quote(t.name + 'List')}")
        storage_group, storage_version = k.storage or (table.group, table.version)
        parts += [f".storage_group = {quote(storage_group)}", f".storage_version = {quote(storage_version)}",
                  f".storage_prefix = {quote(k.prefix or '/registry/' + k.plural + '/')}"]
    parts.append(f".type = &{t.symbol}")
    return "  {" + ", ".join(parts) + "},"


def published_cpp(model):
    out = ["#include <onebin/api/published.hpp>", "", '#include "tables.hpp"', "", "namespace onebin::api {", "using apimachinery::PublishedField;", "",
           "static constexpr PublishedField kPublished[] = {"]
    for table in model.tables.values():
        for t in table.types.values():
            for i, f in enumerate(t.fields):
                facts = []
                if f.attributes.get("required") and not f.declared.get("required"):
                    facts.append("kNotRequired")
                if f.declared.get("required") and not f.attributes.get("required"):
                    facts.append("kRequired")
                if f.attributes.get("default") and f.attributes.get("default") != f.declared.get("default"):
                    facts.append("kNoDefault")
                if f.card == "Single" and f.declared.get("omitempty") and f.declared.get("default") in ('""', "false", "0"):
                    facts.append("kZeroDefault")
                if f.attributes.get("values") and not f.attributes.get("enum"):
                    facts.append("kNoEnum")
                if t.attributes.get("union"):
                    facts.append("kDiscriminator" if f.declared.get("discriminator") else "kUnion")
                if facts:
                    out.append(f"  {{&tables::{t.symbol}, {i}, {' | '.join('PublishedField::' + x for x in facts)}}},")
    out += ["};", "std::span<const PublishedField> published_fields() { return kPublished; }", ""]
    packed = zlib.compress(descriptions(model).encode(), 9)
    out.append("static constexpr unsigned char kDescriptions[] = {")
    for i in range(0, len(packed), 40):
        out.append("  " + ",".join(str(b) for b in packed[i:i + 40]) + ",")
    out += ["};", "std::string_view packed_descriptions() { return {reinterpret_cast<const char*>(kDescriptions), sizeof kDescriptions}; }", "",
            "}  // namespace onebin::api", ""]
    return "\n".join(out)


def descriptions(model):
    """The text of <onebin/api/published.hpp>. An embedded struct's fields take what is said of them there."""
    lines = []
    for table in model.tables.values():
        for t in table.types.values():
            fields = []
            for f in t.fields:
                text = f.about or (f.origin.about if f.inlined else None)
                if text:
                    fields.append(f"\t{f.name}: {text}")
            if t.about or fields:
                lines.append(f"{table.openapi}.{t.name}: {t.about or ''}")
                lines += fields
    return "\n".join(lines) + "\n"


def link_keys(model):
    """Marks the fields that lists tell their items apart by."""
    for table in model.tables.values():
        for t in table.types.values():
            for f in t.fields:
                for member in f.target.fields if f.target and f.attributes.get("keys") else ():
                    member.is_key = getattr(member, "is_key", False) or member.name in f.attributes["keys"].split(",")


def link_enums(model):
    for table in model.tables.values():
        for t in table.types.values():
            for f in t.fields:
                origin = getattr(f, "origin", f)
                f.enum_of = None
                if f.attributes.get("enum"):
                    name = f.attributes["enum"]
                    owner = next((o for o in owners(model, table, t, f) if name in o.enums), None)
                    if owner is None:
                        raise SystemExit(f"{t.full}.{f.name}: no enum {name}")
                    f.enum_of = owner
                    origin.enum_of = owner


def owners(model, table, t, f):
    # The generator writes an enum into the table of the struct that uses it.
    return [table] + list(model.tables.values())


def main():
    schema, out = sys.argv[1:3]
    model = Model(schema)
    link_enums(model)
    link_keys(model)
    include = os.path.join(out, "include/onebin/api")
    os.makedirs(include, exist_ok=True)
    types, bundles = [], [[0, []] for _ in range(BUNDLES)]
    for table in sorted(model.tables.values(), key=lambda t: -len(t.types)):
        write(os.path.join(include, table.file + ".hpp"), header(table))
        write(os.path.join(out, table.file + "_types.inc"), types_inc(table))
        types.append(table.file + "_types.inc")
        parts = CORE_PARTS if table.file == "core_v1" else 1
        for part in range(parts):
            text, name = structs_inc(table, part, parts), f"{table.file}_structs{part + 1}.inc"
            write(os.path.join(out, name), text)
            bundle = min(bundles, key=lambda b: b[0])
            bundle[0] += len(text)
            bundle[1].append(name)
    write(os.path.join(out, "types.cpp"), "".join(f'#include "{n}"\n' for n in types))
    for i, (_, names) in enumerate(bundles):
        write(os.path.join(out, f"structs_{i + 1}.cpp"), "".join(f'#include "{n}"\n' for n in names))
    write(os.path.join(out, "tables.hpp"), tables_hpp(model))
    write(os.path.join(out, "kinds.cpp"), kinds_cpp(model))
    write(os.path.join(out, "published.cpp"), published_cpp(model))
    # The one stamp that the build watches.
    with open(os.path.join(out, "stamp"), "w"):
        pass


if __name__ == "__main__":
    main()
