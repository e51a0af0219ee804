"""Claims and what keeps them: the local-path provisioner, StatefulSets, CronJobs."""
import os, unittest
from harness import eventually
from test_basics import BUSYBOX

CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
"""


def writer(name, command):
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: {BUSYBOX}
    command: [sh, -c, "{command}"]
    volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
"""


STATEFUL = f"""
apiVersion: v1
kind: Service
metadata: {{name: db}}
spec: {{clusterIP: None, selector: {{app: db}}, ports: [{{port: 80}}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  serviceName: db
  replicas: 2
  selector: {{matchLabels: {{app: db}}}}
  persistentVolumeClaimRetentionPolicy: {{whenDeleted: Delete}}
  template:
    metadata: {{labels: {{app: db}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: {BUSYBOX}
        command: [sh, -c, "hostname >> /data/names; sleep 3600"]
        volumeMounts: [{{name: data, mountPath: /data}}]
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
"""

CRON = f"""
apiVersion: batch/v1
kind: CronJob
metadata: {{name: tick}}
spec:
  schedule: "* * * * *"
  timeZone: Etc/UTC
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{{name: c, image: {BUSYBOX}, command: ["true"]}}]
"""


class Storage(unittest.TestCase):
    cluster = None  # set by the runner

    def phase(self, pod):
        return self.cluster.get("pod", pod)["status"].get("phase")

    def test_a_claim_gets_a_directory_on_its_pods_node_and_keeps_its_data(self):
        self.cluster.apply(CLAIM)
        try:
            self.assertEqual(self.cluster.get("pvc", "data")["status"]["phase"], "Pending")
            self.cluster.apply(writer("first", "echo kept > /data/file"))
            eventually(lambda: self.phase("first") == "Succeeded", what="the first pod to write")
            claim = self.cluster.get("pvc", "data")
            self.assertEqual(claim["status"]["phase"], "Bound")
            volume = self.cluster.get("pv", claim["spec"]["volumeName"])
            path = volume["spec"]["hostPath"]["path"]
            self.assertTrue(os.path.exists(path + "/file"))
            self.cluster.kubectl("delete", "pod", "first")
            self.cluster.apply(writer("second", "grep kept /data/file"))
            eventually(lambda: self.phase("second") == "Succeeded", what="the second pod to read")
        finally:
            self.cluster.kubectl("delete", "pod", "first", "second", "--ignore-not-found")
            self.cluster.kubectl("delete", "pvc", "data")
        eventually(lambda: not os.path.exists(path), what="the directory to be removed")
        eventually(lambda: not self.cluster.get("pv")["items"], what="the volume to go")

    def test_a_statefulsets_pod_finds_its_own_volume_again(self):
        self.cluster.apply(STATEFUL)
        try:
            self.cluster.kubectl("rollout", "status", "statefulset/db", "--timeout=120s", timeout=150)
            before = self.cluster.get("pod", "db-1")["metadata"]["uid"]
            self.cluster.kubectl("delete", "pod", "db-1")
            eventually(lambda: self.cluster.get("statefulset", "db")["status"].get("readyReplicas") == 2 and
                       self.cluster.get("pod", "db-1")["metadata"]["uid"] != before, what="db-1 to come back")
            names = self.cluster.kubectl("exec", "db-1", "--", "cat", "/data/names").stdout.split()
            self.assertEqual(names, ["db-1", "db-1"])
        finally:
            self.cluster.kubectl("delete", "statefulset/db", "service/db")
        eventually(lambda: not self.cluster.get("pvc")["items"], what="the claims to go with the StatefulSet")

    def test_a_cronjob_runs(self):
        self.cluster.apply(CRON)
        try:
            eventually(lambda: self.cluster.get("cronjob", "tick")["status"].get("lastSuccessfulTime"), seconds=90, what="a Job to succeed")
        finally:
            self.cluster.kubectl("delete", "cronjob", "tick")
