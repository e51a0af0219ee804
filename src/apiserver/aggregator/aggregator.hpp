// Aggregator: groups and versions that another API server serves behind a Service, as APIServices say: their requests are
// passed on under the user's name, their discovery and OpenAPI documents are merged with ours, and their Available condition
// is kept. Source: API reference of APIService; behaviour and texts of k8s.io/kube-aggregator.
#pragma once
#include "apiserver/server_clients.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/client/transport.hpp>

#include <map>
#include <set>

namespace onebin::apiserver {

// Priorities of what custom resources are served in.
inline constexpr int kCustomGroupPriority = 1000, kCustomVersionPriority = 100;

// An APIService with a Service.
struct RemoteVersion {
  std::string name, group, version;      // "v1.example.com"
  std::string ns, service;
  std::uint16_t port = 443;
  std::string ca_pem;
  bool insecure = false, available = false;
  int group_priority = 0, version_priority = 0;
  std::string facts;                     // what of the object all this was read from
  // What the server last told of itself; null until it did.
  Document discovery;                    // the APIVersionDiscovery
  bool stale = true;                     // the last time it could not be asked
  std::string openapi_v3;                // where its document is: "/openapi/v3/apis/...?hash=..."
  std::shared_ptr<const std::string> openapi_v2;  // its whole document, as JSON

  std::string path() const { return "/apis/" + group + "/" + version; }
};

// One group as discovery lists it: ours, others', or both.
struct DiscoveredVersion {
  std::string version;
  int priority = 0;
  const RemoteVersion* remote = nullptr;  // null: ours
};
struct DiscoveredGroup {
  std::string name;
  std::vector<DiscoveredVersion> versions;  // preferred first
};

class Aggregator {
 public:
  explicit Aggregator(Core& core);
  ~Aggregator();

  void start();  // after the watch cache was filled

  bool empty() const { return remotes_.empty(); }
  const RemoteVersion* find(std::string_view group, std::string_view version) const;
  bool has_group(std::string_view group) const;
  const std::map<std::string, RemoteVersion>& remotes() const { return remotes_; }
  // All groups in discovery's order, but for the core group.
  std::vector<DiscoveredGroup> groups() const;

  // Passes a request on and its answer back; 503 where the server is not available.
  Handling serve(RequestContext* c);
  // As above, but for another path of the same server ("/openapi/v3/apis/...").
  Handling serve_path(RequestContext* c, std::string group, std::string version, std::string target);

 private:
  using Client = std::shared_ptr<net::HttpClient>;
  Result<Client> client_of(const RemoteVersion& r, ServiceEndpoint* endpoint = nullptr) const;
  void on_change(std::string_view name, const Bytes& now);
  void on_service(std::string_view ns, std::string_view service);
  void on_definition(const Bytes& object);
  void enqueue(std::string name);

  async::Task<void> work();
  async::Task<void> resync();
  async::Task<void> retry(std::string name);
  async::Task<Result<void>> reconcile(std::string name);
  async::Task<Result<void>> keep_registered(std::string name);
  async::Task<Result<Document>> check(const RemoteVersion* r);          // the condition
  async::Task<Result<void>> ask_discovery(RemoteVersion remote);
  async::Task<Result<net::WholeResponse>> get(const RemoteVersion* r, std::string target, std::string accept);
  async::Task<Result<void>> write_condition(std::string name, Document condition);

  Core& core_;
  std::unique_ptr<client::Transport> transport_;
  std::map<std::string, RemoteVersion> remotes_;  // by the APIService's name
  std::set<std::string> queue_;
  std::map<std::string, int> failures_;
  std::set<std::string> retrying_;  // those that come back by themselves
  async::WaitQueue wake_;
  bool resyncing_ = false;
};

// The identity headers of a request that is passed on (X-Remote-User and so on).
net::Headers front_proxy_headers(const UserInfo& user);

}  // namespace onebin::apiserver
