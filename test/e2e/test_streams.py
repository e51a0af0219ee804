"""exec, attach, cp and port-forward, by WebSocket and by SPDY: bytes unaltered, half-close, exit codes, resize. Which path was
taken is read from the wire (recorder.py)."""
import fcntl, functools, hashlib, os, pty, re, select, signal, socket, struct, subprocess, tempfile, termios, threading, time, unittest
from harness import eventually, read_line, run
from recorder import Recorder
from test_basics import AGNHOST

SIZE = int(os.environ.get("ONEBIN_STREAM_MB", "100")) << 20
# Ports: 7001 answers with its input's hash once that has ended, 7002 echoes, 7003 sends a file and closes.
POD = """
apiVersion: v1
kind: Pod
metadata: {name: streams, namespace: streams}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: %s
    command:
    - sh
    - -c
    - |
      head -c %d /dev/urandom > /tmp/big
      socat -t60 TCP-LISTEN:7001,fork,reuseaddr EXEC:sha256sum &
      socat -t60 TCP-LISTEN:7002,fork,reuseaddr EXEC:cat &
      socat -U TCP-LISTEN:7003,fork,reuseaddr 'EXEC:cat /tmp/big' &
      touch /tmp/ready; wait
    readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1}
""" % (AGNHOST, SIZE)

SINK = """
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: streams}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  containers: [{name: main, image: "%s", stdin: true, stdinOnce: true, command: [sh, -c, "%s"]}]
"""


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Terminal:
    """A program on a terminal of its own, whose size the test sets."""

    def __init__(self, args, env, rows, columns):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execvpe(args[0], args, env)
            finally:
                os._exit(127)

    def resize(self, rows, columns):
        # The kernel sends SIGWINCH to the terminal's foreground processes, as a terminal window does.
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, seconds=20):
        end = time.time() + seconds
        while not re.search(pattern, self.text):
            if not select.select([self.fd], [], [], max(0, end - time.time()))[0]:
                raise AssertionError(f"{pattern} not within {seconds} s in {self.text!r}")
            try:
                data = os.read(self.fd, 4096)
            except OSError:  # the other side is closed
                data = b""
            if not data:
                raise AssertionError(f"ended without {pattern}: {self.text!r}")
            self.text += data.decode(errors="replace")

    def close(self):
        """The program's exit code; one that does not end by itself is killed."""
        for _ in range(100):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.1)
        else:
            os.kill(self.pid, signal.SIGKILL)
            status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def on_each_path(body):
    """Runs a test on each path that kubectl can take, with its environment, and what the wire must show: the upgrade, and the
    protocols of a remote command and of port-forward."""
    @functools.wraps(body)
    def test(self):
        for ws, upgrade, command, forward in (("true", "websocket", "v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"),
                                              ("false", "spdy/3.1", "v4.channel.k8s.io", "portforward.k8s.io")):
            env = self.cluster.env(KUBECONFIG=self.recorder.kubeconfig, KUBECTL_REMOTE_COMMAND_WEBSOCKETS=ws, KUBECTL_PORT_FORWARD_WEBSOCKETS=ws)
            self.recorder.clear()
            with self.subTest(upgrade=upgrade):
                body(self, upgrade, env, command, forward)
    return test


class Streams(unittest.TestCase):
    cluster = None

    @classmethod
    def setUpClass(cls):
        cls.cluster.kubectl("create", "namespace", "streams")
        cls.cluster.apply(POD)
        cls.recorder = Recorder(cls.cluster.kubeconfig)
        cls.cluster.kubectl("-n", "streams", "wait", "--for=condition=Ready", "pod/streams", "--timeout=60s")
        cls.data = os.urandom(SIZE)

    @classmethod
    def tearDownClass(cls):
        cls.recorder.close()
        cls.cluster.kubectl("delete", "namespace", "streams", "--timeout=120s", timeout=150)

    def kubectl(self, env, *args, check=True, **kw):
        return run([self.cluster.kubectl_path, "-n", "streams", *args], text=False, check=check, env=env, timeout=120, **kw)

    def proven(self, suffix, upgrade, protocol, count=1):
        """The connections that were upgraded for this subresource: all of them to this protocol and no other."""
        got = self.recorder.upgrades(suffix)
        self.assertEqual({(x.upgrade, x.protocol) for x in got}, {(upgrade, protocol)}, got)
        self.assertGreaterEqual(len(got), count)
        return got

    @on_each_path
    def test_exec_bytes(self, upgrade, env, command, forward):
        p = self.kubectl(env, "exec", "-i", "streams", "--", "cat", input=self.data)
        self.assertEqual(sha(p.stdout), sha(self.data))
        x = self.proven("/exec", upgrade, command)[0]
        self.assertGreaterEqual(min(x.up, x.down), SIZE)

    @on_each_path
    def test_exec_half_close_and_exit_code(self, upgrade, env, command, forward):
        script = "sha256sum; echo over; sleep 0.5; echo later >&2; exit 3"
        p = self.kubectl(env, "exec", "-i", "streams", "--", "sh", "-c", script, input=self.data, check=False)
        self.assertEqual(p.stdout.decode(), f"{sha(self.data)}  -\nover\n")
        self.assertEqual(p.returncode, 3, p.stderr)
        self.assertTrue(p.stderr.decode().startswith("later\n"), p.stderr)
        p = self.kubectl(env, "exec", "streams", "--", "no-such-program", check=False)
        self.assertNotEqual(p.returncode, 0)
        self.assertIn(b"no-such-program", p.stderr)
        # The process ends while there is still input: kubectl must end too, with its code.
        p = self.kubectl(env, "exec", "-i", "streams", "--", "sh", "-c", "head -c 10 >/dev/null; exit 4", input=self.data, check=False)
        self.assertEqual(p.returncode, 4, p.stderr)
        self.proven("/exec", upgrade, command, 3)

    @on_each_path
    def test_resize(self, upgrade, env, command, forward):
        t = Terminal([self.cluster.kubectl_path, "-n", "streams", "exec", "-it", "streams", "--", "sh"], env, 24, 80)
        try:
            t.type("stty size\n")
            t.expect(r"\b24 80\r")
            for rows, columns in ((41, 133), (10, 40), (200, 500)):
                t.resize(rows, columns)
                for _ in range(50):  # the new size travels by another way than what is typed
                    t.type("stty size\n")
                    try:
                        t.expect(rf"\b{rows} {columns}\r", 0.3)
                        break
                    except AssertionError:
                        continue
                t.expect(rf"\b{rows} {columns}\r", 5)
            t.type("exit 9\n")
        finally:
            self.assertEqual(t.close(), 9, t.text)
        self.proven("/exec", upgrade, command)

    @on_each_path
    def test_attach(self, upgrade, env, command, forward):
        name = "sink-" + upgrade.split("/")[0]
        self.cluster.apply(SINK % (name, AGNHOST, "sha256sum; echo over"))
        self.cluster.kubectl("-n", "streams", "wait", "--for=condition=Ready", "pod/" + name, "--timeout=60s")
        p = self.kubectl(env, "attach", "-i", name, input=self.data)
        self.assertEqual(p.stdout.decode(), f"{sha(self.data)}  -\nover\n")
        self.proven("/attach", upgrade, command)
        name = "echo-" + upgrade.split("/")[0]
        self.cluster.apply(SINK % (name, AGNHOST, "cat"))
        self.cluster.kubectl("-n", "streams", "wait", "--for=condition=Ready", "pod/" + name, "--timeout=60s")
        p = self.kubectl(env, "attach", "-i", name, input=self.data)
        self.assertEqual(sha(p.stdout), sha(self.data))
        self.proven("/attach", upgrade, command, 2)

    @on_each_path
    def test_run_waits_for_the_exit_code(self, upgrade, env, command, forward):
        p = self.kubectl(env, "run", "-i", "--rm", "--restart=Never", "once", "--image=" + AGNHOST, "--command", "--", "sh", "-c", "cat; exit 6",
                         input=b"typed\n", check=False)
        self.assertIn(b"typed\n", p.stdout)
        self.assertEqual(p.returncode, 6, p.stderr)

    @on_each_path
    def test_cp(self, upgrade, env, command, forward):
        with tempfile.TemporaryDirectory() as d:
            there, back = os.path.join(d, "there"), os.path.join(d, "back")
            with open(there, "wb") as f:
                f.write(self.data)
            self.kubectl(env, "cp", there, "streams:/tmp/copy")
            self.assertEqual(self.kubectl(env, "exec", "streams", "--", "sha256sum", "/tmp/copy").stdout.decode().split()[0], sha(self.data))
            self.kubectl(env, "cp", "streams:/tmp/copy", back)
            self.assertEqual(sha(open(back, "rb").read()), sha(self.data))
        self.proven("/exec", upgrade, command, 3)

    def talk(self, port, data):
        """Sends data, closes that direction, and gives all that came back."""
        with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
            def send():
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            got = bytearray()
            while part := s.recv(1 << 18):
                got += part
            sender.join(10)
            self.assertFalse(sender.is_alive(), "not all was sent")
            return bytes(got)

    @on_each_path
    def test_port_forward(self, upgrade, env, command, forward):
        big = self.cluster.kubectl("-n", "streams", "exec", "streams", "--", "sha256sum", "/tmp/big").stdout.split()[0]
        p = subprocess.Popen([self.cluster.kubectl_path, "-n", "streams", "port-forward", "pod/streams", "--address=127.0.0.1", ":7001", ":7002", ":7003"],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
        try:
            ports = dict(reversed(re.search(r":(\d+) -> (\d+)", read_line(p)).groups()) for _ in range(3))
            ports = {int(k): int(v) for k, v in ports.items()}
            # Half-close: the hash comes only after the input has ended.
            self.assertEqual(self.talk(ports[7001], self.data).decode(), f"{sha(self.data)}  -\n")
            self.assertEqual(sha(self.talk(ports[7002], self.data)), sha(self.data))
            # The pod closes first.
            self.assertEqual(sha(self.talk(ports[7003], b"")), big)
            # Several connections at once on one forwarding.
            out = [None] * 8
            def one(i):
                out[i] = self.talk(ports[7002], self.data[i:i + (1 << 20)])
            threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join(60)
            self.assertTrue(all(o == self.data[i:i + (1 << 20)] for i, o in enumerate(out)))
            # Both ways; the echo's connection alone carries SIZE up and down.
            x = self.proven("/portforward", upgrade, forward)
            self.assertGreaterEqual(min(sum(e.up for e in x), sum(e.down for e in x)), 2 * SIZE)
        finally:
            p.terminate()
            p.wait()
            p.stdout.close()
