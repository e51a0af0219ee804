#include <onebin/dns/server.hpp>

#include "dns/message.hpp"
#include "dns/upstream.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/metrics.hpp>

#include <arpa/inet.h>

#include <algorithm>

namespace onebin::dns {

namespace {

using ApiService = api::core::v1::Service;
using ApiSlice = api::discovery::v1::EndpointSlice;

constexpr Duration kTcpIdle = 10s;
constexpr int kBurst = 64;  // datagrams taken in one go

std::string wire_ip(const std::string& text) {
  char b[16];
  if (::inet_pton(AF_INET, text.c_str(), b) == 1) return std::string(b, 4);
  if (::inet_pton(AF_INET6, text.c_str(), b) == 1) return std::string(b, 16);
  return {};
}

std::string service_of(const ApiSlice& s) {
  auto it = s.metadata.labels.find("kubernetes.io/service-name");
  return it == s.metadata.labels.end() ? std::string() : client::object_key(s.metadata.namespace_, it->second);
}

bool headless(const ApiService& s) { return s.spec.type != "ExternalName" && s.spec.cluster_ip == "None"; }

ZoneService project(const ApiService& s) {
  ZoneService z;
  z.ns = s.metadata.namespace_;
  z.name = s.metadata.name;
  if (s.spec.type == "ExternalName") {
    z.external_name = s.spec.external_name;
    return z;
  }
  for (const auto& p : s.spec.ports)
    z.ports.push_back({to_lower(p.name), p.protocol.empty() ? "tcp" : to_lower(p.protocol), static_cast<std::uint16_t>(p.port)});
  if (headless(s)) return z;
  auto ips = s.spec.cluster_ips.empty() ? std::vector<std::string>{s.spec.cluster_ip} : s.spec.cluster_ips;
  for (const auto& ip : ips)
    if (auto b = wire_ip(ip); !b.empty()) z.cluster_ips.push_back(b);
  return z;
}

void add_slice(ZoneService& z, const ApiSlice& slice) {
  std::vector<ZonePort> ports;
  for (const auto& p : slice.ports)
    if (p.port) ports.push_back({to_lower(p.name.value_or("")), to_lower(p.protocol.value_or("tcp")), static_cast<std::uint16_t>(*p.port)});
  for (const auto& e : slice.endpoints) {
    if (!e.conditions.ready.value_or(true)) continue;
    for (const auto& address : e.addresses) {
      ZoneEndpoint out;
      out.ip = wire_ip(address);
      if (out.ip.empty()) continue;
      out.hostname = e.hostname.value_or("");
      if (out.hostname.empty()) {
        out.hostname = address;
        for (char& c : out.hostname) c = c == '.' || c == ':' ? '-' : c;
      }
      out.ports = ports;
      z.endpoints.push_back(std::move(out));
    }
  }
}

}  // namespace

class Server::Impl : public std::enable_shared_from_this<Server::Impl> {
 public:
  Impl(client::Informer<ApiService>& services, client::Informer<ApiSlice>& slices, Options options)
      : services_(services), slices_(slices), options_(std::move(options)), zone_(options_.cluster_domain),
        upstream_(options_.resolv_conf, {options_.addresses.begin(), options_.addresses.end()}, options_.max_forwards), group_("dns") {}

  async::Task<Result<void>> start() {
    for (const auto& address : options_.addresses) {
      net::Address at;
      at.host = address;
      at.port = options_.port;
      CO_ASSIGN_OR_RETURN(auto udp, net::UdpSocket::bind(at));
      CO_ASSIGN_OR_RETURN(auto tcp, net::Listener::tcp(at));
      udp_.push_back(std::move(udp));
      tcp_.push_back(std::move(tcp));
    }
    // The informers outlive the server, and so do these handlers.
    std::weak_ptr<Impl> weak = weak_from_this();
    services_.add_handler([weak](const std::string& key, const Bytes&, const Bytes& now) {
      if (auto self = weak.lock()) self->on_service(key, now != nullptr);
    });
    slices_.on_event([weak](const std::string& key, const ApiSlice* before, const ApiSlice* now) {
      if (auto self = weak.lock()) self->on_slice(key, before, now);
    });
    for (auto& s : udp_) group_.spawn(serve_udp(s.get()));
    for (auto& l : tcp_) group_.spawn(serve_tcp(l.get()));
    co_return Result<void>();
  }

  async::Task<void> stop() {
    for (auto& s : udp_) s->close();
    for (auto& l : tcp_) l->close();
    group_.cancel();
    co_await group_.join();
  }

 private:
  void on_service(const std::string& key, bool present) {
    std::optional<ApiService> s = present ? services_.get(key) : std::nullopt;
    if (!s) {
      auto [ns, name] = client::split_key(key);
      zone_.remove_service(ns, name);
      return;
    }
    ZoneService z = project(*s);
    if (headless(*s)) {
      if (auto it = slices_of_.find(key); it != slices_of_.end())
        for (const auto& slice_key : it->second)
          if (auto slice = slices_.get(slice_key)) add_slice(z, *slice);
      std::sort(z.endpoints.begin(), z.endpoints.end());
      z.endpoints.erase(std::unique(z.endpoints.begin(), z.endpoints.end()), z.endpoints.end());
    }
    zone_.set_service(std::move(z));
  }

  void on_slice(const std::string& key, const ApiSlice* before, const ApiSlice* now) {
    std::string old = before ? service_of(*before) : std::string(), fresh = now ? service_of(*now) : std::string();
    if (!old.empty() && old != fresh) {
      auto it = slices_of_.find(old);
      if (it != slices_of_.end()) {
        it->second.erase(key);
        if (it->second.empty()) slices_of_.erase(it);
      }
      refresh_headless(old);
    }
    if (fresh.empty()) return;
    slices_of_[fresh].insert(key);
    refresh_headless(fresh);
  }

  // Others take nothing from slices: they are not decoded anew for each change of an endpoint.
  void refresh_headless(const std::string& service_key) {
    auto [ns, name] = client::split_key(service_key);
    const ZoneService* z = zone_.find(ns, name);
    if (z && z->cluster_ips.empty() && z->external_name.empty()) on_service(service_key, true);
  }

  async::Task<void> serve_udp(net::UdpSocket* socket) {
    std::string buffer(4096, '\0');
    for (;;) {
      Result<net::UdpSocket::Received> got = co_await socket->recv_from(buffer.data(), buffer.size());
      if (!got) {
        if (got.is(Reason::Cancelled) || got.is(Reason::Closed)) co_return;
        log_warn("cannot receive DNS questions", {{"error", got.status()}});
        if (Status slept = co_await async::sleep_for(100ms); !slept) co_return;
        continue;
      }
      std::optional<net::UdpSocket::Received> next = std::move(*got);
      for (int i = 0; next && i < kBurst; ++i) {
        std::string reply;
        if (!immediate(std::string_view(buffer.data(), next->size), reply)) {
          // The number of forwards is bounded in upstream_, which refuses at once.
          group_.spawn(forward_udp(socket, std::string(buffer.data(), next->size), next->from));
        } else if (!reply.empty()) {
          (void)co_await socket->send_to(reply, next->from);
        }
        next = socket->try_recv_from(buffer.data(), buffer.size());
      }
      if (next) {
        // The burst goes on: this datagram is answered, and the loop is given back once.
        group_.spawn(forward_udp(socket, std::string(buffer.data(), next->size), next->from));
        if (Status slept = co_await async::sleep_for(0s); !slept) co_return;
      }
    }
  }

  async::Task<void> forward_udp(net::UdpSocket* socket, std::string query, net::Address from) {
    std::string reply = co_await resolve(std::move(query), false);
    if (!reply.empty()) (void)co_await socket->send_to(reply, from);
  }

  async::Task<void> serve_tcp(net::Listener* listener) {
    for (;;) {
      Result<net::Accepted> a = co_await listener->accept();
      if (!a) {
        if (a.is(Reason::Cancelled) || a.is(Reason::Closed)) co_return;
        if (Status slept = co_await async::sleep_for(100ms); !slept) co_return;
        continue;
      }
      if (connections_ >= options_.max_connections) continue;  // dropped; the asker tries again
      group_.spawn(serve_connection(std::move(a->stream)));
    }
  }

  async::Task<void> serve_connection(net::StreamPtr stream) {
    ++connections_;
    stream->set_write_timeout(kTcpIdle);
    for (;;) {
      Result<std::string> query = co_await async::with_timeout(kTcpIdle, read_query(stream.get()));
      if (!query) break;
      std::string reply = co_await resolve(std::move(*query), true);
      if (reply.empty()) break;
      std::string framed;
      put16(framed, static_cast<std::uint16_t>(reply.size()));
      framed += reply;
      Result<void> sent = co_await stream->write(framed);
      if (!sent) break;
    }
    stream->close();
    --connections_;
  }

  static async::Task<Result<std::string>> read_query(net::Stream* stream) {
    char length[2];
    Result<void> r = co_await net::read_exactly(*stream, length, 2);
    if (!r) co_return r.status();
    std::string query(get16(std::string_view(length, 2), 0), '\0');
    r = co_await net::read_exactly(*stream, query.data(), query.size());
    if (!r) co_return r.status();
    co_return query;
  }

  bool ready() const { return services_.synced() && slices_.synced(); }

  // True when the answer needs nobody else; an empty one means silence.
  bool immediate(std::string_view query, std::string& reply) {
    Parsed p = parse_query(query);
    if (p.malformed) reply = error_response(*p.malformed);
    if (!p.question) return true;
    Answer a = answer(*p.question, zone_, turn_++);
    if (a.forward) return false;
    if (!ready()) {
      reply = error_response(*p.question, kServerFailure);
      return true;
    }
    if (!a.cname_target.empty()) return false;
    reply = finish(std::move(a.message), *p.question, false);
    return true;
  }

  async::Task<std::string> resolve(std::string query, bool tcp) {
    Parsed p = parse_query(query);
    if (p.malformed) co_return error_response(*p.malformed);
    if (!p.question) co_return std::string();
    Answer a = answer(*p.question, zone_, turn_++);
    if (!a.forward && !ready()) co_return error_response(*p.question, kServerFailure);
    if (!a.forward && a.cname_target.empty()) co_return finish(std::move(a.message), *p.question, tcp);
    if (a.forward) {
      Result<std::string> up = co_await upstream_.ask(std::move(query), tcp);
      if (!up) co_return error_response(*p.question, kServerFailure);
      co_return std::move(*up);
    }
    // The alias itself is an answer, with its addresses or without.
    Result<std::string> up = co_await upstream_.ask(build_query(0, a.cname_target, p.question->type), tcp);
    if (up) a.message = append_addresses(std::move(a.message), *up, p.question->type);
    co_return finish(std::move(a.message), *p.question, tcp);
  }

  client::Informer<ApiService>& services_;
  client::Informer<ApiSlice>& slices_;
  Options options_;
  Zone zone_;
  std::map<std::string, std::set<std::string>> slices_of_;  // service -> its slices
  Upstream upstream_;
  std::vector<std::unique_ptr<net::UdpSocket>> udp_;
  std::vector<std::unique_ptr<net::Listener>> tcp_;
  std::size_t connections_ = 0;
  std::uint32_t turn_ = 0;
  async::TaskGroup group_;
};

Server::Server(client::Informer<ApiService>& services, client::Informer<ApiSlice>& slices, Options options)
    : impl_(std::make_shared<Impl>(services, slices, std::move(options))) {}
Server::~Server() = default;
async::Task<Result<void>> Server::start() { return impl_->start(); }
async::Task<void> Server::stop() { return impl_->stop(); }

}  // namespace onebin::dns
