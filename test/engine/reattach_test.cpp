#include "fixture.hpp"

#include <csignal>
#include <sys/wait.h>

using namespace engine_test;

namespace {

std::size_t open_files() { return list_dir("/proc/self/fd")->size(); }

}  // namespace

TEST_CASE("A new engine finds running and ended containers again") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::string s = f.sandbox();
  auto config = Fixture::shell("echo one; while ! test -e /go; do sleep 0.02; done; echo two; exit 9");
  config.labels = {{"k", "v"}};
  config.resources.memory_limit = 50 << 20;
  std::string running = f.start(s, config);
  std::string ends = f.start(s, [] { auto c = Fixture::shell("sleep 0.3; exit 4"); c.log_path = "b/0.log"; return c; }());
  std::string ended = f.start(s, [] { auto c = Fixture::shell("exit 5"); c.log_path = "c/0.log"; return c; }());
  std::string created = f.create(s, [] { auto c = Fixture::shell("exit 6"); c.log_path = "d/0.log"; return c; }());
  f.wait_exit(ended);
  auto before = *f.engine->container_status(running);
  f.abandon();
  ::usleep(500000);
  f.open();
  REQUIRE(f.engine->list_containers({}).size() == 4);
  CHECK(f.engine->image_status("example.test/busybox:1").is_ok());
  auto sandboxes = f.engine->list_sandboxes({});
  REQUIRE(sandboxes.size() == 1);
  CHECK(sandboxes[0].config.labels.at("pod") == "web");
  auto after = *f.engine->container_status(running);
  CHECK(after.state == ContainerState::Running);
  CHECK(after.pid == before.pid);
  CHECK(after.labels == before.labels);
  CHECK(after.resources.memory_limit == before.resources.memory_limit);
  CHECK(after.log_path == before.log_path);
  CHECK(f.engine->container_status(ends)->exit_code == 4);
  CHECK(f.engine->container_status(ended)->exit_code == 5);
  CHECK(f.engine->container_status(created)->state == ContainerState::Created);
  REQUIRE(f.run(f.engine->start_container(created)).is_ok());
  CHECK(f.wait_exit(created).exit_code == 6);
  CHECK(f.exec(running, {"touch", "/go"}).exit_code == 0);
  CHECK(f.wait_exit(running).exit_code == 9);
  CHECK(f.output(running) == "one\ntwo\n");
}

TEST_CASE("Kill -9 of the process that hosts the engine leaves containers running") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  f.abandon();
  std::string id_file = f.dir + "/id";
  ::setenv("ONEBIN_TEST_DIR", f.dir.c_str(), 1);
  ::setenv("ONEBIN_TEST_CGROUP", f.cgroup_root.c_str(), 1);
  pid_t host = ::fork();
  if (host == 0) {
    ::execl("/proc/self/exe", "test_engine", "[host]", nullptr);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(host, &status, 0);
  REQUIRE(WIFSIGNALED(status));
  f.open();
  std::string c = *read_file(id_file);
  auto found = f.engine->container_status(c);
  REQUIRE(found.is_ok());
  CHECK(found->state == ContainerState::Running);
  CHECK(::kill(found->pid, 0) == 0);
  CHECK(f.run(f.engine->stop_container(c, 10s, "")).is_ok());
  CHECK(f.engine->container_status(c)->exit_code == 3);
}

// The other process of the test before: hosts an engine, starts a container, dies.
TEST_CASE("host", "[.host]") {
  Fixture f(std::getenv("ONEBIN_TEST_DIR"), std::getenv("ONEBIN_TEST_CGROUP"));
  f.open();
  std::string c = f.start(f.sandbox(), Fixture::shell("trap 'exit 3' TERM; while true; do sleep 0.02; done"));
  REQUIRE(write_file(f.dir + "/id", c).is_ok());
  ::kill(::getpid(), SIGKILL);
}

TEST_CASE("A killed shim takes its container with it, told as Unknown") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::string s = f.sandbox();
  std::string c = f.start(s, Fixture::shell("sleep 1000"));
  std::string cgroup = f.engine->container_status(c)->cgroup_path;
  auto shims = f.cgroups.processes(f.cgroup_root + "/shims");
  REQUIRE(shims.size() == 1);
  REQUIRE(::kill(shims[0], SIGKILL) == 0);
  auto status = f.wait_exit(c);
  CHECK(status.exit_code == 255);
  CHECK(status.reason == "Unknown");
  CHECK(f.run(f.engine->remove_container(c)).is_ok());
  CHECK(!f.cgroups.exists(cgroup));
}

TEST_CASE("Twenty containers leave no descriptor, process or folder") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::string s = f.sandbox();
  auto once = [&](int i) {
    std::string c = f.start(s, Fixture::shell("echo " + std::to_string(i)));
    f.wait_exit(c);
    CHECK(f.run(f.engine->remove_container(c)).is_ok());
  };
  once(0);
  std::size_t before = open_files();
  for (int i = 0; i < 20; ++i) once(i);
  CHECK(open_files() == before);
  CHECK(list_dir(f.options.run_dir + "/containers")->empty());
  CHECK(list_dir(f.options.root_dir + "/containers")->empty());
  CHECK(list_dir(f.options.run_dir + "/runtime")->empty());
  CHECK(f.cgroups.processes(f.cgroup_root).empty());
}
