#include "fixture.hpp"

#include <csignal>
#include <sys/stat.h>

using namespace engine_test;

TEST_CASE("A container runs, logs, ends, and leaves nothing") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::vector<std::string> events;
  f.engine->set_event_listener([&](const ContainerEvent& e) {
    events.push_back(std::to_string(static_cast<int>(e.type)) + e.labels.at("name"));
  });
  std::string s = f.sandbox();
  auto config = Fixture::shell("echo out; sleep 0.1; echo err >&2; sleep 0.1; hostname; cat /etc/resolv.conf; echo $FROM_IMAGE-$MINE; exit 7");
  config.env = {{"MINE", "too"}};
  config.labels = {{"name", "main"}};
  std::string c = f.create(s, config);
  CHECK(f.engine->container_status(c)->state == ContainerState::Created);
  REQUIRE(f.run(f.engine->start_container(c)).is_ok());
  auto status = f.wait_exit(c);
  CHECK(status.exit_code == 7);
  CHECK(status.reason == "Error");
  CHECK(f.output(c) == "out\nerr\nweb-0\nnameserver 10.43.0.10\nyes-too\n");
  CHECK(status.started_at <= status.finished_at);
  CHECK(status.image_requested.empty());
  auto again = f.run(f.engine->start_container(c));
  CHECK(again.is(Reason::Conflict));
  CHECK(f.run(f.engine->remove_container(c)).is_ok());
  CHECK(f.run(f.engine->remove_container(c)).is_ok());
  CHECK(f.engine->list_containers({}).empty());
  CHECK(events == std::vector<std::string>{"0main", "1main", "2main", "3main"});
}

TEST_CASE("A command that is not there is a start error that tells why, and is not in the log") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::string s = f.sandbox();
  auto config = Fixture::shell("");
  config.command = {"/no/such/program"};
  std::string c = f.create(s, config);
  auto r = f.run(f.engine->start_container(c));
  REQUIRE(!r.is_ok());
  CHECK(r.status().message().find("/no/such/program") != std::string::npos);
  auto status = *f.engine->container_status(c);
  CHECK(status.state == ContainerState::Exited);
  CHECK(status.exit_code == 128);
  CHECK(status.reason == "StartError");
  CHECK(f.output(c).empty());
}

TEST_CASE("Stop: the signal first, SIGKILL after the grace") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::string s = f.sandbox();
  SECTION("heeded") {
    std::string c = f.start(s, Fixture::shell("trap 'echo bye; exit 3' TERM; echo up; while true; do sleep 0.05; done"));
    while (f.output(c) != "up\n") ::usleep(10000);
    CHECK(f.run(f.engine->stop_container(c, 20s, "")).is_ok());
    CHECK(f.engine->container_status(c)->exit_code == 3);
    CHECK(f.output(c) == "up\nbye\n");
  }
  SECTION("the container's own signal") {
    auto config = Fixture::shell("trap 'exit 4' USR1; trap '' TERM; echo up; while true; do sleep 0.05; done");
    config.stop_signal = "SIGUSR1";
    std::string c = f.start(s, config);
    while (f.output(c) != "up\n") ::usleep(10000);
    CHECK(f.run(f.engine->stop_container(c, 20s, "")).is_ok());
    CHECK(f.engine->container_status(c)->exit_code == 4);
  }
  SECTION("ignored") {
    std::string c = f.start(s, Fixture::shell("trap '' TERM; echo up; while true; do sleep 0.05; done"));
    while (f.output(c) != "up\n") ::usleep(10000);
    CHECK(f.run(f.engine->stop_container(c, 200ms, "")).is_ok());
    CHECK(f.engine->container_status(c)->exit_code == 137);
  }
  SECTION("kill") {
    std::string c = f.start(s, Fixture::shell("sleep 1000"));
    CHECK(f.run(f.engine->kill_container(c, SIGKILL)).is_ok());
    CHECK(f.wait_exit(c).exit_code == 137);
    CHECK(f.run(f.engine->kill_container(c, SIGKILL)).is(Reason::Conflict));
  }
}

TEST_CASE("Memory over the limit is told as OOMKilled") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  auto config = Fixture::shell("x=$(yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | head -c 100000000); echo ${#x}");
  config.resources.memory_limit = 20 << 20;
  f.run_script(config);
  CHECK(f.last.exit_code == 137);
  CHECK(f.last.reason == "OOMKilled");
}

TEST_CASE("Users, groups, capabilities, limits and paths are as asked") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  SECTION("by number, with groups of the pod and of the image") {
    auto config = Fixture::shell("id -u; id -g; id -G; grep -E 'CapEff|NoNewPrivs' /proc/self/status");
    config.run_as_user = 1000;
    config.supplemental_groups = {2000};
    config.no_new_privs = true;
    CHECK(f.run_script(config) == "1000\n1001\n1001 50 2000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n");
    CHECK(f.last.user_uid == 1000);
    CHECK(f.last.user_groups == std::vector<std::int64_t>{1001, 2000, 50});
  }
  SECTION("strict groups") {
    auto config = Fixture::shell("id -G");
    config.run_as_username = "alice";
    config.supplemental_groups_strict = true;
    CHECK(f.run_script(config) == "1001\n");
  }
  SECTION("capabilities") {
    auto config = Fixture::shell("grep CapEff /proc/self/status");
    CHECK(f.run_script(config) == "CapEff:\t00000000a80425fb\n");
    config.drop_capabilities = {"ALL"};
    config.add_capabilities = {"NET_ADMIN", "cap_chown"};
    CHECK(f.run_script(config) == "CapEff:\t0000000000001001\n");
  }
  SECTION("read-only root, masked and writable paths") {
    auto config = Fixture::shell("touch /x; test -s /proc/keys || echo masked; echo 1 > /proc/sys/net/ipv4/ip_forward; pwd");
    config.readonly_rootfs = true;
    config.working_dir = "/tmp";
    std::string out = f.run_script(config);
    CHECK(out.find("touch: /x: Read-only file system") != std::string::npos);
    CHECK(out.find("masked\n") != std::string::npos);
    CHECK(out.find("/proc/sys/net/ipv4/ip_forward: Read-only file system") != std::string::npos);
    CHECK(out.find("/tmp\n") != std::string::npos);
  }
  SECTION("privileged") {
    auto config = Fixture::shell("test -w /sys/fs/cgroup && ls /dev | wc -l; mount -t tmpfs x /tmp && echo mounted");
    config.privileged = true;
    std::string out = f.run_script(config);
    CHECK(out.find("mounted\n") != std::string::npos);
  }
  SECTION("the default seccomp profile lets work and keeps the kernel's keys away") {
    auto config = Fixture::shell("echo fine; unshare -U true 2>&1 | grep -c 'not permitted'; id -u");
    config.seccomp.type = SecurityProfile::Type::RuntimeDefault;
    CHECK(f.run_script(config) == "fine\n1\n0\n");
  }
  SECTION("cgroup limits") {
    auto config = Fixture::shell("sleep 1000");
    config.resources.cpu_shares = 102;
    config.resources.cpu_quota = 20000;
    config.resources.cpu_period = 100000;
    config.resources.memory_limit = 64 << 20;
    config.resources.pids_limit = 50;
    std::string s = f.sandbox(), c = f.start(s, config);
    std::string path = f.engine->container_status(c)->cgroup_path;
    if (!f.cgroups.unified()) {
      CHECK(trim(*read_file(f.cgroups.folder("cpu", path) + "/cpu.shares")) == "102");
      CHECK(trim(*read_file(f.cgroups.folder("cpu", path) + "/cpu.cfs_quota_us")) == "20000");
      CHECK(trim(*read_file(f.cgroups.folder("pids", path) + "/pids.max")) == "50");
    }
    CHECK(f.cgroups.stats(path)->memory_limit == 64 << 20);
    Resources more;
    more.memory_limit = 128 << 20;
    more.cpu_quota = 30000;
    REQUIRE(f.run(f.engine->update_container(c, more)).is_ok());
    CHECK(f.cgroups.stats(path)->memory_limit == 128 << 20);
    CHECK(*f.engine->container_status(c)->resources.memory_limit == 128 << 20);
    CHECK(*f.engine->container_status(c)->resources.pids_limit == 50);
    auto stats = f.run(f.engine->container_stats(c));
    REQUIRE(stats.is_ok());
    CHECK(stats->pids >= 1);
    CHECK(stats->memory_usage > 0);
    CHECK(stats->cpu_usage_ns > 0);
  }
}

TEST_CASE("Mounts: files and folders, read-only, one below another, and images as volumes") {
  Fixture f;
  f.open();
  TestImage data;
  data.reference = "example.test/data:1";
  data.layers = {TarBuilder().dir("a").file("a/one", "1").done(), TarBuilder().file("a/two", "2").file("a/.wh.one", "").symlink("out", "/etc").done()};
  f.import({busybox_image(), data});
  REQUIRE(make_dirs(f.dir + "/vol/sub").is_ok());
  REQUIRE(write_file(f.dir + "/vol/file", "content").is_ok());
  auto config = Fixture::shell("cat /v/file /one /v/deep/file; echo; touch /one 2>/dev/null || echo ro; echo new > /v/made; ls /img /img/a /sub; touch /img/x 2>/dev/null || echo iro");
  Mount v, one, deep, img, sub;
  deep.container_path = "/v/deep";
  deep.host_path = f.dir + "/vol";
  v.container_path = "/v";
  v.host_path = f.dir + "/vol";
  one.container_path = "/one";
  one.host_path = f.dir + "/vol/file";
  one.readonly = true;
  img.container_path = "/img";
  img.image = "example.test/data:1";
  sub.container_path = "/sub";
  sub.image = "example.test/data:1";
  sub.image_sub_path = "a";
  config.mounts = {deep, v, one, img, sub};
  CHECK(f.run_script(config) == "contentcontentcontent\nro\n/img:\na\nout\n\n/img/a:\ntwo\n\n/sub:\ntwo\niro\n");
  CHECK(*read_file(f.dir + "/vol/made") == "new\n");
  sub.image_sub_path = "../out";  // an absolute link is taken inside the image, where /etc is missing
  config.mounts = {sub};
  std::string s = f.sandbox();
  CHECK(!f.run(f.engine->create_container(s, config)).is_ok());
}

TEST_CASE("Exec: output, exit codes, errors, time limit, streams") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::string s = f.sandbox();
  std::string c = f.start(s, Fixture::shell("sleep 1000"));
  SECTION("sync") {
    auto r = f.exec(c, {"sh", "-c", "echo a; echo b >&2; exit 5"});
    CHECK(r.out == "a\n");
    CHECK(r.err == "b\n");
    CHECK(r.exit_code == 5);
    CHECK(f.exec(c, {"sh", "-c", "kill -9 $$"}).exit_code == 137);
    CHECK(f.exec(c, {"head", "-c", "3000000", "/dev/zero"}).out.size() == 3000000);
    auto missing = f.run(f.engine->exec_sync(c, {"/no/such"}, 10s));
    REQUIRE(!missing.is_ok());
    CHECK(missing.status().message().find("/no/such") != std::string::npos);
    CHECK(f.run(f.engine->exec_sync(c, {"sleep", "100"}, 300ms)).is(Reason::Timeout));
    // A child that keeps the output open does not keep the caller.
    CHECK(f.exec(c, {"sh", "-c", "sleep 30 & echo started"}).out == "started\n");
    for (int i = 0; i < 3; ++i) CHECK(f.exec(c, {"true"}).exit_code == 0);
    CHECK(f.exec(c, {"sh", "-c", "ps | grep -c 'sleep 100$'"}).out == "0\n");  // the one that ran too long is gone
  }
  SECTION("stdin, half-close") {
    ExecRequest q;
    q.command = {"wc", "-c"};
    q.stdin_open = true;
    auto x = f.run(f.engine->exec(c, q));
    REQUIRE(x.is_ok());
    for (int i = 0; i < 10; ++i) REQUIRE(f.run((*x)->write(std::string(100000, 'x'))).is_ok());
    (*x)->close_stdin();
    auto chunk = f.run((*x)->read());
    REQUIRE(chunk.is_ok());
    CHECK(chunk->data == "1000000\n");
    CHECK(f.run((*x)->wait()).value_or(-1) == 0);
    CHECK(f.run((*x)->read()).is(Reason::Closed));
    auto done = (*x)->close();
    f.run(Fixture::as_result(std::move(done)));
  }
  SECTION("a terminal, resized") {
    ExecRequest q;
    q.command = {"sh", "-c", "read x; stty size; echo got $x"};
    q.stdin_open = q.tty = true;
    auto x = f.run(f.engine->exec(c, q));
    REQUIRE(x.is_ok());
    REQUIRE(f.run((*x)->resize(101, 37)).is_ok());
    REQUIRE(f.run((*x)->write("hello\n")).is_ok());
    std::string out;
    while (true) {
      auto chunk = f.run((*x)->read());
      if (!chunk) break;
      out += chunk->data;
    }
    CHECK(out.find("37 101\r\n") != std::string::npos);
    CHECK(out.find("got hello\r\n") != std::string::npos);
    CHECK(f.run((*x)->wait()).value_or(-1) == 0);
    f.run(Fixture::as_result((*x)->close()));
  }
  SECTION("closed early: the process is killed") {
    ExecRequest q;
    q.command = {"sleep", "777"};
    auto x = f.run(f.engine->exec(c, q));
    REQUIRE(x.is_ok());
    f.run(Fixture::as_result((*x)->close()));
    CHECK(f.run((*x)->wait()).value_or(-1) == 137);
  }
}

TEST_CASE("Attach: 10 MB through stdin and stdout unaltered, stdin_once") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::string s = f.sandbox();
  auto config = Fixture::shell("cat; echo end >&2");
  config.stdin_open = config.stdin_once = true;
  std::string c = f.start(s, config);
  auto x = f.run(f.engine->attach(c, true));
  REQUIRE(x.is_ok());
  std::string sent;
  for (int i = 0; i < 10 * 1024; ++i) sent += std::string(1023, static_cast<char>('a' + i % 26)) + "\n";
  std::string received, errors;
  f.run(f.exchange(x->get(), &sent, &received, &errors));
  CHECK(sha256_hex(received) == sha256_hex(sent));
  CHECK(errors == "end\n");
  CHECK(f.run((*x)->wait()).value_or(-1) == 0);
  f.run(Fixture::as_result((*x)->close()));
  auto status = f.wait_exit(c);
  CHECK(status.exit_code == 0);
  CHECK(f.output(c).size() == sent.size() + 4);
}

TEST_CASE("Attach: the end of stdin reaches a process that reads slowly, behind all input") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::string s = f.sandbox();
  auto config = Fixture::shell("n=0; while c=$(dd bs=16384 count=1 2>/dev/null | wc -c) && test $c -gt 0; do n=$((n+c)); sleep 0.01; done; echo $n");
  config.stdin_open = config.stdin_once = true;
  std::string c = f.start(s, config);
  auto x = f.run(f.engine->attach(c, true));
  REQUIRE(x.is_ok());
  std::string sent(40 * 16384, 'x'), received, errors;  // more than pipe, shim and socket hold
  f.run(f.exchange(x->get(), &sent, &received, &errors));
  CHECK(received == std::to_string(sent.size()) + "\n");
  CHECK(f.wait_exit(c).exit_code == 0);
  f.run(Fixture::as_result((*x)->close()));
}

TEST_CASE("Logs: long lines in pieces, ends without newline, reopened after a rename") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::string s = f.sandbox();
  auto config = Fixture::shell("yes x | tr -d '\\n' | head -c 40000; echo; echo first; while ! test -e /go; do sleep 0.02; done; printf rest");
  std::string c = f.start(s, config);
  std::string path = f.engine->container_status(c)->log_path;
  while (read_file(path).value_or("").find("first") == std::string::npos) ::usleep(10000);
  std::string log = *read_file(path);
  auto lines = split(log, '\n');
  REQUIRE(lines.size() == 5);
  CHECK(lines[0].substr(30, 10) == " stdout P ");
  CHECK(lines[0].size() == 40 + 16384);
  CHECK(lines[1].substr(38, 2) == "P ");
  CHECK(lines[2].substr(38, 2) == "F ");
  CHECK(lines[2].size() == 40 + 40000 - 2 * 16384);
  CHECK(parse_rfc3339(lines[0].substr(0, 30)).has_value());
  REQUIRE(::rename(path.c_str(), (path + ".1").c_str()) == 0);
  REQUIRE(f.run(f.engine->reopen_log(c)).is_ok());
  CHECK(f.exec(c, {"touch", "/go"}).exit_code == 0);
  f.wait_exit(c);
  std::string rest = *read_file(path);
  CHECK(rest.substr(30) == " stdout P rest\n");
}

TEST_CASE("A shared PID namespace has a pause process that gives nothing away") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  auto sc = f.sandbox_config();
  sc.pid = NamespaceMode::Pod;
  std::string s = f.sandbox(sc);
  auto config = Fixture::shell("sleep 555 & sleep 556; true");
  config.pid = NamespaceMode::Pod;
  config.log_path = "a/0.log";
  std::string a = f.start(s, config);
  CHECK(f.exec(a, {"sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; grep ^Uid /proc/1/status"}).out == "/pause pause Uid:\t65535\t65535\t65535\t65535\n");
  CHECK(f.exec(a, {"sh", "-c", "ls /proc/1/root/ 2>&1"}).out.find("home") == std::string::npos);
  CHECK(f.engine->list_containers({}).size() == 1);
  // The container's end takes its children with it, not the pod's other containers.
  config.log_path = "b/0.log";
  std::string b = f.start(s, config);
  CHECK(f.run(f.engine->kill_container(a, SIGKILL)).is_ok());
  f.wait_exit(a);
  for (int i = 0; i < 200; ++i) {
    if (f.exec(b, {"sh", "-c", "ps | grep -c 'sleep 55[56]$'"}).out == "2\n") break;
    ::usleep(10000);
  }
  CHECK(f.exec(b, {"sh", "-c", "ps | grep -c 'sleep 55[56]$'"}).out == "2\n");
  // An ephemeral container looks into another's namespace.
  auto target = Fixture::shell("cat /proc/1/cmdline | tr '\\0' ' '");
  target.pid = NamespaceMode::Target;
  target.pid_target = b;
  target.log_path = "e/0.log";
  std::string e = f.start(s, target);
  f.wait_exit(e);
  CHECK(f.output(e) == "/pause pause ");
}

TEST_CASE("Sandboxes: sysctls, shared memory, the host's namespaces") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  auto sc = f.sandbox_config();
  sc.sysctls = {{"kernel.shm_rmid_forced", "1"}, {"net.ipv4.ip_local_port_range", "40000 41000"}};
  std::string s = f.sandbox(sc);
  std::string one = f.start(s, Fixture::shell("cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_local_port_range; echo hi > /dev/shm/x; sleep 1000"));
  while (f.output(one).find("41000") == std::string::npos) ::usleep(10000);
  CHECK(f.output(one) == "1\n40000\t41000\n");
  std::string two = f.start(s, [] { auto c = Fixture::shell("cat /dev/shm/x"); c.log_path = "b/0.log"; return c; }());
  f.wait_exit(two);
  CHECK(f.output(two) == "hi\n");
  CHECK(f.run(f.engine->stop_sandbox(s)).is_ok());
  CHECK(f.engine->sandbox_status(s)->state == SandboxState::NotReady);
  CHECK(f.engine->container_status(one)->exit_code == 137);
  CHECK(f.run(f.engine->create_container(s, Fixture::shell("true"))).is(Reason::Conflict));
  sc.sysctls = {{"kernel.panic", "1"}};
  CHECK(f.run(f.engine->run_sandbox(sc)).is(Reason::BadRequest));
  CHECK(f.engine->list_sandboxes({}).size() == 1);
  auto host = f.sandbox_config();
  host.netns_path.clear();
  host.ipc = NamespaceMode::Node;
  host.hostname.clear();
  auto config = Fixture::shell("hostname; hostname > /dev/null; ls -l /proc/self/ns/net /proc/self/ns/ipc | tr ' ' '\\n' | grep '\\['; ps | wc -l");
  config.pid = NamespaceMode::Node;
  std::string out = f.run_script(config, host);
  char name[256];
  ::gethostname(name, sizeof name);
  INFO(out);
  CHECK(out.find(std::string(name) + "\n") != std::string::npos);
  char link[64] = {};
  REQUIRE(::readlink("/proc/self/ns/net", link, sizeof link - 1) > 0);
  CHECK(out.find(link) != std::string::npos);
}

TEST_CASE("A container with a terminal: attach, resize, detach and attach again") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::string s = f.sandbox();
  auto config = Fixture::shell("read x; stty size; echo got $x; read y; echo bye $y; exit 6");
  config.tty = config.stdin_open = true;
  config.stdin_once = true;
  std::string c = f.start(s, config);
  auto read_until = [&](IoSession* x, const std::string& end) {
    std::string out;
    while (out.find(end) == std::string::npos) {
      auto chunk = f.run(x->read());
      if (!chunk) break;
      CHECK(chunk->stream == OutputStream::Stdout);
      out += chunk->data;
    }
    return out;
  };
  auto first = f.run(f.engine->attach(c, true));
  REQUIRE(first.is_ok());
  REQUIRE(f.run((*first)->resize(120, 40)).is_ok());
  REQUIRE(f.run((*first)->write("one\n")).is_ok());
  std::string out = read_until(first->get(), "got one\r\n");
  CHECK(out.find("40 120\r\n") != std::string::npos);
  f.run(Fixture::as_result((*first)->close()));
  auto second = f.run(f.engine->attach(c, true));
  REQUIRE(second.is_ok());
  REQUIRE(f.run((*second)->write("two\n")).is_ok());
  CHECK(read_until(second->get(), "never").find("bye two\r\n") != std::string::npos);
  CHECK(f.run((*second)->wait()).value_or(-1) == 6);
  f.run(Fixture::as_result((*second)->close()));
  CHECK(f.wait_exit(c).exit_code == 6);
  CHECK(f.output(c).find("got one\r\n") != std::string::npos);
}

TEST_CASE("An attached reader that takes nothing holds the container up no longer than it stays") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::string s = f.sandbox();
  std::string c = f.start(s, Fixture::shell("while ! test -e /go; do sleep 0.02; done; yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | head -c 4000000; echo; echo done"));
  auto lazy = f.run(f.engine->attach(c, false));
  REQUIRE(lazy.is_ok());
  CHECK(f.exec(c, {"touch", "/go"}).exit_code == 0);
  ::usleep(300000);
  CHECK(f.engine->container_status(c)->state == ContainerState::Running);  // back-pressure
  f.run(Fixture::as_result((*lazy)->close()));
  lazy->reset();
  CHECK(f.wait_exit(c).exit_code == 0);
  CHECK(ends_with(f.output(c), "done\n"));
}
