#include "storage/harness.hpp"

#include <set>

using namespace storage_test;

namespace {

Task<void> writes_and_reads(Store* s) {
  std::int64_t r0 = s->current_revision();
  CHECK(r0 == 1);
  KeyValue a = co_await put_new(s, "/a", "1");
  CHECK(a.create_revision == r0 + 1);
  CHECK(a.mod_revision == r0 + 1);
  KeyValue b = co_await put(s, "/a", "2");
  CHECK(b.create_revision == a.create_revision);
  CHECK(b.mod_revision == r0 + 2);
  CHECK(s->current_revision() == r0 + 2);

  auto again = co_await s->create("/a", bytes("x"));
  CHECK(again.is(Reason::AlreadyExists));
  REQUIRE(again.current);
  CHECK(*again.current->value == "2");
  auto stale = co_await s->update("/a", bytes("x"), a.mod_revision);
  CHECK(stale.is(Reason::Conflict));
  REQUIRE(stale.current);
  CHECK(stale.current->mod_revision == b.mod_revision);
  auto missing = co_await s->update("/b", bytes("x"), 0);
  CHECK(missing.is(Reason::NotFound));
  CHECK(!missing.current);
  CHECK(s->current_revision() == r0 + 2);  // failures take no revision

  auto wrong = co_await s->remove("/a", a.mod_revision);
  CHECK(wrong.is(Reason::Conflict));
  auto gone = must(co_await s->remove("/a", b.mod_revision));
  CHECK(*gone.value == "2");
  CHECK(gone.mod_revision == r0 + 3);
  CHECK(gone.create_revision == a.create_revision);
  auto none = co_await s->get("/a");
  CHECK(none.is(Reason::NotFound));
  CHECK((co_await s->remove("/a", 0)).is(Reason::NotFound));
  KeyValue c = co_await put_new(s, "/a", "3");
  CHECK(c.create_revision == r0 + 4);

  // The past.
  CHECK(*must(co_await s->get("/a", r0 + 1)).value == "1");
  CHECK(must(co_await s->get("/a", r0 + 2)).mod_revision == r0 + 2);
  CHECK((co_await s->get("/a", r0 + 3)).is(Reason::NotFound));
  CHECK((co_await s->get("/a", r0)).is(Reason::NotFound));
  CHECK(*must(co_await s->get("/a", r0 + 4)).value == "3");
  auto future = co_await s->get("/a", r0 + 5);
  CHECK(future.is(Reason::Timeout));
  CHECK(future.status().details().causes.at(0).type == "ResourceVersionTooLarge");
}

Task<void> bad_writes(Store* s) {
  CHECK((co_await s->create("", bytes("x"))).is(Reason::BadRequest));
  CHECK((co_await s->create("\xff", bytes("x"))).is(Reason::BadRequest));
  CHECK((co_await s->create("/a", nullptr)).is(Reason::BadRequest));
  CHECK((co_await s->create("/a", bytes(std::string((4 << 20) + 1, 'x')))).is(Reason::RequestEntityTooLarge));
  auto empty = must(co_await s->create("/empty", bytes("")));
  CHECK(must(co_await s->get("/empty")).value->empty());
  std::string raw("\0\xff\x01k8s", 6);
  must(co_await s->create("/raw", bytes(raw)));
  CHECK(*must(co_await s->get("/raw")).value == raw);
}

Task<void> lists(Store* s) {
  for (const char* k : {"/p/b", "/p/a", "/q/a", "/p/c", "/p", "/pa", "/p/d"}) co_await put_new(s, k, "v");
  std::int64_t now = s->current_revision();
  auto all = must(co_await s->list("/p/"));
  CHECK(text(all) == "/p/a=v@3 /p/b=v@2 /p/c=v@5 /p/d=v@8");
  CHECK(all.revision == now);
  CHECK(!all.more);
  auto page = must(co_await s->list("/p/", "", 2));
  CHECK(text(page) == "/p/a=v@3 /p/b=v@2");
  CHECK(page.more);
  CHECK(page.remaining == 2);
  co_await drop(s, "/p/c");
  co_await put_new(s, "/p/ca", "new");
  co_await put(s, "/p/d", "new");
  auto rest = must(co_await s->list("/p/", "/p/b", 2, page.revision));
  CHECK(text(rest) == "/p/c=v@5 /p/d=v@8");
  CHECK(!rest.more);
  CHECK(rest.remaining == 0);
  auto one = must(co_await s->list("/p/", "/p/b", 1, page.revision));
  CHECK(text(one) == "/p/c=v@5");
  CHECK(one.remaining == 1);
  CHECK(text(must(co_await s->list("/p/", "/p/b"))) == "/p/ca=new@10 /p/d=new@11");
  CHECK(must(co_await s->list("")).items.size() == 7);
  CHECK(must(co_await s->list("/none/")).items.empty());
  CHECK(must(co_await s->count("/p/")) == 4);
  CHECK(must(co_await s->count("")) == 7);
}

Task<void> watches(Store* s) {
  co_await put_new(s, "/p/a", "1");                       // 2
  co_await put_new(s, "/q/a", "x");                       // 3
  auto w = must(co_await s->watch("/p/", 1));
  co_await put(s, "/p/a", "2");                           // 4
  auto past = co_await take(w.get(), 2);
  CHECK(text(past[0]) == "create /p/a=1@2");
  CHECK(text(past[1]) == "update /p/a=2@4 was 1@2");
  CHECK(w->progress() == 4);
  auto now = must(co_await s->watch("/p/", 0));
  co_await put(s, "/q/a", "y");                           // 5
  co_await drop(s, "/p/a");                               // 6
  co_await put_new(s, "/p/a", "3");                       // 7
  auto live = co_await take(w.get(), 2);
  CHECK(text(live[0]) == "delete /p/a=2@6 was 2@4");
  CHECK(live[0].kv.create_revision == 2);
  CHECK(text(live[1]) == "create /p/a=3@7");
  auto same = co_await take(now.get(), 2);
  CHECK(text(same[1]) == "create /p/a=3@7");
  co_await put(s, "/q/a", "z");
  CHECK(w->progress() == 8);  // nothing of its own is outstanding
  auto future = co_await s->watch("/p/", 9);
  CHECK(future.is(Reason::Timeout));
  CHECK(s->stats().watchers == 2);
  now.reset();
  CHECK(s->stats().watchers == 1);
}

Task<void> wait_for_one(Watch* w, std::string* out) {
  auto events = co_await w->next();
  *out = events ? text(events->at(0)) : std::string(to_string(events.reason()));
  if (!events && events.is(Reason::Cancelled)) *out = "Cancelled";
  if (!events && events.is(Reason::Closed)) *out = "Closed";
}

Task<void> watches_wait(Store* s) {
  auto w = must(co_await s->watch("/p/", 0));
  std::string got, other;
  TaskGroup group("watchers");
  group.spawn(wait_for_one(w.get(), &got));
  co_await put_new(s, "/p/a", "1");
  co_await group.join();
  CHECK(got == "create /p/a=1@2");
  TaskGroup cancelled("cancelled");
  cancelled.spawn(wait_for_one(w.get(), &other));
  cancelled.cancel();
  co_await cancelled.join();
  CHECK(other == "Cancelled");
  co_await put(s, "/p/a", "2");
  auto after = co_await take(w.get(), 1);  // the watch outlives a cancelled wait
  CHECK(text(after[0]) == "update /p/a=2@3 was 1@2");
  TaskGroup closing("closing");
  closing.spawn(wait_for_one(w.get(), &other));
  co_await s->close();
  co_await closing.join();
  CHECK(other == "Closed");
  CHECK((co_await s->get("/p/a")).is(Reason::Closed));
  CHECK((co_await s->list("/p/")).is(Reason::Closed));
  CHECK((co_await s->create("/p/b", bytes("1"))).is(Reason::Closed));
  CHECK((co_await s->watch("/p/", 0)).is(Reason::Closed));
}

Task<void> compacts(Store* s) {
  co_await put_new(s, "/p/a", "1");  // 2
  co_await put(s, "/p/a", "2");      // 3
  co_await put_new(s, "/p/b", "1");  // 4
  auto lagging = must(co_await s->watch("/p/", 1));
  auto fresh = must(co_await s->watch("/p/", 4));
  co_await put(s, "/p/a", "3");  // 5
  co_await drop(s, "/p/b");      // 6
  auto compacted = co_await s->compact(4);
  CHECK(compacted.is_ok());
  CHECK(s->oldest_revision() == 4);
  CHECK((co_await s->get("/p/a", 3)).is(Reason::Expired));
  CHECK((co_await s->list("/p/", "", 0, 3)).is(Reason::Expired));
  CHECK((co_await s->watch("/p/", 3)).is(Reason::Expired));
  CHECK((co_await lagging->next()).is(Reason::Expired));
  CHECK(text(must(co_await s->list("/p/", "", 0, 4))) == "/p/a=2@3 /p/b=1@4");
  CHECK(*must(co_await s->get("/p/b", 5)).value == "1");
  auto events = co_await take(fresh.get(), 2);
  CHECK(text(events[0]) == "update /p/a=3@5 was 2@3");
  CHECK(text(events[1]) == "delete /p/b=1@6 was 1@4");
  (void)co_await s->compact(1000);  // clamped to now
  CHECK(s->oldest_revision() == 6);
  CHECK(text(must(co_await s->list("/p/"))) == "/p/a=3@5");
  CHECK(text(must(co_await s->list("/p/", "", 0, 6))) == "/p/a=3@5");
  auto w = must(co_await s->watch("/p/", 6));
  co_await put(s, "/p/a", "4");
  auto last = co_await take(w.get(), 1);
  CHECK(text(last[0]) == "update /p/a=4@7 was 3@5");
}

Task<void> drops_slow_watchers(Store* s) {
  auto slow = must(co_await s->watch("/p/", 0));
  auto other = must(co_await s->watch("/q/", 0));
  co_await put_new(s, "/p/first", "1");
  CHECK((co_await take(slow.get(), 1)).size() == 1);  // now it takes what is published
  for (int i = 0; i < 12; ++i) co_await put_new(s, "/p/" + std::to_string(i), "1");
  CHECK((co_await slow->next()).is(Reason::Expired));
  CHECK((co_await slow->next()).is(Reason::Expired));
  co_await put_new(s, "/q/a", "1");
  CHECK((co_await take(other.get(), 1)).size() == 1);
}

Task<void> expires(Store* s) {
  auto w = must(co_await s->watch("", 0));
  must(co_await s->create("/registry/events/a", bytes("1"), {5ms}));
  must(co_await s->create("/kept", bytes("1"), {1h}));
  must(co_await s->create("/short", bytes("1"), {5ms}));
  std::set<std::string> gone;
  std::size_t seen = 0;
  while (gone.size() < 2) {
    auto events = must(co_await w->next());
    for (const auto& e : events) {
      ++seen;
      if (e.type == WatchEvent::Type::Delete) gone.insert(e.kv.key);
    }
  }
  CHECK(seen == 5);
  CHECK(gone == std::set<std::string>{"/registry/events/a", "/short"});
  // A write without a ttl drops the earlier one.
  must(co_await s->create("/b", bytes("1"), {20ms}));
  must(co_await s->update("/b", bytes("2"), 0));
  must(co_await s->create("/c", bytes("1"), {30ms}));
  for (bool c_gone = false; !c_gone;) {
    auto events = must(co_await w->next());
    for (const auto& e : events) c_gone |= e.type == WatchEvent::Type::Delete && e.kv.key == "/c";
  }
  CHECK(must(co_await s->get("/b")).mod_revision > 0);
}

Task<void> increment(Store* s, int times, int* conflicts) {
  for (int i = 0; i < times;) {
    auto now = must(co_await s->get("/counter"));
    auto r = co_await s->update("/counter", bytes(std::to_string(std::stoi(*now.value) + 1)), now.mod_revision);
    if (r) {
      ++i;
    } else {
      CHECK(r.is(Reason::Conflict));
      ++*conflicts;
    }
  }
}
Task<void> create_once(Store* s, std::string key, int* created, int* existed) {
  auto r = co_await s->create(key, bytes("x"));
  ++(r ? *created : *existed);
  if (!r) CHECK(r.is(Reason::AlreadyExists));
}

Task<void> conditions_hold_together(Store* s) {
  co_await put_new(s, "/counter", "0");
  TaskGroup group("writers");
  int conflicts = 0, created = 0, existed = 0;
  for (int i = 0; i < 16; ++i) group.spawn(increment(s, 10, &conflicts));
  for (int i = 0; i < 40; ++i) group.spawn(create_once(s, "/once" + std::to_string(i % 4), &created, &existed));
  co_await group.join();
  CHECK(*must(co_await s->get("/counter")).value == "160");
  CHECK(created == 4);
  CHECK(existed == 36);
  CHECK(s->current_revision() == 1 + 1 + 160 + 4);
}

}  // namespace

TEST_CASE("writes have conditions and revisions; reads see the present and the past") { on_both(writes_and_reads); }
TEST_CASE("keys and values have limits") { on_both(bad_writes); }
TEST_CASE("lists page through one revision") { on_both(lists); }
TEST_CASE("watches replay history and go on with the present") { on_both(watches); }
TEST_CASE("watches wait, are cancelled, and end with the store") { on_both(watches_wait); }
TEST_CASE("compaction forgets the past and nothing else") { on_both(compacts); }
TEST_CASE("a slow watcher gets 410") {
  Limits limits;
  limits.watch.max_events = 10;
  on_both(drops_slow_watchers, limits);
}
TEST_CASE("keys with a ttl are deleted, and watchers see it") { on_both(expires); }
TEST_CASE("conditions hold when writes are committed together") { on_both(conditions_hold_together); }
