#include "net/support.hpp"

#include <onebin/net/url.hpp>

using namespace test;

namespace {

Task<void> splice_into(Stream* a, Stream* b, Duration idle, Reason* out) {
  Result<void> r = co_await splice(*a, *b, idle);
  *out = r.reason();
}

Task<void> splicing() {
  auto left = make_pipe(100), right = make_pipe(100);
  TaskGroup group;
  Reason r = Reason::Unknown;
  group.spawn(splice_into(left.second.get(), right.first.get(), Duration::zero(), &r));
  REQUIRE(co_await left.first->write("question"));
  REQUIRE(co_await left.first->shutdown_write());
  auto asked = co_await read_all(*right.second, 1000);
  REQUIRE(asked);
  CHECK(*asked == "question");
  REQUIRE(co_await right.second->write("answer"));
  REQUIRE(co_await right.second->shutdown_write());
  auto answered = co_await read_all(*left.first, 1000);
  REQUIRE(answered);
  CHECK(*answered == "answer");
  co_await group.join();
  CHECK(r == Reason::Success);
}

Task<void> splice_idle() {
  auto left = make_pipe(100), right = make_pipe(100);
  Result<void> r = co_await splice(*left.second, *right.first, 20ms);
  CHECK(r.is(Reason::Timeout));
}

Task<void> udp() {
  auto server = UdpSocket::bind({"", 0}), client = UdpSocket::bind({"127.0.0.1", 0});
  REQUIRE(server);
  REQUIRE(client);
  REQUIRE(co_await (*client)->send_to("ping", {"127.0.0.1", (*server)->local().port}));
  char buffer[100];
  auto got = co_await (*server)->recv_from(buffer, sizeof buffer);
  REQUIRE(got);
  CHECK(std::string_view(buffer, got->size) == "ping");
  CHECK(got->from == (*client)->local());
  CHECK(got->local_host == "127.0.0.1");
  REQUIRE(co_await (*server)->send_to("pong", got->from, got->local_host));
  auto back = co_await (*client)->recv_from(buffer, sizeof buffer);
  REQUIRE(back);
  CHECK(std::string_view(buffer, back->size) == "pong");
  CHECK_FALSE((*client)->try_recv_from(buffer, sizeof buffer));
}

Task<void> pipes_of_the_system() {
  int fds[2];
  REQUIRE(::pipe(fds) == 0);
  auto reader = stream_from_fd(Fd(fds[0])), writer = stream_from_fd(Fd(fds[1]));
  REQUIRE(reader);
  REQUIRE(writer);
  REQUIRE(co_await (*writer)->write("through"));
  char buffer[7];
  REQUIRE(co_await read_exactly(**reader, buffer, 7));
  reader->reset();
  Result<void> broken = co_await (*writer)->write("nobody");  // no SIGPIPE
  CHECK(broken.is(Reason::Closed));
}

Task<void> write_limit() {
  auto listener = Listener::tcp({"127.0.0.1", 0});
  REQUIRE(listener);
  auto stream = co_await connect_tcp("localhost", (*listener)->local().port);
  REQUIRE(stream);
  (*stream)->set_write_timeout(50ms);
  std::string much(64 << 20, 'x');
  Result<void> r = co_await (*stream)->write(much);
  CHECK(r.is(Reason::Timeout));
}

Task<void> read_one(Stream* s, Reason* out) {
  char c;
  Result<std::size_t> n = co_await s->read_some(&c, 1);
  *out = n.reason();
}

Task<void> closing_ends_reads() {
  auto listener = Listener::tcp({"127.0.0.1", 0});
  REQUIRE(listener);
  auto stream = co_await connect_tcp("127.0.0.1", (*listener)->local().port);
  REQUIRE(stream);
  TaskGroup group;
  Reason closed = Reason::Unknown, cancelled = Reason::Unknown;
  group.spawn(read_one(stream->get(), &cancelled));
  group.cancel();
  co_await group.join();
  CHECK(cancelled == Reason::Cancelled);
  TaskGroup second;
  second.spawn(read_one(stream->get(), &closed));
  (*stream)->close();
  co_await second.join();
  CHECK(closed == Reason::Closed);
}

}  // namespace

TEST_CASE("splice passes bytes and half-closes both ways") { run(splicing); }
TEST_CASE("splice ends when nothing moves") { run(splice_idle); }
TEST_CASE("udp: a wildcard socket answers from the address that was asked") { run(udp); }
TEST_CASE("pipes: a reader that goes is an error, not a signal") { run(pipes_of_the_system); }
TEST_CASE("a write that stalls times out") { run(write_limit); }
TEST_CASE("cancellation and close end a read") { run(closing_ends_reads); }

TEST_CASE("addresses") {
  CHECK(parse_address("10.0.0.1:80")->to_string() == "10.0.0.1:80");
  CHECK(parse_address("[fd00::1]:443")->to_string() == "[fd00::1]:443");
  CHECK(parse_address(":8080")->host.empty());
  CHECK_FALSE(parse_address("fd00::1:80:90"));
  CHECK_FALSE(parse_address("a:99999"));
  CHECK_FALSE(parse_address("nothing"));
}

TEST_CASE("urls and queries") {
  auto u = parse_url("https://user@example.com:8443/a/b?x=1#f");
  REQUIRE(u);
  CHECK(u->host == "example.com");
  CHECK(u->port == 8443);
  CHECK(u->target() == "/a/b?x=1");
  CHECK(u->to_string() == "https://user@example.com:8443/a/b?x=1#f");
  CHECK(parse_url("http://[::1]")->authority() == "[::1]");
  CHECK(parse_url("http://[::1]")->port == 80);
  CHECK_FALSE(parse_url("/relative"));
  CHECK_FALSE(parse_url("http://a b/"));
  Query q = Query::parse("command=ls&command=-l+x&tty=&bad=%zz&c");
  CHECK(q.all("command") == std::vector<std::string_view>{"ls", "-l x"});
  CHECK(q.has("tty"));
  CHECK(q.has("c"));
  CHECK_FALSE(q.has("bad"));
  CHECK(percent_encode("a b/c") == "a%20b%2Fc");
  CHECK(percent_encode_path("a b/c") == "a%20b/c");
  CHECK(*percent_decode("a%20b") == "a b");
  CHECK_FALSE(percent_decode("%2"));
}
