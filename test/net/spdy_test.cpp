#include "net/support.hpp"

#include <onebin/net/spdy.hpp>

#include "net/spdy_frame.hpp"

using namespace test;

namespace {

Task<void> send_all(Stream* s, const std::string* data, Result<void>* out) {
  *out = co_await s->write(*data);
  if (*out) *out = co_await s->shutdown_write();
}
Task<void> receive_all(Stream* s, Result<std::string>* out) {
  *out = co_await read_all(*s, 64 << 20);
}

std::pair<std::unique_ptr<SpdySession>, std::unique_ptr<SpdySession>> sessions(SpdySession::Options o = {}) {
  auto ends = make_pipe(100000);
  return {SpdySession::create(std::move(ends.first), false, o), SpdySession::create(std::move(ends.second), true, o)};
}

Task<void> ten_megabytes() {
  auto [client, server] = sessions();
  auto opened = co_await client->open_stream({{"streamType", "data"}, {"port", "80"}});
  REQUIRE(opened);
  auto accepted = co_await server->accept_stream();
  REQUIRE(accepted);
  CHECK((*accepted)->headers().get("streamtype") == "data");
  CHECK((*accepted)->headers().get("Port") == "80");
  std::string up = pattern(10 << 20, 1), down = pattern(10 << 20, 2);
  Result<void> w1, w2;
  Result<std::string> r1, r2;
  TaskGroup g;
  g.spawn(send_all(opened->get(), &up, &w1));
  g.spawn(send_all(accepted->get(), &down, &w2));
  g.spawn(receive_all(opened->get(), &r1));
  g.spawn(receive_all(accepted->get(), &r2));
  co_await g.join();
  CHECK(w1);
  CHECK(w2);
  REQUIRE(r1);
  REQUIRE(r2);
  CHECK(*r1 == down);
  CHECK(*r2 == up);
  opened->reset();
  accepted->reset();
  co_await client->stop();
  co_await server->stop();
}

Task<void> half_close() {
  auto [client, server] = sessions();
  // From the server's side, too, streams can be opened.
  auto opened = co_await server->open_stream({{"a", "b"}});
  REQUIRE(opened);
  CHECK((*opened)->id() == 2);
  auto accepted = co_await client->accept_stream();
  REQUIRE(accepted);
  REQUIRE(co_await (*opened)->write("question"));
  REQUIRE(co_await (*opened)->shutdown_write());
  CHECK((co_await (*opened)->write("more")).is(Reason::Closed));
  auto q = co_await read_all(**accepted, 100);
  CHECK(*q == "question");
  REQUIRE(co_await (*accepted)->write("answer"));
  REQUIRE(co_await (*accepted)->shutdown_write());
  auto a = co_await read_all(**opened, 100);
  CHECK(*a == "answer");
  opened->reset();
  accepted->reset();
  co_await client->stop();
  co_await server->stop();
}

Task<void> resets() {
  auto [client, server] = sessions();
  auto one = co_await client->open_stream({});
  auto two = co_await client->open_stream({});
  REQUIRE(two);
  auto a = co_await server->accept_stream();
  auto b = co_await server->accept_stream();
  REQUIRE(b);
  (*a)->reset();
  char c;
  auto n = co_await (*one)->read_some(&c, 1);
  CHECK(n.is(Reason::Closed));
  REQUIRE(co_await (*b)->write("still here"));
  char buffer[10];
  REQUIRE(co_await read_exactly(**two, buffer, 10));
  // The peer going ends everything.
  co_await client->stop();
  auto end = co_await (*b)->read_some(&c, 1);
  CHECK(end.is(Reason::Closed));
  auto none = co_await server->accept_stream();
  CHECK(none.is(Reason::Closed));
  co_await server->wait_closed();
  co_await server->stop();
}

// What was written before stop() arrives.
Task<void> lingering() {
  auto [client, server] = sessions();
  auto opened = co_await client->open_stream({});
  REQUIRE(opened);
  auto accepted = co_await server->accept_stream();
  REQUIRE(accepted);
  REQUIRE(co_await (*accepted)->write("last words"));
  REQUIRE(co_await (*accepted)->shutdown_write());
  TaskGroup g;
  struct Stop { static Task<void> go(SpdySession* s) { co_await s->stop(); } };
  g.spawn(Stop::go(server.get()));
  auto text = co_await read_all(**opened, 100);
  REQUIRE(text);
  CHECK(*text == "last words");
  co_await client->stop();
  co_await g.join();
}

Task<void> unread_stream_is_bounded() {
  SpdySession::Options o;
  o.stream_buffer = 1000;
  auto ends = make_pipe(1000);
  auto client = SpdySession::create(std::move(ends.first), false, o);
  auto server = SpdySession::create(std::move(ends.second), true, o);
  auto opened = co_await client->open_stream({});
  REQUIRE(opened);
  auto accepted = co_await server->accept_stream();
  REQUIRE(accepted);
  std::string data(100000, 'x');
  Result<void> blocked = co_await async::with_timeout(50ms, (*opened)->write(data));
  CHECK(blocked.is(Reason::Timeout));
  co_await client->stop(Duration::zero());
  co_await server->stop(Duration::zero());
}

Task<void> silent_peer() {
  auto ends = make_pipe();
  SpdySession::Options o;
  o.ping_interval = 10ms;
  auto s = SpdySession::create(std::move(ends.first), true, o);
  co_await s->wait_closed();
  CHECK(s->closed());
  co_await s->stop();
}

Task<void> garbage() {
  auto ends = make_pipe();
  auto s = SpdySession::create(std::move(ends.first), true);
  REQUIRE(co_await ends.second->write(std::string(100, static_cast<char>(0x81))));
  co_await s->wait_closed();
  co_await s->stop();
}

}  // namespace

TEST_CASE("spdy: 10 MB each way at once") { run(ten_megabytes); }
TEST_CASE("spdy: half-close") { run(half_close); }
TEST_CASE("spdy: resets and a peer that goes") { run(resets); }
TEST_CASE("spdy: stop lets out what was written") { run(lingering); }
TEST_CASE("spdy: an unread stream holds bounded bytes") { run(unread_stream_is_bounded); }
TEST_CASE("spdy: a peer that answers no ping ends the session") { run(silent_peer); }
TEST_CASE("spdy: garbage ends the session") { run(garbage); }
TEST_CASE("spdy: header blocks") {
  SpdyDeflater d;
  SpdyInflater i;
  for (int round = 0; round < 3; ++round) {
    auto h = i.unpack(d.pack({{"StreamType", "stdin"}, {"x", "1"}, {"X", "2"}}));
    REQUIRE(h);
    CHECK(h->size() == 3);
    CHECK(h->get("streamtype") == "stdin");
    CHECK(h->all("x") == std::vector<std::string_view>{"1", "2"});
  }
  CHECK(i.unpack(d.pack({})));
  CHECK_FALSE(i.unpack("garbage"));
}
