// FakeLister: objects in memory in place of the watch cache; and what tests of security share.
#pragma once
#include "apiserver/admission.hpp"
#include "apiserver/lister.hpp"

#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>

#include <catch2/catch.hpp>

#include <map>
#include <vector>

namespace onebin::fakes {

class FakeLister final : public apiserver::Lister {
 public:
  Bytes get(std::string_view group, std::string_view resource, std::string_view ns, std::string_view name) const override {
    auto it = objects_.find(Key{std::string(group), std::string(resource), std::string(ns), std::string(name)});
    return it == objects_.end() ? nullptr : it->second;
  }
  void for_each(std::string_view group, std::string_view resource, std::string_view ns, const Visit& fn) const override {
    for (const auto& [k, bytes] : objects_) {
      if (k[0] != group || k[1] != resource || (!ns.empty() && k[2] != ns)) continue;
      if (!fn(k[2], k[3], bytes)) return;
    }
  }
  void for_each_pod_on_node(std::string_view, const Visit& fn) const override { for_each("", "pods", "", fn); }
  void subscribe(std::string_view group, std::string_view resource, Handler handler) override {
    handlers_.push_back({std::string(group), std::string(resource), std::move(handler)});
  }

  template <class T>
  void put(const T& object) {
    const auto& r = api::resource_of<T>();
    change({std::string(r.group), std::string(r.plural), object.metadata.namespace_, object.metadata.name}, make_bytes(api::to_protobuf(object)));
  }
  template <class T>
  void remove(const std::string& ns, const std::string& name) {
    const auto& r = api::resource_of<T>();
    change({std::string(r.group), std::string(r.plural), ns, name}, nullptr);
  }

  using Lister::for_each;
  using Lister::get;

 private:
  using Key = std::array<std::string, 4>;
  struct Subscription {
    std::string group, resource;
    Handler handler;
  };
  void change(const Key& key, Bytes now) {
    Bytes before = std::exchange(objects_[key], now);
    if (!now) objects_.erase(key);
    for (auto& h : handlers_)
      if (h.group == key[0] && h.resource == key[1]) h.handler(key[2], key[3], before, now);
  }
  std::map<Key, Bytes> objects_;
  std::vector<Subscription> handlers_;
};

template <class T>
async::Task<void> keep(async::Task<T> task, std::optional<T>* out) {
  *out = co_await std::move(task);
}

// Simulated time and a way to run a coroutine to its end.
struct Sim {
  std::unique_ptr<async::SimLoop> loop = async::SimLoop::create(from_unix(1800000000));
  template <class T>
  T await(async::Task<T> task) {
    std::optional<T> out;
    async::TaskGroup group("test");
    group.spawn(keep(std::move(task), &out));
    for (int i = 0; i < 1000 && !out; ++i) loop->run_for(20ms);
    REQUIRE(out);
    return std::move(*out);
  }
  // Both halves of a plug-in, as the chain runs them.
  Status admit(apiserver::AdmissionPlugin& p, apiserver::AdmissionAttributes& a) {
    if (!p.handles(a.operation) || !p.concerns(a)) return Status::ok();
    Result<void> r = await(p.admit(a));
    if (!r) return r.status();
    return await(p.validate(a)).status();
  }
};

inline apiserver::UserInfo user(std::string name, std::vector<std::string> groups = {"system:authenticated"}) {
  apiserver::UserInfo u;
  u.name = std::move(name);
  u.groups = std::move(groups);
  return u;
}

// What `u`, who must outlive it, asks of a resource.
inline apiserver::Attributes asks(const apiserver::UserInfo& u, std::string verb, std::string group, std::string resource, std::string ns = {},
                                  std::string name = {}, std::string sub = {}) {
  apiserver::Attributes a;
  a.user = &u;
  a.verb = std::move(verb);
  a.group = std::move(group);
  a.resource = std::move(resource);
  a.ns = std::move(ns);
  a.name = std::move(name);
  a.subresource = std::move(sub);
  a.is_resource = true;
  return a;
}

inline apiserver::AdmissionAttributes create_of(std::string group, std::string resource, std::string kind, std::string ns, apiserver::Document* object,
                                               const apiserver::UserInfo* user) {
  apiserver::AdmissionAttributes a;
  a.operation = apiserver::Operation::Create;
  a.group = a.resource_group = std::move(group);
  a.version = a.resource_version = "v1";
  a.kind = std::move(kind);
  a.resource = std::move(resource);
  a.ns = std::move(ns);
  a.object = object;
  a.user = user;
  if (object) a.name = apimachinery::name_of(*object);
  return a;
}

}  // namespace onebin::fakes
