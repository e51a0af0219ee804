"""What differs between two replies, once times, uids, revisions and what was drawn at random are put aside."""
import fnmatch
import json
import re

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
SERVICE_IP = re.compile(r"\b10\.96\.\d+\.\d+\b")
GO_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC( m=\S+)?")
RECORD = re.compile(r"in record \(\d+\)|revision \d+|current: \d+|in scheme \"[^\"]+\"|kube-api-access-[a-z0-9]{5}|resourceVersion: \"\d+\"")  # upstream's scheme is named after where it was built
# In errors. Upstream shows values as its internal Go structs have them, says how those differ, and names Go's types.
GO_VALUE = re.compile(r"((?:Invalid|Duplicate|Unsupported) value: )(?=[{\[]|\"\{)")
# What may not change is shown by some rules and by others not.
IMMUTABLE = re.compile(r"(Invalid value: )(?:(?!Invalid value: ).)*?(: field is immutable)", re.S)
GO_DIFF = re.compile(r"(?<=\n)@@ .*?(?=, [a-z][A-Za-z.\[\]0-9]*: (?:Invalid|Required|Forbidden|Duplicate|Unsupported|Too|Not|Internal)|\]?$)", re.S)
GO_TYPE = re.compile(r"(cannot unmarshal .* of type )\S+")
SUPPORTED = re.compile(r'supported values: ((?:"[^"]*"(?:, )?)+)')  # in the order of a list or of a set
REVISION_MEMBERS = {"resourceVersion", "continue", "observedGeneration#"}
RANDOM_MEMBERS = {"nodePort", "healthCheckNodePort"}


def plain_error(text):
    """An error's text without what only Go's types say."""
    out, at = [], 0
    for m in GO_VALUE.finditer(text):
        if m.end() < at:
            continue
        try:
            _, end = json.JSONDecoder().raw_decode(text, m.end())
        except ValueError:
            continue
        out.append(text[at:m.end()] + "<value>")
        at = end
    text = "".join(out) + text[at:]
    text, diffs = GO_DIFF.subn("", text)
    if diffs and text.rstrip().endswith("]") and text.count("]") > text.count("["):  # the last of the diff itself
        text = text.rstrip()[:-1]
    text = re.sub(r"\nchanged: [A-Za-z, ]*", "", text)
    text = IMMUTABLE.sub(r"\1<value>\2", GO_TYPE.sub(r"\1<type>", re.sub(r"\n+(?=, [a-z]|\]?$)", "", text)))
    return SUPPORTED.sub(lambda m: "supported values: " + ", ".join(sorted(re.findall(r'"[^"]*"', m.group(1)))) + (", " if m.group(1).endswith(", ") else ""), text)


def same_text(a, b, generated):
    if a == b:
        return True
    for pattern in (UUID, TIME, GO_TIME, SERVICE_IP, RECORD):
        a, b = pattern.sub("<>", a), pattern.sub("<>", b)
    for x, y in generated:
        if x and y:
            a, b = a.replace(x, "<name>"), b.replace(y, "<name>")
    return a == b


def by_manager(entries):
    """Sorted by who, not by the second in which it was."""
    return sorted(entries, key=lambda e: tuple(str(e.get(k, "")) for k in ("operation", "manager", "apiVersion", "subresource")) if isinstance(e, dict) else ())


def walk(a, b, path, generated, out):
    """a: upstream's, b: onebin's."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a:
            if key not in b:
                out.append((f"{path}.{key}", a[key], "-"))
        for key in b:
            if key not in a:
                out.append((f"{path}.{key}", "-", b[key]))
        before = len(out)
        for key in a:
            if key not in b:
                continue
            if key in REVISION_MEMBERS and bool(a[key]) == bool(b[key]) and isinstance(a[key], str) and isinstance(b[key], str):
                continue
            if key in RANDOM_MEMBERS and a[key] and b[key] and isinstance(a[key], int) and isinstance(b[key], int):
                continue
            x, y = a[key], b[key]
            if key == "managedFields" and isinstance(x, list) and isinstance(y, list):
                x, y = by_manager(x), by_manager(y)
            walk(x, y, f"{path}.{key}", generated, out)
        if len(out) == before and list(a) != list(b) and set(a) == set(b):
            out.append((f"{path}(order)", list(a), list(b)))
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            out.append((f"{path}", a, b))
            return
        for i, (x, y) in enumerate(zip(a, b)):
            walk(x, y, f"{path}[{i}]", generated, out)
    elif isinstance(a, str) and isinstance(b, str):
        if not same_text(a, b, generated):
            out.append((path, a, b))
    elif type(a) is not type(b) or a != b:
        out.append((path, a, b))


def level_causes(a, b):
    """Copies of two Status bodies with the same causes in the same order. Upstream validates metadata twice on an update and
    walks maps at random: which cause comes first, and whether one comes twice, is nothing to rely on."""
    if not all(isinstance(x, dict) and x.get("kind") == "Status" and (x.get("details") or {}).get("causes") for x in (a, b)):
        return a, b
    a, b = (dict(x, message=plain_error(x.get("message", "")), details=dict(x["details"], causes=[dict(c, message=plain_error(c.get("message", ""))) for c in x["details"]["causes"]])) for x in (a, b))
    key = lambda c: json.dumps(c, sort_keys=True)  # noqa: E731
    once = [sorted({key(c) for c in x["details"]["causes"]}) for x in (a, b)]
    a, b = (dict(x, details=dict(x["details"], causes=[json.loads(c) for c in o])) for x, o in zip((a, b), once))
    parts = [sorted(set(re.sub(r"^.*? is invalid: ", "", x.get("message", "")).strip("[]").split(", "))) for x in (a, b)]
    if once[0] == once[1] and parts[0] == parts[1]:
        b["message"] = a["message"]
    return a, b


def differences(a, b, generated=(), skip_body=False):
    """[(where, upstream's, onebin's)]"""
    out = []
    if a.code != b.code:
        out.append(("code", summary(a), summary(b)))
        return out
    if not skip_body:
        if (a.body is None) != (b.body is None):
            out.append(("body", a.text[:300], b.text[:300]))
        elif a.body is None:
            if not same_text(a.text, b.text, generated):
                out.append(("text", a.text[:300], b.text[:300]))
        else:
            walk(*level_causes(*(dict(x, message=plain_error(x["message"])) if isinstance(x, dict) and x.get("kind") == "Status" and isinstance(x.get("message"), str) else x for x in (a.body, b.body))), "", generated, out)
    wa, wb = a.warnings, b.warnings
    if len(wa) != len(wb) or not all(same_text(x, y, generated) for x, y in zip(wa, wb)):
        out.append(("warnings", wa, wb))
    ta, tb = a.headers.get("Content-Type"), b.headers.get("Content-Type")
    if ta != tb:
        out.append(("content-type", ta, tb))
    return out


def summary(reply):
    b = reply.body
    if isinstance(b, dict) and b.get("kind") == "Status":
        return f"{reply.code} {b.get('reason')}: {b.get('message')}"
    return f"{reply.code} {reply.text[:160]}"


def short(value, limit=600):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[:limit] + "..."


class Known:
    """Lines `CASE-PATTERN <tab> WHERE-PATTERN <tab> reason`; patterns as of file names."""

    def __init__(self, file):
        self.entries, self.used = [], set()
        for line in open(file):
            line = line.rstrip("\n")
            if line.strip() and not line.startswith("#"):
                case, where, reason = line.split("\t")
                self.entries.append((case, where, reason))

    def reason(self, case, where):
        for i, (c, w, reason) in enumerate(self.entries):
            if fnmatch.fnmatchcase(case, c) and fnmatch.fnmatchcase(where, w):
                self.used.add(i)
                return reason
        return None

    def unused(self):
        """What nothing needed. Of what is drawn at random nothing follows: it may come out the same."""
        return [entry for i, entry in enumerate(self.entries) if i not in self.used and "drawn at random" not in entry[2]]
