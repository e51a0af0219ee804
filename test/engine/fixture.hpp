// Engine tests: a folder, cgroups and a network namespace of their own, images made of busybox, all gone at the end.
#pragma once
#include <catch2/catch.hpp>

#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/engine/cgroup.hpp>
#include <onebin/engine/runc_engine.hpp>

#include "engine/digest.hpp"
#include "engine/tar.hpp"

#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fcntl.h>
#include <functional>
#include <sched.h>
#include <sys/mount.h>
#include <thread>
#include <unistd.h>

namespace engine_test {

using namespace onebin;
using namespace onebin::engine;

// ---- archives ----

class TarBuilder {
 public:
  TarBuilder() : tar_([this](std::string_view d) -> Result<void> { data_ += d; return {}; }) {}
  TarBuilder& dir(const std::string& path, std::uint32_t mode = 0755) {
    TarEntry e;
    e.type = TarEntry::Type::Directory;
    e.path = path;
    e.mode = mode;
    return raw(e);
  }
  TarBuilder& file(const std::string& path, const std::string& content, std::uint32_t mode = 0644, std::uint32_t uid = 0) {
    TarEntry e;
    e.path = path;
    e.mode = mode;
    e.uid = e.gid = uid;
    e.size = content.size();
    REQUIRE(tar_.add(e).is_ok());
    REQUIRE(tar_.write(content).is_ok());
    REQUIRE(tar_.end_entry().is_ok());
    return *this;
  }
  TarBuilder& link(TarEntry::Type type, const std::string& path, const std::string& target) {
    TarEntry e;
    e.type = type;
    e.path = path;
    e.link = target;
    e.mode = 0777;
    return raw(e);
  }
  TarBuilder& symlink(const std::string& path, const std::string& target) { return link(TarEntry::Type::Symlink, path, target); }
  TarBuilder& hardlink(const std::string& path, const std::string& target) { return link(TarEntry::Type::Hardlink, path, target); }
  TarBuilder& raw(const TarEntry& e) {
    REQUIRE(tar_.add(e).is_ok());
    return *this;
  }
  std::string done() {
    REQUIRE(tar_.finish().is_ok());
    return data_;
  }

 private:
  std::string data_;
  TarWriter tar_;
};

struct TestImage {
  std::string reference = "example.test/busybox:1";
  std::vector<std::string> layers;  // tars
  nlohmann::json config = nlohmann::json::object();
};

inline std::string image_config(const TestImage& i) {
  nlohmann::json ids = nlohmann::json::array();
  for (const auto& l : i.layers) ids.push_back(digest_of(l));
  nlohmann::json c = {{"architecture", "amd64"}, {"os", "linux"}, {"config", i.config}, {"rootfs", {{"type", "layers"}, {"diff_ids", ids}}}};
#if defined(__aarch64__)
  c["architecture"] = "arm64";
#endif
  return c.dump();
}

inline std::string docker_archive(const std::vector<TestImage>& images) {
  TarBuilder tar;
  nlohmann::json manifest = nlohmann::json::array();
  for (const auto& i : images) {
    std::string config = image_config(i), name = digest_hex(digest_of(config)) + ".json";
    tar.file(name, config);
    nlohmann::json layers = nlohmann::json::array();
    for (const auto& l : i.layers) {
      std::string layer = digest_hex(digest_of(l)) + "/layer.tar";
      tar.file(layer, l);
      layers.push_back(layer);
    }
    manifest.push_back({{"Config", name}, {"RepoTags", {i.reference}}, {"Layers", layers}});
  }
  return tar.file("manifest.json", manifest.dump()).done();
}

inline std::string busybox_layer() {
  auto busybox = read_file("/bin/busybox");
  REQUIRE(busybox.is_ok());
  TarBuilder t;
  t.dir("bin").dir("etc").dir("tmp", 01777).dir("proc").dir("dev").dir("sys");
  t.file("bin/busybox", *busybox, 0755);
  for (const char* a : {"sh", "cat", "echo", "sleep", "true", "false", "ls", "id", "env", "ps", "dd", "head", "tail", "hostname", "mount", "touch", "stty", "kill",
                        "tr", "wc", "grep", "printf", "mkdir", "rm", "seq", "yes", "test", "sha256sum", "nproc", "ipcs", "sysctl", "chroot", "unshare", "pwd"}) {
    t.symlink(std::string("bin/") + a, "busybox");
  }
  t.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1001:Alice:/home/alice:/bin/sh\n");
  t.file("etc/group", "root:x:0:\nalice:x:1001:\nstaff:x:50:alice\n");
  return t.done();
}

inline TestImage busybox_image() {
  TestImage i;
  i.layers = {busybox_layer()};
  i.config = {{"Env", {"PATH=/bin", "FROM_IMAGE=yes"}}, {"Cmd", {"sh"}}};
  return i;
}

// ---- the engine on a loop ----

class Fixture {
 public:
  Fixture() : loop(async::RealLoop::create()) {
    char name[] = "/tmp/onebin-engine-XXXXXX";
    REQUIRE(::mkdtemp(name));
    dir = name;
    cgroup_root = "/onebin-test-" + std::to_string(::getpid()) + "-" + dir.substr(dir.size() - 6);
    cgroups = *Cgroups::detect();
    REQUIRE(cgroups.create(cgroup_root + "/pod").is_ok());
    std::thread([this] {
      ::unshare(CLONE_NEWNET);
      Fd at(::open((dir + "/netns").c_str(), O_CREAT | O_RDONLY | O_CLOEXEC, 0600));
      ::mount("/proc/thread-self/ns/net", (dir + "/netns").c_str(), nullptr, MS_BIND, nullptr);
    }).join();
    set_options();
  }
  // In another process's folders; leaves them to it.
  Fixture(std::string directory, std::string cgroup) : loop(async::RealLoop::create()), dir(std::move(directory)), cgroup_root(std::move(cgroup)) {
    cgroups = *Cgroups::detect();
    set_options();
  }
  void set_options() {
    options.root_dir = dir + "/root";
    options.run_dir = dir + "/run";
    options.shim_cgroup = cgroup_root + "/shims";
  }
  ~Fixture() {
    close();
    ::umount2((dir + "/netns").c_str(), MNT_DETACH);
    auto mounts = read_file("/proc/self/mounts").value_or("");
    CHECK(mounts.find(dir) == std::string::npos);  // nothing of ours is mounted any more
    if (engine_was_open) {  // no shim and no container is left, within a moment
      for (int i = 0; i < 300 && !cgroups.processes(cgroup_root).empty(); ++i) ::usleep(10000);
      CHECK(cgroups.processes(cgroup_root).empty());
    }
    (void)cgroups.kill_all(cgroup_root, 9);
    for (int i = 0; i < 100 && !cgroups.remove(cgroup_root); ++i) ::usleep(10000);
    CHECK(!cgroups.exists(cgroup_root));
    auto removed = remove_all(dir);
    CHECK(removed.is_ok());
  }

  // Runs a task to its end.
  template <class T>
  T run(async::Task<T> task) {
    std::optional<T> out;
    bool done = false;
    async::TaskGroup group("test");
    group.spawn(keep(std::move(task), &out, &done, loop.get()));
    if (!done) loop->run();
    restart();
    REQUIRE(out.has_value());
    return std::move(*out);
  }
  template <class T>
  static async::Task<void> keep(async::Task<T> task, std::optional<T>* out, bool* done, async::RealLoop* loop) {
    out->emplace(co_await std::move(task));
    *done = true;
    loop->stop();
  }
  void restart() { static_cast<boost::asio::io_context*>(loop->native())->restart(); }  // run() works again after stop()

  void open() {
    auto opened = run(open_engine(*loop, options));
    INFO(opened.status().to_string());
    REQUIRE(opened.is_ok());
    engine = std::move(*opened);
    engine_was_open = true;
  }
  void close() {
    if (!engine) return;
    for (const auto& s : engine->list_sandboxes({})) CHECK(run(engine->remove_sandbox(s.id)).is_ok());
    CHECK(run(engine->stop()).is_ok());
    engine.reset();
  }
  void abandon() {  // as an agent that restarts
    CHECK(run(engine->stop()).is_ok());
    engine.reset();
  }

  ImageInfo import(const std::vector<TestImage>& images) {
    REQUIRE(write_file(dir + "/images.tar", docker_archive(images)).is_ok());
    auto r = run(engine->import_images(dir + "/images.tar"));
    INFO(r.status().to_string());
    REQUIRE(r.is_ok());
    REQUIRE(r->size() == images.size());
    return r->front();
  }

  SandboxConfig sandbox_config() {
    SandboxConfig s;
    s.name = "web";
    s.namespace_ = "default";
    s.uid = "u-1";
    s.hostname = "web-0";
    s.netns_path = dir + "/netns";
    s.cgroup_parent = cgroup_root + "/pod";
    s.log_directory = dir + "/logs/web";
    s.resolv_conf = "nameserver 10.43.0.10\n";
    s.labels = {{"pod", "web"}};
    return s;
  }
  std::string sandbox() { return sandbox(sandbox_config()); }
  std::string sandbox(SandboxConfig config) {
    auto r = run(engine->run_sandbox(std::move(config)));
    INFO(r.status().to_string());
    REQUIRE(r.is_ok());
    return *r;
  }

  static ContainerConfig shell(const std::string& script) {
    ContainerConfig c;
    c.name = "main";
    c.image = "example.test/busybox:1";
    c.command = {"/bin/sh", "-c", script};
    c.log_path = "main/0.log";
    return c;
  }
  std::string create(const std::string& sandbox_id, ContainerConfig config) {
    auto r = run(engine->create_container(sandbox_id, std::move(config)));
    INFO(r.status().to_string());
    REQUIRE(r.is_ok());
    return *r;
  }
  std::string start(const std::string& sandbox_id, ContainerConfig config) {
    std::string id = create(sandbox_id, std::move(config));
    auto r = run(engine->start_container(id));
    INFO(r.status().to_string());
    REQUIRE(r.is_ok());
    return id;
  }
  ContainerStatus wait_exit(const std::string& id) {
    (void)run(wait_task(id));
    return *engine->container_status(id);
  }
  std::string output(const std::string& id) {  // the log without times and tags
    std::string out;
    for (const auto& line : split(read_file(engine->container_status(id)->log_path).value_or(""), '\n')) {
      if (line.size() < 40) {
        if (!line.empty()) out += line;
        continue;
      }
      std::string_view rest = std::string_view(line).substr(31);
      out += rest.substr(9);
      if (rest[7] == 'F') out += "\n";
    }
    return out;
  }
  ExecResult exec(const std::string& id, std::vector<std::string> command) {
    auto r = run(engine->exec_sync(id, std::move(command), 20s));
    INFO(r.status().to_string());
    REQUIRE(r.is_ok());
    return *r;
  }
  // Runs a script to its end in a container of its own; its output.
  std::string run_script(ContainerConfig config, SandboxConfig sandbox_config) {
    config.log_path = "main/" + std::to_string(++scripts) + ".log";
    std::string s = sandbox(std::move(sandbox_config));
    std::string c = start(s, std::move(config));
    last = wait_exit(c);
    std::string out = output(c);
    CHECK(run(engine->remove_sandbox(s)).is_ok());
    return out;
  }
  std::string run_script(ContainerConfig config) { return run_script(std::move(config), sandbox_config()); }

  static async::Task<bool> as_result(async::Task<void> task) {
    co_await std::move(task);
    co_return true;
  }

  // Writes and reads at once, until the output ends.
  async::Task<bool> exchange(IoSession* x, const std::string* in, std::string* out, std::string* err) {
    async::TaskGroup group("exchange");
    group.spawn(write_pieces(x, in));
    for (;;) {
      Result<OutputChunk> chunk = co_await x->read();
      if (!chunk) break;
      *(chunk->stream == OutputStream::Stdout ? out : err) += chunk->data;
    }
    group.cancel();
    co_await group.join();
    co_return true;
  }
  static async::Task<Result<void>> write_pieces(IoSession* x, const std::string* in) {
    for (std::size_t at = 0; at < in->size(); at += 50000) CO_RETURN_IF_ERROR(co_await x->write(in->substr(at, 50000)));
    x->close_stdin();
    co_return Result<void>();
  }

  async::Task<Result<void>> wait_task(std::string id) {
    for (int i = 0; i < 2000; ++i) {
      auto s = engine->container_status(id);
      if (!s || s->state == ContainerState::Exited) co_return Result<void>();
      (void)co_await async::sleep_for(5ms);
    }
    co_return timeout("the container did not end");
  }

  std::unique_ptr<async::RealLoop> loop;
  std::string dir, cgroup_root;
  Cgroups cgroups;
  EngineOptions options;
  std::unique_ptr<Engine> engine;
  ContainerStatus last;
  int scripts = 0;
  bool engine_was_open = false;
};

}  // namespace engine_test
