// Forwarding to the name servers of the host's resolv.conf.
#pragma once
#include <onebin/async/channel.hpp>
#include <onebin/base/random.hpp>
#include <onebin/dns/zone.hpp>
#include <onebin/net/socket.hpp>

#include <set>
#include <string>
#include <vector>

namespace onebin::dns {

using async::Task;

// The addresses of "nameserver" lines, at most three, as resolvers take them. `own` are left out: no loop to ourselves.
std::vector<std::string> parse_resolv_conf(std::string_view text, const std::set<std::string>& own);

class Upstream {
 public:
  Upstream(std::string resolv_conf, std::set<std::string> own, std::size_t max_under_way);
  // Sends the query to one server after the other until one answers, over UDP (an answer may be truncated) or TCP. The
  // answer carries the query's id. ServiceUnavailable: no server, or too many questions under way; Timeout.
  Task<Result<std::string>> ask(std::string query, bool tcp);

 private:
  void refresh();
  Task<Result<std::string>> ask_udp(std::string server, std::string query);
  Task<Result<std::string>> ask_tcp(std::string server, std::string query);

  std::string resolv_conf_;
  std::set<std::string> own_;
  std::size_t free_;
  std::vector<std::string> servers_;
  SteadyTime looked_;
  std::int64_t stamp_ = -1;  // of the file
  bool read_ = false;
};

}  // namespace onebin::dns
