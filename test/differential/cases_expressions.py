"""Hand-picked cases of expressions: rules of custom resources, conditions of webhooks, admission policies; more of cases.py."""
import copy
import time

from cases import case, cm
from harness import change
from planes import url

DRY = {"dryRun": "All"}
CRDS = ("apiextensions.k8s.io/v1", "customresourcedefinitions")
ADMISSION = "admissionregistration.k8s.io/v1"


def definition(plural, schema, status=False):
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    if status:
        version["subresources"] = {"status": {}}
    return {"apiVersion": CRDS[0], "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.rules.example.com"},
            "spec": {"group": "rules.example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": plural.capitalize()}, "versions": [version]}}


def spec(properties=None, rules=None, **more):
    out = {"type": "object", **more}
    if properties is not None:
        out["properties"] = properties
    if rules:
        out["x-kubernetes-validations"] = [r if isinstance(r, dict) else {"rule": r} for r in rules]
    return {"type": "object", "properties": {"spec": out}}


TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
SMALL = {"type": "string", "maxLength": 10}


def listed(item, **more):
    return {"type": "array", "items": item, **more}


@case
def definition_rules(t):
    """What a definition's rules are told when it is made."""
    def rule(label, *rules, properties=None, **more):
        t.create(*CRDS, definition("things", spec(properties or {"a": NUMBER, "b": TEXT, "c": listed(TEXT), "m": {"type": "object", "additionalProperties": TEXT}}, rules, **more)), ns=False, query=DRY, label=label)
    for text in ["self.a > 1", "self.a >", "self.a == 'x'", "self.nosuch == 1", "nosuch", "self.a", "self.b", "", " ", "\n", "self.a > 1 &&\n self.b == 2", "has(self.a)", "has(self.nosuch)", "oldSelf.a == self.a", "oldSelf",
                 "self.c.all(x, x == 'y')", "self.c.all(x, self.c.all(y, x == y))", "self.c.all(x, self.c.all(y, self.c.all(z, x == y && y == z)))", "self.b.matches('(')", "self.b.matches(self.b)", "size(self.m) > 1",
                 "self.m.all(k, self.m[k] == 'x')", "self.b.startsWith('a') || self.b.endsWith('b')", "duration('x') == duration('1s')", "timestamp(self.b) > timestamp('2020-01-01T00:00:00Z')", "self == oldSelf", "quantity(self.b).isGreaterThan(quantity('1'))",
                 "url(self.b).getHost() == 'a'", "ip(self.b).family() == 4", "cidr(self.b).containsIP('1.2.3.4')", "format.dns1123Label().validate(self.b).hasValue()", "self.b.find('a') == 'a'", "self.a + self.b == 'x'", "self.a in [1, 2]", "self.b in ['a', 1]",
                 "self.c.map(x, x + 'y').exists_one(x, x == 'z')", "self.?a.orValue(1) == 1", "self.c[?0].orValue('') == ''", "authorizer.path('/').check('get').allowed()", "variables.x", "type(self.a) == int", "string(self.a) == '1'", "'%d'.format([self.a]) == '1'",
                 "'%d'.format(['x']) == '1'", "self.b.split('').size() == 1", "self.c.join(',') == ''", "self.c.sum() == 1", "[1, 2].sum() == self.a", "sets.contains(self.c, ['a'])", "self.c.isSorted()", "self.a == 1u", "self.a == 1.5", "dyn(self.a) == 1.5", "math.greatest(self.a, 1) == 1",
                 "cel.bind(x, self.a, x == 1)", "self.b.replace('a', 'b') == ''", "self.c.exists(i, v, i == 0 && v == 'x')", "self.m.transformMap(k, v, v + 'x') == self.m", "semver('1.2.3').major() == self.a", "isSemver(self.b)", "b'abc' == bytes(self.b)", "self.a == -9223372036854775808", "self.a == 9223372036854775808",
                 "1 == 1 ? true : 'x'", "{'a': 1, 'b': 'x'} == {}", "[1, 'x'] == []", "self.c.filter(x, x.size()) == []", "x", "self.", "self.a.b", "'abc", "\"\\q\" == ''", "self.a > 1)", "(((((self.a)))) > 1", "#", "self.a = 1", "true", "false", "1", "null", "for == 1", "self.for == 1"]:
        rule(text.strip() or repr(text), text)
    for label, more in [("message", {"message": "no"}), ("message of lines", {"message": "a\nb"}), ("empty message", {"message": " "}), ("no message", {"rule": "self.a > 1 &&\nself.a > 2"}), ("expression", {"messageExpression": "'a' + self.b"}), ("wrong expression", {"messageExpression": "self.a"}), ("broken expression", {"messageExpression": "self."}),
                        ("blank expression", {"messageExpression": " "}), ("dear expression", {"messageExpression": "self.c.map(x, self.c.map(y, x + y).join('')).join('')"}), ("old in expression", {"messageExpression": "string(oldSelf.a)"}), ("reason", {"reason": "FieldValueForbidden"}), ("wrong reason", {"reason": "Odd"}), ("required", {"reason": "FieldValueRequired", "fieldPath": ".a"}),
                        ("path", {"fieldPath": ".a"}), ("no such path", {"fieldPath": ".x"}), ("path without dot", {"fieldPath": "a"}), ("path of map", {"fieldPath": ".m['k']"}), ("path of map's member", {"fieldPath": ".m.k"}), ("path of item", {"fieldPath": ".c[0]"}), ("path of list", {"fieldPath": ".c"}), ("blank path", {"fieldPath": " "}), ("path of lines", {"fieldPath": ".a\n"}), ("odd path", {"fieldPath": ".['a"}),
                        ("optional old", {"rule": "oldSelf.hasValue() && self.a > 1", "optionalOldSelf": True}), ("optional old unused", {"optionalOldSelf": True}), ("optional old false", {"rule": "oldSelf.a == 1", "optionalOldSelf": False}), ("optional old wrong", {"rule": "oldSelf.a == 1", "optionalOldSelf": True})]:
        rule(label, {"rule": "self.a > 1", **more})
    rule("several", "self.a > 'x'", "self.b > 1", {"rule": "self.a > 1", "messageExpression": "1"})
    deep = {"type": "object", "properties": {"in": {"type": "object", "properties": {"list": listed({"type": "object", "properties": {"v": NUMBER}, "x-kubernetes-validations": [{"rule": "self.v > oldSelf.v"}, {"rule": "self.nosuch"}]})}}}}
    t.create(*CRDS, definition("things", {"type": "object", "properties": {"spec": deep}}), ns=False, query=DRY, label="rules of items")
    for label, item, more in [("atomic", {"type": "object", "properties": {"v": NUMBER}}, {}), ("map", {"type": "object", "required": ["k"], "properties": {"k": TEXT, "v": NUMBER}}, {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}), ("set", TEXT, {"x-kubernetes-list-type": "set"})]:
        item = {**item, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}
        for maximum in ({}, {"maxItems": 10}):
            t.create(*CRDS, definition("things", spec({"list": listed(item, **more, **maximum)})), ns=False, query=DRY, label=f"old self in {label} {maximum}")
    for label, schema in [("text of 3 lists", spec({"a": listed(listed(listed({"type": "string", "x-kubernetes-validations": [{"rule": "self.contains('a')"}]})))})), ("bounded", spec({"a": listed(listed({"type": "string", "maxLength": 10, "x-kubernetes-validations": [{"rule": "self.contains('a')"}]}, maxItems=5), maxItems=5)})),
                          ("many", spec({f"f{i}": listed({"type": "string", "maxLength": 1000, "x-kubernetes-validations": [{"rule": "self.contains('a')"}]}, maxItems=24500 - 300 * i) for i in range(12)})), ("map", spec({"m": {"type": "object", "additionalProperties": {**TEXT, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}})),
                          ("keywords", spec({"if": NUMBER, "namespace": TEXT, "a-b": TEXT, "x__y": TEXT, "a.b/c": TEXT, "int": NUMBER}, ["self.__if__ == 1 && self.__namespace__ == 'a' && self.a__dash__b == '' && self.x__underscores__y == '' && self.a__dot__b__slash__c == '' && self.int == 1"])),
                          ("types", spec({"d": {"type": "string", "format": "date-time"}, "u": {"type": "string", "format": "duration"}, "y": {"type": "string", "format": "byte"}, "p": {"x-kubernetes-int-or-string": True}, "n": {"type": "number"}, "z": {"type": "string", "nullable": True}}, ["self.d > timestamp('2020-01-01T00:00:00Z') && self.u > duration('1s') && self.y == b'' && (type(self.p) == int ? self.p > 1 : self.p == 'x') && self.n > 1.0 && self.z != null"])),
                          ("kept", spec({"k": {"x-kubernetes-preserve-unknown-fields": True}}, ["has(self.k)"])), ("inside kept", spec({"k": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}, ["self.k.x == 1"])), ("embedded", spec({"e": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}}, ["self.e.metadata.name == 'x' && self.e.kind == 'y'"])),
                          ("root", {"type": "object", "properties": {"spec": {"type": "object"}}, "x-kubernetes-validations": [{"rule": "self.metadata.name.startsWith('a') && self.kind == 'x'"}, {"rule": "self.metadata.labels == {}"}, {"rule": "has(self.status)"}]}),
                          ("not in allOf", spec({"a": NUMBER}, None, allOf=[{"x-kubernetes-validations": [{"rule": "true"}]}])), ("enum", spec({"e": {"type": "string", "enum": ["a", "b"]}}, ["self.e.matches('a*')", "self.e == 'c'"]))]:
        t.create(*CRDS, definition("things", schema), ns=False, query=DRY, label=label)


def served(t, version, resource):
    """Waits until both planes serve it."""
    for plane in t.d.planes:
        for _ in range(100):
            if plane.request("GET", url(version, resource, t.ns)).code == 200:
                break
            time.sleep(0.1)


@case
def custom_rules(t):
    """Objects and the rules of their definition."""
    inner = {"type": "object", "properties": {"min": NUMBER, "max": NUMBER, "name": SMALL, "old": TEXT, "list": listed({"type": "object", "required": ["k"], "properties": {"k": TEXT, "v": {**NUMBER, "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "must not shrink"}]}},
             "x-kubernetes-validations": [{"rule": "self.v < 100", "fieldPath": ".v", "reason": "FieldValueForbidden"}]}, maxItems=5, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}), "m": {"type": "object", "maxProperties": 5, "additionalProperties": {**SMALL, "x-kubernetes-validations": [{"rule": "self != 'bad'"}]}},
             "when": {"type": "string", "format": "date-time"}, "port": {"x-kubernetes-int-or-string": True}, "maybe": {"type": "string", "nullable": True, "maxLength": 5}, "fixed": {"type": "string", "default": "f", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is fixed"}]},
             "once": {"type": "string", "x-kubernetes-validations": [{"rule": "oldSelf.hasValue() || self == 'first'", "optionalOldSelf": True, "messageExpression": "'starts with first, not ' + self"}]}},
             "x-kubernetes-validations": [{"rule": "!has(self.min) || !has(self.max) || self.min <= self.max", "messageExpression": "'min %d is above max %d'.format([self.min, self.max])"}, {"rule": "!has(self.name) || self.name.matches('^[a-z]+$')", "message": "only letters", "fieldPath": ".name"},
                                          {"rule": "!has(self.min) || self.min / self.max >= 0"}, {"rule": "!has(self.when) || self.when > timestamp('2020-01-01T00:00:00Z')", "reason": "FieldValueDuplicate"}, {"rule": "!has(self.port) || (type(self.port) == int ? self.port > 0 : self.port.endsWith('%'))"},
                                          {"rule": "!has(self.maybe) || self.maybe != 'x'", "messageExpression": "self.maybe.substring(3)", "message": "from the expression's failure"}, {"rule": "!has(oldSelf.old) || (has(self.old) && self.old == oldSelf.old)", "reason": "FieldValueRequired", "fieldPath": ".old"}]}
    schema = {"type": "object", "properties": {"spec": inner, "status": {"type": "object", "properties": {"n": NUMBER}, "x-kubernetes-validations": [{"rule": "!has(self.n) || self.n > 0", "message": "positive"}]}},
              "x-kubernetes-validations": [{"rule": "self.metadata.name != 'forbidden'"}, {"rule": "!has(self.status) || !has(self.spec.min) || self.status.n >= self.spec.min"}]}
    t.create(*CRDS, definition("gadgets", schema, status=True), ns=False)
    gv, resource = "rules.example.com/v1", "gadgets"
    served(t, gv, resource)

    def gadget(called, status=None, **fields):
        o = {"apiVersion": gv, "kind": "Gadgets", "metadata": {"name": called}, "spec": fields}
        return o if status is None else dict(o, status=status)
    for i, fields in enumerate([{}, {"min": 1, "max": 2}, {"min": 3, "max": 2}, {"min": 1}, {"min": 1, "max": 0}, {"min": "x", "max": 2}, {"name": "ABC"}, {"name": "abc"}, {"name": "waytoolonganame"}, {"list": [{"k": "a", "v": 100}, {"k": "b", "v": 1}, {"k": "c"}]}, {"m": {"x": "bad", "y": "good", "a b": "bad"}}, {"when": "2019-01-01T00:00:00Z"},
                               {"when": "2021-01-01T00:00:00Z"}, {"when": "soon"}, {"port": 0}, {"port": "10%"}, {"port": "x"}, {"port": 5}, {"maybe": None}, {"maybe": "x"}, {"maybe": "y"}, {"once": "first"}, {"once": "second"}, {"old": "a"}, {"min": 3, "max": 2, "name": "1", "port": "x", "when": "2019-01-01T00:00:00Z"}]):
        t.create(gv, resource, gadget(f"g{i}", **fields), query=DRY, label=f"create {fields}")
    t.create(gv, resource, gadget("forbidden"), label="forbidden name")
    t.create(gv, resource, gadget("g", min=1, max=5, name="abc", old="a", once="first", list=[{"k": "a", "v": 5}, {"k": "b", "v": 6}], m={"x": "ok"}))
    for label, fn in [("nothing", lambda o: None), ("smaller item", lambda o: o["spec"]["list"][0].update(v=1)), ("moved items", lambda o: o["spec"]["list"].reverse()), ("new item", lambda o: o["spec"]["list"].append({"k": "c", "v": 0})), ("fixed", lambda o: o["spec"].update(fixed="g")), ("once", lambda o: o["spec"].update(once="second")), ("no once", lambda o: o["spec"].update(once=None)),
                      ("no old", lambda o: o["spec"].update(old=None)), ("other old", lambda o: o["spec"].update(old="b")), ("min above max", lambda o: o["spec"].update(min=9)), ("bad member", lambda o: o["spec"]["m"].update(z="bad")), ("status is another's", lambda o: o.update(status={"n": -1}))]:
        t.update(gv, resource, "g", change(fn), label=label, query=DRY)
    t.patch(gv, resource, "g", {"spec": {"min": 9}}, label="patch")
    t.patch(gv, resource, "g", {"spec": {"min": 2, "list": [{"k": "a", "v": 7}]}}, label="good patch")
    t.apply(gv, resource, "g", gadget("g", name="ABC"), force=True, label="apply")
    t.apply(gv, resource, "applied", gadget("applied", min=5, max=1), label="apply new")
    t.patch(gv, resource, "g", {"status": {"n": 0}}, sub="status", label="status")
    t.patch(gv, resource, "g", {"status": {"n": 1}}, sub="status", label="status below min")
    t.patch(gv, resource, "g", {"status": {"n": 3}}, sub="status", label="good status")
    t.patch(gv, resource, "g", {"spec": {"min": 4, "max": 9}}, label="min above status")
    t.patch(gv, resource, "g", {"metadata": {"labels": {"a": "b"}}}, label="labels")
    # What is there already may stay as it is when the rules become stricter.
    stricter = copy.deepcopy(schema)
    stricter["properties"]["spec"]["properties"]["name"]["x-kubernetes-validations"] = [{"rule": "self.size() > 5", "message": "longer names"}]
    stricter["properties"]["spec"]["x-kubernetes-validations"].append({"rule": "self.max > 100", "message": "larger"})
    stricter["properties"]["spec"]["x-kubernetes-validations"].append({"rule": "self.max > oldSelf.max", "message": "grows"})
    new = definition("gadgets", stricter, status=True)
    t.patch(*CRDS, "gadgets.rules.example.com", {"spec": {"versions": new["spec"]["versions"]}}, ns=False, label="stricter", skip_body=True)
    time.sleep(3)
    for label, patch in [("labels under stricter rules", {"metadata": {"labels": {"a": "c"}}}), ("another field", {"spec": {"port": 5}}), ("the name", {"spec": {"name": "abcd"}}), ("max", {"spec": {"max": 200}}), ("all", {"spec": {"max": 201, "name": "abcdef"}})]:
        t.patch(gv, resource, "g", patch, label=label)
    t.delete(gv, resource, "g")
    t.delete(*CRDS, "gadgets.rules.example.com", ns=False, skip_body=True)


def policy(name, validations=None, operations=("CREATE", "UPDATE"), resources=("configmaps",), groups=("",), **more):
    out = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [{"apiGroups": list(groups), "apiVersions": ["v1"], "operations": list(operations), "resources": list(resources)}]}, **more}
    if validations is not None:
        out["validations"] = [v if isinstance(v, dict) else {"expression": v} for v in validations]
    return {"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": out}


def binding(name, policy_name, actions=("Deny",), ns=None, **more):
    out = {"policyName": policy_name, "validationActions": list(actions), **more}
    if ns:
        out["matchResources"] = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}}}
    return {"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": out}


@case
def policy_expressions(t):
    """What a policy's expressions are told when it is made."""
    def make(label, **more):
        t.create(ADMISSION, "validatingadmissionpolicies", policy("expressions", **more), ns=False, query=DRY, label=label)
    for text in ["object.x == 1", "object.", "nosuch == 1", "params.x == 1", "variables.x == 1", "1", "'x'", "object", "oldObject == null", "request.operation == 'CREATE'", "request.nosuch == 1", "request.userInfo.username == 'a' && 'b' in request.userInfo.groups && request.userInfo.extra['x'][0] == 'y'",
                 "namespaceObject.metadata.labels['a'] == 'b'", "namespaceObject.metadata.managedFields == []", "namespaceObject.status.phase == 'Active'", "authorizer.requestResource.check('get').allowed()", "authorizer.group('').resource('pods').check('get')", "authorizer.path('').check('get').allowed()",
                 "request.options.dryRun == ['All']", "request.kind.kind == 1", "request.dryRun", "object.metadata.name.matches('(')", "JSONPatch{op: 'add'} == null", "Object{} == null", "self.x", " ", "request.object == null", "request.requestKind == request.kind", "request.namespace == ''", "request.__namespace__ == ''", "[1, 'a'] == []"]:
        make(f"validation {text}", validations=[text])
        make(f"condition {text}", validations=["true"], matchConditions=[{"name": "c", "expression": text}])
        make(f"message {text}", validations=[{"expression": "true", "messageExpression": text}])
        make(f"variable {text}", validations=["variables.v == variables.v"], variables=[{"name": "v", "expression": text}])
        make(f"annotation {text}", auditAnnotations=[{"key": "k", "valueExpression": text}])
        make(f"parameters {text}", validations=[text], paramKind={"apiVersion": "v1", "kind": "ConfigMap"}, matchConditions=[{"name": "c", "expression": text}])
    for expression in ["'a' + 'b'", "string(object.x)", "null", "object.x == 1 ? 'a' : null", "has(object.x) ? 'a' : 'b'", " 'trimmed' "]:
        make(f"message {expression}", validations=[{"expression": "true", "messageExpression": expression}])
        make(f"annotation {expression}", auditAnnotations=[{"key": "k", "valueExpression": expression}])
    make("chain of variables", variables=[{"name": "a", "expression": "1"}, {"name": "b", "expression": "variables.a + 1"}, {"name": "c", "expression": "variables.d"}, {"name": "d", "expression": "variables.b == 'x'"}, {"name": "e", "expression": "object.l.map(x, x.y)"}, {"name": "f", "expression": "variables.e + ['x']"}, {"name": "g", "expression": "[1, 2]"}, {"name": "h", "expression": "variables.g + ['x']"}],
         validations=["variables.a == 'x'", "variables.f == []", "variables.g == {}"])
    make("a variable twice", variables=[{"name": "a", "expression": "1"}, {"name": "a", "expression": "'x'"}], validations=["variables.a == 1"])
    for text in ["object.x == 1", "object.", "params.x", "1", " ", "variables.x", "request.operation == 'CREATE'", "authorizer.requestResource.check('get').allowed()"]:
        hook = {"name": "a.b.c", "admissionReviewVersions": ["v1"], "sideEffects": "None", "clientConfig": {"url": "https://127.0.0.1:1"}, "matchConditions": [{"name": "c", "expression": text}], "rules": [{"operations": ["CREATE"], "apiGroups": ["none.example.com"], "apiVersions": ["v1"], "resources": ["x"]}]}
        for kind in ("Validating", "Mutating"):
            t.create(ADMISSION, f"{kind.lower()}webhookconfigurations", {"apiVersion": ADMISSION, "kind": f"{kind}WebhookConfiguration", "metadata": {"name": "conditions"}, "webhooks": [hook]}, ns=False, query=DRY, label=f"{kind} {text}")
    for patch_type, field in (("JSONPatch", "jsonPatch"), ("ApplyConfiguration", "applyConfiguration")):
        for text in ["[JSONPatch{op: 'add', path: '/x', value: 1}]", "[JSONPatch{op: 1, path: '/x'}]", "[]", "[JSONPatch{nosuch: 1}]", "Object{spec: Object.spec{x: 1}}", "Object.spec{x: 1}", "Object{}", "1", "object", "[JSONPatch{op: 'add', path: '/' + jsonpatch.escapeKey('a/b'), value: Object.x{y: [1, 2]}}]", "has(object.x) ? [JSONPatch{op: 'remove', path: '/x'}] : []", " ", "object."]:
            p = {"apiVersion": ADMISSION, "kind": "MutatingAdmissionPolicy", "metadata": {"name": "mutations"}, "spec": {"failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": policy("x")["spec"]["matchConstraints"], "mutations": [{"patchType": patch_type, field: {"expression": text}}]}}
            t.create(ADMISSION, "mutatingadmissionpolicies", p, ns=False, query=DRY, label=f"{patch_type} {text}")


def enforced(t, probe):
    """Waits until both planes refuse the probe."""
    for plane in t.d.planes:
        for _ in range(100):
            if plane.request("POST", url("v1", "configmaps", t.ns, query=DRY), probe).code != 201:
                break
            time.sleep(0.1)
    time.sleep(1)


@case
def validating_policies(t):
    """Requests that policies are about."""
    made = []

    def add(name, *args, bind=None, **more):
        made.append(name)
        t.create(ADMISSION, "validatingadmissionpolicies", policy(name, *args, **more), ns=False, label=f"policy {name}", skip_body=True)
        t.create(ADMISSION, "validatingadmissionpolicybindings", binding(name, name, ns=t.ns, **(bind or {})), ns=False, label=f"binding {name}", skip_body=True)

    def marked(mark):
        return [{"name": "marked", "expression": f"has(object.data) && 'mark' in object.data && object.data.mark == '{mark}'"}]
    t.create("v1", "configmaps", cm("parameters", {"least": "3", "label": "x"}, labels={"role": "parameters"}), label="parameters")
    t.create("v1", "configmaps", cm("parameters2", {"least": "5"}, labels={"role": "parameters"}), label="parameters2")
    add("plain", ["object.data.v != 'bad'", {"expression": "object.data.v != 'worse'", "message": " no worse ", "reason": "Forbidden"}, {"expression": "object.data.v != 'worst'", "messageExpression": "'not ' + object.data.v + ' in ' + request.namespace", "reason": "RequestEntityTooLarge"},
                  {"expression": "object.data.v != 'odd'", "messageExpression": "object.data.none", "message": "from message"}, {"expression": "object.data.v != 'lines'", "messageExpression": "'a\\nb'"}], matchConditions=marked("plain"))
    add("failing", ["object.data.none == 'x'"], matchConditions=marked("failing"))
    add("ignoring", ["object.data.none == 'x'"], matchConditions=marked("ignoring"), failurePolicy="Ignore")
    add("warning", ["false", {"expression": "false", "message": "second"}], matchConditions=marked("warning"), bind={"actions": ["Warn", "Audit"]})
    add("condition", ["false"], matchConditions=marked("condition") + [{"name": "fails", "expression": "object.none == 1"}])
    add("variables", ["variables.sum == 3", {"expression": "variables.names.size() > 5", "messageExpression": "'names: ' + variables.names.join(',')"}], matchConditions=marked("variables"), variables=[{"name": "one", "expression": "1"}, {"name": "sum", "expression": "variables.one + 2"}, {"name": "names", "expression": "object.data.map(k, k)"}, {"name": "broken", "expression": "object.nosuch"}])
    add("broken", ["variables.broken == 1"], matchConditions=marked("broken"), variables=[{"name": "broken", "expression": "object.nosuch"}])
    add("request", ["request.operation == 'x'", "request.kind.kind == 'Pod'"], matchConditions=marked("request"), auditAnnotations=[{"key": "k", "valueExpression": "'v'"}])
    add("two", [{"expression": "false", "message": "first of two"}, {"expression": "false", "message": "second of two"}], matchConditions=marked("two"))
    add("namespace", [{"expression": "namespaceObject.metadata.name == 'x'", "messageExpression": "namespaceObject.metadata.name + ' ' + namespaceObject.status.phase"}], matchConditions=marked("namespace"))
    add("authorizer", ["authorizer.group('').resource('pods').namespace('default').check('create').allowed()", {"expression": "!authorizer.path('/metrics').check('get').allowed()", "message": "reads metrics"}, {"expression": "authorizer.serviceAccount('default', 'nobody').group('').resource('secrets').check('get').allowed()", "message": "nobody reads secrets"}], matchConditions=marked("authorizer"))
    add("parameters", [{"expression": "int(object.data.n) >= int(params.data.least)", "messageExpression": "'at least ' + params.data.least"}], matchConditions=marked("parameters"), paramKind={"apiVersion": "v1", "kind": "ConfigMap"}, bind={"paramRef": {"name": "parameters", "namespace": t.ns, "parameterNotFoundAction": "Deny"}})
    add("selected", [{"expression": "int(object.data.n) >= int(params.data.least)", "messageExpression": "'at least ' + params.data.least"}], matchConditions=marked("selected"), paramKind={"apiVersion": "v1", "kind": "ConfigMap"}, bind={"paramRef": {"selector": {"matchLabels": {"role": "parameters"}}, "parameterNotFoundAction": "Deny"}})
    add("missing", ["true"], paramKind={"apiVersion": "v1", "kind": "ConfigMap"}, bind={"paramRef": {"name": "none", "namespace": t.ns, "parameterNotFoundAction": "Deny"}}, resources=("endpoints",))
    add("allowed", ["false"], matchConditions=marked("allowed"), paramKind={"apiVersion": "v1", "kind": "ConfigMap"}, bind={"paramRef": {"name": "none", "namespace": t.ns, "parameterNotFoundAction": "Allow"}})
    add("deletions", [{"expression": "oldObject.data.v != 'kept'", "message": "is kept"}], operations=("DELETE",), matchConditions=[{"name": "kept", "expression": "object == null && request.name == 'kept'"}])
    add("scale", [{"expression": "object.spec.replicas < 5", "messageExpression": "'%d replicas of %s'.format([object.spec.replicas, request.name])"}], groups=("apps",), resources=("deployments", "deployments/scale"))
    add("last", ["object.data.v != 'bad'"], matchConditions=marked("last"))
    enforced(t, cm("probe", {"mark": "last", "v": "bad"}))
    for v in ("good", "bad", "worse", "worst", "odd", "lines"):
        t.create("v1", "configmaps", cm("c", {"mark": "plain", "v": v}), query=DRY, label=f"plain {v}")
    t.create("v1", "configmaps", cm("c", {"mark": "plain"}), query=DRY, label="plain none")
    for mark in ("failing", "ignoring", "warning", "condition", "variables", "broken", "request", "two", "namespace", "authorizer", "allowed"):
        t.create("v1", "configmaps", cm("c", {"mark": mark}), query=DRY, label=mark)
    for mark in ("parameters", "selected"):
        for n in ("2", "3", "4", "5", "x")[mark == "selected":]:  # where two refuse, either may say so
            t.create("v1", "configmaps", cm("c", {"mark": mark, "n": n}), query=DRY, label=f"{mark} {n}")
    t.create("v1", "endpoints", {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "e"}}, query=DRY, label="missing parameters")
    t.create("v1", "configmaps", cm("kept", {"v": "kept"}), label="to keep")
    t.delete("v1", "configmaps", "kept", label="keep")
    t.patch("v1", "configmaps", "kept", {"data": {"v": "x"}}, label="to lose")
    t.delete("v1", "configmaps", "kept", label="lose")
    made_of = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "scaled"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}
    t.create("apps/v1", "deployments", dict(made_of, spec=dict(made_of["spec"], replicas=7)), label="too many", query=DRY)
    t.create("apps/v1", "deployments", made_of, label="deployment", skip_body=True)
    t.patch("apps/v1", "deployments", "scaled", {"spec": {"replicas": 9}}, sub="scale", label="scaled", query=DRY)
    t.patch("apps/v1", "deployments", "scaled", {"spec": {"replicas": 2}}, sub="scale", label="scaled less", query=DRY, skip_body=True)
    t.delete("apps/v1", "deployments", "scaled", label="done", skip_body=True)
    for name in made:
        t.delete(ADMISSION, "validatingadmissionpolicybindings", name, ns=False, label=f"unbind {name}", skip_body=True)
        t.delete(ADMISSION, "validatingadmissionpolicies", name, ns=False, label=f"remove {name}", skip_body=True)


@case
def mutating_policies(t):
    """Requests that policies change."""
    made = []

    def add(name, *mutations, mark=None, bind=None, reinvocation="Never", conditions=(), **more):
        made.append(name)
        rules = policy("x", **{k: more.pop(k) for k in ("operations", "resources", "groups") if k in more})["spec"]["matchConstraints"]
        conditions = list(conditions) + [{"name": "marked", "expression": f"has(object.data) && 'mark' in object.data && object.data.mark == '{mark or name}'"}] if mark is not False else list(conditions)
        body = {"failurePolicy": "Fail", "reinvocationPolicy": reinvocation, "matchConstraints": rules, "matchConditions": conditions, **more}
        body["mutations"] = [{"patchType": "JSONPatch", "jsonPatch": {"expression": m}} if m.startswith("[") else {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": m}} for m in mutations]
        t.create(ADMISSION, "mutatingadmissionpolicies", {"apiVersion": ADMISSION, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": body}, ns=False, label=f"policy {name}", skip_body=True)
        b = {"policyName": name, "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": t.ns}}}, **(bind or {})}
        t.create(ADMISSION, "mutatingadmissionpolicybindings", {"apiVersion": ADMISSION, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": b}, ns=False, label=f"binding {name}", skip_body=True)
    add("add", "[JSONPatch{op: 'add', path: '/data/a', value: 'b'}, JSONPatch{op: 'add', path: '/metadata/labels', value: {'x': 'y'}}]")
    add("apply", "Object{metadata: Object.metadata{labels: {'l': 'm'}}, data: {'applied': 'yes'}}")
    add("escape", "[JSONPatch{op: 'add', path: '/metadata/annotations', value: {}}, JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('a.b/c~d'), value: 'e'}]")
    add("test", "[JSONPatch{op: 'test', path: '/data/mark', value: 'other'}, JSONPatch{op: 'add', path: '/data/a', value: 'b'}]", "[JSONPatch{op: 'test', path: '/data/mark', value: 'test'}, JSONPatch{op: 'add', path: '/data/c', value: 'd'}]")
    for op in ("remove", "replace", "test"):
        add(f"missing-{op}", f"[JSONPatch{{op: '{op}', path: '/data/none', value: 'x'}}]", f"[JSONPatch{{op: '{op}', path: '/none/none', value: 'x'}}]")
    add("missing-move", "[JSONPatch{op: 'move', from: '/data/none', path: '/data/x'}]")
    add("copy", "[JSONPatch{op: 'copy', from: '/data/mark', path: '/data/copied'}, JSONPatch{op: 'move', from: '/data/copied', path: '/data/moved'}]")
    add("failing", "[JSONPatch{op: 'add', path: '/data/a', value: object.data.none}]")
    add("ignoring", "[JSONPatch{op: 'add', path: '/data/a', value: object.data.none}]", failurePolicy="Ignore")
    add("wrong-type", "[JSONPatch{op: 'add', path: '/data', value: 'text'}]")
    add("misplaced", "Object{metadata: Object.spec{labels: {'l': 'm'}}}")
    add("unknown", "Object{nosuch: 1}")
    add("atomic", "Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'x': 'y'}}}}", mark=False, groups=("apps",), resources=("deployments",), conditions=[{"name": "n", "expression": "object.metadata.name == 'atomic'"}])
    add("containers", "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: 'c', image: 'new'}, Object.spec.template.spec.containers{name: 'side', image: 's'}]}}}}", mark=False, groups=("apps",), resources=("deployments",), conditions=[{"name": "n", "expression": "object.metadata.name == 'containers'"}])
    add("a-again", "[JSONPatch{op: 'add', path: '/data/first', value: has(object.data.second) ? 'again' : 'once'}]", mark="again", reinvocation="IfNeeded")
    add("b-again", "[JSONPatch{op: 'add', path: '/data/second', value: 'x'}]", mark="again")  # in whichever order
    add("variables", "[JSONPatch{op: 'add', path: '/data/v', value: variables.v}]", variables=[{"name": "v", "expression": "object.data.mark + request.operation"}])
    add("last", "[JSONPatch{op: 'add', path: '/data/none/x', value: 'y'}]")
    enforced(t, cm("probe", {"mark": "last"}))
    for mark in ("add", "apply", "escape", "test", "missing-remove", "missing-replace", "missing-test", "missing-move", "copy", "failing", "ignoring", "wrong-type", "misplaced", "unknown", "again", "variables", "last", "none"):
        t.create("v1", "configmaps", cm("c", {"mark": mark}), query=DRY, label=mark)
    for name in ("atomic", "containers"):
        t.create("apps/v1", "deployments", {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}, query=DRY, label=name)
    for name in made:
        t.delete(ADMISSION, "mutatingadmissionpolicybindings", name, ns=False, label=f"unbind {name}", skip_body=True)
        t.delete(ADMISSION, "mutatingadmissionpolicies", name, ns=False, label=f"remove {name}", skip_body=True)


@case
def webhook_conditions(t):
    """Webhooks that cannot be reached, so that a refusal tells that one was asked."""
    hooks = []
    for i, (label, policy_name, conditions) in enumerate([("true", "Fail", ["object.data.mark == 'hook'"]), ("error", "Fail", ["object.data.mark == 'error'", "object.none == 1"]), ("ignored", "Ignore", ["object.data.mark == 'ignored'", "object.none == 1"])]):
        hooks.append({"name": f"{label}.example.com", "failurePolicy": policy_name, "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 1, "clientConfig": {"url": "https://127.0.0.1:1/x"}, "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": t.ns}},
                      "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}], "matchConditions": [{"name": f"c{j}", "expression": c} for j, c in enumerate(["has(object.data) && has(object.data.mark)"] + conditions)]})
    for kind in ("Validating", "Mutating"):
        resource = f"{kind.lower()}webhookconfigurations"
        t.create(ADMISSION, resource, {"apiVersion": ADMISSION, "kind": f"{kind}WebhookConfiguration", "metadata": {"name": "conditional"}, "webhooks": hooks}, ns=False, label=kind, skip_body=True)
        enforced(t, cm("probe", {"mark": "error"}))
        for mark in ("none", "error", "ignored"):
            t.create("v1", "configmaps", cm("c", {"mark": mark}), query=DRY, label=f"{kind} {mark}")
        t.create("v1", "configmaps", cm("c", {"mark": "hook"}), query=DRY, label=f"{kind} asked", skip_body=True)
        t.delete(ADMISSION, resource, "conditional", ns=False, label=f"no {kind}", skip_body=True)
        time.sleep(1)
