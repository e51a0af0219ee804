// kill -9 under load. The child (this executable again) writes and says each acknowledged write on a pipe; whatever it
// said must be there afterwards. ONEBIN_CRASH_ROUNDS sets the number of rounds.
#include "storage/harness.hpp"

#include <onebin/base/random.hpp>
#include <onebin/storage/snapshot.hpp>

#include <csignal>
#include <fcntl.h>
#include <map>
#include <set>
#include <sstream>
#include <sys/wait.h>

using namespace storage_test;

namespace {

constexpr int kSay = 3;  // the child's end of the pipe

void say(const std::string& line) {
  if (::write(kSay, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::_Exit(1);
}

// Each writer has keys of its own, so that their last acknowledged state is known. "try" goes before the write,
// "ack" after it; the write between the two may or may not have happened.
Task<void> writer(Store* s, int id, std::string round) {
  SeededRng rng(fnv1a64(round) + static_cast<std::uint64_t>(id));
  for (std::uint64_t i = 0;; ++i) {
    std::string folder = rng.below(8) == 0 ? "/registry/events/w" : "/registry/pods/w";
    std::string key = folder + std::to_string(id) + "-" + std::to_string(rng.below(5));
    std::string value = round + "." + std::to_string(i) + "." + std::string(rng.below(3000), 'x');
    auto now = co_await s->get(key);
    bool drop = now && rng.below(4) == 0;
    say("try " + key + " " + (drop ? "-" : value) + "\n");
    WriteResult r = internal_error("unset");
    if (!now) r = co_await s->create(key, bytes(value));
    else if (drop) r = co_await s->remove(key, now->mod_revision);
    else r = co_await s->update(key, bytes(value), now->mod_revision);
    if (!r) std::_Exit(2);
    say("ack " + key + " " + std::to_string(r->mod_revision) + "\n");
  }
}

Task<void> child(std::string path, std::string round) {
  SqliteOptions o = at(path);
  o.revision_block = 100;
  o.history.max_bytes = 256 << 10;  // compaction and checkpoints run too
  auto s = co_await open_store(o);
  say("start x " + std::to_string(s->current_revision()) + "\n");
  TaskGroup group("writers");
  for (int i = 0; i < 8; ++i) group.spawn(writer(s.get(), i, round));
  co_await group.join();
}

struct Seen {
  std::map<std::string, std::string> acked;     // key -> value, "" when removed
  std::map<std::string, std::int64_t> revision; // of the acknowledged write
  std::map<std::string, std::set<std::string>> open;  // tried since, not acknowledged; "" for a removal
  std::map<std::string, std::string> tried;           // the last of them
  std::int64_t highest = 0, acks = 0;
};

void read_line(const std::string& line, Seen& seen) {
  std::istringstream in(line);
  std::string what, key, rest;
  in >> what >> key >> rest;
  if (what == "try") {
    seen.tried[key] = rest == "-" ? "" : rest;
    seen.open[key].insert(seen.tried[key]);
    return;
  }
  std::int64_t revision = std::stoll(rest);
  if (what == "start") {
    CHECK(revision >= seen.highest);
  } else {
    CHECK(revision > 0);
    seen.acked[key] = seen.tried[key];
    seen.revision[key] = revision;
    seen.open.erase(key);
    ++seen.acks;
  }
  seen.highest = std::max(seen.highest, revision);
}

void kill_under_load(const std::string& path, int round, Rng& rng, Seen& seen) {
  int pipe_fds[2];
  REQUIRE(::pipe2(pipe_fds, O_CLOEXEC) == 0);
  std::string tag = "r" + std::to_string(round);
  pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ::dup2(pipe_fds[1], kSay);
    ::setenv("ONEBIN_CRASH_PATH", path.c_str(), 1);
    ::setenv("ONEBIN_CRASH_TAG", tag.c_str(), 1);
    ::execl("/proc/self/exe", "test_storage", "[crash-child]", static_cast<char*>(nullptr));
    std::_Exit(3);
  }
  Fd in(pipe_fds[0]);
  ::close(pipe_fds[1]);
  std::uint64_t until = 20 + rng.below(2000);  // lines, then the kill
  std::int64_t floor = seen.highest;
  std::string data;
  char buffer[8192];
  std::uint64_t lines = 0;
  bool killed = false;
  for (;;) {
    ssize_t n = ::read(in.get(), buffer, sizeof buffer);
    if (n <= 0) break;
    data.append(buffer, static_cast<std::size_t>(n));
    for (std::size_t end; (end = data.find('\n')) != std::string::npos; data.erase(0, end + 1)) {
      read_line(data.substr(0, end), seen);
      ++lines;
    }
    if (lines >= until && !killed) {
      ::kill(pid, SIGKILL);
      killed = true;
    }
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  CHECK(WIFSIGNALED(status));
  CHECK(seen.highest > floor);  // also: no revision of an earlier round came again
}

Task<void> all_there(std::string path, Seen* seen) {
  SqliteOptions o = at(path);
  o.revision_block = 100;
  auto s = co_await open_store(o);
  CHECK(s->current_revision() >= seen->highest);
  for (const auto& [key, value] : seen->acked) {
    if (starts_with(key, "/registry/events/")) continue;  // may be lost, by contract
    auto now = co_await s->get(key);
    std::string found = now ? *now->value : "";
    bool maybe = seen->open[key].count(found) > 0;
    INFO(key);
    CHECK((found == value || maybe));
    if (now && !maybe && seen->revision.count(key)) CHECK(now->mod_revision == seen->revision[key]);
    seen->acked[key] = found;
    if (now) seen->highest = std::max(seen->highest, now->mod_revision);
  }
  // What was tried but never acknowledged is either there whole or not at all; from here on it is known which.
  seen->open.clear();
  std::int64_t revision = s->current_revision();
  auto list = must(co_await s->list("/registry/pods/"));
  for (const auto& kv : list.items) {
    CHECK(kv.mod_revision <= revision);
    seen->acked[kv.key] = *kv.value;
    seen->revision[kv.key] = kv.mod_revision;
  }
  seen->highest = std::max(seen->highest, revision);
  co_await s->close();
}

}  // namespace

TEST_CASE("the crash test's child", "[.][crash-child]") {
  const char* path = std::getenv("ONEBIN_CRASH_PATH");
  const char* tag = std::getenv("ONEBIN_CRASH_TAG");
  REQUIRE(path);
  run(child, std::string(path), std::string(tag));
}

TEST_CASE("every acknowledged write survives kill -9") {
  const char* rounds_text = std::getenv("ONEBIN_CRASH_ROUNDS");
  int rounds = rounds_text ? std::atoi(rounds_text) : 10;
  TempDir dir;
  std::string path = dir.file("db");
  SeededRng rng(11);
  Seen seen;
  for (int round = 0; round < rounds; ++round) {
    INFO("round " << round);
    kill_under_load(path, round, rng, seen);
    CHECK(check_store(path).is_ok());
    if (round % 2) continue;  // every other time the next child meets the crashed files as they are
    run(all_there, path, &seen);
  }
  run(all_there, path, &seen);
  CHECK(check_store(path).is_ok());
  CHECK(seen.acks > rounds);
}
