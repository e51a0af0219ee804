"""A valid object of each kind, with many fields set; what the generated tests change bit by bit. None is namespaced by itself."""
import copy

LABELS = {"app": "web", "tier": "front"}
CONTAINER = {
    "name": "c", "image": "registry.example/app:v1", "imagePullPolicy": "IfNotPresent", "command": ["/bin/app"], "args": ["--port=$(PORT)"], "workingDir": "/srv",
    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "metrics", "containerPort": 9090, "hostPort": 0}],
    "env": [{"name": "PORT", "value": "8080"}, {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k", "optional": True}}},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
    "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s", "optional": True}}],
    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "0.5", "memory": "128Mi"}},
    "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}, {"name": "conf", "mountPath": "/etc/conf", "subPath": "a/b"}],
    "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http", "httpHeaders": [{"name": "X-A", "value": "b"}]}, "initialDelaySeconds": 3, "periodSeconds": 5},
    "readinessProbe": {"tcpSocket": {"port": 8080}, "timeoutSeconds": 2, "failureThreshold": 2},
    "startupProbe": {"exec": {"command": ["true"]}},
    "lifecycle": {"preStop": {"exec": {"command": ["sleep", "1"]}}, "postStart": {"httpGet": {"port": 80}}},
    "securityContext": {"runAsUser": 1000, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, "readOnlyRootFilesystem": True,
                        "seccompProfile": {"type": "RuntimeDefault"}},
    "terminationMessagePath": "/dev/termination-log", "stdin": False, "tty": False,
}
POD_SPEC = {
    "containers": [CONTAINER, {"name": "side", "image": "registry.example/side", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, "restartPolicyRules": None}],
    "initContainers": [{"name": "init", "image": "registry.example/init:latest", "restartPolicy": "Always"}, {"name": "init2", "image": "i@sha256:" + "0" * 64}],
    "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "conf", "configMap": {"name": "cm", "items": [{"key": "a", "path": "a.txt", "mode": 384}]}},
                {"name": "sec", "secret": {"secretName": "s", "optional": True}}, {"name": "host", "hostPath": {"path": "/var/log"}},
                {"name": "pvc", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "proj", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600, "audience": "a"}},
                                                          {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}, {"configMap": {"name": "cm"}}]}},
                {"name": "eph", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}}],
    "restartPolicy": "Always", "terminationGracePeriodSeconds": 10, "dnsPolicy": "ClusterFirst", "nodeSelector": {"disk": "ssd"},
    "dnsConfig": {"nameservers": ["10.0.0.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}]}, "hostAliases": [{"ip": "10.0.0.2", "hostnames": ["h"]}],
    "securityContext": {"fsGroup": 2000, "runAsNonRoot": True, "supplementalGroups": [1], "sysctls": [{"name": "net.core.somaxconn", "value": "1"}]},
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}]},
                                  "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "preference": {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}}]},
                 "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}]},
                 "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}}]}},
    "tolerations": [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute", "tolerationSeconds": 30}, {"operator": "Exists", "effect": "NoSchedule"}],
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}],
    "hostname": "h", "subdomain": "sub", "enableServiceLinks": False, "readinessGates": [{"conditionType": "example.com/ready"}], "imagePullSecrets": [{"name": "pull"}],
    "schedulerName": "default-scheduler", "shareProcessNamespace": True,
}
TEMPLATE = {"metadata": {"labels": dict(LABELS), "annotations": {"a": "b"}}, "spec": POD_SPEC}
# A certificate request and a certificate of a CA, valid for a hundred years, that nobody has the key of.
REQUEST = 'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIRk1HNENBUUF3RERFS01BZ0dBMVVFQXd3QmVEQlpNQk1HQnlxR1NNNDlBZ0VHQ0NxR1NNNDlBd0VIQTBJQQpCRjlqMGQ2MlJaTWlOR1RPNGpXL0phYkUxRCtxSHd1Q1NmOUFrbFMxUjdjQ05hRVcwVWwvSTZOTFFzL2tqem9mCjRKZm9rRlQwQTNJQng5c0RDYUU0Ym9xZ0FEQUtCZ2dxaGtqT1BRUURBZ05IQURCRUFpQmhYSGdsNXRwdDB3MFIKNmdLNEpUdEtGTXhiTTJtZEtHZ3gzZHFTZExzREdRSWdUanlSemJxVWExU3pjaTlLbFhKcjg3QmFvU0cyTGxGUwptYTh1NHBNZXdZST0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg=='
ANCHOR = '-----BEGIN CERTIFICATE-----\nMIIBcTCCARegAwIBAgIUNPnQR/kx/hOb9cUz73NuaR/1+yYwCgYIKoZIzj0EAwIw\nDTELMAkGA1UEAwwCY2EwIBcNMjYxMTMwMDM0NTIxWhgPMjEyNjExMDYwMzQ1MjFa\nMA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEX2PR3rZF\nkyI0ZM7iNb8lpsTUP6ofC4JJ/0CSVLVHtwI1oRbRSX8jo0tCz+SPOh/gl+iQVPQD\ncgHH2wMJoThuiqNTMFEwHQYDVR0OBBYEFLrS5lWVAeeKQfzfV5SAJ+3ZwMk1MB8G\nA1UdIwQYMBaAFLrS5lWVAeeKQfzfV5SAJ+3ZwMk1MA8GA1UdEwEB/wQFMAMBAf8w\nCgYIKoZIzj0EAwIDSAAwRQIhANqH79llicWsefWkrVvPfYDnRZgByxzTHyqyyfmJ\nh2iDAiAqBI5+ji80gW81sM7c8oFpRZgKDljwKC/OSKlFfP9AuQ==\n-----END CERTIFICATE-----\n'


def job_template():
    t = copy.deepcopy(TEMPLATE)
    t["spec"]["restartPolicy"] = "Never"
    t["spec"]["initContainers"] = [{"name": "init", "image": "registry.example/init:1"}]
    return t


SELECTOR = {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front", "back"]}]}
# What claims of devices ask for, and what policies match: nothing that is ever written.
CLAIM = {"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": "gpu.example.com", "selectors": [{"cel": {"expression": "true"}}], "allocationMode": "ExactCount", "count": 2, "capacity": {"requests": {"memory": "1Gi"}},
                                                              "tolerations": [{"key": "example.com/broken", "operator": "Equal", "value": "v", "effect": "NoExecute", "tolerationSeconds": 5}]}},
                                  {"name": "some", "firstAvailable": [{"name": "big", "deviceClassName": "big.example.com"}, {"name": "small", "deviceClassName": "small.example.com", "allocationMode": "All"}]}],
                     "constraints": [{"requests": ["one"], "matchAttribute": "gpu.example.com/model"}], "config": [{"requests": ["one", "some/big"], "opaque": {"driver": "gpu.example.com", "parameters": {"a": "b"}}}]}}
RULE = {"operations": ["CREATE", "UPDATE"], "apiGroups": ["never.example.com"], "apiVersions": ["v1"], "resources": ["x", "x/status"], "scope": "Namespaced"}
MATCH = {"resourceRules": [{**RULE, "resourceNames": ["a"]}], "excludeResourceRules": [RULE], "matchPolicy": "Equivalent", "namespaceSelector": {"matchLabels": {"a": "b"}}, "objectSelector": {"matchLabels": {"a": "b"}}}
# (apiVersion, kind, resource, namespaced, object)
OBJECTS = [
    ("v1", "ConfigMap", "configmaps", True, {"data": {"a": "1", "b.txt": "two\n"}, "binaryData": {"bin": "AAE="}}),
    ("v1", "Secret", "secrets", True, {"type": "Opaque", "data": {"a": "YQ=="}, "stringData": {"b": "text"}}),
    ("v1", "ServiceAccount", "serviceaccounts", True, {"secrets": [{"name": "s"}], "imagePullSecrets": [{"name": "p"}], "automountServiceAccountToken": False}),
    ("v1", "Pod", "pods", True, {"metadata": {"labels": dict(LABELS)}, "spec": POD_SPEC}),
    ("v1", "PodTemplate", "podtemplates", True, {"template": TEMPLATE}),
    ("v1", "ReplicationController", "replicationcontrollers", True, {"spec": {"replicas": 2, "minReadySeconds": 3, "selector": {"app": "web"}, "template": TEMPLATE}}),
    ("v1", "Service", "services", True, {"spec": {"type": "NodePort", "selector": {"app": "web"}, "sessionAffinity": "ClientIP", "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Cluster",
                                                  "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]}}),
    ("v1", "Endpoints", "endpoints", True, {"subsets": [{"addresses": [{"ip": "10.1.2.3", "hostname": "h", "nodeName": "n", "targetRef": {"kind": "Pod", "name": "p"}}], "notReadyAddresses": [{"ip": "10.1.2.4"}],
                                                         "ports": [{"name": "http", "port": 80}, {"name": "b", "port": 81, "protocol": "UDP"}]}]}),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", True, {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "fast", "volumeMode": "Filesystem",
                                                                              "selector": {"matchLabels": {"a": "b"}}}}),
    ("v1", "LimitRange", "limitranges", True, {"spec": {"limits": [{"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}, "min": {"cpu": "10m"}, "maxLimitRequestRatio": {"cpu": "10"}},
                                                                   {"type": "Pod", "max": {"memory": "1Gi"}}, {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "10Gi"}}]}}),
    ("v1", "ResourceQuota", "resourcequotas", True, {"spec": {"hard": {"pods": "10", "requests.cpu": "4", "limits.memory": "10Gi", "count/deployments.apps": "3"}, "scopes": ["NotTerminating"]}}),
    ("v1", "Event", "events", True, {"involvedObject": {"kind": "Pod", "namespace": "NS", "name": "p", "apiVersion": "v1"}, "reason": "Started", "message": "it started", "type": "Normal", "count": 1,
                                     "firstTimestamp": "2026-11-29T10:00:00Z", "lastTimestamp": "2026-11-29T10:00:00Z", "source": {"component": "kubelet", "host": "n"}}),
    ("v1", "Node", "nodes", False, {"metadata": {"labels": {"kubernetes.io/hostname": "n"}}, "spec": {"podCIDR": "10.244.9.0/24", "podCIDRs": ["10.244.9.0/24"], "providerID": "x://n", "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}], "unschedulable": True}}),
    ("v1", "Namespace", "namespaces", False, {"metadata": {"labels": {"a": "b"}}}),
    ("v1", "PersistentVolume", "persistentvolumes", False, {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}, "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "fast",
                                                                     "mountOptions": ["ro"], "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n"]}]}]}}}}),
    ("apps/v1", "Deployment", "deployments", True, {"metadata": {"labels": dict(LABELS)}, "spec": {"replicas": 3, "minReadySeconds": 1, "revisionHistoryLimit": 5, "progressDeadlineSeconds": 100, "selector": SELECTOR, "template": TEMPLATE,
                                                             "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}}}}),
    ("apps/v1", "ReplicaSet", "replicasets", True, {"spec": {"replicas": 2, "minReadySeconds": 1, "selector": SELECTOR, "template": TEMPLATE}}),
    ("apps/v1", "DaemonSet", "daemonsets", True, {"spec": {"selector": SELECTOR, "template": TEMPLATE, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}, "revisionHistoryLimit": 3}}),
    ("apps/v1", "StatefulSet", "statefulsets", True, {"spec": {"replicas": 2, "serviceName": "svc", "selector": SELECTOR, "template": TEMPLATE, "podManagementPolicy": "Parallel", "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
                                                               "volumeClaimTemplates": [{"metadata": {"name": "vol"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
                                                               "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"}, "ordinals": {"start": 1}}}),
    ("apps/v1", "ControllerRevision", "controllerrevisions", True, {"revision": 3, "data": {"a": {"b": [1]}}}),
    ("batch/v1", "Job", "jobs", True, {"spec": {"parallelism": 2, "completions": 3, "backoffLimit": 4, "activeDeadlineSeconds": 100, "ttlSecondsAfterFinished": 60, "completionMode": "Indexed", "suspend": True, "template": job_template(),
                                                "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [1, 2]}}, {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}}}),
    ("batch/v1", "CronJob", "cronjobs", True, {"spec": {"schedule": "*/5 * * * *", "timeZone": "Europe/Berlin", "concurrencyPolicy": "Forbid", "startingDeadlineSeconds": 30, "suspend": False, "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 2,
                                                        "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": job_template(), "backoffLimit": 1}}}}),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", True, {"spec": {"minAvailable": "50%", "selector": SELECTOR, "unhealthyPodEvictionPolicy": "AlwaysAllow"}}),
    ("rbac.authorization.k8s.io/v1", "Role", "roles", True, {"rules": [{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"], "resourceNames": ["a"]}]}),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", True, {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
                                                                           "subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}, {"kind": "ServiceAccount", "name": "sa", "namespace": "ns"}, {"kind": "Group", "name": "g"}]}),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", False, {"rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]}, {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
                                                                            }),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", False, {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "User", "name": "u"}]}),
    ("coordination.k8s.io/v1", "Lease", "leases", True, {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "acquireTime": "2026-11-29T10:00:00.000000Z", "renewTime": "2026-11-29T10:00:05.123456Z", "leaseTransitions": 2}}),
    ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", True, {"metadata": {"labels": {"kubernetes.io/service-name": "svc"}}, "addressType": "IPv4", "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "http"}],
                                                                      "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": True, "serving": True, "terminating": False}, "hostname": "h", "nodeName": "n", "zone": "z", "hints": {"forZones": [{"name": "z"}]},
                                                                                     "targetRef": {"kind": "Pod", "name": "p", "namespace": "ns"}}]}),
    ("events.k8s.io/v1", "Event", "events", True, {"eventTime": "2026-11-29T10:00:00.000000Z", "reportingController": "example.com/c", "reportingInstance": "i", "action": "Acted", "reason": "Because", "type": "Warning", "note": "n",
                                                   "regarding": {"kind": "Pod", "namespace": "NS", "name": "p", "apiVersion": "v1"}, "related": {"kind": "Node", "name": "n"}, "series": {"count": 2, "lastObservedTime": "2026-11-29T10:00:00.000000Z"}}),
    ("autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", True, {"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "minReplicas": 2, "maxReplicas": 5, "targetCPUUtilizationPercentage": 50}}),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", True, {"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "minReplicas": 2, "maxReplicas": 5,
                                                                                              "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
                                                                                                          {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "100"}}}],
                                                                                              "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60, "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]}}}}),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", True, {"spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress", "Egress"],
                                                                                 "ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"protocol": "TCP", "port": 80, "endPort": 90}]}],
                                                                                 "egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"port": "http"}]}]}}),
    ("networking.k8s.io/v1", "Ingress", "ingresses", True, {"spec": {"ingressClassName": "nginx", "defaultBackend": {"service": {"name": "d", "port": {"number": 80}}}, "tls": [{"hosts": ["a.example"], "secretName": "tls"}],
                                                                     "rules": [{"host": "a.example", "http": {"paths": [{"path": "/x", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"name": "http"}}}}]}}]}}),
    ("networking.k8s.io/v1", "IngressClass", "ingressclasses", False, {"spec": {"controller": "example.com/ingress", "parameters": {"apiGroup": "k8s.example.com", "kind": "P", "name": "p", "scope": "Cluster"}}}),
    ("storage.k8s.io/v1", "StorageClass", "storageclasses", False, {"provisioner": "example.com/p", "parameters": {"a": "b"}, "reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": True, "mountOptions": ["ro"]}),
    ("storage.k8s.io/v1", "VolumeAttachment", "volumeattachments", False, {"spec": {"attacher": "example.com", "nodeName": "n", "source": {"persistentVolumeName": "pv"}}}),
    ("storage.k8s.io/v1", "CSIDriver", "csidrivers", False, {"spec": {"attachRequired": False, "podInfoOnMount": True, "volumeLifecycleModes": ["Persistent", "Ephemeral"], "fsGroupPolicy": "File", "tokenRequests": [{"audience": "a", "expirationSeconds": 3600}]}}),
    ("storage.k8s.io/v1", "CSINode", "csinodes", False, {"spec": {"drivers": [{"name": "d.example.com", "nodeID": "n", "topologyKeys": ["zone"], "allocatable": {"count": 5}}]}}),
    ("storage.k8s.io/v1", "CSIStorageCapacity", "csistoragecapacities", True, {"storageClassName": "fast", "capacity": "10Gi", "maximumVolumeSize": "1Gi", "nodeTopology": {"matchLabels": {"a": "b"}}}),
    ("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", False, {"value": 1000, "description": "d", "preemptionPolicy": "Never"}),
    ("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", False, {"handler": "runc", "overhead": {"podFixed": {"cpu": "10m"}}, "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists"}]}}),
    ("certificates.k8s.io/v1", "CertificateSigningRequest", "certificatesigningrequests", False, {"spec": {"signerName": "example.com/s", "usages": ["client auth"], "request": REQUEST, "expirationSeconds": 3600}}),
    ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", "flowschemas", False, {"spec": {"priorityLevelConfiguration": {"name": "global-default"}, "matchingPrecedence": 500, "distinguisherMethod": {"type": "ByUser"},
                                                                                      "rules": [{"subjects": [{"kind": "User", "user": {"name": "u"}}], "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}]}]}}),
    ("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration", "prioritylevelconfigurations", False, {"spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 10, "limitResponse": {"type": "Queue", "queuing": {"queues": 16, "handSize": 4, "queueLengthLimit": 50}}}}}),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False, {"webhooks": [{"name": "a.example.com", "clientConfig": {"service": {"namespace": "ns", "name": "s", "path": "/p"}}, "admissionReviewVersions": ["v1"], "sideEffects": "None",
                                                                                                                               "rules": [{"operations": ["CREATE"], "apiGroups": ["never.example.com"], "apiVersions": ["v1"], "resources": ["x"]}], "objectSelector": {"matchLabels": {"never": "never"}}}]}),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", False, {"webhooks": [{"name": "a.example.com", "clientConfig": {"url": "https://127.0.0.1:1/x"}, "admissionReviewVersions": ["v1"], "sideEffects": "NoneOnDryRun", "failurePolicy": "Ignore",
                                                                                                                               "rules": [{"operations": ["CREATE"], "apiGroups": ["never.example.com"], "apiVersions": ["v1"], "resources": ["x"], "scope": "*"}], "reinvocationPolicy": "Never"}]}),
    ("networking.k8s.io/v1", "ServiceCIDR", "servicecidrs", False, {"spec": {"cidrs": ["10.97.0.0/24", "fd00:97::/112"]}}),
    ("networking.k8s.io/v1", "IPAddress", "ipaddresses", False, {"spec": {"parentRef": {"resource": "services", "namespace": "ns", "name": "s"}}}),
    ("storage.k8s.io/v1", "VolumeAttributesClass", "volumeattributesclasses", False, {"driverName": "example.com", "parameters": {"iops": "100"}}),
    ("certificates.k8s.io/v1", "ClusterTrustBundle", "clustertrustbundles", False, {"spec": {"trustBundle": ANCHOR}}),
    ("storagemigration.k8s.io/v1", "StorageVersionMigration", "storageversionmigrations", False, {"spec": {"resource": {"group": "apps", "resource": "deployments"}}}),
    ("resource.k8s.io/v1", "DeviceClass", "deviceclasses", False, {"spec": {"selectors": [{"cel": {"expression": "true"}}], "config": [{"opaque": {"driver": "gpu.example.com", "parameters": {"a": "b"}}}], "extendedResourceName": "example.com/gpu"}}),
    ("resource.k8s.io/v1", "ResourceClaim", "resourceclaims", True, {"spec": CLAIM}),
    ("resource.k8s.io/v1", "ResourceClaimTemplate", "resourceclaimtemplates", True, {"spec": {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": CLAIM}}),
    ("resource.k8s.io/v1", "ResourceSlice", "resourceslices", False, {"spec": {"driver": "gpu.example.com", "nodeName": "n", "pool": {"name": "a/b", "generation": 1, "resourceSliceCount": 1}, "devices": [
        {"name": "gpu-0", "attributes": {"model": {"string": "m"}, "gpu.example.com/cores": {"int": 3}, "version": {"version": "1.2.3"}, "fast": {"bool": True}}, "capacity": {"memory": {"value": "1Gi"}}},
        {"name": "gpu-1", "allowMultipleAllocations": True, "bindsToNode": True, "bindingConditions": ["example.com/ready"], "bindingFailureConditions": ["example.com/failed"],
         "capacity": {"memory": {"value": "8Gi", "requestPolicy": {"default": "1Gi", "validRange": {"min": "1Gi", "max": "4Gi", "step": "1Gi"}}}, "slots": {"value": "4", "requestPolicy": {"default": "1", "validValues": ["1", "2"]}}},
         "taints": [{"key": "example.com/broken", "value": "v", "effect": "NoSchedule", "timeAdded": "2026-11-29T10:00:00Z"}], "consumesCounters": [{"counterSet": "set", "counters": {"memory": {"value": "1Gi"}}}]}]}}),
    ("resource.k8s.io/v1", "DeviceTaintRule", "devicetaintrules", False, {"spec": {"deviceSelector": {"driver": "gpu.example.com", "pool": "p", "device": "gpu-0"}, "taint": {"key": "example.com/broken", "value": "v", "effect": "NoExecute", "timeAdded": "2026-11-29T10:00:00Z"}}}),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", False, {"spec": {"failurePolicy": "Ignore", "paramKind": {"apiVersion": "rules.example.com/v1", "kind": "Rule"}, "matchConstraints": MATCH,
        "matchConditions": [{"name": "a", "expression": "true"}], "variables": [{"name": "v", "expression": "true"}], "auditAnnotations": [{"key": "k", "valueExpression": "'v'"}],
        "validations": [{"expression": "true", "message": "m", "reason": "Invalid"}, {"expression": "true", "messageExpression": "'m'"}]}}),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", False, {"spec": {"policyName": "none.example.com", "paramRef": {"name": "p", "namespace": "ns", "parameterNotFoundAction": "Allow"},
        "matchResources": MATCH, "validationActions": ["Warn", "Audit"]}}),
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", False, {"spec": {"failurePolicy": "Ignore", "reinvocationPolicy": "IfNeeded", "paramKind": {"apiVersion": "rules.example.com/v1", "kind": "Rule"}, "matchConstraints": MATCH,
        "matchConditions": [{"name": "a", "expression": "true"}], "variables": [{"name": "v", "expression": "true"}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/spec'}]"}}, {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}]}}),
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", False, {"spec": {"policyName": "none.example.com", "paramRef": {"selector": {"matchLabels": {"a": "b"}}, "parameterNotFoundAction": "Deny"}, "matchResources": MATCH}}),
    ("apiregistration.k8s.io/v1", "APIService", "apiservices", False, {"spec": {"group": "never.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10, "insecureSkipTLSVerify": True, "service": {"namespace": "ns", "name": "s", "port": 8443}}}),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False, {"spec": {"group": "differential.example.com", "scope": "Namespaced", "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"], "categories": ["all"]},
        "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"service": {"namespace": "ns", "name": "s", "path": "/convert", "port": 443}}}},
        "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
                      "additionalPrinterColumns": [{"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "description": "d", "priority": 1, "format": "int32"}], "selectableFields": [{"jsonPath": ".spec.color"}],
                      "schema": {"openAPIV3Schema": {"type": "object", "description": "d", "properties": {
                          "spec": {"type": "object", "required": ["replicas"], "properties": {"replicas": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 9, "default": 1}, "color": {"type": "string", "enum": ["red", "blue"], "pattern": "^[a-z]+$", "maxLength": 9},
                                                                                              "port": {"x-kubernetes-int-or-string": True, "nullable": True}, "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                                                                              "list": {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
                                                                                              "map": {"type": "object", "additionalProperties": {"type": "string"}}, "choice": {"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}], "not": {"required": ["b"]}}}},
                          "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}}}}}},
                     {"name": "v1beta1", "served": True, "storage": False, "deprecated": True, "deprecationWarning": "old", "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}),
]

# Names that are not any name: of the object, and of another one.
NAMES = {"IPAddress": ("10.97.0.1", "10.97.0.2"), "CustomResourceDefinition": ("widgets.differential.example.com",) * 2, "APIService": ("v1.never.example.com",) * 2}


def objects(namespace):
    """(apiVersion, kind, resource, namespace or None, object with apiVersion and kind)"""
    for version, kind, resource, namespaced, body in OBJECTS:
        text = copy.deepcopy(body)
        about = text.get("involvedObject") or text.get("regarding")
        if about:
            about["namespace"] = namespace
        yield version, kind, resource, namespace if namespaced else None, {"apiVersion": version, "kind": kind, "metadata": text.pop("metadata", {}), **text}
