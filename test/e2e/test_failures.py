"""Kill -9, and nodes that die."""
import os, time, unittest
from harness import eventually
from test_basics import BUSYBOX

KEEP = """
apiVersion: v1
kind: Pod
metadata: {name: keep-%d}
spec:
  nodeName: node-%d
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: "%s", command: [sh, -c, "echo alive; sleep 36000"]}
"""


class Failures(unittest.TestCase):
    cluster = None

    def container_ids(self):
        pods = [self.cluster.get("pod", f"keep-{i}") for i in range(self.cluster.nodes)]
        return [(p["status"]["containerStatuses"][0]["containerID"], p["status"]["containerStatuses"][0]["restartCount"]) for p in pods]

    def test_killed_processes_leave_containers_running(self):
        for i in range(self.cluster.nodes):
            self.cluster.apply(KEEP % (i, i, BUSYBOX))
        for i in range(self.cluster.nodes):
            self.cluster.kubectl("wait", "--for=condition=Ready", f"pod/keep-{i}", "--timeout=60s")
        ids = self.container_ids()
        for victims in (["server"], ["agent-1"] if self.cluster.nodes > 1 else [], ["server", "agent-1"] if self.cluster.nodes > 1 else ["server"]):
            for v in victims:
                self.cluster.kill(v)
            self.cluster.start()
            eventually(lambda: self.container_ids() == ids, 60, "the same containers are found again")
        for i in range(self.cluster.nodes):
            self.assertEqual(self.cluster.kubectl("exec", f"keep-{i}", "--", "echo", "here").stdout, "here\n")
            self.assertEqual(self.cluster.kubectl("logs", f"keep-{i}").stdout, "alive\n")
            self.cluster.kubectl("delete", "pod", f"keep-{i}")

    def test_pods_of_a_dead_node_move(self):
        if self.cluster.nodes < 3:
            self.skipTest("needs three nodes")
        self.cluster.apply("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: mover}
spec:
  replicas: 3
  selector: {matchLabels: {app: mover}}
  template:
    metadata: {labels: {app: mover}}
    spec:
      terminationGracePeriodSeconds: 0
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 2}
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 2}
      containers: [{name: main, image: "%s", command: [sleep, "36000"]}]
""" % BUSYBOX)
        self.cluster.kubectl("rollout", "status", "deployment/mover", "--timeout=60s")
        dead = f"node-{self.cluster.nodes - 1}"
        self.cluster.kill(f"agent-{self.cluster.nodes - 1}")
        eventually(lambda: "NotReady" in self.cluster.kubectl("get", "node", dead).stdout, 120, "the node is NotReady", 1)

        def moved():
            pods = self.cluster.get("pods", "-l", "app=mover")["items"]
            live = [p for p in pods if not p["metadata"].get("deletionTimestamp") and p["status"]["phase"] == "Running"]
            return len(live) == 3 and all(p["spec"]["nodeName"] != dead for p in live)

        eventually(moved, 60, "three replicas elsewhere", 1)
        self.cluster.start()
        eventually(lambda: "NotReady" not in self.cluster.kubectl("get", "node", dead).stdout, 60, "the node is back", 1)
        self.cluster.kubectl("delete", "deployment", "mover")
        eventually(lambda: not self.cluster.get("pods", "-l", "app=mover")["items"], 60, "its pods are gone")
