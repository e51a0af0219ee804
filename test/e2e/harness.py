"""A cluster for the end-to-end tests: scripts/up in network namespaces of its own, kubectl, and the leak check."""
import json, os, re, subprocess, sys, tempfile, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def run(args, timeout=120, check=True, **kw):
    """Runs a command; its output is in the error when it fails."""
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, text=kw.pop("text", True), **kw)
    if check and p.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, args))}: exit {p.returncode}\n{p.stdout}\n{p.stderr}")
    return p


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
        self.before = None

    def up(self):
        self.before = leaks()
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
        run([os.path.join(ROOT, "scripts/down"), "--state", self.state], timeout=180)
        end = time.time() + 10
        while True:
            left = {k: sorted(v - self.before[k]) for k, v in leaks().items() if v - self.before[k]}
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


def leaks():
    """What a cluster could leave behind on this machine, as sets of names."""
    out = {}
    out["mounts"] = {l.split()[4] for l in open("/proc/self/mountinfo")}
    out["links"] = {re.split(r"[:@]", l.split(": ")[1])[0] for l in run(["ip", "-o", "link"]).stdout.splitlines()}
    out["namespaces"] = set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()
    out["addresses"] = {" ".join(l.split()[1:4]) for l in run(["ip", "-o", "addr"]).stdout.splitlines()}
    out["routes"] = set(run(["ip", "route", "show", "table", "all"]).stdout.splitlines())
    out["rules"] = set(run(["nft", "list", "tables"], check=False).stdout.splitlines())
    groups = set()
    for base, dirs, _ in os.walk("/sys/fs/cgroup"):
        groups |= {os.path.join(base, d) for d in dirs if re.match(r"ob[0-9a-f]{6}", d)}
    out["cgroups"] = groups
    procs = set()
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            exe = os.readlink(f"/proc/{p}/exe")
            cmd = open(f"/proc/{p}/cmdline").read().replace("\0", " ")
        except OSError:
            continue
        if "onebin" in os.path.basename(exe) or "onebin-shim" in exe or re.search(r"/ob[0-9a-f]{6}/", cmd):
            procs.add(f"{p} {cmd[:120]}")
    out["processes"] = procs
    return out
