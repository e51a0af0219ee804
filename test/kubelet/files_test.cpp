#include "kubelet/log_reader.hpp"
#include "kubelet/maintenance.hpp"
#include "kubelet/static_pods.hpp"
#include "kubelet/volumes/atomic_writer.hpp"
#include "kubelet/volumes/mounts.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/file.hpp>

#include <catch2/catch.hpp>

#include <filesystem>
#include <sys/stat.h>

using namespace onebin;
using namespace onebin::kubelet;
namespace fs = std::filesystem;

namespace {

struct Folder {
  std::string path;
  Folder() {
    char name[] = "/tmp/onebin-kubelet-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { fs::remove_all(path); }
};

async::Task<Result<void>> collect(std::string* out, std::string bytes) {
  *out += bytes;
  co_return Result<void>();
}
async::Task<void> read(std::string path, LogOptions o, LogFollow* f, std::string* out, bool* done) {
  Result<void> r = co_await read_log(path, o, f, [out](std::string b) { return collect(out, std::move(b)); });
  CHECK(r);
  *done = true;
}
void append(const std::string& path, const std::string& text) {
  std::FILE* f = std::fopen(path.c_str(), "a");
  std::fputs(text.c_str(), f);
  std::fclose(f);
}
std::string line(int n, const char* text, const char* tag = "F", const char* stream = "stdout") {
  return format_rfc3339_nano(from_unix(1000 + n)) + " " + stream + " " + tag + " " + text + "\n";
}

}  // namespace

TEST_CASE("a volume's files change all at once") {
  Folder d;
  Payload p{{"a", {"1", 0644, {}}}, {"dir/b", {"2", 0400, {}}}};
  CHECK(*write_atomically(d.path, p, {}, "..t1"));
  CHECK(*read_file(d.path + "/a") == "1");
  CHECK(*read_file(d.path + "/dir/b") == "2");
  CHECK(fs::read_symlink(d.path + "/..data") == "..t1");
  CHECK(fs::read_symlink(d.path + "/a") == "..data/a");
  struct stat st {};
  REQUIRE(::stat((d.path + "/dir/b").c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 0400);
  CHECK_FALSE(*write_atomically(d.path, p, {}, "..t2"));  // nothing changed
  p.erase("dir/b");
  p["c"] = {"3", 0644, {}};
  CHECK(*write_atomically(d.path, p, {}, "..t3"));
  CHECK_FALSE(path_exists(d.path + "/dir"));
  CHECK_FALSE(path_exists(d.path + "/..t1"));
  CHECK(*read_file(d.path + "/c") == "3");
  CHECK_FALSE(write_atomically(d.path, {{"../x", {}}}, {}, "..t4"));
  CHECK_FALSE(write_atomically(d.path, {{"/x", {}}}, {}, "..t4"));
  CHECK_FALSE(write_atomically(d.path, {{"a/../../x", {}}}, {}, "..t4"));
}

TEST_CASE("the pod's group may read what is projected") {
  Folder d;
  CHECK(write_atomically(d.path, {{"a", {"1", 0400, {}}}}, 4711, "..t1"));
  struct stat st {};
  REQUIRE(::stat((d.path + "/a").c_str(), &st) == 0);
  CHECK(st.st_gid == 4711);
  CHECK((st.st_mode & 07777) == 0440);
}

TEST_CASE("sub paths never lead out of their volume") {
  Folder d;
  struct NoMounts final : Mounts {
    std::string source_of;
    Result<void> tmpfs(const std::string&, std::uint64_t, int) override { return {}; }
    Result<void> bind(const std::string& source, const std::string&) override {
      source_of = fs::read_symlink(source).string();
      return {};
    }
    Result<void> unmount_below(const std::string&) override { return {}; }
  } mounts;
  const std::string volume = d.path + "/v";
  fs::create_directory(volume);
  CHECK(pin_sub_path(mounts, volume, "new/deep", d.path + "/t/0"));
  CHECK(mounts.source_of == volume + "/new/deep");
  fs::create_symlink("/etc", volume + "/out");
  CHECK_FALSE(pin_sub_path(mounts, volume, "out", d.path + "/t/1"));
  CHECK_FALSE(pin_sub_path(mounts, volume, "out/passwd", d.path + "/t/1"));
  CHECK_FALSE(pin_sub_path(mounts, volume, "../x", d.path + "/t/2"));
  CHECK_FALSE(pin_sub_path(mounts, volume, "/etc", d.path + "/t/2"));
  fs::create_symlink("new", volume + "/in");
  CHECK(pin_sub_path(mounts, volume, "in/deep", d.path + "/t/3"));
  CHECK(write_file(volume + "/f", "x"));
  CHECK(pin_sub_path(mounts, volume, "f", d.path + "/t/4"));
  CHECK(fs::is_regular_file(d.path + "/t/4"));
}

TEST_CASE("log lines are parsed and tailed") {
  auto l = parse_log_line("2016-10-06T00:17:09.669794202Z stderr P part");
  REQUIRE(l);
  CHECK(l->is_stderr);
  CHECK(l->partial);
  CHECK(l->text == "part");
  CHECK(parse_log_line("2016-10-06T00:17:09Z stdout F ")->text.empty());
  CHECK(parse_log_line("2016-10-06T00:17:09Z stdout F")->text.empty());
  CHECK_FALSE(parse_log_line("nonsense"));
  CHECK_FALSE(parse_log_line("a b c d"));
  Folder d;
  std::string path = d.path + "/0.log";
  append(path, line(0, "one") + line(1, "tw", "P") + line(2, "o") + line(3, "three", "F", "stderr"));
  CHECK(tail_of_log(path, 80, 2048) == "one\ntwo\nthree\n");
  CHECK(tail_of_log(path, 1, 2048) == "three\n");
  CHECK(tail_of_log(path, 80, 3) == "ee\n");
  CHECK(tail_of_log(d.path + "/none", 80, 3).empty());
}

TEST_CASE("logs are filtered, and followed across rotation until the container ends") {
  auto loop = async::RealLoop::create();
  async::TaskGroup group("test");
  Folder d;
  std::string path = d.path + "/0.log", out;
  bool done = false;
  append(path, line(0, "one") + line(10, "two") + line(20, "three", "F", "stderr"));
  auto run = [&](LogOptions o) {
    out.clear();
    done = false;
    group.spawn(read(path, o, nullptr, &out, &done));
    CHECK(done);
    return out;
  };
  LogOptions o;
  CHECK(run(o) == "one\ntwo\nthree\n");
  o.tail_lines = 2;
  CHECK(run(o) == "two\nthree\n");
  o.tail_lines = 0;
  CHECK(run(o).empty());
  o = {};
  o.since = from_unix(1010);
  CHECK(run(o) == "two\nthree\n");
  o = {};
  o.limit_bytes = 5;
  CHECK(run(o) == "one\nt");
  o = {};
  o.stream = "Stderr";
  CHECK(run(o) == "three\n");
  o = {};
  o.timestamps = true;
  o.tail_lines = 1;
  CHECK(run(o) == format_rfc3339_nano(from_unix(1020)) + " three\n");

  o = {};
  o.follow = true;
  LogFollow follow;
  out.clear();
  done = false;
  group.spawn(read(path, o, &follow, &out, &done));
  CHECK(out == "one\ntwo\nthree\n");
  struct Steps {
    static async::Task<void> go(std::string path, std::string* out, LogFollow* follow, bool* done, async::RealLoop* loop) {
      append(path, line(30, "four"));
      while (out->find("four") == std::string::npos) (void)co_await async::sleep_for(5ms);
      fs::rename(path, path + ".old");
      append(path, line(40, "five"));
      while (out->find("five") == std::string::npos) (void)co_await async::sleep_for(5ms);
      append(path, line(50, "six"));
      follow->end();
      while (!*done) (void)co_await async::sleep_for(5ms);
      loop->stop();
    }
  };
  group.spawn(Steps::go(path, &out, &follow, &done, loop.get()));
  loop->run();
  CHECK(out == "one\ntwo\nthree\nfour\nfive\nsix\n");
}

TEST_CASE("who goes first when memory is short") {
  auto order = rank_for_memory({{"critical", 0, 900, 0, true}, {"within", 0, 10, 100, false}, {"above-important", 10, 500, 100, false},
                                {"above-little", 0, 150, 100, false}, {"above-much", 0, 400, 100, false}});
  CHECK(order == std::vector<std::string>{"above-much", "above-little", "above-important", "within"});
}

TEST_CASE("a static pod's manifest is completed as the API server would") {
  auto pod = static_pod_from(R"(apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: c, image: "web:1", livenessProbe: {httpGet: {port: 80}}, resources: {limits: {cpu: 100m, memory: 1Mi}}}]}
)",
                             "web.yaml", "Node1");
  REQUIRE(pod);
  CHECK(pod->metadata.name == "web-node1");
  CHECK(pod->spec.termination_grace_period_seconds == 30);
  CHECK(pod->spec.restart_policy == "Always");
  const auto& c = pod->spec.containers[0];
  CHECK(c.image_pull_policy == "IfNotPresent");
  CHECK(c.termination_message_path == "/dev/termination-log");
  REQUIRE(c.liveness_probe);
  CHECK(c.liveness_probe->period_seconds == 10);
  CHECK(c.liveness_probe->failure_threshold == 3);
  CHECK(c.resources.requests.at("cpu") == Quantity::from_milli(100));
  CHECK_FALSE(static_pod_from("kind: Pod\nmetadata: {name: a}\nspec: {containers: x}\n", "bad.yaml", "n"));
}
