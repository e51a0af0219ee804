// FakeApi: an API server in memory, as far as components on a node need one: typed objects, watches with initial events,
// merge of status patches, deletes with preconditions. No admission, no authorization. Runs on any Loop.
#pragma once
#include <onebin/api/authentication_v1.hpp>
#include <onebin/api/certificates_v1.hpp>
#include <onebin/api/codec.hpp>
#include <onebin/api/coordination_v1.hpp>
#include <onebin/api/core_v1.hpp>
#include <onebin/api/discovery_v1.hpp>
#include <onebin/api/document.hpp>
#include <onebin/api/networking_v1.hpp>
#include <onebin/async/channel.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/client/transport.hpp>
#include <onebin/net/url.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace onebin::fakes {

using nlohmann::json;
namespace core = ::onebin::api::core::v1;

class FakeApi final : public client::Transport {
 public:
  struct Codec {
    std::function<std::string(const json&)> to_protobuf;
    std::function<Result<json>(std::string_view)> from_protobuf;
  };
  FakeApi() {
    add<core::Pod>();
    add<core::Service>();
    add<core::Node>();
    add<core::ConfigMap>();
    add<core::Secret>();
    add<core::Event>();
    add<core::Namespace>();
    add<core::ServiceAccount>();
    add<core::PersistentVolumeClaim>();
    add<core::PersistentVolume>();
    add<api::coordination::v1::Lease>();
    add<api::discovery::v1::EndpointSlice>();
    add<api::networking::v1::NetworkPolicy>();
    add<api::certificates::v1::PodCertificateRequest>();
    add<api::certificates::v1::ClusterTrustBundle>();
  }
  ~FakeApi() override = default;

  // Requests seen, as "PATCH /api/v1/...": for what was written, and how often.
  std::vector<std::string> log;
  // Answers for requests whose log line starts with the key, taken once each.
  std::multimap<std::string, Status> failures;
  bool down = false;  // every request fails to connect
  std::size_t watchers(const std::string& plural) const {
    return static_cast<std::size_t>(std::count_if(watches_.begin(), watches_.end(), [&](const Watch* w) { return w->plural == plural; }));
  }

  template <class T>
  T put(T object) {  // creates or replaces, without a log line
    json doc = api::to_document(object);
    return *api::from_document<T>(store(std::string(api::resource_of<T>().plural), std::move(doc)));
  }
  template <class T>
  std::optional<T> get(const std::string& ns, const std::string& name) const {
    auto i = objects_.find(key(std::string(api::resource_of<T>().plural), ns, name));
    if (i == objects_.end()) return std::nullopt;
    return *api::from_document<T>(i->second);
  }
  template <class T>
  std::vector<T> all() const {
    std::vector<T> out;
    std::string prefix = std::string(api::resource_of<T>().plural) + "/";
    for (auto i = objects_.lower_bound(prefix); i != objects_.end() && i->first.starts_with(prefix); ++i) out.push_back(*api::from_document<T>(i->second));
    return out;
  }
  template <class T>
  void erase(const std::string& ns, const std::string& name) { drop(std::string(api::resource_of<T>().plural), ns, name); }

  async::Task<Result<client::ApiResponse>> request(client::ApiRequest q) override {
    std::string line = q.method + " " + q.path;
    log.push_back(line);
    if (down) co_return Status(Reason::ServiceUnavailable, "connection refused");
    for (auto i = failures.begin(); i != failures.end(); ++i)
      if (line.starts_with(i->first)) {
        Status s = i->second;
        failures.erase(i);
        co_return error(s);
      }
    co_return handle(std::move(q));
  }
  async::Task<Result<std::unique_ptr<client::WatchStream>>> watch(client::ApiRequest q) override {
    if (down) co_return Status(Reason::ServiceUnavailable, "connection refused");
    Path p = parse(q.path);
    auto w = std::make_unique<Watch>(*this, p.plural, p.ns, std::string(net::Query::parse(q.query).get("fieldSelector")));
    std::string prefix = p.plural + "/" + (p.ns.empty() ? "" : p.ns + "/");
    for (auto i = objects_.lower_bound(prefix); i != objects_.end() && i->first.starts_with(prefix); ++i)
      if (w->selects(i->second)) w->pending.push_back(event(client::WatchType::Added, p.plural, i->second));
    json mark{{"metadata", {{"resourceVersion", std::to_string(revision_)}, {"annotations", {{"k8s.io/initial-events-end", "true"}}}}}};
    w->pending.push_back(event(client::WatchType::Bookmark, p.plural, mark));
    co_return std::unique_ptr<client::WatchStream>(std::move(w));
  }

 private:
  struct Path {
    std::string plural, ns, name, sub;
  };
  class Watch final : public client::WatchStream {
   public:
    Watch(FakeApi& a, std::string p, std::string n, std::string f) : api(a), plural(std::move(p)), ns(std::move(n)), field(std::move(f)) { api.watches_.insert(this); }
    ~Watch() override { api.watches_.erase(this); }
    bool selects(const json& o) const {
      if (!ns.empty() && o["metadata"].value("namespace", "") != ns) return false;
      if (field.empty()) return true;
      auto eq = field.find('=');
      std::string value = field.substr(eq + 1), path = field.substr(0, eq);
      const json* at = &o;
      for (const auto& part : split(path, '.')) {
        if (!at->is_object() || !at->contains(part)) return value.empty();
        at = &(*at)[part];
      }
      return at->is_string() && at->get<std::string>() == value;
    }
    async::Task<Result<std::vector<client::WatchEvent>>> next() override {
      while (pending.empty()) {
        Result<void> r = co_await wake.wait();
        if (!r) co_return r.status();
      }
      co_return std::exchange(pending, {});
    }
    FakeApi& api;
    std::string plural, ns, field;
    std::vector<client::WatchEvent> pending;
    async::Notify wake;
  };

  template <class T>
  void add() {
    codecs_[std::string(api::resource_of<T>().plural)] = {
        [](const json& d) {
          Result<T> o = api::from_document<T>(d);
          return o ? api::to_protobuf(*o) : std::string();
        },
        [](std::string_view b) -> Result<json> {
          Result<T> o = api::from_protobuf<T>(b);
          if (!o) return o.status();
          return api::to_document(*o);
        }};
  }
  static std::string key(const std::string& plural, const std::string& ns, const std::string& name) { return plural + "/" + ns + "/" + name; }
  // /api/v1/namespaces/NS/pods/NAME/status, /apis/G/V/..., /api/v1/nodes/NAME
  static Path parse(const std::string& path) {
    auto parts = split(path, '/');
    std::size_t i = parts[1] == "api" ? 3 : 4;
    Path p;
    if (parts.size() > i + 2 && parts[i] == "namespaces") {
      p.ns = parts[i + 1];
      i += 2;
    }
    p.plural = parts[i];
    if (parts.size() > i + 1) p.name = parts[i + 1];
    if (parts.size() > i + 2) p.sub = parts[i + 2];
    return p;
  }
  static client::ApiResponse error(const Status& s) {
    json body{{"kind", "Status"}, {"apiVersion", "v1"}, {"status", "Failure"}, {"reason", std::string(to_string(s.reason()))}, {"message", s.message()}, {"code", s.code()}};
    return {s.code(), "application/json", body.dump()};
  }
  client::WatchEvent event(client::WatchType type, const std::string& plural, const json& o) {
    client::WatchEvent e;
    e.type = type;
    e.object = make_bytes(codecs_[plural].to_protobuf(o));
    return e;
  }
  void tell(client::WatchType type, const std::string& plural, const json& o) {
    for (Watch* w : watches_)
      if (w->plural == plural && w->selects(o)) {
        w->pending.push_back(event(type, plural, o));
        w->wake.notify();
      }
  }
  json store(const std::string& plural, json o) {
    json& m = o["metadata"];
    std::string k = key(plural, m.value("namespace", ""), m.value("name", ""));
    bool fresh = !objects_.contains(k);
    if (m.value("uid", "").empty()) m["uid"] = "uid-" + std::to_string(++uids_);
    m["resourceVersion"] = std::to_string(++revision_);
    objects_[k] = o;
    tell(fresh ? client::WatchType::Added : client::WatchType::Modified, plural, o);
    return o;
  }
  void drop(const std::string& plural, const std::string& ns, const std::string& name) {
    auto i = objects_.find(key(plural, ns, name));
    if (i == objects_.end()) return;
    json o = i->second;
    objects_.erase(i);
    o["metadata"]["resourceVersion"] = std::to_string(++revision_);
    tell(client::WatchType::Deleted, plural, o);
  }
  // Strategic merge, for what components send: objects merge, null deletes, conditions merge by type, other lists replace.
  static void merge(json& to, const json& patch) {
    for (const auto& [k, v] : patch.items()) {
      if (v.is_null()) {
        to.erase(k);
      } else if (k == "conditions" && v.is_array()) {
        json& list = to[k];
        if (!list.is_array()) list = json::array();
        for (const auto& c : v) {
          if (c.contains("$patch")) {
            json kept = json::array();
            for (const auto& have : list)
              if (have["type"] != c["type"]) kept.push_back(have);
            list = std::move(kept);
            continue;
          }
          json* found = nullptr;
          for (auto& have : list)
            if (have["type"] == c["type"]) found = &have;
          if (found) merge(*found, c);
          else list.push_back(c);
        }
      } else if (v.is_array()) {
        json list = json::array();
        for (const auto& e : v)
          if (!e.is_object() || !e.contains("$patch")) list.push_back(e);
        to[k] = std::move(list);
      } else if (v.is_object()) {
        if (!to.contains(k) || !to[k].is_object()) to[k] = json::object();
        merge(to[k], v);
      } else {
        to[k] = v;
      }
    }
  }
  client::ApiResponse object(int code, const std::string& plural, const json& o) { return {code, "application/vnd.kubernetes.protobuf", codecs_[plural].to_protobuf(o)}; }

  client::ApiResponse handle(client::ApiRequest q) {
    Path p = parse(q.path);
    if (!codecs_.contains(p.plural)) return error(not_found(p.plural, p.name));
    auto i = objects_.find(key(p.plural, p.ns, p.name));
    if (q.method == "POST" && p.sub == "token") {
      api::authentication::v1::TokenRequest t;
      t.status.token = "token-" + std::to_string(++uids_);
      t.status.expiration_timestamp = async::Loop::current().clock().wall() + std::chrono::hours(1);
      return {201, "application/vnd.kubernetes.protobuf", api::to_protobuf(t)};
    }
    if (q.method == "POST") {
      Result<json> o = codecs_[p.plural].from_protobuf(q.body);
      if (!o) return error(o.status());
      json& meta = (*o)["metadata"];
      if (meta.value("name", "").empty() && meta.contains("generateName")) meta["name"] = meta["generateName"].get<std::string>() + std::to_string(++uids_);
      std::string name = meta.value("name", "");
      if (objects_.contains(key(p.plural, p.ns, name))) return error(already_exists(p.plural, name));
      if (!p.ns.empty()) (*o)["metadata"]["namespace"] = p.ns;
      return object(201, p.plural, store(p.plural, *o));
    }
    if (i == objects_.end()) return error(not_found(p.plural, p.name));
    if (q.method == "GET") return object(200, p.plural, i->second);
    if (q.method == "PUT") {
      Result<json> o = codecs_[p.plural].from_protobuf(q.body);
      if (!o) return error(o.status());
      (*o)["metadata"]["uid"] = i->second["metadata"]["uid"];
      return object(200, p.plural, store(p.plural, *o));
    }
    if (q.method == "PATCH") {
      json patch = json::parse(q.body, nullptr, false);
      if (patch.is_discarded()) return error(bad_request("the patch is not JSON"));
      if (patch.contains("metadata") && patch["metadata"].contains("uid") && patch["metadata"]["uid"] != i->second["metadata"]["uid"])
        return error(conflict(p.plural, p.name, "the uid in the patch is another object's"));
      json o = i->second;
      merge(o, patch);
      return object(200, p.plural, store(p.plural, std::move(o)));
    }
    if (q.method == "DELETE") {
      drop(p.plural, p.ns, p.name);
      return {200, "application/json", R"({"kind":"Status","apiVersion":"v1","status":"Success"})"};
    }
    return error(Status(Reason::MethodNotAllowed, q.method));
  }

  std::map<std::string, Codec> codecs_;
  std::map<std::string, json> objects_;
  std::set<Watch*> watches_;
  std::int64_t revision_ = 0;
  int uids_ = 0;
};

}  // namespace onebin::fakes
