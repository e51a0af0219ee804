#!/usr/bin/env python3
"""The Python client at work (PyPI package kubernetes). Where the cluster is, KUBECONFIG says.
  client.py follow NAMESPACE        a line of JSON for every change of ConfigMaps and Deployments, from a list and a watch each
  client.py work NAMESPACE IMAGE    everyday work; a line 'ok STEP' each, exit code 0 when all went as it should"""
import json, queue, sys, threading, time
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.stream import portforward, stream

config.load_kube_config()
core, apps = client.CoreV1Api(), client.AppsV1Api()
plain = core.api_client.sanitize_for_serialization


def follow(namespace):
    lines = queue.Queue()

    def run(kind, lister):
        seen = lister(namespace)
        for item in seen.items:
            lines.put({"event": "ADDED", "kind": kind, "object": plain(item)})
        lines.put({"synced": kind})
        version = seen.metadata.resource_version
        while True:
            for e in watch.Watch().stream(lister, namespace, resource_version=version, timeout_seconds=600):
                version = e["object"].metadata.resource_version
                lines.put({"event": e["type"], "kind": kind, "object": plain(e["object"])})

    for kind, lister in (("ConfigMap", core.list_namespaced_config_map), ("Deployment", apps.list_namespaced_deployment)):
        threading.Thread(target=run, args=(kind, lister), daemon=True).start()
    while True:
        print(json.dumps(lines.get()), flush=True)


def ok(step):
    print("ok", step, flush=True)


def expect(what, got, want):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def status_of(call, *args, **kw):
    """The HTTP status and the reason of a call that must fail."""
    try:
        call(*args, **kw)
    except ApiException as e:
        return e.status, json.loads(e.body)["reason"]
    return None


def work(ns, image):
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="py", labels={"by": "python"}), data={"a": "1"})
    made = core.create_namespaced_config_map(ns, body)
    expect("create", (made.data, made.metadata.labels), ({"a": "1"}, {"by": "python"}))
    expect("create again", status_of(core.create_namespaced_config_map, ns, body), (409, "AlreadyExists"))
    ok("create")
    stale = core.read_namespaced_config_map("py", ns)
    made.data["b"] = "2"
    core.replace_namespaced_config_map("py", ns, made)
    expect("stale replace", status_of(core.replace_namespaced_config_map, "py", ns, stale), (409, "Conflict"))
    ok("replace")
    # A dict is sent as a strategic merge patch, a list as a JSON patch.
    expect("patch", core.patch_namespaced_config_map("py", ns, {"data": {"c": "3", "a": None}}).data, {"b": "2", "c": "3"})
    patched = core.patch_namespaced_config_map("py", ns, [{"op": "replace", "path": "/data/c", "value": "4"}])
    expect("JSON patch", patched.data["c"], "4")
    ok("patch")
    dyn = dynamic.DynamicClient(core.api_client)
    maps = dyn.resources.get(api_version="v1", kind="ConfigMap")
    applied = maps.server_side_apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"x": "1"}},
                                     name="applied", namespace=ns, field_manager="one")
    expect("apply", applied.metadata.managedFields[0].operation, "Apply")
    try:
        maps.server_side_apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"x": "2"}},
                               name="applied", namespace=ns, field_manager="two")
        sys.exit("apply over another's field went through")
    except dynamic.exceptions.ConflictError:
        pass
    ok("apply")
    for i in range(7):
        core.create_namespaced_config_map(ns, client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="page-", labels={"page": "y"})))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(ns, label_selector="page=y", limit=3, _continue=token)
        names += [i.metadata.name for i in page.items]
        token = page.metadata._continue
        if not token:
            break
    expect("pages", len(set(names)), 7)
    core.delete_collection_namespaced_config_map(ns, label_selector="page=y")
    expect("delete of a collection", core.list_namespaced_config_map(ns, label_selector="page=y").items, [])
    ok("list")
    utils.create_from_dict(core.api_client, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "py", "namespace": ns}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": "py"}}, "template": {"metadata": {"labels": {"app": "py"}}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": image, "args": ["netexec", "--http-port=8080"],
                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}}]}}}})
    for e in watch.Watch().stream(apps.list_namespaced_deployment, ns, timeout_seconds=60):
        if e["object"].metadata.name == "py" and e["object"].status.ready_replicas == 1:
            break
    else:
        sys.exit("the Deployment was not ready within 60 s")
    ok("watch")
    apps.patch_namespaced_deployment_scale("py", ns, {"spec": {"replicas": 2}})
    expect("scale", apps.read_namespaced_deployment_scale("py", ns).spec.replicas, 2)
    ok("scale")
    pod = core.list_namespaced_pod(ns, label_selector="app=py", field_selector="status.phase=Running").items[0].metadata.name
    out = stream(core.connect_get_namespaced_pod_exec, pod, ns, command=["sh", "-c", "echo out; echo err >&2"], stdout=True, stderr=True, stdin=False, tty=False)
    expect("exec", sorted(out.split()), ["err", "out"])
    s = stream(core.connect_get_namespaced_pod_exec, pod, ns, command=["sh", "-c", "read l; echo got $l; exit 3"], stdout=True, stdin=True, stderr=True,
               tty=False, _preload_content=False)
    s.write_stdin("hello\n")
    s.run_forever(timeout=20)
    expect("exec with input", (s.read_stdout(), s.returncode), ("got hello\n", 3))
    ok("exec")
    forward = portforward(core.connect_get_namespaced_pod_portforward, pod, ns, ports="8080")
    sock = forward.socket(8080)
    sock.setblocking(True)
    sock.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
    answer = b""
    while part := sock.recv(4096):
        answer += part
    expect("port-forward", answer.split(b"\r\n\r\n")[-1].decode(), pod)
    ok("port-forward")
    if "Started HTTP server" not in core.read_namespaced_pod_log(pod, ns):
        sys.exit("the log lacks what the program writes at start: " + core.read_namespaced_pod_log(pod, ns))
    ok("log")
    apps.delete_namespaced_deployment("py", ns, propagation_policy="Foreground")
    end = time.time() + 60
    while core.list_namespaced_pod(ns, label_selector="app=py").items or status_of(apps.read_namespaced_deployment, "py", ns) != (404, "NotFound"):
        if time.time() > end:
            sys.exit("the Deployment or its pods are still there after 60 s")
        time.sleep(0.2)
    for name in ("py", "applied"):
        core.delete_namespaced_config_map(name, ns)
    expect("get of what is gone", status_of(core.read_namespaced_config_map, "py", ns), (404, "NotFound"))
    ok("delete")


if __name__ == "__main__":
    {"follow": follow, "work": work}[sys.argv[1]](*sys.argv[2:])
