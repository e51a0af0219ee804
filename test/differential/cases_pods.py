"""Hand-picked cases about pods, nodes and what holds templates of pods; more of cases.py."""
from cases import base, case, deployment, pod


@case
def pod_rules(t):
    """What is made of a pod beyond its fields, and which changes of one are taken."""
    def make(name, spec=None, annotations=None, labels=None, label=None, dry=True, template=False):
        p = pod(name, **(spec or {}))
        p["metadata"].update({"annotations": annotations or {}, "labels": labels or {}})
        if template:
            d = deployment(name)
            d["spec"]["template"]["spec"].update(spec or {})
            d["spec"]["template"]["metadata"]["annotations"] = annotations or {}
            t.create("apps/v1", "deployments", d, query={"dryRun": "All"}, label="template " + (label or name))
        return t.create("v1", "pods", p, query={"dryRun": "All"} if dry else None, label=label or name)
    one = {"name": "c", "image": "i"}
    for key, value in [("kubernetes.io/config.mirror", "x"), ("controller.kubernetes.io/pod-deletion-cost", "+1"), ("controller.kubernetes.io/pod-deletion-cost", "-5"), ("controller.kubernetes.io/pod-deletion-cost", "08"), ("controller.kubernetes.io/pod-deletion-cost", "99999999999"),
                       ("scheduler.alpha.kubernetes.io/tolerations", '[{"key":"a","operator":"Bogus","effect":"Some"}]'), ("scheduler.alpha.kubernetes.io/tolerations", "{}"), ("seccomp.security.alpha.kubernetes.io/pod", "bogus"), ("seccomp.security.alpha.kubernetes.io/pod", "localhost/../x"),
                       ("container.seccomp.security.alpha.kubernetes.io/c", "bogus"), ("container.apparmor.security.beta.kubernetes.io/c", "bogus"), ("container.apparmor.security.beta.kubernetes.io/c", "localhost/p"), ("container.apparmor.security.beta.kubernetes.io/d", "unconfined"),
                       ("container.apparmor.security.beta.kubernetes.io/c", "localhost/"), ("pod.beta.kubernetes.io/init-containers", "[]")]:
        make("notes", annotations={key: value}, label=key + " " + value, template=True)
    for field, at in [("seccompProfile", "container.seccomp.security.alpha.kubernetes.io/c"), ("appArmorProfile", "container.apparmor.security.beta.kubernetes.io/c"), ("seccompProfile", "seccomp.security.alpha.kubernetes.io/pod")]:
        for profile in [{"type": "RuntimeDefault"}, {"type": "Unconfined"}, {"type": "Localhost", "localhostProfile": "a"}]:
            for value in ["runtime/default", "localhost/b"]:
                make("agree", {"securityContext": {field: profile}, "containers": [{**one, "securityContext": {field: profile}}]}, {at: value}, label=f"{at} {profile['type']} {value}", template=True)
    make("armor", {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}, {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}, label="the pod's own profile", template=True)
    for limits, requests, whole in [({"cpu": "1"}, {}, {"limits": {"cpu": "500m"}}), ({"cpu": "1"}, {"cpu": "1"}, {"requests": {"cpu": "500m"}}), ({"cpu": "1", "memory": "1Gi"}, {"cpu": "100m"}, {"requests": {"cpu": "2"}}), ({}, {"cpu": "1"}, {"limits": {"cpu": "3", "memory": "1Gi"}}),
                                    ({"hugepages-2Mi": "4Mi", "cpu": "1"}, {}, {"limits": {"cpu": "2"}}), ({}, {}, {"requests": {"example.com/x": "1"}}), ({}, {}, {"limits": {"cpu": "-1", "pods": "1"}}), ({}, {}, {"claims": [{"name": "x"}]}), ({}, {}, {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})]:
        make("level", {"resources": whole, "containers": [{**one, "resources": {"limits": limits, "requests": requests}}], "initContainers": [{"name": "a", "image": "i", "resources": {"limits": limits}}, {"name": "b", "image": "i", "restartPolicy": "Always", "resources": {"limits": limits}}]},
             label=f"whole {limits} {requests} {whole}", template=True)
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"a": "b"}}, "matchLabelKeys": ["app", "none"]}
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}, "matchLabelKeys": ["app", "none"], "mismatchLabelKeys": ["tier"]}
    for label, more in [("merged", {}), ("no selector", {"labelSelector": None}), ("both", {"labelSelector": {"matchLabels": {"app": "b"}}})]:
        make("keys", {"topologySpreadConstraints": [{**spread, **more}], "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{**term, **more}]}, "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {**term, **more}}]}}},
             labels={"app": "x", "tier": "y"}, label=label)
    windows = {"os": {"name": "windows"}}
    for label, spec in [("linux fields", {**windows, "hostPID": True, "shareProcessNamespace": False, "securityContext": {"fsGroup": 1, "sysctls": [{"name": "a", "value": "b"}], "supplementalGroups": [1]}, "containers": [{**one, "securityContext": {"privileged": True, "capabilities": {}, "runAsUser": 1}}]}),
                        ("windows fields", {"os": {"name": "linux"}, "securityContext": {"windowsOptions": {}}, "containers": [{**one, "securityContext": {"windowsOptions": {}}}]}), ("host process", {**windows, "containers": [{**one, "securityContext": {"windowsOptions": {"hostProcess": True}}}, {"name": "d", "image": "i"}]}),
                        ("host process differs", {**windows, "hostNetwork": True, "securityContext": {"windowsOptions": {"hostProcess": False}}, "containers": [{**one, "securityContext": {"windowsOptions": {"hostProcess": True}}}]}), ("resources", {**windows, "resources": {"limits": {"cpu": "1"}}}),
                        ("bogus os", {"os": {"name": "plan9"}}), ("stop signal", {"os": {"name": "linux"}, "containers": [{**one, "lifecycle": {"stopSignal": "SIGUSR1"}}]})]:
        make("win", spec, label=label, template=True)
    for user in ["", "a\\b\\c", "a\\b", ".bad\\b", "a@b", "..", "\\x", "x" * 105, "tab\there", "d" * 256 + "\\u"]:
        make("user", {**windows, "securityContext": {"windowsOptions": {"runAsUserName": user, "gmsaCredentialSpecName": "Bad_", "gmsaCredentialSpec": ""}}}, label="user " + user[:12])
    for label, spec in [("net", {"hostNetwork": True, "securityContext": {"sysctls": [{"name": "net.ipv4.x", "value": "1"}, {"name": "net/ipv4/x", "value": "1"}]}}), ("ipc", {"hostIPC": True, "securityContext": {"sysctls": [{"name": "kernel.shmmax", "value": "1"}, {"name": "fs.mqueue.a", "value": "1"}]}}),
                        ("gate and node", {"nodeName": "n", "schedulingGates": [{"name": "g"}]}), ("image volume", {"volumes": [{"name": "v", "image": {"reference": "a"}}, {"name": "w", "image": {"reference": "a:1"}}, {"name": "x", "image": {}}]}),
                        ("host ports", {"initContainers": [{"name": "a", "image": "i", "ports": [{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}]}, {"name": "b", "image": "i", "ports": [{"containerPort": 1, "hostPort": 5}]}], "containers": [{**one, "ports": [{"containerPort": 1, "hostPort": 5}]}, {"name": "d", "image": "i", "ports": [{"containerPort": 1, "hostPort": 5}]}]}),
                        ("nameless", {"containers": [{"image": "i"}, {"image": "i"}], "initContainers": [{"image": "i"}, {"image": "i"}]}),
                        ("restart rules", {"containers": [{**one, "restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}, {"action": "Bogus"}]}]}), ("scheduling", {"schedulingGroup": {"podGroupName": "x"}})]:
        make("more", spec, label=label, template=True)
    make("gated", {"schedulingGates": [{"name": "example.com/a"}, {"name": "example.com/b"}], "nodeSelector": {"a": "b"}, "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "x", "operator": "Exists"}]}]}}}}, dry=False)
    terms = ["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"]
    for label, body in [("selector grows", {"spec": {"nodeSelector": {"c": "d"}}}), ("selector changes", {"spec": {"nodeSelector": {"a": "x"}}}), ("selector goes", {"spec": {"nodeSelector": None}}), ("affinity goes", {"spec": {"affinity": None}}), ("node affinity goes", {"spec": {"affinity": {"nodeAffinity": None}}}),
                        ("term grows", {"spec": {"affinity": {"nodeAffinity": {terms[3]: {terms[4]: [{"matchExpressions": [{"key": "x", "operator": "Exists"}, {"key": "y", "operator": "Exists"}]}]}}}}}), ("term changes", {"spec": {"affinity": {"nodeAffinity": {terms[3]: {terms[4]: [{"matchExpressions": [{"key": "y", "operator": "Exists"}]}]}}}}}),
                        ("terms more", {"spec": {"affinity": {"nodeAffinity": {terms[3]: {terms[4]: [{"matchExpressions": [{"key": "x", "operator": "Exists"}]}, {"matchExpressions": [{"key": "y", "operator": "Exists"}]}]}}}}}), ("pod affinity", {"spec": {"affinity": {"podAffinity": {}}}}),
                        ("new gate", {"spec": {"schedulingGates": [{"name": "example.com/a"}, {"name": "example.com/c"}]}}), ("one gate less", {"spec": {"schedulingGates": [{"name": "example.com/b"}]}}), ("deadline", {"spec": {"activeDeadlineSeconds": -1}}), ("deadline high", {"spec": {"activeDeadlineSeconds": 3000000000}}),
                        ("image gone", {"spec": {"containers": [{"name": "c", "image": ""}]}}), ("armor", {"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}}}), ("mirror", {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}), ("cost", {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "x"}}})]:
        t.patch("v1", "pods", "gated", body, label=label, query={"dryRun": "All"})
    make("state", {"restartPolicy": "OnFailure", "containers": [one, {"name": "d", "image": "i", "restartPolicy": "Always"}, {"name": "e", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [7]}}]}], "initContainers": [{"name": "a", "image": "i"}]}, dry=False)
    def ended(name, code=0):
        return {"name": name, "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": {"exitCode": code}}}
    def running(name):
        return {"name": name, "image": "i", "imageID": "", "ready": True, "restartCount": 1, "state": {"running": {}}}
    t.patch("v1", "pods", "state", {"status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "False", "observedGeneration": 1}], "containerStatuses": [ended("c"), ended("d"), ended("e", 7)], "initContainerStatuses": [ended("a")], "ephemeralContainerStatuses": [ended("x")]}}, sub="status")
    for label, status in [("all run", {"containerStatuses": [running("c"), running("d"), running("e")], "initContainerStatuses": [running("a")], "ephemeralContainerStatuses": [running("x")]}), ("observed kept", {"observedGeneration": 0, "conditions": [{"type": "Ready", "status": "True"}]}),
                          ("users", {"containerStatuses": [{**ended("c"), "user": {"linux": {"uid": -1, "gid": -1, "supplementalGroups": [-1]}}}]}), ("allocated", {"containerStatuses": [{**ended("c"), "allocatedResourcesStatus": [{"name": "cpu", "resources": [{"resourceID": "a", "health": "Bogus", "message": ""}, {"resourceID": "a", "health": "Healthy"}]}, {"name": "claim:x"}]}], "ephemeralContainerStatuses": [{**ended("x"), "allocatedResourcesStatus": [{"name": "cpu"}]}]}),
                          ("addresses", {"podIP": "010.0.0.1", "podIPs": [{"ip": "010.0.0.1"}, {"ip": "10.0.0.2"}], "hostIP": "1.2.3.4", "hostIPs": [{"ip": "1.2.3.5"}]}), ("addresses by family", {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "FD00::1"}], "hostIPs": [{"ip": "x"}, {"ip": "y"}]}),
                          ("off", {"volumeHealth": [{"name": "v"}], "nodeAllocatableResourceClaimStatuses": [{"resourceClaimName": "x", "containers": ["c"]}], "containerStatuses": [{**ended("c"), "volumeMounts": [{"name": "v", "mountPath": "/v", "volumeStatus": {"image": {"imageRef": "x"}}}]}]}),
                          ("claims", {"resourceClaimStatuses": [{"name": "x"}], "extendedResourceClaimStatus": {"resourceClaimName": "c", "requestMappings": [{"containerName": "c", "resourceName": "x", "requestName": "r"}, {"containerName": "c", "resourceName": "x", "requestName": "r"}]}})]:
        t.patch("v1", "pods", "state", {"status": status}, sub="status", label="status " + label, query={"dryRun": "All"})
    n = base("Node", t.ns + "rules")
    for label, o in [("swap", {"status": {"nodeInfo": {"swap": {"capacity": 0}}}}), ("config", {"status": {"config": {"error": "x"}}}), ("taints", {"metadata": {**n["metadata"], "annotations": {"scheduler.alpha.kubernetes.io/taints": '[{"key":"a b","effect":"x"},{"key":"a b","effect":"x"}]'}}}), ("taints text", {"metadata": {**n["metadata"], "annotations": {"scheduler.alpha.kubernetes.io/taints": "x"}}}),
                     ("avoid", {"metadata": {**n["metadata"], "annotations": {"scheduler.alpha.kubernetes.io/preferAvoidPods": '{"preferAvoidPods":[{},{"podSignature":{"podController":{"controller":false}}}]}'}}})]:
        t.create("v1", "nodes", {**n, **o}, ns=False, query={"dryRun": "All"}, label="node " + label)
    t.create("policy/v1", "poddisruptionbudgets", base("PodDisruptionBudget", "rules"))
    t.patch("policy/v1", "poddisruptionbudgets", "rules", {"status": {"disruptionsAllowed": -1, "expectedPods": -2, "conditions": [{"type": "a b", "status": "x"}]}}, sub="status", query={"dryRun": "All"})
    for spec in [{"activeDeadlineSeconds": 5}, {"restartPolicy": "Never"}]:
        rc = base("ReplicationController", "rules")
        rc["spec"]["template"]["spec"].update(spec)
        t.create("v1", "replicationcontrollers", rc, query={"dryRun": "All"}, label="controller " + str(spec))
