"""Hand-picked cases: what clients do, and what they get wrong. Each takes a Case and the namespace's name."""
import base64
import copy

import objects
from harness import APPLY, JSON_PATCH, MERGE, STRATEGIC, change

CASES = []


def case(fn):
    CASES.append(fn)
    return fn


def base(kind, name, version=None, **more):
    for v, k, resource, namespaced, body in objects.OBJECTS:
        if k == kind and (version is None or v == version):
            out = {"apiVersion": v, "kind": k, **copy.deepcopy(body)}
            out.setdefault("metadata", {})["name"] = name
            out.update(more)
            return out
    raise KeyError(kind)


def cm(name, data=None, **meta):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}, "data": data or {"a": "1"}}


def pod(name, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def deployment(name, **spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}, **spec}}


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}], **spec}}


# ---- the life of simple objects

@case
def configmap_life(t):
    t.create("v1", "configmaps", cm("life"))
    t.create("v1", "configmaps", cm("life"), label="again")
    t.get("v1", "configmaps", "life")
    t.get("v1", "configmaps", "none")
    t.update("v1", "configmaps", "life", change(lambda o: o["data"].update(b="2")))
    t.update("v1", "configmaps", "life", cm("life", {"c": "3"}), label="unconditional")
    t.update("v1", "configmaps", "life", cm("life", {"c": "3"}), label="no change")
    t.update("v1", "configmaps", "life", cm("life", resourceVersion="1"), label="old revision")
    t.update("v1", "configmaps", "life", cm("life", resourceVersion="zero"), label="bad revision")
    t.update("v1", "configmaps", "life", cm("life", resourceVersion="-1"), label="negative revision")
    t.update("v1", "configmaps", "life", cm("life", uid="x"), label="other uid")
    t.update("v1", "configmaps", "life", cm("other"), label="other name")
    t.update("v1", "configmaps", "life", cm(""), label="no name")
    t.update("v1", "configmaps", "life", cm("life", namespace="elsewhere"), label="other namespace")
    t.update("v1", "configmaps", "nosuch", cm("nosuch"), label="not there")
    t.update("v1", "configmaps", "nosuch", cm("nosuch", resourceVersion="5"), label="not there, revision")
    t.update("v1", "configmaps", "nosuch", cm("nosuch", uid="x"), label="not there, uid")
    t.delete("v1", "configmaps", "life", {"preconditions": {"uid": "x"}})
    t.delete("v1", "configmaps", "life", {"preconditions": {"resourceVersion": "1"}})
    t.delete("v1", "configmaps", "life", {"propagationPolicy": "Sideways"})
    t.delete("v1", "configmaps", "life", {"propagationPolicy": "Orphan", "orphanDependents": True})
    t.delete("v1", "configmaps", "life", {"gracePeriodSeconds": -1})
    t.delete("v1", "configmaps", "life", {"dryRun": ["Some"]})
    t.delete("v1", "configmaps", "life", query={"dryRun": "All"})
    t.delete("v1", "configmaps", "life", query={"dryRun": "Nothing"})
    t.delete("v1", "configmaps", "life", query={"gracePeriodSeconds": "x"})
    t.delete("v1", "configmaps", "life", query={"propagationPolicy": "Foreground"})
    t.get("v1", "configmaps", "life")
    t.patch("v1", "configmaps", "life", {"metadata": {"finalizers": None}})
    t.delete("v1", "configmaps", "life")
    t.delete("v1", "configmaps", "life")


@case
def finalizers(t):
    t.create("v1", "configmaps", cm("fin", finalizers=["example.com/f", "example.com/g"]))
    t.delete("v1", "configmaps", "fin")
    t.get("v1", "configmaps", "fin")
    t.delete("v1", "configmaps", "fin", label="again")
    t.patch("v1", "configmaps", "fin", {"metadata": {"finalizers": ["example.com/f", "example.com/h"]}}, label="a new one")
    t.patch("v1", "configmaps", "fin", {"metadata": {"finalizers": ["example.com/f"]}})
    t.create("v1", "configmaps", cm("fin"), label="while it goes")
    t.patch("v1", "configmaps", "fin", [{"op": "remove", "path": "/metadata/finalizers"}], JSON_PATCH)
    t.get("v1", "configmaps", "fin")
    t.create("v1", "configmaps", cm("fin2", finalizers=["nope", "foregroundDeletion", "orphan"]), label="bad name")
    t.create("v1", "configmaps", cm("fin3", finalizers=["foregroundDeletion"]))
    t.delete("v1", "configmaps", "fin3", {"propagationPolicy": "Orphan"})
    t.get("v1", "configmaps", "fin3")
    t.create("v1", "configmaps", cm("fin4"))
    t.delete("v1", "configmaps", "fin4", {"propagationPolicy": "Foreground"})
    t.get("v1", "configmaps", "fin4")
    t.delete("v1", "configmaps", "fin4", {"propagationPolicy": "Background"})
    t.get("v1", "configmaps", "fin4")


@case
def names(t):
    for n in ["Upper", "a_b", "-a", "a.", "a" * 254, "a/b", "a%b", ".", "..", ""]:
        t.create("v1", "configmaps", cm(n), label=f"name {n[:20]}")
    t.create("v1", "configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}})
    t.create("v1", "configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "Gen-"}})
    t.create("v1", "configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g" * 70}})
    t.create("v1", "configmaps", {"apiVersion": "v1", "kind": "ConfigMap"})
    t.create("v1", "services", service("1a"))
    t.create("v1", "services", service("a" * 64))
    t.create("v1", "services", service("a.b"))
    t.create("v1", "namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a.b"}}, ns=False)
    t.create("rbac.authorization.k8s.io/v1", "roles", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "Weird:Name@x"}, "rules": []})
    t.create("rbac.authorization.k8s.io/v1", "roles", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "a%b"}, "rules": []})
    t.create("v1", "configmaps", cm("ns-other", namespace="elsewhere"))
    t.create("v1", "configmaps", cm("x"), ns="no-such-namespace")
    t.create("apps/v1", "deployments", deployment("x"), ns="no-such-namespace")
    t.create("v1", "configmaps", cm("x", labels={"a b": "c"}))
    t.create("v1", "configmaps", cm("x", labels={"a": "b c"}))
    t.create("v1", "configmaps", cm("x", labels={"a": "b" * 64}))
    t.create("v1", "configmaps", cm("x", labels={"Example.com/a": "b", "/x": "", "a/b/c": ""}))
    t.create("v1", "configmaps", cm("x", annotations={"a b": "c"}))
    t.create("v1", "configmaps", cm("x", annotations={"a": "x" * 270000}))
    t.create("v1", "configmaps", cm("x", ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "", "uid": ""}]))
    t.create("v1", "configmaps", cm("x", ownerReferences=[{"apiVersion": "v1", "kind": "Event", "name": "a", "uid": "b"}]))
    t.create("v1", "configmaps", cm("x", ownerReferences=[{"apiVersion": "a/b/c", "kind": "X", "name": "a", "uid": "b"}]))
    t.create("v1", "configmaps", cm("x", ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": n, "uid": n, "controller": True} for n in "ab"]))
    t.create("v1", "configmaps", cm("owned", ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": n, "uid": "same"} for n in "ab"]), label="same owner twice")
    t.create("v1", "configmaps", cm("x", managedFields=[{"manager": "a", "operation": "Bogus"}]))
    t.create("v1", "configmaps", cm("mf", managedFields=[{"manager": "a", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}}]))
    t.create("v1", "configmaps", cm("sys", uid="mine", resourceVersion="", generation=7, creationTimestamp="2020-01-01T00:00:00Z", deletionTimestamp="2020-01-01T00:00:00Z", deletionGracePeriodSeconds=3, selfLink="/x"))
    t.create("v1", "configmaps", cm("rv", resourceVersion="7"))


@case
def bad_bodies(t):
    for label, body in [("no json", "{"), ("array", "[]"), ("null", "null"), ("text", '"x"'), ("number", "5"), ("trailing", '{"apiVersion":"v1","kind":"ConfigMap"} x'), ("empty", ""), ("yaml", "a: b"),
                        ("no kind", '{"apiVersion":"v1","metadata":{"name":"a"}}'), ("no version", '{"kind":"ConfigMap","metadata":{"name":"nover"}}'), ("nothing", "{}"), ("other kind", '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}'),
                        ("other version", '{"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"a"}}'), ("no such kind", '{"apiVersion":"v1","kind":"Nope","metadata":{"name":"a"}}'),
                        ("other group", '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"}}'), ("bad version", '{"apiVersion":"a/b/c","kind":"ConfigMap"}'),
                        ("metadata text", '{"apiVersion":"v1","kind":"ConfigMap","metadata":"x"}'), ("data number", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":1}}'),
                        ("data list", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":[]}'), ("base64", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"binaryData":{"a":"!"}}'),
                        ("case", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"casing"},"Data":{"a":"b"}}'), ("kind number", '{"apiVersion":"v1","kind":5}'), ("time", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","creationTimestamp":"x"}}')]:
        t("POST", "v1", "configmaps", body=body, label=label)
        t("PUT", "v1", "configmaps", "a", body=body, label=label + " put")
    for label, body in [("type", "application/xml"), ("none", "text/plain")]:
        t("POST", "v1", "configmaps", body=cm("x"), content_type=body, label=label)
    t("POST", "v1", "configmaps", body="apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yamlcm\ndata:\n  a: b\n  c: \"1\"\n", content_type="application/yaml", label="yaml")
    t("POST", "v1", "configmaps", body="apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yamlcm2\ndata:\n  a: 1\n", content_type="application/yaml", label="yaml number")
    t("POST", "v1", "configmaps", body="a: [", content_type="application/yaml", label="bad yaml")
    t("GET", "v1", "configmaps", accept="application/xml", label="accept")
    t("GET", "v1", "configmaps", "a", accept="application/xml", label="accept")
    for version, bad in [("apps/v1", {"replicas": "3"}), ("apps/v1", {"replicas": 1.5}), ("apps/v1", {"replicas": 3000000000}), ("apps/v1", {"template": []}), ("apps/v1", {"paused": "true"}), ("apps/v1", {"selector": "x"}),
                         ("apps/v1", {"strategy": {"rollingUpdate": {"maxSurge": True}}}), ("apps/v1", {"template": {"spec": {"containers": {}}}}), ("apps/v1", {"template": {"spec": {"containers": [5]}}}),
                         ("apps/v1", {"template": {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1x"}}}]}}}), ("apps/v1", {"template": {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": ""}}}]}}}),
                         ("apps/v1", {"template": {"metadata": {"labels": {"a": True}}}}), ("apps/v1", {"template": {"spec": {"nodeSelector": {"a": 1}}}}), ("apps/v1", {"template": {"spec": {"terminationGracePeriodSeconds": "30"}}}),
                         ("apps/v1", {"template": {"spec": {"containers": [{"name": "c", "ports": [{"containerPort": "80"}]}]}}}), ("apps/v1", {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": 1}]}]}}}),
                         ("apps/v1", {"template": {"spec": {"containers": [{"name": "c", "command": "x"}]}}})]:
        t.create(version, "deployments", {"apiVersion": version, "kind": "Deployment", "metadata": {"name": "bad"}, "spec": bad}, label=str(bad)[:60])


@case
def field_validation(t):
    body = '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"fv","labels":{"a":"1","a":"2"}},"unknown":1,"spec":{"replicas":1,"replicas":2,"bogus":true,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i","bogus":1,"env":[{"name":"A","nope":1}]}]}}}}'
    for mode in ["Ignore", "Warn", "Strict", "", "Bogus"]:
        t("POST", "apps/v1", "deployments", body=body, query={"fieldValidation": mode, "dryRun": "All"}, label=mode)
    t("POST", "apps/v1", "deployments", body=body, label="default")
    for mode in ["Ignore", "Warn", "Strict", "Bogus"]:
        q = {"fieldValidation": mode, "dryRun": "All"}
        t("PUT", "apps/v1", "deployments", "fv", body=body, query=q, label=mode)
        t.patch("apps/v1", "deployments", "fv", {"spec": {"nope": 1, "replicas": 5}}, query=q, label="merge " + mode)
        t.patch("apps/v1", "deployments", "fv", '{"spec":{"replicas":1,"replicas":5}}', query=q, label="merge double " + mode)
        t.patch("apps/v1", "deployments", "fv", {"spec": {"nope": 1, "replicas": 5}}, STRATEGIC, query=q, label="strategic " + mode)
        t.patch("apps/v1", "deployments", "fv", [{"op": "add", "path": "/spec/nope", "value": 1}], JSON_PATCH, query=q, label="json " + mode)
        t.patch("apps/v1", "deployments", "fv", '[{"op":"add","path":"/spec/replicas","value":1,"value":2,"foo":"bar"}]', JSON_PATCH, query=q, label="json double " + mode)
        t.apply("apps/v1", "deployments", "fv", '{"apiVersion":"apps/v1","kind":"Deployment","spec":{"nope":1,"replicas":1,"replicas":2}}', query=q, label="apply " + mode)
    t("POST", "v1", "configmaps", body="apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: fvy\ndata:\n  a: b\n  a: c\nx: y\n", content_type="application/yaml", query={"fieldValidation": "Strict"})
    t("POST", "v1", "configmaps", body="apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: fvy\ndata:\n  a: b\n  a: c\nx: y\n", content_type="application/yaml", query={"fieldValidation": "Warn"})
    t("POST", "v1", "configmaps", body=cm("fm"), query={"fieldManager": "x" * 129})
    t("POST", "v1", "configmaps", body=cm("fm"), query={"fieldManager": "tab\there"})
    t("POST", "v1", "configmaps", body=cm("fm"), query={"dryRun": "Bogus"})
    t("POST", "v1", "configmaps", body=cm("fm"), query={"dryRun": ["All", "All"]})
    t("POST", "v1", "configmaps", body=cm("fm"), query={"fieldManager": "mine"})


# ---- patches

@case
def patches(t):
    t.create("apps/v1", "deployments", deployment("p"))
    t.patch("apps/v1", "deployments", "p", {"spec": {"replicas": 2}})
    t.patch("apps/v1", "deployments", "p", {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}}}, label="merge list")
    t.patch("apps/v1", "deployments", "p", {"spec": {"template": {"spec": {"containers": [{"name": "d", "image": "k"}]}}}}, STRATEGIC)
    t.patch("apps/v1", "deployments", "p", {"spec": {"template": {"spec": {"containers": [{"name": "d", "$patch": "delete"}]}}}}, STRATEGIC)
    t.patch("apps/v1", "deployments", "p", {"spec": {"template": {"spec": {"containers": [{"image": "k"}]}}}}, STRATEGIC, label="no key")
    t.patch("apps/v1", "deployments", "p", {"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "e"}, {"name": "c"}], "containers": [{"name": "e", "image": "k"}]}}}}, STRATEGIC)
    t.patch("apps/v1", "deployments", "p", {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}, STRATEGIC)
    t.patch("apps/v1", "deployments", "p", {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}}, STRATEGIC, label="both zero")
    t.patch("apps/v1", "deployments", "p", {"metadata": {"labels": {"$patch": "replace", "x": "y"}}}, STRATEGIC)
    t.patch("apps/v1", "deployments", "p", {"metadata": {"labels": {"x": None, "z": "w"}}}, STRATEGIC)
    t.patch("apps/v1", "deployments", "p", {"spec": {"selector": {"matchLabels": {"q": "r"}}}}, label="immutable")
    t.patch("apps/v1", "deployments", "p", {"spec": {"template": {"metadata": {"labels": None}}}}, label="labels gone")
    t.patch("apps/v1", "deployments", "p", {"spec": "x"}, label="wrong type")
    t.patch("apps/v1", "deployments", "p", {"spec": {"replicas": "x"}}, label="wrong type")
    t.patch("apps/v1", "deployments", "p", {"spec": {"replicas": "x"}}, STRATEGIC, label="wrong type")
    t.patch("apps/v1", "deployments", "p", {"metadata": {"resourceVersion": "1"}}, label="old")
    t.patch("apps/v1", "deployments", "p", {"metadata": {"resourceVersion": "x"}}, label="bad revision")
    t.patch("apps/v1", "deployments", "p", {"metadata": {"uid": "x"}}, label="uid")
    t.patch("apps/v1", "deployments", "p", {"metadata": {"name": "q"}}, label="name")
    t.patch("apps/v1", "deployments", "p", {"metadata": {"namespace": "q"}}, label="namespace")
    t.patch("apps/v1", "deployments", "p", {"kind": "ReplicaSet"}, label="kind")
    t.patch("apps/v1", "deployments", "p", {"apiVersion": "v1"}, label="version")
    t.patch("apps/v1", "deployments", "p", {"status": {"replicas": 4}}, label="status by the object")
    t.patch("apps/v1", "deployments", "p", {"status": {"replicas": 4, "conditions": [{"type": "Available", "status": "True"}]}}, STRATEGIC, sub="status")
    t.patch("apps/v1", "deployments", "p", {"spec": {"replicas": 9}, "metadata": {"labels": {"s": "t"}, "annotations": {"s": "t"}}, "status": {"readyReplicas": 1}}, sub="status")
    t.patch("apps/v1", "deployments", "p", {"status": {"replicas": -1}}, sub="status")
    t.patch("apps/v1", "deployments", "p", "{", label="no json")
    t.patch("apps/v1", "deployments", "p", "[]", label="a list")
    t.patch("apps/v1", "deployments", "p", "", label="empty")
    t.patch("apps/v1", "deployments", "p", "{", STRATEGIC, label="no json")
    t.patch("apps/v1", "deployments", "p", "[]", STRATEGIC, label="a list")
    t.patch("apps/v1", "deployments", "p", "{}", JSON_PATCH, label="an object")
    t.patch("apps/v1", "deployments", "p", "{}", label="nothing")
    t.patch("apps/v1", "deployments", "none", {"spec": {}}, label="not there")
    t.patch("apps/v1", "deployments", "none", {"spec": {}}, STRATEGIC, label="not there")
    t.patch("apps/v1", "deployments", "p", {}, "application/json", label="content type")
    t.patch("apps/v1", "deployments", "p", {}, "text/plain", label="content type")
    t.patch("apps/v1", "deployments", "p", {}, query={"force": "true"}, label="force")
    for ops in [[{"op": "replace", "path": "/spec/replicas", "value": 3}], [{"op": "test", "path": "/spec/replicas", "value": 9}], [{"op": "test", "path": "/spec/replicas", "value": 3}], [{"op": "remove", "path": "/spec/nope"}],
                [{"op": "replace", "path": "/spec/nope", "value": 1}], [{"op": "add", "path": "/spec/a/b", "value": 1}], [{"op": "bogus", "path": "/x"}], [{"op": "copy", "from": "/metadata/labels/z", "path": "/metadata/labels/zz"}],
                [{"op": "move", "from": "/metadata/labels/zz", "path": "/metadata/labels/zzz"}], [{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "n", "image": "i"}}],
                [{"op": "remove", "path": "/spec/template/spec/containers/9"}], [{"op": "add", "path": "/metadata/annotations/a~1b", "value": "c"}], [{"op": "add", "path": "/metadata/annotations", "value": {"a/b": "c"}}],
                [{"op": "add", "path": "/metadata/annotations/a~1c", "value": "d"}], [{"path": "/x"}], [{"op": "add"}], [], [{"op": "remove", "path": "/metadata/name"}], [{"op": "replace", "path": "", "value": {}}],
                [{"op": "test", "path": "/spec/nope", "value": None}], [{"op": "replace", "path": "/spec/replicas", "value": "x"}], [5], "x"]:
        t.patch("apps/v1", "deployments", "p", ops, JSON_PATCH, label="ops " + str(ops)[:70])
    t.patch("v1", "namespaces", "default", {"metadata": {"labels": {"a": None}}}, STRATEGIC, ns=False, skip_body=True)
    t.create("v1", "services", service("ps", ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}]))
    t.patch("v1", "services", "ps", {"spec": {"ports": [{"port": 80, "name": "aa"}]}}, STRATEGIC)
    t.patch("v1", "services", "ps", {"spec": {"ports": [{"port": 80, "protocol": "UDP", "name": "u"}]}}, STRATEGIC)
    t.patch("v1", "services", "ps", {"spec": {"$patch": "replace", "ports": [{"port": 9}]}}, STRATEGIC)
    t.patch("v1", "services", "ps", {"spec": {"ports": None}}, STRATEGIC)
    t.patch("v1", "services", "ps", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, STRATEGIC)
    t.patch("v1", "services", "ps", {"spec": {"$patch": "bogus"}}, STRATEGIC)
    t.patch("v1", "services", "ps", {"metadata": {"finalizers": ["example.com/a"]}}, STRATEGIC)
    t.patch("v1", "services", "ps", {"metadata": {"finalizers": ["example.com/b"]}}, STRATEGIC)
    t.patch("v1", "services", "ps", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"], "$setElementOrder/finalizers": ["example.com/b"]}}, STRATEGIC)


# ---- apply

@case
def apply_basics(t):
    d = deployment("a1")
    t.apply("apps/v1", "deployments", "a1", d, "kubectl")
    t.apply("apps/v1", "deployments", "a1", d, "kubectl", label="again")
    d2 = copy.deepcopy(d)
    d2["spec"]["replicas"] = 3
    t.apply("apps/v1", "deployments", "a1", d2, "kubectl", label="adds")
    t.apply("apps/v1", "deployments", "a1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 4}}, "other", label="conflict")
    t.apply("apps/v1", "deployments", "a1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3}}, "other", label="shared")
    t.apply("apps/v1", "deployments", "a1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 4}}, "other", True, label="forced")
    t.apply("apps/v1", "deployments", "a1", d, "kubectl", label="lets go")
    t.apply("apps/v1", "deployments", "a1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s", "env": [{"name": "A", "value": "1"}]}]}}}}, "side")
    t.apply("apps/v1", "deployments", "a1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s", "env": [{"name": "B", "value": "1"}]}, {"name": "c", "image": "zzz"}]}}}}, "side", label="conflict deep")
    t.apply("apps/v1", "deployments", "a1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]}]}}}}, "side")
    t.apply("apps/v1", "deployments", "a1", {"apiVersion": "apps/v1", "kind": "Deployment"}, "side", label="all gone")
    t.patch("apps/v1", "deployments", "a1", {"spec": {"replicas": 7}}, label="update takes over", query={"fieldManager": "scaler"})
    t.apply("apps/v1", "deployments", "a1", d2, "kubectl", label="conflict with update")
    t.apply("apps/v1", "deployments", "a1", d2, "kubectl", True)
    t.apply("apps/v1", "deployments", "a1", {"apiVersion": "apps/v1", "kind": "Deployment", "status": {"replicas": 3}}, "ctl", sub="status")
    t.apply("apps/v1", "deployments", "a1", {"apiVersion": "apps/v1", "kind": "Deployment", "status": {"conditions": [{"type": "Available", "status": "True"}], "replicas": 3}}, "ctl", sub="status")
    t.apply("apps/v1", "deployments", "a1", {"apiVersion": "apps/v1", "kind": "Deployment", "status": {"replicas": 9}}, "kubectl", label="status by the object")
    t.apply("apps/v1", "deployments", "a1", {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 5}}, "sc", sub="scale")
    t.apply("apps/v1", "deployments", "a1", {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 5}}, "sc", True, sub="scale")
    t.get("apps/v1", "deployments", "a1")
    t.update("apps/v1", "deployments", "a1", change(lambda o: o["metadata"].update(managedFields=[{}])), label="reset")
    t.update("apps/v1", "deployments", "a1", change(lambda o: o["metadata"].pop("managedFields", None)), label="without managedFields")
    t.patch("apps/v1", "deployments", "a1", {"metadata": {"managedFields": []}}, label="reset by a patch")
    t.update("apps/v1", "deployments", "a1", change(lambda o: o["metadata"].update(managedFields=[{"manager": "", "operation": "Update", "apiVersion": "x/y/z"}])), label="bad managedFields")


@case
def apply_errors(t):
    t.apply("v1", "configmaps", "e1", cm("e1"), "", label="no manager")
    t.patch("v1", "configmaps", "e1", cm("e1"), APPLY, label="no manager")
    t.apply("v1", "configmaps", "e1", {"kind": "ConfigMap"}, label="no version")
    t.apply("v1", "configmaps", "e1", {"apiVersion": "v1"}, label="no kind")
    t.apply("v1", "configmaps", "e1", {"apiVersion": "v1", "kind": "Secret"}, label="kind")
    t.apply("v1", "configmaps", "e1", {"apiVersion": "v2", "kind": "ConfigMap"}, label="version")
    t.apply("v1", "configmaps", "e1", cm("e2"), label="name")
    t.apply("v1", "configmaps", "e1", cm("e1", namespace="elsewhere"), label="namespace")
    t.apply("v1", "configmaps", "e1", "a: [", label="yaml")
    t.apply("v1", "configmaps", "e1", "x", label="text")
    t.apply("v1", "configmaps", "e1", "", label="empty")
    t.apply("v1", "configmaps", "e1", cm("e1", uid="x"), label="uid")
    t.apply("v1", "configmaps", "e1", cm("e1", resourceVersion="4"), label="revision")
    t.apply("v1", "configmaps", "e1", cm("e1", managedFields=[]), label="managed fields")
    t.apply("v1", "configmaps", "e1", cm("e1", managedFields=[{"manager": "x"}]), label="managed fields")
    t.apply("v1", "configmaps", "e1", cm("e1"), query={"dryRun": "All"})
    t.get("v1", "configmaps", "e1")
    t.apply("v1", "configmaps", "Bad_Name", cm("Bad_Name"), label="bad name")
    t.apply("apps/v1", "deployments", "e1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": "x"}}, label="type")
    t.apply("apps/v1", "deployments", "e1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}}, label="no key")
    t.apply("apps/v1", "deployments", "e1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "x"}, {"name": "x"}]}}}}, label="double key")
    t.apply("apps/v1", "deployments", "e1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 1}, {"containerPort": 1}]}]}}}}, label="double port")
    t.apply("apps/v1", "deployments", "e1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"nope": 1}}, label="unknown")
    t.apply("apps/v1", "deployments", "e1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 1}}, label="invalid")
    t.apply("apps/v1", "deployments", "e1", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": None}, label="null")
    t.apply("v1", "configmaps", "e3", cm("e3", labels={"a": None}), label="null label")
    t.apply("v1", "configmaps", "e4", cm("e4"), query={"force": "maybe"}, label="force")
    t.apply("v1", "configmaps", "e4", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: e4\ndata:\n  a: b\n", label="as yaml")
    t.apply("v1", "configmaps", "nons", cm("nons"), ns="no-such-namespace", label="no namespace")
    t.apply("v1", "pods", "e1", {"apiVersion": "v1", "kind": "Pod"}, sub="status", label="status of none")


@case
def apply_kinds(t):
    """Every kind applied, again with a change, by another with force, then half of it let go."""
    for version, kind, resource, ns, body in objects.objects(t.ns):
        name = objects.NAMES[kind][0] if kind == "IPAddress" else "apply-" + kind.lower()
        b = copy.deepcopy(body)
        b["metadata"] = {"name": name, "labels": {"a": "b"}, **({k: v for k, v in b["metadata"].items() if k != "labels"})}
        where = True if ns else False
        t.apply(version, resource, name, b, "one", ns=where, label=kind)
        t.apply(version, resource, name, {"apiVersion": version, "kind": kind, "metadata": {"labels": {"a": "c", "d": "e"}}}, "two", ns=where, label=kind + " conflict")
        t.apply(version, resource, name, {"apiVersion": version, "kind": kind, "metadata": {"labels": {"a": "c", "d": "e"}}}, "two", True, ns=where, label=kind + " force")
        t.apply(version, resource, name, b, "one", True, ns=where, label=kind + " back")
        t.apply(version, resource, name, {"apiVersion": version, "kind": kind}, "two", ns=where, label=kind + " two goes")
        t.patch(version, resource, name, {"metadata": {"annotations": {"x": "y"}}}, ns=where, label=kind + " merge patch", query={"fieldManager": "p"})
        t.get(version, resource, name, ns=where, label=kind)
        t.delete(version, resource, name, ns=where, label=kind)


# ---- subresources

@case
def scale(t):
    for resource, kind in [("deployments", "Deployment"), ("replicasets", "ReplicaSet"), ("statefulsets", "StatefulSet")]:
        n = "s-" + resource
        t.create("apps/v1", resource, base(kind, n))
        t.get("apps/v1", resource, n, sub="scale")
        t.update("apps/v1", resource, n, change(lambda o: o["spec"].update(replicas=7)), sub="scale")
        t.update("apps/v1", resource, n, {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": n}, "spec": {"replicas": 2}}, sub="scale", query={"fieldManager": "hpa"})
        t.update("apps/v1", resource, n, {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": n}, "spec": {"replicas": -1}}, sub="scale")
        t.update("apps/v1", resource, n, {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": n, "resourceVersion": "1"}, "spec": {"replicas": 1}}, sub="scale")
        t.update("apps/v1", resource, n, {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "other"}, "spec": {"replicas": 1}}, sub="scale")
        t.update("apps/v1", resource, n, {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {}, "spec": {"replicas": 1}}, sub="scale")
        t.update("apps/v1", resource, n, {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": n}}, sub="scale")
        t.patch("apps/v1", resource, n, {"spec": {"replicas": 4}}, sub="scale")
        t.patch("apps/v1", resource, n, {"spec": {"replicas": 5}}, STRATEGIC, sub="scale")
        t.patch("apps/v1", resource, n, [{"op": "replace", "path": "/spec/replicas", "value": 6}], JSON_PATCH, sub="scale")
        t.patch("apps/v1", resource, n, {"spec": {"replicas": -5}}, sub="scale")
        t.patch("apps/v1", resource, n, {"spec": {"replicas": 1}}, sub="scale", query={"dryRun": "All"})
        t.update("apps/v1", resource, "none", {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "none"}, "spec": {"replicas": 1}}, sub="scale")
        t.get("apps/v1", resource, "none", sub="scale")
        t.delete("apps/v1", resource, n, sub="scale")
        t.get("apps/v1", resource, n)
    t.create("v1", "replicationcontrollers", base("ReplicationController", "rc"))
    t.get("v1", "replicationcontrollers", "rc", sub="scale")
    t.patch("v1", "replicationcontrollers", "rc", {"spec": {"replicas": 4}}, sub="scale")
    t.get("v1", "replicationcontrollers", "rc")


@case
def pod_subresources(t):
    t.create("v1", "pods", pod("b1"))
    bind = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "b1"}, "target": {"kind": "Node", "name": "node1"}}
    t.create("v1", "pods", {**bind, "target": {"kind": "Pod", "name": "x"}}, name="b1", sub="binding")
    t.create("v1", "pods", {**bind, "target": {"kind": "Node", "name": ""}}, name="b1", sub="binding")
    t.create("v1", "pods", {**bind, "metadata": {"name": "other"}}, name="b1", sub="binding")
    t.create("v1", "pods", {**bind, "metadata": {"name": "b1", "uid": "x"}}, name="b1", sub="binding")
    t.create("v1", "pods", {**bind, "metadata": {"name": "b1", "labels": {"l": "m"}, "annotations": {"k": "v"}}}, name="b1", sub="binding", query={"dryRun": "All"})
    t.create("v1", "pods", {**bind, "metadata": {"name": "b1", "annotations": {"k": "v"}}}, name="b1", sub="binding")
    t.create("v1", "pods", bind, name="b1", sub="binding", label="again")
    t.create("v1", "pods", bind, name="none", sub="binding", label="no pod")
    t.get("v1", "pods", "b1")
    t.create("v1", "bindings", {**bind, "metadata": {"name": "b2"}})
    t.update("v1", "pods", "b1", change(lambda o: o["status"].update(phase="Running", podIP="10.0.0.9", podIPs=[{"ip": "10.0.0.9"}], conditions=[{"type": "Ready", "status": "True"}])), sub="status")
    t.patch("v1", "pods", "b1", {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "R"}, {"type": "example.com/ready", "status": "True"}]}}, STRATEGIC, sub="status")
    t.patch("v1", "pods", "b1", {"spec": {"activeDeadlineSeconds": 10}, "metadata": {"labels": {"via": "status"}}}, STRATEGIC, sub="status", label="spec by status")
    t.get("v1", "pods", "b1")
    t.patch("v1", "pods", "b1", {"spec": {"ephemeralContainers": [{"name": "dbg", "image": "busybox"}]}}, STRATEGIC, sub="ephemeralcontainers", query={"fieldManager": "kubectl-debug"})
    t.get("v1", "pods", "b1")
    t.patch("v1", "pods", "b1", {"spec": {"ephemeralContainers": [{"name": "dbg", "image": "other"}]}}, STRATEGIC, sub="ephemeralcontainers")
    t.patch("v1", "pods", "b1", {"spec": {"ephemeralContainers": [{"name": "c", "image": "other"}]}}, STRATEGIC, sub="ephemeralcontainers")
    t.patch("v1", "pods", "b1", {"spec": {"ephemeralContainers": [{"name": "d2", "image": "other", "ports": [{"containerPort": 1}], "livenessProbe": {"httpGet": {"port": 1}}, "resources": {"limits": {"cpu": 1}}}]}}, STRATEGIC, sub="ephemeralcontainers")
    t.patch("v1", "pods", "b1", {"spec": {"ephemeralContainers": [{"name": "d3", "image": "x", "targetContainerName": "nope"}]}}, STRATEGIC, sub="ephemeralcontainers")
    t.get("v1", "pods", "b1", sub="ephemeralcontainers")
    t.patch("v1", "pods", "b1", {"spec": {"ephemeralContainers": [{"name": "d4", "image": "x"}]}}, STRATEGIC, label="by the object")
    t.patch("v1", "pods", "b1", {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]}}, STRATEGIC, sub="resize", label="class changes")
    t.create("v1", "pods", {**pod("r1"), "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}}]}})
    t.patch("v1", "pods", "r1", {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "150m"}}}]}}, STRATEGIC, sub="resize", query={"fieldManager": "vpa"})
    t.patch("v1", "pods", "r1", {"spec": {"containers": [{"name": "c", "image": "z", "resources": {"requests": {"cpu": "150m"}}}]}}, STRATEGIC, sub="resize")
    t.patch("v1", "pods", "r1", {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]}}, STRATEGIC, sub="resize")
    t.get("v1", "pods", "r1")
    evict = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "r1"}}
    t.create("v1", "pods", {**evict, "metadata": {"name": "zzz"}}, name="r1", sub="eviction")
    t.create("v1", "pods", evict, name="none", sub="eviction")
    t.create("v1", "pods", {**evict, "deleteOptions": {"dryRun": ["All"]}}, name="r1", sub="eviction")
    t.create("v1", "pods", {**evict, "deleteOptions": {"preconditions": {"uid": "x"}}}, name="r1", sub="eviction")
    t.create("v1", "pods", evict, name="r1", sub="eviction")
    t.get("v1", "pods", "r1")
    t.get("v1", "pods", "b1", sub="nope")
    t.create("v1", "pods", {}, name="b1", sub="status")
    t.delete("v1", "pods", "b1", sub="status")
    t.delete("v1", "pods", "b1", {"gracePeriodSeconds": 5})
    t.get("v1", "pods", "b1")
    t.delete("v1", "pods", "b1", {"gracePeriodSeconds": 9}, label="longer")
    t.delete("v1", "pods", "b1", {"gracePeriodSeconds": 2}, label="shorter")
    t.patch("v1", "pods", "b1", {"metadata": {"labels": {"late": "x"}}}, label="while it goes")
    t.delete("v1", "pods", "b1", {"gracePeriodSeconds": 0}, label="now")
    t.get("v1", "pods", "b1")


@case
def service_account_token(t):
    t.create("v1", "serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "tok"}})
    for spec in [{"expirationSeconds": 5}, {"expirationSeconds": 1 << 33}, {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}}, {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "none"}}]:
        t.create("v1", "serviceaccounts", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}, name="tok", sub="token", label=str(spec))
    t.create("v1", "serviceaccounts", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}, name="none", sub="token")
    t.create("v1", "serviceaccounts", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {"name": "x"}, "spec": {}}, name="tok", sub="token")


@case
def namespaces(t):
    n = t.ns + "-x"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n, "labels": {"kubernetes.io/metadata.name": "wrong"}}}
    t.create("v1", "namespaces", body, ns=False)
    t.patch("v1", "namespaces", n, {"metadata": {"labels": {"kubernetes.io/metadata.name": None, "a": "b"}}}, ns=False)
    t.patch("v1", "namespaces", n, {"spec": {"finalizers": []}}, ns=False)
    t.patch("v1", "namespaces", n, {"status": {"phase": "Terminating"}}, ns=False, sub="status")
    t.update("v1", "namespaces", n, change(lambda o: o["status"].update(conditions=[{"type": "A", "status": "True"}])), ns=False, sub="status")
    t.create("v1", "configmaps", cm("inside"), ns=n)
    t.delete("v1", "namespaces", n, ns=False)
    t.get("v1", "namespaces", n, ns=False)
    t.create("v1", "configmaps", cm("late"), ns=n)
    t.apply("v1", "configmaps", "late2", cm("late2"), ns=n)
    t.update("v1", "configmaps", "inside", cm("inside", {"b": "c"}), ns=n)
    t.delete("v1", "namespaces", n, ns=False, label="again")
    t.update("v1", "namespaces", n, change(lambda o: o["spec"].update(finalizers=["example.com/other"])), ns=False, sub="finalize")
    t.update("v1", "namespaces", n, change(lambda o: o["spec"].update(finalizers=["bad name"])), ns=False, sub="finalize")
    t.update("v1", "namespaces", n, change(lambda o: o["spec"].update(finalizers=[])), ns=False, sub="finalize")
    t.get("v1", "namespaces", n, ns=False)
    for protected in ("default", "kube-system", "kube-public"):
        t.delete("v1", "namespaces", protected, ns=False)
    t.create("v1", "namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n + "2"}, "spec": {"finalizers": ["bad"]}}, ns=False)


# ---- lists and watches

@case
def lists(t):
    for i in range(5):
        t.create("v1", "secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"l{i}", "labels": {"n": str(i), "odd": "yes" if i % 2 else "no"}}, "type": "Opaque" if i < 3 else "example.com/t"})
    q = lambda **k: t.list("v1", "secrets", query=k, label=str(k)[:80])  # noqa: E731
    q()
    for s in ["odd=yes", "odd!=yes", "odd in (yes,no)", "odd notin (yes)", "!odd", "odd", "n>2", "n<2", "n>x", "a b", "=x", "odd in ()", "odd in yes", "odd=yes,n=1", "odd==no", ",", "odd=", "a/b/c=d", "x=y z"]:
        q(labelSelector=s)
    for s in ["metadata.name=l1", "metadata.name!=l1", "type=Opaque", "nope=1", "metadata.namespace=" + t.ns, "metadata.namespace=x", "a", "metadata.name==l1,type=Opaque", "metadata.name=Bad Name", "="]:
        q(fieldSelector=s)
    q(limit=2)
    t.list("v1", "secrets", query=lambda last: {"limit": 2, "continue": (last or {}).get("metadata", {}).get("continue", "")}, label="continue")
    t.list("v1", "secrets", query=lambda last: {"limit": 2, "continue": (last or {}).get("metadata", {}).get("continue", "")}, label="continue to the end")
    q(limit=5)
    q(limit=6)
    q(limit=0)
    q(limit=-1)
    q(limit="x")
    q(**{"continue": "garbage"})
    q(**{"continue": "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJsMVx1MDAwMCJ9"})
    q(**{"continue": "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJsMVx1MDAwMCJ9"})
    q(limit=2, resourceVersion="0")
    q(resourceVersion="0")
    q(resourceVersion="1")
    q(resourceVersion="x")
    q(resourceVersion="-1")
    q(resourceVersion="99999999999")
    q(resourceVersionMatch="Exact")
    q(resourceVersionMatch="NotOlderThan")
    q(resourceVersion="0", resourceVersionMatch="Exact")
    q(resourceVersion="0", resourceVersionMatch="NotOlderThan")
    q(resourceVersion="1", resourceVersionMatch="NotOlderThan")
    q(resourceVersion="1", resourceVersionMatch="Bogus")
    q(resourceVersion="1", resourceVersionMatch="Bogus", watch="true")
    q(watch="true", resourceVersionMatch="Exact", resourceVersion="1")
    q(watch="true", sendInitialEvents="true")
    q(watch="true", sendInitialEvents="true", resourceVersionMatch="NotOlderThan", timeoutSeconds="1")
    q(watch="true", sendInitialEvents="true", resourceVersionMatch="NotOlderThan", timeoutSeconds="1", allowWatchBookmarks="true", labelSelector="odd=yes")
    q(watch="true", sendInitialEvents="", resourceVersionMatch="NotOlderThan", timeoutSeconds="1", fieldSelector="metadata.name=l1")
    q(watch="true", sendInitialEvents="false", resourceVersionMatch="NotOlderThan", timeoutSeconds="1", resourceVersion="0")
    q(watch="", timeoutSeconds="1", fieldSelector="type=example.com/t")
    q(watch="true", sendInitialEvents="x")
    q(sendInitialEvents="true")
    q(watch="true", resourceVersion="x", timeoutSeconds="1")
    q(watch="true", labelSelector="a b", timeoutSeconds="1")
    q(watch="true", fieldSelector="nope=1", timeoutSeconds="1")
    q(watch="true", limit="1", resourceVersion="1", timeoutSeconds="x")
    q(timeoutSeconds="x")
    q(timeoutSeconds="")
    q(limit="99999999999999999999")
    q(resourceVersion="99999999999999999999")
    q(resourceVersion="99999999999", resourceVersionMatch="Exact")
    q(resourceVersion="x", resourceVersionMatch="Exact")
    q(resourceVersion="x", labelSelector="a b")
    q(resourceVersion="x", fieldSelector="nope=1")
    q(resourceVersionMatch="Exact", fieldSelector="nope=1")
    q(**{"continue": "!"})
    q(**{"continue": "e30"})
    q(**{"continue": "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi94In0"})
    q(watch="maybe", timeoutSeconds="1", resourceVersion="99999999999")
    q(pretty="true")
    t.list("v1", "secrets", query=lambda last: {"limit": 1, "continue": (last or {}).get("metadata", {}).get("continue", ""), "resourceVersion": "5"}, label="continue and revision")
    t.list("v1", "secrets", query=lambda last: {"resourceVersion": (last or {}).get("metadata", {}).get("resourceVersion", ""), "resourceVersionMatch": "Exact"}, label="exact")
    t.list("v1", "secrets", query={"limit": 2, "resourceVersionMatch": "Exact", "resourceVersion": "0"})
    t.get("v1", "secrets", "l1", query={"resourceVersion": "x"})
    t.get("v1", "secrets", "l1", query={"resourceVersion": "0"})
    t.get("v1", "secrets", "l1", query={"resourceVersion": "99999999999"})
    for accept in ["application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=Table;v=v1beta1;g=meta.k8s.io", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
                   "application/json;as=Table;v=v9;g=meta.k8s.io", "application/json;as=Bogus;v=v1;g=meta.k8s.io", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "application/yaml", "*/*"]:
        t.list("v1", "secrets", accept=accept, label=accept, query={"labelSelector": "odd=yes"})
        t.get("v1", "secrets", "l1", accept=accept, label=accept)
    t("DELETE", "v1", "secrets", query={"labelSelector": "odd=yes", "dryRun": "All"}, label="deletecollection dry")
    t("DELETE", "v1", "secrets", query={"labelSelector": "a b"}, label="deletecollection bad")
    t("DELETE", "v1", "secrets", query={"fieldSelector": "nope=1"}, label="deletecollection bad")
    for bad in [{"resourceVersion": "x"}, {"resourceVersionMatch": "Exact"}, {"limit": "x"}, {"continue": "!"}, {"timeoutSeconds": "x"}, {"resourceVersion": "1", "resourceVersionMatch": "Bogus"}, {"sendInitialEvents": "true"}, {"gracePeriodSeconds": "x"}]:
        t("DELETE", "v1", "secrets", query=bad, label=f"deletecollection {bad}")
    t("DELETE", "v1", "secrets", query={"limit": 1, "labelSelector": "odd=no", "dryRun": "All"}, label="deletecollection first page")
    t("DELETE", "v1", "secrets", query={"labelSelector": "odd=yes"}, label="deletecollection")
    t("DELETE", "v1", "secrets", query={"fieldSelector": "metadata.name=l0"}, label="deletecollection by name")
    t("DELETE", "v1", "secrets", body={"preconditions": {"uid": "x"}}, label="deletecollection preconditions")
    q()


@case
def paths(t):
    d = t.d
    for p in ["/api/v1/nope", "/api/v1/namespaces/default/nope", "/api/v2/pods", "/apis/apps/v2/deployments", "/apis/nope/v1/x", "/apis/apps/v1/nope", "/api/v1/namespaces/default/nodes", "/api/v1/configmaps/x", "/api/v1/nodes/none", "/apis/apps/v1/namespaces/default/deployments/none",
              "/nope", "/api/v1/namespaces/default/pods/none/log", "/api/v1/namespaces/default/pods/none/exec", "/apis/apps", "/api", "/healthz", "/livez/ping", "/readyz/nope", "/version/", "/apis/apps/v1/namespaces/default/deployments/none/scale",
              "/apis/apps/v1/namespaces/default/daemonsets/none/scale", "/api/v1/namespaces/default", "/api/v1/namespaces/none", "/api/v1/watch/namespaces/none?timeoutSeconds=1", "/apis/batch/v1/namespaces/default/jobs/none/nope", "/healthz/", "/livez/", "/readyz/ping/", "/version/x", "/versions", "/apis/apps/v2", "/apis/nope", "/apis/nope/v1",
              "/api/v2", "/api/", "/apis/", "/apis/apps/", "/apis/apps/v1/", "/index.html", "/index", "/openapi", "/openapi/v2/", "/openapi/v3/nope", "/metrics/", "/openid/v1", "/.well-known", "/api/v1/proxy/namespaces/default/pods/x",
              "/api/v1/watch/namespaces/default/nope", "/api/v1/watch/configmaps/x", "/apis/authentication.k8s.io/v1/tokenreviews", "/apis/authentication.k8s.io/v1/tokenreviews/x", "/apis/authorization.k8s.io/v1/localsubjectaccessreviews",
              "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews", "/api/v1/bindings", "/api/v1/namespaces/default/bindings/x", "/api/v1/namespaces/default/componentstatuses"]:
        d.both(f"{t.name}/GET {p}", "GET", p, skip_body=p in ("/version/", "/apis/apps", "/api", "/api/v1/namespaces/default", "/api/", "/apis/", "/apis/apps/", "/apis/apps/v1/", "/index.html"))
    for method in ["POST", "PUT", "PATCH", "DELETE"]:
        for p in ["/api/v1/nope", "/api/v1/namespaces/default/nope/x", "/api/v1/configmaps", "/api/v1/configmaps/x", "/api/v1/nodes/none", "/apis/apps/v1/namespaces/default/deployments/none", "/healthz", "/apis/apps/v1/namespaces/default/deployments/none/scale", "/api/v1/namespaces/default/pods/none/status",
                  "/api/v1/componentstatuses", "/api/v1/namespaces/default/bindings", "/api/v1/namespaces", "/version"]:
            d.both(f"{t.name}/{method} {p}", method, p, {"metadata": {"labels": {"x": "y"}}} if method != "DELETE" else None, "application/merge-patch+json" if method == "PATCH" else "application/json")
    for method in ["POST", "DELETE", "HEAD"]:
        for p in ["/", "/api", "/api/v1", "/api/v2", "/apis", "/apis/", "/apis/apps", "/apis/apps/v1", "/apis/apps/v2", "/apis/nope", "/openapi/v2", "/livez", "/readyz/ping", "/version/x", "/openid/v1/jwks", "/.well-known/openid-configuration",
                  "/api/v1/watch/configmaps", "/api/v1/watch/namespaces/default/configmaps/x", "/api/v1/namespaces/default", "/api/v1/namespaces/default/configmaps", "/apis/authorization.k8s.io/v1/localsubjectaccessreviews", "/api/v1/namespaces/default/pods/none/status", "/api/v1/namespaces/default/pods/none/log",
                  "/apis/apps/v1/namespaces/default/deployments/none/scale"]:
            d.both(f"{t.name}/{method} {p}", method, p, {"metadata": {"labels": {"x": "y"}}} if method == "POST" else None, skip_body=not p.startswith(("/livez", "/readyz", "/api/v2", "/apis/nope", "/apis/apps/v2", "/version", "/api/v1/watch")))
    for accept in ["application/*", "*/*;q=0.1", "text/html, application/json;q=0.5", "application/yaml;stream=watch", "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", "text/html"]:
        for p in ["/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/configmaps/none", "/api/v1/namespaces/default/pods/none/status", "/apis/apps/v1", "/api", "/apis", "/version"]:
            d.both(f"{t.name}/GET {p} {accept}", "GET", p, accept=accept, skip_body=p.startswith("/api/v1") is False)
    d.both(f"{t.name}/OPTIONS", "OPTIONS", "/api/v1/namespaces/default/pods")
    d.both(f"{t.name}/post name", "POST", "/api/v1/namespaces/default/pods/x", pod("x"))
    d.both(f"{t.name}/put none", "PUT", "/api/v1/namespaces/default/pods", pod("x"))


# ---- kinds' own rules

@case
def service_rules(t):
    t.create("v1", "services", service("cip"))
    t.patch("v1", "services", "cip", {"spec": {"clusterIP": "10.96.77.77"}}, label="clusterIP change")
    t.patch("v1", "services", "cip", {"spec": {"clusterIP": "10.96.77.77", "clusterIPs": ["10.96.77.77"]}}, label="both change")
    t.patch("v1", "services", "cip", {"spec": {"clusterIP": None, "clusterIPs": None}}, label="both gone")
    t.patch("v1", "services", "cip", {"spec": {"clusterIP": "None"}}, label="to headless")
    t.patch("v1", "services", "cip", {"spec": {"type": "ExternalName", "externalName": "a.example"}}, label="to ExternalName")
    t.patch("v1", "services", "cip", {"spec": {"type": "ClusterIP", "externalName": None}}, label="and back")
    t.patch("v1", "services", "cip", {"spec": {"type": "NodePort"}}, label="NodePort")
    t.patch("v1", "services", "cip", {"spec": {"type": "LoadBalancer"}}, label="LoadBalancer")
    t.patch("v1", "services", "cip", {"spec": {"type": "ClusterIP"}}, label="ClusterIP")
    t.patch("v1", "services", "cip", {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}, sub="status", label="lb status of ClusterIP")
    for label, spec in [("bad type", {"type": "Bogus"}), ("no ports", {"ports": []}), ("headless no ports", {"clusterIP": "None", "ports": []}), ("bad ip", {"clusterIP": "x"}), ("out of range", {"clusterIP": "10.99.0.1"}),
                        ("taken", {"clusterIP": "10.96.0.1"}), ("ExternalName none", {"type": "ExternalName"}), ("ExternalName", {"type": "ExternalName", "externalName": "a.example"}), ("ExternalName bad", {"type": "ExternalName", "externalName": "a_b"}),
                        ("ExternalName ip", {"type": "ExternalName", "externalName": "a.example", "clusterIP": "10.96.3.4"}), ("node port low", {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}), ("node port", {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30999}]}),
                        ("node port taken", {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30999}]}), ("node port ClusterIP", {"ports": [{"port": 80, "nodePort": 30998}]}), ("two ports no names", {"ports": [{"port": 80}, {"port": 81}]}),
                        ("same port", {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}), ("same name", {"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]}), ("port 0", {"ports": [{"port": 0}]}), ("bad proto", {"ports": [{"port": 1, "protocol": "X"}]}),
                        ("target", {"ports": [{"port": 1, "targetPort": "Not A Port"}]}), ("affinity", {"sessionAffinity": "x"}), ("affinity timeout", {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 99999}}}),
                        ("affinity config none", {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}}), ("external ips", {"externalIPs": ["1.2.3.4", "x", "127.0.0.1"]}), ("lb ranges", {"type": "LoadBalancer", "loadBalancerSourceRanges": ["x", "10.0.0.0/8"]}),
                        ("lb class", {"loadBalancerClass": "a"}), ("lb", {"type": "LoadBalancer", "loadBalancerClass": "example.com/lb", "allocateLoadBalancerNodePorts": False}), ("policies", {"internalTrafficPolicy": "X", "externalTrafficPolicy": "Y"}), ("external policy ClusterIP", {"externalTrafficPolicy": "Local"}),
                        ("health port", {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31998}), ("health port ClusterIP", {"healthCheckNodePort": 31999}), ("dual", {"ipFamilyPolicy": "RequireDualStack"}), ("prefer dual", {"ipFamilyPolicy": "PreferDualStack"}),
                        ("families", {"ipFamilies": ["IPv6"]}), ("families bad", {"ipFamilies": ["IPv5"]}), ("families twice", {"ipFamilies": ["IPv4", "IPv4"]}), ("two ips", {"clusterIP": "10.96.5.5", "clusterIPs": ["10.96.5.6"]}), ("selector", {"selector": {"a b": "c"}}),
                        ("distribution", {"trafficDistribution": "PreferClose"}), ("distribution bad", {"trafficDistribution": "x"}), ("app protocol", {"ports": [{"port": 1, "appProtocol": "bad proto"}]}), ("headless selectorless", {"clusterIP": "None", "selector": None}), ("lb ip", {"type": "LoadBalancer", "loadBalancerIP": "1.2.3.4"})]:
        t.create("v1", "services", service("s-" + label.replace(" ", "-").lower(), **spec), label=label)


@case
def immutables(t):
    n = "imm"
    t.create("v1", "configmaps", cm(n, immutable=None))
    t.update("v1", "configmaps", n, {**cm(n), "immutable": True})
    t.update("v1", "configmaps", n, {**cm(n), "data": {"z": "y"}, "immutable": True})
    t.update("v1", "configmaps", n, {**cm(n), "immutable": False})
    t.update("v1", "configmaps", n, {**cm(n), "binaryData": {"q": "AAE="}})
    t.create("v1", "secrets", base("Secret", n))
    t.patch("v1", "secrets", n, {"type": "kubernetes.io/tls"})
    t.patch("v1", "secrets", n, {"immutable": True})
    t.patch("v1", "secrets", n, {"data": {"x": "AAE="}})
    t.create("apps/v1", "statefulsets", base("StatefulSet", n))
    for p in [{"serviceName": "other"}, {"podManagementPolicy": "OrderedReady"}, {"volumeClaimTemplates": []}, {"selector": {"matchLabels": {"x": "y"}}}, {"replicas": 5}, {"minReadySeconds": 3}, {"revisionHistoryLimit": 3}, {"ordinals": {"start": 4}}, {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}, {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}]:
        t.patch("apps/v1", "statefulsets", n, {"spec": p}, label=str(p))
    t.create("apps/v1", "daemonsets", base("DaemonSet", n))
    t.patch("apps/v1", "daemonsets", n, {"spec": {"selector": {"matchLabels": {"x": "y"}}}})
    t.patch("apps/v1", "daemonsets", n, {"spec": {"template": {"spec": {"activeDeadlineSeconds": 3}}}})
    t.create("batch/v1", "jobs", base("Job", n))
    for p in [{"completions": 9}, {"parallelism": 9}, {"selector": {"matchLabels": {"x": "y"}}}, {"completionMode": "NonIndexed"}, {"suspend": False}, {"backoffLimit": 9}, {"template": {"spec": {"restartPolicy": "OnFailure"}}}, {"template": {"metadata": {"labels": {"n": "w"}}}}, {"podFailurePolicy": None}, {"ttlSecondsAfterFinished": 1}]:
        t.patch("batch/v1", "jobs", n, {"spec": p}, label=str(p))
    t.create("v1", "persistentvolumeclaims", base("PersistentVolumeClaim", n))
    for p in [{"storageClassName": "slow"}, {"accessModes": ["ReadOnlyMany"]}, {"resources": {"requests": {"storage": "2Gi"}}}, {"volumeName": "v"}, {"volumeMode": "Block"}]:
        t.patch("v1", "persistentvolumeclaims", n, {"spec": p}, label=str(p))
    t.create("v1", "pods", base("Pod", n))
    for p in [{"nodeName": "x"}, {"hostname": "y"}, {"activeDeadlineSeconds": 10}, {"activeDeadlineSeconds": 20}, {"activeDeadlineSeconds": None}, {"terminationGracePeriodSeconds": 1}, {"tolerations": []}, {"containers": []}, {"schedulerName": "z"}, {"restartPolicy": "Never"}, {"nodeSelector": {"z": "z"}}]:
        t.patch("v1", "pods", n, {"spec": p}, label=str(p))
    t.patch("v1", "pods", n, {"spec": {"containers": [{"name": "c", "image": "new"}]}}, STRATEGIC, label="image")
    t.patch("v1", "pods", n, {"spec": {"containers": [{"name": "c", "command": ["new"]}]}}, STRATEGIC, label="command")
    t.patch("v1", "pods", n, {"spec": {"tolerations": [{"key": "new", "operator": "Exists"}]}}, STRATEGIC, label="toleration")
    t.create("rbac.authorization.k8s.io/v1", "rolebindings", base("RoleBinding", n))
    t.patch("rbac.authorization.k8s.io/v1", "rolebindings", n, {"roleRef": {"name": "edit"}})
    t.create("v1", "persistentvolumes", base("PersistentVolume", t.ns + n), ns=False)
    for p in [{"hostPath": {"path": "/other"}}, {"volumeMode": "Block"}, {"nodeAffinity": None}, {"capacity": {"storage": "2Gi"}}, {"persistentVolumeReclaimPolicy": "Delete"}]:
        t.patch("v1", "persistentvolumes", t.ns + n, {"spec": p}, ns=False, label=str(p))
    t.create("coordination.k8s.io/v1", "leases", base("Lease", n))
    t.patch("coordination.k8s.io/v1", "leases", n, {"spec": {"leaseTransitions": 1}})
    t.patch("coordination.k8s.io/v1", "leases", n, {"spec": {"leaseDurationSeconds": 0}})
    t.create("discovery.k8s.io/v1", "endpointslices", base("EndpointSlice", n))
    t.patch("discovery.k8s.io/v1", "endpointslices", n, {"addressType": "IPv6"})
    t.create("v1", "serviceaccounts", base("ServiceAccount", n))
    t.patch("v1", "serviceaccounts", n, {"secrets": [{"name": "z"}]})
    t.create("policy/v1", "poddisruptionbudgets", base("PodDisruptionBudget", n))
    t.patch("policy/v1", "poddisruptionbudgets", n, {"spec": {"maxUnavailable": 1}})
    t.patch("policy/v1", "poddisruptionbudgets", n, {"spec": {"maxUnavailable": 1, "minAvailable": None}})
    t.create("v1", "nodes", base("Node", t.ns + n), ns=False)
    for p in [{"spec": {"podCIDR": "10.1.0.0/24"}}, {"spec": {"providerID": "y://z"}}, {"spec": {"unschedulable": None}}, {"spec": {"taints": [{"key": "a", "effect": "Bogus"}]}}, {"metadata": {"labels": {"x": "y"}}}]:
        t.patch("v1", "nodes", t.ns + n, p, ns=False, label=str(p))
    t.patch("v1", "nodes", t.ns + n, {"status": {"capacity": {"cpu": "4", "memory": "8Gi", "example.com/gpu": "1.5"}, "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}, {"type": "InternalIP", "address": "1.2.3.4"}]}}, ns=False, sub="status")
    t.delete("v1", "nodes", t.ns + n, ns=False)


@case
def workload_warnings(t):
    d = deployment("warn")
    spec = d["spec"]["template"]["spec"]
    spec["containers"][0]["env"] = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    spec["containers"][0]["ports"] = [{"containerPort": 80, "name": "a"}, {"containerPort": 80, "name": "b"}]
    t.create("apps/v1", "deployments", d, query={"dryRun": "All"}, label="doubles")
    for label, extra in [("node selector beta", {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}), ("host aliases", {"hostAliases": [{"ip": "1.1.1.1", "hostnames": ["a"]}, {"ip": "1.1.1.1", "hostnames": ["b"]}]}),
                         ("service account", {"serviceAccount": "x"}), ("pull secrets", {"imagePullSecrets": [{}, {"name": "a"}, {"name": "a"}]}), ("git", {"volumes": [{"name": "g", "gitRepo": {"repository": "r"}}]}),
                         ("grace", {"terminationGracePeriodSeconds": -1}), ("volumes overlap", {"volumes": [{"name": "p", "projected": {"sources": [{"configMap": {"name": "a", "items": [{"key": "k", "path": "same"}]}}, {"secret": {"name": "b", "items": [{"key": "k", "path": "same"}]}}]}}]}),
                         ("empty claim", {"volumes": [{"name": "p", "cephfs": {"monitors": ["a"]}}]}), ("spread", {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]}),
                         ("spread doubled", {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}] * 2}), ("dns", {"dnsConfig": {"searches": ["."]}}),
                         ("affinity beta", {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "failure-domain.beta.kubernetes.io/zone", "operator": "Exists"}]}]}}}}),
                         ("overhead", {"overhead": {"cpu": "1"}}), ("fractional", {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"memory": "100m"}, "requests": {"memory": "1m"}}}]}), ("seccomp", {"securityContext": {"seccompProfile": {"type": "Bogus"}}}),
                         ("host port", {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 80}]}, {"name": "d", "image": "i", "ports": [{"containerPort": 80, "hostPort": 80}]}]}),
                         ("probe", {"containers": [{"name": "c", "image": "i", "livenessProbe": {}}]}), ("host network", {"hostNetwork": True, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 82}]}]}),
                         ("host network users", {"hostUsers": False, "hostNetwork": True}), ("os", {"os": {"name": "windows"}, "hostPID": True}), ("priority", {"priority": 5}), ("priority class", {"priorityClassName": "none"}), ("runtime class", {"runtimeClassName": "none"}),
                         ("never", {"restartPolicy": "Never"}), ("deadline", {"activeDeadlineSeconds": 5}), ("ephemeral", {"ephemeralContainers": [{"name": "e", "image": "i"}]}), ("sysctl", {"securityContext": {"sysctls": [{"name": "a", "value": "b"}, {"name": "a", "value": "b"}, {"name": "B@", "value": ""}]}}),
                         ("share process", {"hostPID": True, "shareProcessNamespace": True}), ("no containers", {"containers": []}), ("no image", {"containers": [{"name": "c"}]}), ("image space", {"containers": [{"name": "c", "image": " i "}]}), ("name", {"containers": [{"name": "C_", "image": "i"}, {"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}),
                         ("claims", {"resourceClaims": [{"name": "r", "resourceClaimName": "x"}, {"name": "r"}]}), ("gates", {"schedulingGates": [{"name": "example.com/g"}, {"name": "example.com/g"}, {"name": "bad gate"}]}), ("host fqdn", {"setHostnameAsFQDN": True, "hostnameOverride": "x"}),
                         ("requests over limits", {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1", "hugepages-2Mi": "2Mi", "example.com/x": "1.5"}, "requests": {"cpu": "2", "example.com/y": "1", "bad name": "1"}}}]})]:
        d = deployment("warn")
        d["spec"]["template"]["spec"].update(extra)
        t.create("apps/v1", "deployments", d, query={"dryRun": "All"}, label=label)
        p = pod("warn", **extra)
        t.create("v1", "pods", p, query={"dryRun": "All"}, label="pod " + label)
    t.create("policy/v1", "poddisruptionbudgets", {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "w"}, "spec": {"selector": {}}}, query={"dryRun": "All"})
    t.create("batch/v1", "cronjobs", base("CronJob", "w" * 53), query={"dryRun": "All"}, label="long name")
    for schedule in ["", "* * * *", "@hourly", "@every 1h", "TZ=UTC * * * * *", "61 * * * *", "*/0 * * * *", "0 0 31 2 *", "a b c d e"]:
        c = base("CronJob", "w")
        c["spec"]["schedule"] = schedule
        t.create("batch/v1", "cronjobs", c, query={"dryRun": "All"}, label=schedule)
    for zone in ["", "Local", "Nowhere/Town", "utc", "UTC", "../x"]:
        c = base("CronJob", "w")
        c["spec"]["timeZone"] = zone
        t.create("batch/v1", "cronjobs", c, query={"dryRun": "All"}, label="zone " + zone)
    t.create("v1", "endpoints", base("Endpoints", "w"), query={"dryRun": "All"})
    t.create("v1", "persistentvolumes", base("PersistentVolume", "w", spec={"capacity": {"storage": "1.5"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}, "persistentVolumeReclaimPolicy": "Recycle"}), ns=False, query={"dryRun": "All"})
    t.create("v1", "secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "w"}, "type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}, query={"dryRun": "All"})
    for kind, data in [("kubernetes.io/dockerconfigjson", {".dockerconfigjson": "e30="}), ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": "AAE="}), ("kubernetes.io/dockerconfigjson", {}), ("kubernetes.io/basic-auth", {}), ("kubernetes.io/ssh-auth", {}), ("kubernetes.io/service-account-token", {}), ("bootstrap.kubernetes.io/token", {}), ("kubernetes.io/tls", {})]:
        t.create("v1", "secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "w"}, "type": kind, "data": data}, query={"dryRun": "All"}, label=kind)
    t.create("v1", "events", base("Event", "w", "v1", involvedObject={"kind": "Pod", "name": "p"}), query={"dryRun": "All"}, label="no namespace")
    t.create("v1", "events", base("Event", "w", "v1", involvedObject={"kind": "Pod", "name": "p", "namespace": "elsewhere"}), query={"dryRun": "All"}, label="other namespace")
    for m in [{}, {"action": "a", "reason": "r", "type": "Normal", "reportingController": "c/d", "reportingInstance": "i", "eventTime": "2026-11-29T10:00:00.000000Z", "regarding": {"namespace": t.ns}}, {"type": "Bogus", "eventTime": "2026-11-29T10:00:00.000000Z", "regarding": {"namespace": t.ns}}]:
        t.create("events.k8s.io/v1", "events", {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "ev"}, **m}, query={"dryRun": "All"}, label=str(m)[:30])


@case
def reviews(t):
    """What is asked, not stored."""
    group = "authorization.k8s.io/v1"
    pods, path = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": t.ns}}, {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}
    selectors = [{"rawSelector": "a=b"}, {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}, {}, {"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]}, {"rawSelector": "a b"}, {"rawSelector": "a in (b,c),!d"},
                 {"requirements": [{"key": "", "operator": "In"}]}, {"requirements": [{"key": "a", "operator": "Exists", "values": ["b"]}]}, {"requirements": [{"key": "a", "operator": "Bogus"}]}, {"requirements": [{"key": "a", "operator": ""}]},
                 {"requirements": [{"key": "a b", "operator": "NotIn", "values": ["c d"]}]}]
    specs = [pods, path, {}, {**pods, **path}] + [{"resourceAttributes": {**pods["resourceAttributes"], which: s}} for which in ("labelSelector", "fieldSelector") for s in selectors]
    specs += [{"resourceAttributes": {"verb": "list", "group": "apps", "resource": "deployments", "subresource": "scale", "name": "n", "version": "v1"}}, {"resourceAttributes": {"namespace": "elsewhere"}}]
    users = [{"user": "nobody"}, {"groups": ["system:masters"]}, {"user": "system:kube-controller-manager", "uid": "u", "groups": ["reviewed"], "extra": {"k": ["v"]}}, {}]
    for kind, resource, ns in [("SubjectAccessReview", "subjectaccessreviews", False), ("LocalSubjectAccessReview", "localsubjectaccessreviews", True), ("SelfSubjectAccessReview", "selfsubjectaccessreviews", False)]:
        def ask(spec, label, **meta):
            t.create(group, resource, {"apiVersion": group, "kind": kind, **({"metadata": meta} if meta else {}), "spec": spec}, ns=ns, label=f"{kind} {label}")
        for i, spec in enumerate(specs):
            ask(spec if kind.startswith("Self") else {**spec, **users[0]}, f"spec {i}")
        for i, user in enumerate(users):
            for j, spec in enumerate(specs[:2]):
                ask({**spec, **user}, f"user {i} {j}")
        for meta in [{"name": "x"}, {"namespace": t.ns}, {"namespace": "elsewhere"}, {"labels": {"a": "b"}}, {"managedFields": []}, {"generateName": "x"}]:
            ask({**pods, **({} if kind.startswith("Self") else users[0])}, str(meta), **meta)
        t.get(group, resource, "x", ns=ns)
        t.list(group, resource, ns=ns)
    for spec in [{}, {"namespace": t.ns}, {"namespace": ""}]:
        t.create(group, "selfsubjectrulesreviews", {"apiVersion": group, "kind": "SelfSubjectRulesReview", "spec": spec}, ns=False, label=str(spec), skip_body="namespace" in spec and bool(spec["namespace"]))
    group = "authentication.k8s.io/v1"
    for body in [{}, {"metadata": {"name": "x"}}, {"metadata": {"labels": {"a": "b c"}}}]:
        t.create(group, "selfsubjectreviews", {"apiVersion": group, "kind": "SelfSubjectReview", **body}, ns=False, label=str(body))
    for spec in [{}, {"token": ""}, {"token": "x"}, {"token": "a.b.c"}, {"token": "x", "audiences": ["a"]}]:
        t.create(group, "tokenreviews", {"apiVersion": group, "kind": "TokenReview", "spec": spec}, ns=False, label=f"token {spec}")
    t.create(group, "tokenreviews", {"apiVersion": group, "kind": "TokenReview", "metadata": {"name": "x"}, "spec": {"token": "x"}}, ns=False, label="with a name")
    for spec in [{"audiences": ["a"], "expirationSeconds": 600, "attestations": {"x": ["y"]}}, {"boundObjectRef": {"kind": "ValidatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1", "name": "x"}},
                 {"expirationSeconds": 600, "audiences": ["a"], "attestations": {"admissionReviewAPIGroups": [""]}, "boundObjectRef": {"kind": "ValidatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1", "name": "x"}}]:
        t.create("v1", "serviceaccounts", {"apiVersion": group, "kind": "TokenRequest", "spec": spec}, name="default", sub="token", label=str(spec)[:60])


@case
def signing_requests(t):
    group, resource, n = "certificates.k8s.io/v1", "certificatesigningrequests", t.ns + "-csr"
    t.create(group, resource, base("CertificateSigningRequest", n), ns=False)
    t.update(group, resource, n, change(lambda o: o["spec"].update(signerName="example.com/other", usages=["any"])), ns=False, label="spec stays")
    t.update(group, resource, n, change(lambda o: o.update(status={"conditions": [{"type": "Approved", "status": "True"}]})), ns=False, label="status stays")
    yes, no = {"type": "Approved", "status": "True", "reason": "R", "message": "m"}, {"type": "Denied", "status": "True"}
    for conditions in [[yes], [yes, no], [{"type": "Failed", "status": "True"}], [{"type": "", "status": ""}], [{"type": "Failed", "status": "False"}], [{"type": "Other", "status": "Maybe"}], [{"type": "Other", "status": "True"}] * 2]:
        t.update(group, resource, n, change(lambda o, c=conditions: o.setdefault("status", {}).update(conditions=c)), ns=False, sub="status", label=str(conditions)[:60], query={"dryRun": "All"})
        t.update(group, resource, n, change(lambda o, c=conditions: o.setdefault("status", {}).update(conditions=c)), ns=False, sub="approval", label="approval " + str(conditions)[:60], query={"dryRun": "All"})
    t.update(group, resource, n, change(lambda o: {**o, "metadata": {**o["metadata"], "labels": {"a": "b"}}, "spec": {**o["spec"], "usages": ["any"]}, "status": {"conditions": [yes], "certificate": "AAE="}}), ns=False, sub="approval", label="approve")
    t.get(group, resource, n, ns=False)
    t.get(group, resource, n, ns=False, sub="approval")
    for conditions in [[], [no], [yes], [{**yes, "reason": "S"}], [yes, {"type": "Failed", "status": "True"}]]:
        for sub in ("approval", "status"):
            t.update(group, resource, n, change(lambda o, c=conditions: o["status"].update(conditions=c)), ns=False, sub=sub, label=sub + str(conditions)[:60], query={"dryRun": "All"})
    t.patch(group, resource, n, {"status": {"conditions": [yes, {"type": "Failed", "status": "True"}]}}, ns=False, sub="approval", label="patch")
    t.patch(group, resource, n, {"status": {"certificate": "AAE="}}, ns=False, sub="status", label="no certificate")
    pem = base64.b64encode(objects.ANCHOR.encode()).decode()
    t.patch(group, resource, n, {"status": {"certificate": pem}}, ns=False, sub="status", label="certificate")
    t.patch(group, resource, n, {"status": {"certificate": None}}, ns=False, sub="status", label="no other certificate")
    t.apply(group, resource, n, {"apiVersion": group, "kind": "CertificateSigningRequest", "status": {"conditions": [no]}}, ns=False, sub="approval", label="apply")
    t.delete(group, resource, n, ns=False)


@case
def versions(t):
    """What is stored once and served as several versions."""
    h = base("HorizontalPodAutoscaler", "h", "autoscaling/v2")
    t.create("autoscaling/v2", "horizontalpodautoscalers", h)
    t.get("autoscaling/v1", "horizontalpodautoscalers", "h")
    t.apply("autoscaling/v1", "horizontalpodautoscalers", "h", {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "spec": {"maxReplicas": 6, "scaleTargetRef": {"kind": "D", "name": "x"}}}, "v1er", True)
    t.get("autoscaling/v2", "horizontalpodautoscalers", "h")
    t.update("autoscaling/v1", "horizontalpodautoscalers", "h", change(lambda o: o["spec"].update(minReplicas=1)))
    t.get("autoscaling/v2", "horizontalpodautoscalers", "h")
    e = base("Event", "ev", "events.k8s.io/v1")
    e["regarding"]["namespace"] = t.ns
    t.create("events.k8s.io/v1", "events", e)
    t.get("v1", "events", "ev")
    t.patch("v1", "events", "ev", {"count": 5, "message": "m"})
    t.get("events.k8s.io/v1", "events", "ev")
    e = base("Event", "ev2", "v1")
    e["involvedObject"]["namespace"] = t.ns
    t.create("v1", "events", e)
    t.get("events.k8s.io/v1", "events", "ev2")
    t.patch("events.k8s.io/v1", "events", "ev2", {"note": "x"})


@case
def wire(t):
    """managedFields of clients without a manager's name; user agents; pretty printing."""
    t.create("v1", "configmaps", cm("ua"), headers={"User-Agent": "kubectl/v1.37.2 (linux/amd64) kubernetes/abc"})
    t.create("v1", "configmaps", cm("ua2"), headers={"User-Agent": ""})
    t.patch("v1", "configmaps", "ua", {"data": {"b": "c"}}, headers={"User-Agent": "Mozilla/5.0 (X11) Firefox"})
    t.patch("v1", "configmaps", "ua", {"data": {"b": "d"}}, headers={"User-Agent": "curl/8.0"})
    t.patch("v1", "configmaps", "ua", {"data": {"b": "e"}}, headers={"User-Agent": "a b/c"})
    t.patch("v1", "configmaps", "ua", {"data": {"b": "f"}}, headers={"User-Agent": "x" * 200 + "/v1"})
    t.get("v1", "configmaps", "ua", query={"pretty": "1"})
    t.get("v1", "configmaps", "ua", query={"pretty": "false"}, headers={"User-Agent": "curl/8.0"})
    t.update("v1", "configmaps", "new", cm("new"), label="create on update of what has none")
    t.update("coordination.k8s.io/v1", "leases", "onup", base("Lease", "onup"), label="create on update")
    t.update("v1", "services", "onup", service("onup"), label="create on update")
    t.update("v1", "endpoints", "onup", base("Endpoints", "onup"), label="create on update")
    t.update("rbac.authorization.k8s.io/v1", "roles", "onup", base("Role", "onup"), label="create on update")
    t.update("v1", "limitranges", "onup", base("LimitRange", "onup"), label="create on update")
