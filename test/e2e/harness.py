"""A cluster for the end-to-end tests: scripts/up in network namespaces of its own, kubectl, and the leak check."""
import json, os, re, select, subprocess, sys, tempfile, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def run(args, timeout=120, check=True, **kw):
    """Runs a command; its output is in the error when it fails."""
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, text=kw.pop("text", True), **kw)
    if check and p.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, args))}: exit {p.returncode}\n{p.stdout}\n{p.stderr}")
    return p


def read_line(process, seconds=20):
    """The next line of a process's output, or an error when none comes in time."""
    end, line = time.time() + seconds, b""
    fd = process.stdout.fileno()
    while not line.endswith(b"\n"):
        if not select.select([fd], [], [], max(0, end - time.time()))[0]:
            raise AssertionError(f"no line within {seconds} s, only {line!r}")
        c = os.read(fd, 1)
        if not c:
            break
        line += c
    return line.decode()


def eventually(fn, seconds=60, what="condition", every=0.2):
    """Calls fn until it returns something true. Its last exception or value is told when the time is over."""
    end, last = time.time() + seconds, None
    while True:
        try:
            last = fn()
            if last:
                return last
        except Exception as e:  # not there yet
            last = e
        if time.time() > end:
            raise AssertionError(f"{what}: not within {seconds} s: {last}")
        time.sleep(every)


class Cluster:
    def __init__(self, nodes, binary, images, kubectl, state=None, server_flags=()):
        self.nodes, self.binary, self.images, self.kubectl_path = nodes, binary, images, kubectl
        self.state = state or tempfile.mkdtemp(prefix="onebin-e2e-")
        self.kubeconfig = os.path.join(self.state, "kubeconfig")
        self.server_flags = list(server_flags)

    def up(self):
        self.start()

    def start(self):
        """Starts what does not run: idempotent, as scripts/up is."""
        args = [os.path.join(ROOT, "scripts/up"), "--isolated", "--nodes", str(self.nodes), "--state", self.state,
                "--kubeconfig", self.kubeconfig, "--binary", self.binary]
        if self.images:
            args += ["--images", self.images]
        if self.server_flags:
            args += ["--"] + self.server_flags
        run(args, timeout=300)

    def down(self):
        """Ends the cluster; what it left behind is a failure."""
        marks = [self.state + "/", "ob" + self.settings()["ID"], self.settings()["PREFIX"] + "."]
        run([os.path.join(ROOT, "scripts/down"), "--state", self.state], timeout=180)
        end = time.time() + 10
        while True:
            left = leaks(marks)
            if not left:
                return
            if time.time() > end:
                raise AssertionError(f"left behind: {json.dumps(left, indent=1)}")
            time.sleep(0.5)

    def env(self, **more):
        e = dict(os.environ, KUBECONFIG=self.kubeconfig, HOME=self.state)
        e.update(more)
        return e

    def kubectl(self, *args, stdin=None, check=True, timeout=120, env=None, kubectl=None):
        return run([kubectl or self.kubectl_path, *args], timeout=timeout, check=check, input=stdin, env=self.env(**(env or {})))

    def get(self, *args):
        return json.loads(self.kubectl("get", *args, "-o", "json").stdout)

    def apply(self, text):
        return self.kubectl("apply", "-f", "-", stdin=text).stdout

    def settings(self):
        return dict(p.split("=", 1) for p in open(os.path.join(self.state, "cluster.env")).read().split())

    def node_ip(self, i):
        return f"{self.settings()['PREFIX']}.{10 + i}"

    def on_node(self, i, *args, **kw):
        """Runs a command in node i's network namespace."""
        return run(["nsenter", f"--net=/run/netns/{self.settings()['BRIDGE']}-{i}", *args], **kw)

    def pid(self, name):
        return int(open(os.path.join(self.state, name + ".pid")).read())

    def kill(self, name, signal=9):
        pid = self.pid(name)
        os.kill(pid, signal)
        eventually(lambda: not os.path.exists(f"/proc/{pid}") or open(f"/proc/{pid}/stat").read().split(")")[-1].split()[0] == "Z", 20, f"{name} ended")

    def logs(self, lines=30):
        out = []
        for f in sorted(os.listdir(self.state)):
            if f.endswith(".log"):
                out.append(f"--- {f}\n" + "".join(open(os.path.join(self.state, f), errors="replace").readlines()[-lines:]))
        return "\n".join(out)


def leaks(marks):
    """What a cluster left behind on this machine: whatever bears one of its marks (its folder, its id, its addresses)."""
    out = {}
    out["mounts"] = [l.split()[4] for l in open("/proc/self/mountinfo")]
    out["links and addresses"] = run(["ip", "-o", "addr"]).stdout.splitlines()
    out["namespaces"] = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    out["routes"] = run(["ip", "route", "show", "table", "all"]).stdout.splitlines()
    out["rules"] = run(["nft", "list", "ruleset"], check=False).stdout.splitlines()
    out["cgroups"] = [os.path.join(b, d) for b, dirs, _ in os.walk("/sys/fs/cgroup") for d in dirs]
    out["files"] = [os.path.join("/run", f) for f in os.listdir("/run")]
    out["processes"] = []
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            out["processes"].append(p + " " + open(f"/proc/{p}/cmdline").read().replace("\0", " ")[:300])
            if p == str(os.getpid()):
                out["processes"].pop()
        except OSError:
            continue
    left = {k: sorted({x for x in v if any(m in x for m in marks)}) for k, v in out.items()}
    return {k: v for k, v in left.items() if v}
