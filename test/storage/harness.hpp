// Runs coroutines of tests on a real loop, over either store.
#pragma once
#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/file.hpp>
#include <onebin/storage/store.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace storage_test {
using namespace onebin;
using namespace onebin::async;
using namespace onebin::storage;

inline Task<void> root(RealLoop* loop, Task<void> body, std::exception_ptr* error) {
  try {
    co_await std::move(body);
  } catch (...) {
    *error = std::current_exception();
  }
  loop->stop();
}

template <class Fn, class... Args>
void run(Fn fn, Args... args) {
  auto loop = RealLoop::create();
  std::exception_ptr error;
  TaskGroup group("test");
  group.spawn(root(loop.get(), fn(args...), &error));
  loop->run();
  if (error) std::rethrow_exception(error);
}

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/onebin-storage-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TempDir() { (void)remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

struct Limits {
  HistoryLimits history;
  WatchLimits watch;
};

inline Task<std::unique_ptr<Store>> open_store(SqliteOptions options) {
  auto s = co_await open_sqlite(std::move(options));
  if (!s) throw std::runtime_error(s.status().to_string());
  co_return std::move(*s);
}
inline SqliteOptions at(std::string path) {
  SqliteOptions o;
  o.path = std::move(path);
  return o;
}

using Scenario = Task<void> (*)(Store*);

inline Task<void> with_store(bool sqlite, std::string path, Limits limits, Scenario scenario) {
  std::unique_ptr<Store> store;
  if (sqlite) {
    SqliteOptions o = at(path);
    o.history = limits.history;
    o.watch = limits.watch;
    store = co_await open_store(o);
  } else {
    store = make_memory_store({limits.history, limits.watch});
  }
  std::exception_ptr error;
  try {
    co_await scenario(store.get());
  } catch (...) {
    error = std::current_exception();
  }
  co_await store->close();
  if (error) std::rethrow_exception(error);
}

// The contract is one, whoever keeps it.
inline void on_both(Scenario scenario, Limits limits = {}) {
  SECTION("memory") { run(with_store, false, std::string(), limits, scenario); }
  SECTION("sqlite") {
    TempDir dir;
    run(with_store, true, dir.file("db"), limits, scenario);
  }
}

inline Bytes bytes(std::string s) { return make_bytes(std::move(s)); }

template <class T>
T must(Result<T> r) {
  if (!r) throw std::runtime_error(r.status().to_string());
  return std::move(*r);
}
inline KeyValue must(WriteResult r) { return must(Result<KeyValue>(std::move(r))); }

inline Task<KeyValue> put_new(Store* s, std::string key, std::string value) { co_return must(co_await s->create(key, bytes(value))); }
inline Task<KeyValue> put(Store* s, std::string key, std::string value) { co_return must(co_await s->update(key, bytes(value), 0)); }
inline Task<KeyValue> drop(Store* s, std::string key) { co_return must(co_await s->remove(key, 0)); }

inline std::string text(const WatchEvent& e) {
  std::string t = e.type == WatchEvent::Type::Delete ? "delete " : e.is_create() ? "create " : "update ";
  t += e.kv.key + "=" + *e.kv.value + "@" + std::to_string(e.kv.mod_revision);
  if (e.previous_value) t += " was " + *e.previous_value + "@" + std::to_string(e.previous_revision);
  return t;
}
inline std::string text(const ListResult& l) {
  std::string t;
  for (const auto& kv : l.items) t += (t.empty() ? "" : " ") + kv.key + "=" + *kv.value + "@" + std::to_string(kv.mod_revision);
  return t;
}

// Takes events until there are n; throws when the watch ends before.
inline Task<std::vector<WatchEvent>> take(Watch* w, std::size_t n) {
  std::vector<WatchEvent> all;
  while (all.size() < n) {
    auto events = must(co_await w->next());
    for (auto& e : events) all.push_back(std::move(e));
  }
  co_return all;
}

}  // namespace storage_test
