"""What the tests of client programs share: a program's tools, one that follows the cluster, and one that works in it."""
import json, os, re, subprocess, threading
from harness import eventually, run

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients")
TOOLS = os.environ.get("ONEBIN_TOOLS", os.path.join(HERE, "..", "..", "..", "build", "tools"))


def bare(value):
    """A JSON value without what clients write as they like: null and empty members, and how a time is spelled."""
    if isinstance(value, dict):
        return {k: b for k, v in value.items() if (b := bare(v)) not in (None, {}, [])}
    if isinstance(value, str) and (t := re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.0+)?(Z|\+00:00)", value)):
        return t.group(1) + "Z"
    return [bare(v) for v in value] if isinstance(value, list) else value


def same(o):
    """What must be equal, whoever reads an object."""
    o = bare(o)
    m = o["metadata"]
    return {"metadata": {k: m.get(k) for k in ("name", "namespace", "uid", "resourceVersion", "generation", "labels", "annotations")},
            **{k: o.get(k) for k in ("data", "binaryData", "spec", "status")}}


class Follower:
    """A program that prints a line of JSON for every change; its picture of the cluster, {(kind, name): object}."""

    def __init__(self, args, env):
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        self.objects, self.events, self.synced, self.wire, self.errors = {}, [], set(), [], []
        self.readers = [threading.Thread(target=self.read, daemon=True), threading.Thread(target=self.read_errors, daemon=True)]
        for t in self.readers:
            t.start()

    def read(self):
        for line in self.process.stdout:
            e = json.loads(line)
            if "event" in e:
                key = (e["kind"], e["object"]["metadata"]["name"])
                if e["event"] == "DELETED":
                    self.objects.pop(key, None)
                else:
                    self.objects[key] = same(e["object"])
                self.events.append((e["event"], *key))
            elif "synced" in e:
                self.synced.add(e["synced"])
            else:
                self.wire.append(e)

    def read_errors(self):
        for line in self.process.stderr:
            self.errors.append(line)

    def close(self):
        self.process.kill()
        self.process.wait()
        for t in self.readers:
            t.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: seen, labels: {app: seen}}
spec:
  replicas: 0
  selector: {matchLabels: {app: seen}}
  template:
    metadata: {labels: {app: seen}}
    spec: {containers: [{name: main, image: none, resources: {limits: {cpu: 100m, memory: 16Mi}}, ports: [{containerPort: 80}]}]}
"""


def follows(test, args, env):
    """A follower sees what kubectl sees: before it began, and after each create, update and delete."""
    cluster, namespace = test.cluster, "follow"
    k = lambda *a, **kw: cluster.kubectl("-n", namespace, *a, **kw)
    cluster.kubectl("create", "namespace", namespace)
    follower = None
    try:
        k("create", "configmap", "before", "--from-literal=a=1")
        k("apply", "-f", "-", stdin=DEPLOYMENT)
        follower = Follower([*args, namespace], env)

        def agree():
            items = json.loads(k("get", "configmaps,deployments", "-o", "json").stdout)["items"]
            want = {(i["kind"], i["metadata"]["name"]): same(i) for i in items}
            if follower.objects != want:
                raise AssertionError(f"it sees {follower.objects}\nkubectl sees {want}\nerrors: {''.join(follower.errors[-10:])}")
            return True

        eventually(agree, 60, "the same objects at first", 0.5)
        test.assertEqual(follower.synced, {"ConfigMap", "Deployment"})
        for step in (["create", "configmap", "after", "--from-literal=text=\u00fcber\n\"quoted\"", "--from-file=binary=/bin/true"], ["label", "configmap", "before", "new=yes"],
                     ["patch", "configmap", "before", "--type=merge", "-p", '{"data":{"a":null,"b":"2"}}'], ["scale", "deployment", "seen", "--replicas=0", "--current-replicas=0"],
                     ["set", "image", "deployment/seen", "main=other"], ["annotate", "deployment", "seen", "note=one"], ["delete", "configmap", "before"], ["delete", "deployment", "seen"]):
            k(*step)
            eventually(agree, 30, " ".join(step), 0.2)
        # Nothing was seen by listing again: each change came as its event.
        test.assertEqual([e for e in follower.events if e[1:] == ("ConfigMap", "after")], [("ADDED", "ConfigMap", "after")])
        before = [e[0] for e in follower.events if e[1:] == ("ConfigMap", "before")]
        test.assertEqual((before[0], before[-1]), ("ADDED", "DELETED"))
        test.assertIn("MODIFIED", before)
        return follower
    finally:
        if follower:
            follower.close()
        cluster.kubectl("delete", "namespace", namespace, "--timeout=120s", timeout=150)


def works(test, args, env, steps, *more):
    """A program does its everyday work in a namespace of its own: every step, and exit code 0."""
    namespace = "work"
    test.cluster.kubectl("create", "namespace", namespace)
    try:
        p = run([*args, "work", namespace, *more], check=False, env=env, timeout=180)
        test.assertEqual(p.returncode, 0, p.stdout + p.stderr)
        test.assertEqual([l[3:] for l in p.stdout.splitlines() if l.startswith("ok ")], steps, p.stdout + p.stderr)
    finally:
        test.cluster.kubectl("delete", "namespace", namespace, "--timeout=120s", timeout=150)
