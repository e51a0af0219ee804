// What only the store on disk promises: restarts, crashes, volatile keys, snapshots, and its errors.
#include "storage/harness.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/storage/snapshot.hpp>

#include <fstream>
#include <random>
#include <sqlite3.h>
#include <sys/stat.h>

using namespace storage_test;

namespace {

constexpr const char* kEvent = "/registry/events/ns/e";
constexpr const char* kBeat = "/registry/leases/kube-node-lease/n1";
constexpr const char* kLease = "/registry/leases/kube-system/scheduler";

// The store's files as a crash at this moment would leave them.
void copy_files(const std::string& from, const std::string& to) {
  for (const char* suffix : {"", "-wal"}) {
    auto data = read_file(from + suffix);
    if (data) REQUIRE(write_file(to + suffix, *data));
  }
}

void sql(const std::string& path, const char* text) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
  REQUIRE(sqlite3_exec(db, text, nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(db);
}

Task<void> reopens(std::string path) {
  auto s = co_await open_store(at(path));
  co_await put_new(s.get(), "/a", "1");    // 2
  co_await put(s.get(), "/a", "2");        // 3
  co_await put_new(s.get(), kBeat, "b1");  // 4
  co_await put_new(s.get(), kEvent, "e1"); // 5
  co_await put(s.get(), kBeat, "b2");      // 6
  co_await s->close();
  s = co_await open_store(at(path));
  CHECK(s->current_revision() == 6);  // a clean end leaves no gap
  CHECK(*must(co_await s->get("/a")).value == "2");
  CHECK(*must(co_await s->get("/a", 2)).value == "1");
  CHECK(must(co_await s->get(kBeat)).mod_revision == 6);
  CHECK(must(co_await s->get(kBeat)).create_revision == 4);
  CHECK(*must(co_await s->get(kEvent)).value == "e1");
  auto w = must(co_await s->watch("/a", 2));
  auto events = co_await take(w.get(), 1);
  CHECK(text(events[0]) == "update /a=2@3 was 1@2");
  // Volatile keys have no history from before the start.
  CHECK((co_await s->watch("/registry/events/", 5)).is(Reason::Expired));
  CHECK((co_await s->watch("/registry/leases/", 5)).is(Reason::Expired));
  CHECK((co_await s->get(kBeat, 5)).is(Reason::Expired));
  auto beats = must(co_await s->watch(kBeat, 6));
  CHECK((co_await drop(s.get(), kBeat)).mod_revision == 7);
  auto gone = co_await take(beats.get(), 1);
  CHECK(text(gone[0]) == "delete " + std::string(kBeat) + "=b2@7 was b2@6");
  co_await s->close();
  s = co_await open_store(at(path));
  CHECK((co_await s->get(kBeat)).is(Reason::NotFound));
  co_await s->close();
}

Task<void> survives_a_crash(std::string path, std::string after) {
  auto s = co_await open_store(at(path));
  co_await put_new(s.get(), "/a", "1");
  co_await put_new(s.get(), kEvent, "e1");
  co_await put_new(s.get(), kLease, "l1");
  KeyValue last = co_await put(s.get(), kEvent, "e2");
  copy_files(path, after);
  co_await s->close();
  s = co_await open_store(at(after));
  CHECK(s->current_revision() > last.mod_revision);  // revisions that were shown are not issued again
  std::int64_t start = s->current_revision();
  CHECK(must(co_await s->get("/a")).mod_revision == 2);
  CHECK(*must(co_await s->get(kLease)).value == "l1");  // other Leases are durable
  CHECK((co_await s->get(kEvent)).is(Reason::NotFound));
  CHECK((co_await s->watch("/registry/events/", last.mod_revision)).is(Reason::Expired));
  auto durable = must(co_await s->watch("/a", 2));
  CHECK((co_await put(s.get(), "/a", "2")).mod_revision == start + 1);
  auto events = co_await take(durable.get(), 1);
  CHECK(text(events[0]) == "update /a=2@" + std::to_string(start + 1) + " was 1@2");
  co_await s->close();
}

Task<void> flushes(std::string path, std::string after) {
  SqliteOptions o = at(path);
  o.volatile_flush_interval = 1ms;
  auto s = co_await open_store(o);
  co_await put_new(s.get(), kEvent, "e1");
  for (bool there = false; !there;) {
    Status slept = co_await sleep_for(5ms);
    REQUIRE(slept);
    copy_files(path, after);
    auto copy = co_await open_store(at(after));
    there = (co_await copy->get(kEvent)).is_ok();
    co_await copy->close();
  }
  co_await s->close();
}

Task<void> spans_both_classes(std::string path) {
  auto s = co_await open_store(at(path));
  co_await put_new(s.get(), kLease, "1");  // 2
  co_await put_new(s.get(), kBeat, "1");   // 3
  co_await put(s.get(), kLease, "2");      // 4
  co_await put(s.get(), kBeat, "2");       // 5
  co_await put_new(s.get(), "/registry/leases/a/x", "1");  // 6
  auto all = must(co_await s->list("/registry/leases/"));
  CHECK(text(all) == "/registry/leases/a/x=1@6 " + std::string(kBeat) + "=2@5 " + kLease + "=2@4");
  auto page = must(co_await s->list("/registry/leases/", "", 1));
  CHECK(page.remaining == 2);
  auto rest = must(co_await s->list("/registry/leases/", page.items[0].key, 5, page.revision));
  CHECK(rest.items.size() == 2);
  CHECK(text(must(co_await s->list("/registry/leases/", "", 0, 4))) == std::string(kBeat) + "=1@3 " + kLease + "=2@4");
  CHECK(must(co_await s->count("/registry/leases/")) == 3);
  auto w = must(co_await s->watch("/registry/leases/", 1));
  auto events = co_await take(w.get(), 5);
  for (std::size_t i = 0; i < 5; ++i) CHECK(events[i].kv.mod_revision == static_cast<std::int64_t>(i) + 2);
  CHECK(s->stats().writes == 5);
  co_await s->close();
}

// Values lie deflated in the file, and as they are in one of schema 1.
Task<void> deflates(std::string path) {
  std::string pod;
  while (pod.size() < 4000) pod += "{\"f:name\":{},\"f:value\":{},\"n\":" + std::to_string(pod.size()) + "}";
  auto s = co_await open_store(at(path));
  co_await put_new(s.get(), "/a", pod);
  co_await put_new(s.get(), "/b", "\x01 looks deflated");
  co_await s->close();
  auto file = read_file(path);
  REQUIRE(file);
  CHECK(file->find(pod.substr(0, 1000)) == std::string::npos);
  sql(path, ("PRAGMA user_version=1; UPDATE log SET value = CAST('" + pod + "' AS BLOB) WHERE key = '/a'").c_str());
  s = co_await open_store(at(path));
  CHECK(*must(co_await s->get("/a")).value == pod);
  CHECK(*must(co_await s->get("/b")).value == "\x01 looks deflated");
  co_await put(s.get(), "/a", pod + "2");
  CHECK(*must(co_await s->get("/a")).value == pod + "2");
  co_await s->close();
  sql(path, "UPDATE log SET value = CAST(X'01FFFFFF7F00' AS BLOB) WHERE key = '/b'");
  s = co_await open_store(at(path));
  auto damaged = co_await s->get("/b");
  CHECK_FALSE(damaged);
  CHECK(damaged.status().message().find("damaged") != std::string::npos);
  co_await s->close();
}

Task<void> refuses(std::string path) {
  auto s = co_await open_store(at(path));
  auto second = co_await open_sqlite(at(path));
  REQUIRE(second.is(Reason::ServiceUnavailable));
  CHECK(second.status().message().find("in use by another onebin") != std::string::npos);
  CHECK(restore_snapshot(path, path).is(Reason::ServiceUnavailable));
  co_await s->close();

  sql(path, "PRAGMA user_version=99");
  auto newer = co_await open_sqlite(at(path));
  REQUIRE(!newer);
  CHECK(newer.status().message().find("newer onebin") != std::string::npos);

  sql(path + "-foreign", "CREATE TABLE t(a)");
  auto foreign = co_await open_sqlite(at(path + "-foreign"));
  REQUIRE(!foreign);
  CHECK(foreign.status().message().find("not one of onebin") != std::string::npos);

  REQUIRE(write_file(path + "-text", std::string(9000, 'x')));
  auto text_file = co_await open_sqlite(at(path + "-text"));
  REQUIRE(!text_file);
  CHECK(text_file.status().message().find("restore a snapshot") != std::string::npos);
  CHECK(!(co_await open_sqlite(at(path + "/no/such/folder"))));
}

Task<void> writes_until(Store* s, const bool* stop, int* n) {
  while (!*stop) co_await put_new(s, "/w/" + std::to_string((*n)++), std::string(500, 'w'));
}

Result<SnapshotInfo> save(std::string path, std::string to) { return save_snapshot(path, to, 1234); }

Task<void> snapshots(std::string path, std::string snapshot) {
  auto s = co_await open_store(at(path));
  for (int i = 0; i < 50; ++i) co_await put_new(s.get(), "/k" + std::to_string(i), "v");
  co_await put(s.get(), "/k0", "v2");
  bool stop = false;
  int written = 0;
  TaskGroup group("writer");
  group.spawn(writes_until(s.get(), &stop, &written));
  auto info = must(co_await run_blocking([path, snapshot] { return save(path, snapshot); }));
  stop = true;
  co_await group.join();
  CHECK(info.keys >= 50);
  CHECK(info.revision >= 52);
  CHECK(info.unix_time == 1234);
  co_await put(s.get(), "/k0", "v3");
  co_await put_new(s.get(), "/later", "1");
  std::int64_t shown = s->current_revision();
  co_await s->close();

  CHECK(verify_snapshot(snapshot).is_ok());
  must(restore_snapshot(snapshot, path));
  CHECK(check_store(path).is_ok());
  struct stat st;
  for (const std::string& file : {path, snapshot, path + ".before-restore"}) {
    REQUIRE(::stat(file.c_str(), &st) == 0);
    CHECK((st.st_mode & 0777) == 0600);  // there are Secrets in it
  }
  s = co_await open_store(at(path));
  CHECK(s->current_revision() > shown);
  CHECK(s->oldest_revision() == s->current_revision());
  CHECK(*must(co_await s->get("/k0")).value == "v2");
  CHECK((co_await s->get("/later")).is(Reason::NotFound));
  CHECK((co_await s->watch("/k", shown)).is(Reason::Expired));
  auto w = must(co_await s->watch("/k", 0));
  KeyValue next = co_await put(s.get(), "/k0", "v4");
  auto events = co_await take(w.get(), 1);
  CHECK(*events[0].previous_value == "v2");
  CHECK(next.mod_revision == s->oldest_revision() + 1);
  co_await s->close();
  must(restore_snapshot(snapshot, path + "-elsewhere"));
  CHECK(check_store(path + "-elsewhere").is_ok());
}

void damaged_snapshots(const std::string& dir) {
  std::string whole = must(read_file(dir));
  std::string flipped = whole;
  flipped[whole.size() / 2] ^= 1;
  REQUIRE(write_file(dir + ".flipped", flipped));
  CHECK(verify_snapshot(dir + ".flipped").is(Reason::BadRequest));
  REQUIRE(write_file(dir + ".cut", whole.substr(0, whole.size() - 1000)));
  CHECK(verify_snapshot(dir + ".cut").is(Reason::BadRequest));
  CHECK(restore_snapshot(dir + ".cut", dir + ".target").is(Reason::BadRequest));
  CHECK(!path_exists(dir + ".target"));
  CHECK(!verify_snapshot(dir + ".none"));
}

Task<void> shrinks(std::string path) {
  SqliteOptions o = at(path);
  auto s = co_await open_store(o);
  std::string big(64 << 10, 'x');
  for (int i = 0; i < 300; ++i) co_await put_new(s.get(), "/big/" + std::to_string(i), big);
  co_await put_new(s.get(), "/small", "1");
  for (int i = 0; i < 300; ++i) co_await drop(s.get(), "/big/" + std::to_string(i));
  auto done = co_await s->compact(s->current_revision());
  CHECK(done.is_ok());
  CHECK(text(must(co_await s->list(""))) == "/small=1@302");
  co_await s->close();
  struct stat st;
  REQUIRE(::stat(path.c_str(), &st) == 0);
  CHECK(st.st_size < (4 << 20));
  CHECK(check_store(path).is_ok());
}

Task<void> bounds_history(std::string path) {
  SqliteOptions o = at(path);
  o.history.max_bytes = 1 << 20;
  auto s = co_await open_store(o);
  co_await put_new(s.get(), "/k", "");
  for (int i = 0; i < 100; ++i) co_await put(s.get(), "/k", std::string(100 << 10, 'x'));
  CHECK(s->oldest_revision() > 80);
  CHECK(s->oldest_revision() < 102);
  CHECK(must(co_await s->get("/k", s->oldest_revision())).mod_revision == s->oldest_revision());
  co_await s->close();
  CHECK(check_store(path).is_ok());
}

Task<void> try_create(Store* s, std::string key, std::string value, WriteResult* out) { *out = co_await s->create(key, bytes(value)); }

Task<void> fills_up(std::string path) {
  SqliteOptions o = at(path);
  o.max_database_bytes = 1 << 20;
  auto s = co_await open_store(o);
  std::string big;  // what deflate cannot make smaller
  std::mt19937 random(1);
  while (big.size() < (100u << 10)) big.push_back(static_cast<char>(random()));
  int n = 0;
  for (;; ++n) {
    auto r = co_await s->create("/big/" + std::to_string(n), bytes(big));
    if (r) continue;
    CHECK(r.is(Reason::ServiceUnavailable));
    CHECK(r.status().message().find("free space") != std::string::npos);
    break;
  }
  CHECK(n > 5);
  std::int64_t before = s->current_revision();
  // A failed commit undoes the volatile writes that shared it, and takes no revision.
  TaskGroup group("together");
  std::vector<WriteResult> out(10, internal_error("unset"));
  for (int i = 0; i < 10; ++i) {
    std::string key = (i % 2 ? "/big/x" : "/registry/events/e") + std::to_string(i);
    group.spawn(try_create(s.get(), key, i % 2 ? big : "e", &out[static_cast<std::size_t>(i)]));
  }
  co_await group.join();
  std::int64_t ok = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::string key = (i % 2 ? "/big/x" : "/registry/events/e") + std::to_string(i);
    CHECK((co_await s->get(key)).is_ok() == out[i].is_ok());
    ok += out[i].is_ok();
  }
  CHECK(ok <= 5);
  CHECK(s->current_revision() == before + ok);
  // What failed can be written once there is room again.
  auto done = co_await s->compact(s->current_revision());
  CHECK(done.is_ok());
  CHECK(must(co_await s->count("/big/")) == n);
  auto w = must(co_await s->watch("", 0));
  co_await put_new(s.get(), "/registry/events/last", "e");
  std::size_t again = 1;
  for (int i = 0; i < 10; i += 2) {
    if (out[static_cast<std::size_t>(i)]) continue;
    co_await put_new(s.get(), "/registry/events/e" + std::to_string(i), "e");
    ++again;
  }
  CHECK(must(co_await s->count("/registry/events/")) == 6);
  CHECK((co_await take(w.get(), again)).size() == again);
  CHECK(s->stats().health.is_ok());
  co_await s->close();
  CHECK(check_store(path).is_ok());
}

Task<void> write_range(Store* s, int from, int to) {
  for (int i = from; i < to; ++i) co_await put_new(s, "/p/" + std::to_string(100000 + i), "v" + std::to_string(i));
}

Task<void> lists_many(std::string path) {
  auto s = co_await open_store(at(path));
  TaskGroup group("writers");
  for (int i = 0; i < 20; ++i) group.spawn(write_range(s.get(), i * 100, i * 100 + 100));
  co_await group.join();
  CHECK(s->stats().commits < 600);  // writes of one turn of the loop share a few commits
  auto all = must(co_await s->list("/p/"));
  REQUIRE(all.items.size() == 2000);
  for (std::size_t i = 0; i < all.items.size(); ++i) CHECK(*all.items[i].value == "v" + std::to_string(i));
  auto page = must(co_await s->list("/p/", "", 700));
  CHECK(page.items.size() == 700);
  CHECK(page.remaining == 1300);
  co_await s->close();
}

}  // namespace

TEST_CASE("a store continues where it was closed") {
  TempDir dir;
  run(reopens, dir.file("db"));
}
TEST_CASE("after a crash durable keys are there, revisions move on, volatile watches get 410") {
  TempDir dir;
  run(survives_a_crash, dir.file("db"), dir.file("after"));
}
TEST_CASE("volatile keys are written at their cadence") {
  TempDir dir;
  run(flushes, dir.file("db"), dir.file("after"));
}
TEST_CASE("a prefix may span durable and volatile keys") {
  TempDir dir;
  run(spans_both_classes, dir.file("db"));
}
TEST_CASE("values lie deflated in the file, and damage is told") {
  TempDir dir;
  run(deflates, dir.file("db"));
}
TEST_CASE("a store that cannot be used says why and what to do") {
  TempDir dir;
  run(refuses, dir.file("db"));
}
TEST_CASE("snapshots are taken online, verified, and restored ahead of all revisions") {
  TempDir dir;
  run(snapshots, dir.file("db"), dir.file("snapshot"));
  damaged_snapshots(dir.file("snapshot"));
}
TEST_CASE("the file shrinks again") {
  TempDir dir;
  run(shrinks, dir.file("db"));
}
TEST_CASE("history is bounded in bytes") {
  TempDir dir;
  run(bounds_history, dir.file("db"));
}
TEST_CASE("a full disk fails whole commits and nothing else") {
  TempDir dir;
  run(fills_up, dir.file("db"));
}
TEST_CASE("many keys are listed whole") {
  TempDir dir;
  run(lists_many, dir.file("db"));
}
