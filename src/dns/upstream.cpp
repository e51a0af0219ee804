#include "dns/upstream.hpp"

#include "dns/message.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <sys/stat.h>

#include <vector>

namespace onebin::dns {

namespace {
constexpr Duration kTryFor = 2s;      // one server, once
constexpr int kRounds = 2;
constexpr Duration kLookAgain = 5s;   // at the earliest, and only when there is a question
constexpr std::size_t kMostServers = 3;

// An answer to this very question, from whoever has seen it.
bool answers(std::string_view reply, std::string_view query) {
  if (reply.size() < kHeader || get16(reply, 0) != get16(query, 0) || !(get16(reply, 2) & kFlagResponse)) return false;
  if (get16(reply, 4) == 0) return (get16(reply, 2) & 15) != 0;  // some servers leave the question out of errors
  auto a = layout(reply), b = layout(query);
  if (!a || !b || a->question_end != b->question_end) return false;
  return iequals(reply.substr(kHeader, a->question_end - kHeader), query.substr(kHeader, b->question_end - kHeader));
}
}  // namespace

std::vector<std::string> parse_resolv_conf(std::string_view text, const std::set<std::string>& own) {
  std::vector<std::string> out;
  for (const auto& raw : split(text, '\n')) {
    std::string line(trim(raw.substr(0, raw.find_first_of("#;"))));
    constexpr std::string_view word = "nameserver";
    if (!starts_with(line, word) || line.size() <= word.size() || (line[word.size()] != ' ' && line[word.size()] != '\t')) continue;
    std::string address(trim(std::string_view(line).substr(word.size())));
    std::string bare = address.substr(0, address.find('%'));  // a scope is the system's
    if (net::is_ip(bare) && !own.count(bare) && out.size() < kMostServers) out.push_back(address);
  }
  return out;
}

Upstream::Upstream(std::string resolv_conf, std::set<std::string> own, std::size_t max_under_way)
    : resolv_conf_(std::move(resolv_conf)), own_(std::move(own)), free_(max_under_way) {}

void Upstream::refresh() {
  SteadyTime now = async::Loop::current().now();
  if (read_ && now - looked_ < kLookAgain) return;
  looked_ = now;
  read_ = true;
  struct stat s {};
  std::int64_t stamp = ::stat(resolv_conf_.c_str(), &s) == 0 ? s.st_mtim.tv_sec * 1000000000ll + s.st_mtim.tv_nsec : -2;
  if (stamp == stamp_) return;
  stamp_ = stamp;
  auto text = read_file(resolv_conf_, 64 * 1024);
  servers_ = text ? parse_resolv_conf(*text, own_) : std::vector<std::string>();
}

Task<Result<std::string>> Upstream::ask_udp(std::string server, std::string query) {
  net::Address any;
  any.host = server.find(':') != std::string::npos ? "::" : "0.0.0.0";
  auto socket = net::UdpSocket::bind(any);  // a port of its own for each question makes answers hard to forge
  if (!socket) co_return socket.status();
  net::Address to;
  to.host = server;
  to.port = 53;
  Result<void> sent = co_await (*socket)->send_to(query, to);
  if (!sent) co_return sent.status();
  std::string reply(65535, '\0');
  for (;;) {
    Result<net::UdpSocket::Received> got = co_await (*socket)->recv_from(reply.data(), reply.size());
    if (!got) co_return got.status();
    std::string_view bytes(reply.data(), got->size);
    if (got->from.host == server && got->from.port == 53 && answers(bytes, query)) co_return std::string(bytes);
  }
}

Task<Result<std::string>> Upstream::ask_tcp(std::string server, std::string query) {
  net::ConnectOptions options;
  options.timeout = kTryFor;
  Result<net::StreamPtr> stream = co_await net::connect_tcp(server, 53, options);
  if (!stream) co_return stream.status();
  std::string framed;
  put16(framed, static_cast<std::uint16_t>(query.size()));
  framed += query;
  Result<void> r = co_await (*stream)->write(framed);
  if (!r) co_return r.status();
  char length[2];
  r = co_await net::read_exactly(**stream, length, 2);
  if (!r) co_return r.status();
  std::string reply(get16(std::string_view(length, 2), 0), '\0');
  r = co_await net::read_exactly(**stream, reply.data(), reply.size());
  if (!r) co_return r.status();
  if (!answers(reply, query)) co_return Status(Reason::BadRequest, "the name server answered something else");
  co_return reply;
}

namespace {
struct Slot {
  explicit Slot(std::size_t& free) : free_(free) { --free_; }
  ~Slot() { ++free_; }
  std::size_t& free_;
};
}  // namespace

Task<Result<std::string>> Upstream::ask(std::string query, bool tcp) {
  refresh();
  if (query.size() < kHeader || query.size() > 65535) co_return bad_request("no question");
  if (servers_.empty()) co_return Status(Reason::ServiceUnavailable, "no name server is known for names outside of the cluster");
  if (free_ == 0) co_return Status(Reason::ServiceUnavailable, "too many questions are under way");
  Slot slot(free_);
  std::uint16_t id = get16(query, 0);
  set16(query, 0, static_cast<std::uint16_t>(system_rng().next()));
  std::vector<std::string> servers = servers_;
  Status last = timeout("no name server answered");
  for (int round = 0; round < kRounds; ++round) {
    for (const auto& server : servers) {
      Result<std::string> r = co_await async::with_timeout(kTryFor, tcp ? ask_tcp(server, query) : ask_udp(server, query));
      if (r) {
        set16(*r, 0, id);
        co_return r;
      }
      if (r.is(Reason::Cancelled)) co_return r;
      last = r.status();
    }
  }
  co_return last;
}

}  // namespace onebin::dns
