// The SQLite store alone: creates per second with N concurrent writers, bytes written to the disk for each, gets, lists.
//   storage_bench [folder] [creates] [writers] [value bytes]
// The folder must lie on a real disk. "written" is write_bytes of /proc/self/io, as in the budget of 8 KB a create.
#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/random.hpp>
#include <onebin/storage/store.hpp>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>

using namespace onebin;
using namespace onebin::async;
using namespace onebin::storage;

namespace {

struct Plan {
  std::string path;
  int creates, writers, value_bytes;
};

long long proc_value(const char* file, const std::string& name) {
  std::ifstream in(file);
  std::string key;
  for (long long value = 0; in >> key;)
    if (key == name) { in >> value; return value; }
  return 0;
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

class Phase {
 public:
  explicit Phase(const char* name) : name_(name) {}
  void end(long long n, const Store& s) {
    double seconds = std::chrono::duration<double>(system_clock().now() - start_).count();
    double per = n > 0 ? static_cast<double>(n) : 1;
    double written = static_cast<double>(proc_value("/proc/self/io", "write_bytes:") - io_) / 1024.0 / per;
    std::printf("%-28s %8.0f/s  %7.1f us CPU  %7.2f KB written  each;  %.2f writes a commit; RSS %lld KB; file %lld KB\n", name_,
                per / seconds, (cpu_seconds() - cpu_) * 1e6 / per, written,
                static_cast<double>(s.stats().writes) / static_cast<double>(std::max<std::int64_t>(1, s.stats().commits)),
                proc_value("/proc/self/status", "VmRSS:"), static_cast<long long>(s.stats().bytes_on_disk / 1024));
  }

 private:
  const char* name_;
  SteadyTime start_ = system_clock().now();
  double cpu_ = cpu_seconds();
  long long io_ = proc_value("/proc/self/io", "write_bytes:");
};

void check(const Status& s) {
  if (s) return;
  std::fprintf(stderr, "%s\n", s.to_string().c_str());
  std::exit(1);
}

std::string key_of(int i) { return "/registry/pods/default/web-" + std::to_string(fnv1a64(std::to_string(i)) % 0xffffffffff); }

Task<void> create(Store* s, Plan p, int* next) {
  std::string value(static_cast<std::size_t>(p.value_bytes), '\0');
  SeededRng rng(1);
  for (auto& c : value) c = static_cast<char>(rng.next());
  while (*next < p.creates) {
    std::string key = key_of((*next)++);
    auto r = co_await s->create(key, make_bytes(value));
    check(r.status());
  }
}
Task<void> update(Store* s, Plan p, int* next) {
  while (*next < p.creates) {
    std::string key = key_of((*next)++);
    auto now = co_await s->get(key);
    check(now.status());
    auto r = co_await s->update(key, make_bytes(*now->value), now->mod_revision);
    check(r.status());
  }
}
Task<void> read(Store* s, Plan p, int* next) {
  while (*next < p.creates) {
    auto r = co_await s->get(key_of((*next)++));
    check(r.status());
  }
}
Task<void> beat(Store* s, Plan p, int* next) {
  while (*next < p.creates) {
    std::string key = "/registry/leases/kube-node-lease/n" + std::to_string((*next)++);
    auto r = co_await s->create(key, make_bytes("lease"));
    check(r.status());
  }
}

using Work = Task<void> (*)(Store*, Plan, int*);

Task<void> phase(Store* s, Plan p, const char* name, int writers, Work work) {
  Phase phase(name);
  TaskGroup group("bench");
  int next = 0;
  for (int i = 0; i < writers; ++i) group.spawn(work(s, p, &next));
  co_await group.join();
  phase.end(p.creates, *s);
}

Task<void> bench(RealLoop* loop, Plan p) {
  SqliteOptions o;
  o.path = p.path;
  auto opened = co_await open_sqlite(o);
  check(opened.status());
  Store* s = opened->get();
  co_await phase(s, p, "create", p.writers, create);
  co_await phase(s, p, "get", p.writers, read);
  co_await phase(s, p, "get and update", p.writers, update);
  co_await phase(s, p, "create volatile", p.writers, beat);
  for (int i = 0; i < 2; ++i) {
    Phase list("list all, each item");
    auto all = co_await s->list("/registry/pods/");
    check(all.status());
    list.end(static_cast<long long>(all->items.size()), *s);
  }
  {
    Phase pages("list in pages of 500");
    std::string from;
    long long n = 0;
    std::int64_t revision = 0;
    for (bool more = true; more;) {
      auto page = co_await s->list("/registry/pods/", from, 500, revision);
      check(page.status());
      n += static_cast<long long>(page->items.size());
      more = page->more;
      revision = page->revision;
      if (more) from = page->items.back().key;
    }
    pages.end(n, *s);
  }
  {
    Phase compaction("compact, each revision");
    auto r = co_await s->compact(s->current_revision());
    check(r.status());
    compaction.end(2LL * p.creates, *s);
  }
  co_await s->close();
  loop->stop();
}

}  // namespace

int main(int argc, char** argv) {
  std::string folder = argc > 1 ? argv[1] : "/var/tmp/onebin-storage-bench";
  Plan p{folder + "/bench.db", argc > 2 ? std::atoi(argv[2]) : 10000,
         argc > 3 ? std::atoi(argv[3]) : 16, argc > 4 ? std::atoi(argv[4]) : 1200};
  check(make_dirs(folder).status());
  for (const char* suffix : {"", "-wal", "-shm"}) check(remove_all(p.path + suffix).status());
  std::printf("%d keys, %d writers, values of %d bytes\n", p.creates, p.writers, p.value_bytes);
  auto loop = RealLoop::create();
  TaskGroup group("bench");
  group.spawn(bench(loop.get(), p));
  loop->run();
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) check(remove_all(p.path + suffix).status());
  return 0;
}
