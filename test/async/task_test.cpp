#include <onebin/async/all.hpp>
#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>
#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::async;

namespace {

Task<int> add(int a, int b) { co_return a + b; }

Task<void> sum_many(long* out) {
  for (int i = 0; i < 200000; ++i) *out += co_await add(i, 1);  // synchronous children must not grow the stack
}

Task<void> sleeper(Duration d, std::vector<std::string>* log, std::string name) {
  Status s = co_await sleep_for(d);
  log->push_back(name + (s ? " woke" : " cancelled"));
}

Task<Result<int>> slow() {
  CO_RETURN_IF_ERROR(co_await sleep_for(10s));
  co_return 7;
}

Task<void> limited(Duration limit, Reason* reason, int* value) {
  auto r = co_await with_timeout(limit, slow());
  *reason = r.reason();
  if (r) *value = *r;
}

Task<Result<void>> produce(Channel<int>* ch, int n) {
  for (int i = 0; i < n; ++i) CO_RETURN_IF_ERROR(co_await ch->send(i));
  ch->close();
  co_return Result<void>();
}

Task<void> consume(Channel<int>* ch, std::vector<int>* out) {
  for (;;) {
    auto v = co_await ch->recv();
    if (!v) co_return;
    out->push_back(*v);
  }
}

Task<Result<void>> fails() { co_return internal_error("no"); }

Task<void> cancel_and_join(TaskGroup* group, bool* joined) {
  group->cancel();
  co_await group->join();
  *joined = true;
}

}  // namespace

TEST_CASE("a loop over synchronous children runs in constant stack") {
  auto loop = SimLoop::create(WallTime{});
  TaskGroup group("test");
  long total = 0;
  group.spawn(sum_many(&total));
  loop->run_ready();
  CHECK(total == 200000L * 199999 / 2 + 200000);
}

TEST_CASE("sleeps end in order of their time, and when cancelled") {
  auto loop = SimLoop::create(WallTime{});
  TaskGroup group("test");
  std::vector<std::string> log;
  group.spawn(sleeper(3s, &log, "a"));
  group.spawn(sleeper(1s, &log, "b"));
  group.spawn(sleeper(1h, &log, "c"));
  loop->run_for(5s);
  CHECK(log == std::vector<std::string>{"b woke", "a woke"});
  TaskGroup other("join");
  bool joined = false;
  other.spawn(cancel_and_join(&group, &joined));
  loop->run_ready();
  CHECK(joined);
  CHECK(log.back() == "c cancelled");
}

TEST_CASE("with_timeout tells a timeout from a result") {
  auto loop = SimLoop::create(WallTime{});
  TaskGroup group("test");
  Reason early{}, late{};
  int value = 0;
  group.spawn(limited(1s, &early, &value));
  group.spawn(limited(20s, &late, &value));
  loop->run_for(30s);
  CHECK(early == Reason::Timeout);
  CHECK(late == Reason::Success);
  CHECK(value == 7);
}

namespace {
Task<Result<void>> ends(Duration after, Status with) {
  CO_RETURN_IF_ERROR(co_await sleep_for(after));
  co_return with;
}
Task<void> await_all(std::vector<Task<Result<void>>> tasks, Status* out, SteadyTime* when) {
  Result<void> r = co_await all(std::move(tasks));
  *out = r.status();
  *when = Loop::current().now();
}
}  // namespace

TEST_CASE("all() waits for every task at the same time and gives the first error") {
  auto loop = SimLoop::create(WallTime{});
  TaskGroup group("test");
  SteadyTime began = loop->now(), done;
  Status s = internal_error("not run");
  std::vector<Task<Result<void>>> good, bad;
  for (int i = 1; i <= 3; ++i) good.push_back(ends(1s * i, Status()));
  group.spawn(await_all(std::move(good), &s, &done));
  loop->run_for(10s);
  CHECK(s);
  CHECK(done - began == 3s);
  began = loop->now();
  bad.push_back(ends(3s, internal_error("late")));
  bad.push_back(ends(2s, internal_error("first")));
  bad.push_back(ends(4s, Status()));
  group.spawn(await_all(std::move(bad), &s, &done));
  loop->run_for(10s);
  CHECK(s.message() == "first");
  CHECK(done - began == 4s);
}

TEST_CASE("a channel delivers in order, bounded, until it is closed and empty") {
  auto loop = SimLoop::create(WallTime{});
  TaskGroup group("test");
  Channel<int> ch(3);
  std::vector<int> got;
  group.spawn(produce(&ch, 100));
  CHECK(ch.size() == 3);
  group.spawn(consume(&ch, &got));
  loop->run_ready();
  REQUIRE(got.size() == 100);
  CHECK(got[99] == 99);
}

TEST_CASE("a failed task reaches the error sink") {
  auto loop = SimLoop::create(WallTime{});
  TaskGroup group("test");
  std::string seen;
  group.set_error_sink([&](const Status& s) { seen = s.message(); });
  group.spawn(fails());
  CHECK(seen == "no");
}

namespace {
Task<void> on_pool(RealLoop* loop, int* out) {
  *out = co_await run_blocking([] { return 42; });
  co_await sleep_for(1ms);
  loop->stop();
}
}  // namespace

TEST_CASE("blocking work returns to the loop") {
  auto loop = RealLoop::create();
  TaskGroup group("test");
  int out = 0;
  group.spawn(on_pool(loop.get(), &out));
  loop->run();
  CHECK(out == 42);
}

TEST_CASE("idle work runs after all that is runnable, and before time moves") {
  auto loop = SimLoop::create(WallTime{});
  std::string order;
  loop->add_timer(loop->now() + 1ms, [&] { order += 't'; });
  loop->when_idle(5ms, [&] { order += 'i'; });
  loop->post([&] {
    order += 'a';
    loop->post([&] { order += 'b'; });
  });
  loop->run_for(10ms);
  CHECK(order == "abit");
}

TEST_CASE("the real loop's idle work waits for what is runnable") {
  auto loop = RealLoop::create();
  std::string order;
  loop->when_idle(10s, [&] {
    order += 'i';
    loop->when_idle(10s, [&] { loop->stop(); });
  });
  loop->post([&] {
    order += 'a';
    loop->post([&] { order += 'b'; });
  });
  loop->run();
  CHECK(order == "abi");
}

namespace {
void keep_busy(RealLoop* loop, const bool* done) {
  if (*done) loop->stop();
  else loop->post([loop, done] { keep_busy(loop, done); });
}
}  // namespace

TEST_CASE("a loop that is never idle runs idle work at its limit, once") {
  auto loop = RealLoop::create();
  int runs = 0;
  bool done = false;
  loop->when_idle(2ms, [&] { ++runs; });
  loop->add_timer(loop->now() + 20ms, [&] { done = true; });
  keep_busy(loop.get(), &done);
  loop->run();
  CHECK(runs == 1);
}
