// Random writes against a reference: every revision's list, and every watch's replay, must be exact.
#include "storage/harness.hpp"

#include <onebin/base/random.hpp>

#include <map>

using namespace storage_test;

namespace {

struct Reference {
  std::map<std::string, KeyValue> now;
  std::map<std::int64_t, std::map<std::string, KeyValue>> at;  // by revision
  std::vector<std::string> events;                             // text, of revisions 2, 3, ...
};

Task<void> random_write(Store* s, Rng* rng, Reference* ref) {
  std::string key = (rng->below(4) ? "/p/" : "/q/") + std::to_string(rng->below(20));
  std::string value = std::to_string(rng->next() % 1000);
  WatchEvent e;
  auto was = ref->now.find(key);
  if (was != ref->now.end()) {
    e.previous_revision = was->second.mod_revision;
    e.previous_value = was->second.value;
  }
  if (was == ref->now.end()) {
    e.kv = co_await put_new(s, key, value);
    ref->now[key] = e.kv;
  } else if (rng->below(3) == 0) {
    e.type = WatchEvent::Type::Delete;
    e.kv = co_await drop(s, key);
    ref->now.erase(was);
  } else {
    e.kv = co_await put(s, key, value);
    was->second = e.kv;
  }
  ref->events.push_back(text(e));
  ref->at[e.kv.mod_revision] = ref->now;
}

std::string expected_list(const std::map<std::string, KeyValue>& all, const std::string& prefix) {
  ListResult l;
  for (const auto& [key, kv] : all)
    if (starts_with(key, prefix)) l.items.push_back(kv);
  return text(l);
}

Task<void> replays(Store* s) {
  SeededRng rng(7);
  Reference ref;
  ref.at[1] = {};
  for (int i = 0; i < 700; ++i) co_await random_write(s, &rng, &ref);  // more than what is read at once on the loop
  for (std::int64_t r = 1; r <= s->current_revision(); r += 23) {
    for (const char* prefix : {"/p/", "/q/", ""}) CHECK(text(must(co_await s->list(prefix, "", 0, r))) == expected_list(ref.at[r], prefix));
    // Pages of three, of one revision, make up the whole.
    ListResult all;
    for (std::string from;;) {
      auto page = must(co_await s->list("/p/", from, 3, r));
      for (auto& kv : page.items) all.items.push_back(kv);
      std::size_t whole = must(co_await s->list("/p/", "", 0, r)).items.size();
      CHECK(page.remaining == static_cast<std::int64_t>(whole - all.items.size()));
      if (!page.more) break;
      from = page.items.back().key;
    }
    CHECK(text(all) == expected_list(ref.at[r], "/p/"));
    std::string key = "/p/" + std::to_string(r % 20);
    auto one = co_await s->get(key, r);
    CHECK(one.is_ok() == (ref.at[r].count(key) > 0));
    if (one) CHECK(*one->value == *ref.at[r][key].value);
  }
  for (std::int64_t after : {1, 2, 50, 350, 690, 700}) {
    auto w = must(co_await s->watch("", after));
    auto events = co_await take(w.get(), static_cast<std::size_t>(701 - after));
    REQUIRE(events.size() == static_cast<std::size_t>(701 - after));
    for (std::size_t i = 0; i < events.size(); ++i) CHECK(text(events[i]) == ref.events[static_cast<std::size_t>(after) - 1 + i]);
  }
}

Task<void> write_many(Store* s, std::uint64_t seed, std::string mine, int n) {
  SeededRng rng(seed);
  bool there = false;
  for (int i = 0; i < n; ++i) {
    std::string key = "/p/" + mine;
    if (!there) co_await put_new(s, key, std::to_string(i));
    else if (rng.below(4) == 0) co_await drop(s, key);
    else { co_await put(s, key, std::to_string(i)); continue; }
    there = !there;
  }
}

// Follows from `after` up to a revision and rebuilds the content from the list it began with.
Task<void> follow(Store* s, std::int64_t until, std::string* out) {
  auto list = must(co_await s->list("/p/"));
  std::map<std::string, KeyValue> mine;
  for (auto& kv : list.items) mine[kv.key] = kv;
  auto w = must(co_await s->watch("/p/", list.revision));
  std::int64_t last = list.revision;
  while (last < until) {
    auto events = must(co_await w->next());
    for (auto& e : events) {
      CHECK(e.kv.mod_revision == last + 1);  // all writes are of this prefix: none missing, none twice
      last = e.kv.mod_revision;
      auto at = mine.find(e.kv.key);
      CHECK((at == mine.end() ? 0 : at->second.mod_revision) == e.previous_revision);
      if (e.type == WatchEvent::Type::Delete) mine.erase(e.kv.key);
      else mine[e.kv.key] = e.kv;
    }
  }
  *out = expected_list(mine, "");
}

Task<void> pages_stay(Store* s) {
  for (int round = 0; round < 20; ++round) {
    auto whole = must(co_await s->list("/p/"));
    ListResult paged;
    for (std::string from;;) {
      auto page = must(co_await s->list("/p/", from, 2, whole.revision));
      for (auto& kv : page.items) paged.items.push_back(kv);
      if (!page.more) break;
      from = page.items.back().key;
      Status slept = co_await sleep_for(1ms);
      (void)slept;
    }
    CHECK(text(paged) == text(whole));
  }
}

Task<void> follows_under_load(Store* s) {
  constexpr int kWriters = 12, kEach = 60;
  TaskGroup group("load");
  std::string content[6];
  for (int i = 0; i < kWriters; ++i) group.spawn(write_many(s, static_cast<std::uint64_t>(i), "k" + std::to_string(i), kEach));
  group.spawn(pages_stay(s));
  for (auto& c : content) {
    group.spawn(follow(s, 1 + kWriters * kEach, &c));
    Status slept = co_await sleep_for(2ms);
    (void)slept;
  }
  co_await group.join();
  std::string all = text(must(co_await s->list("/p/")));
  for (auto& c : content) CHECK(c == all);
}

}  // namespace

TEST_CASE("each revision can be listed, paged and watched from exactly") { on_both(replays); }
TEST_CASE("list then watch misses nothing and repeats nothing while writes go on") { on_both(follows_under_load); }

TEST_CASE("history is kept for at least five and at most ten minutes, in idle too") {
  auto loop = SimLoop::create(WallTime{});
  auto store = make_memory_store();
  TaskGroup group("test");
  struct Run {
    static Task<void> write(Store* s, int n) {
      for (int i = 0; i < n; ++i) {
        auto r = co_await s->create("/k" + std::to_string(s->current_revision()), make_bytes("v"));
        CHECK(r.is_ok());
        Status slept = co_await sleep_for(10s);
        (void)slept;
      }
    }
    static Task<void> close(Store* s) { co_await s->close(); }
  };
  group.spawn(Run::write(store.get(), 6 * 60));  // an hour
  for (int minute = 1; minute <= 60; ++minute) {
    loop->run_for(1min);
    std::int64_t five_minutes = std::max<std::int64_t>(1, store->current_revision() - 30), ten_minutes = store->current_revision() - 61;
    CHECK(store->oldest_revision() <= five_minutes);
    CHECK(store->oldest_revision() >= ten_minutes - 3);
  }
  loop->run_for(11min);
  CHECK(store->oldest_revision() == store->current_revision());
  group.spawn(Run::close(store.get()));
  loop->run_ready();
  CHECK(group.size() == 0);
}

TEST_CASE("an hour's ttl ends in simulated time") {
  auto loop = SimLoop::create(WallTime{});
  auto store = make_memory_store();
  TaskGroup group("test");
  struct Run {
    static Task<void> write(Store* s) {
      auto r = co_await s->create("/registry/events/a", make_bytes("v"), {1h});
      CHECK(r.is_ok());
    }
    static Task<void> there(Store* s, bool expected) {
      auto r = co_await s->get("/registry/events/a");
      CHECK(r.is_ok() == expected);
    }
    static Task<void> close(Store* s) { co_await s->close(); }
  };
  group.spawn(Run::write(store.get()));
  loop->run_for(59min);
  group.spawn(Run::there(store.get(), true));
  loop->run_for(2min);
  group.spawn(Run::there(store.get(), false));
  group.spawn(Run::close(store.get()));
  loop->run_ready();
  CHECK(group.size() == 0);
}
