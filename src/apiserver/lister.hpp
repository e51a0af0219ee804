// Lister: what is in the watch cache, for admission and authorizers. Current bytes by reference; decoded on demand.
#pragma once
#include <onebin/api/codec.hpp>
#include <onebin/base/bytes.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace onebin::apiserver {

class Lister {
 public:
  virtual ~Lister() = default;
  // Protobuf with envelope and resourceVersion (JSON for custom resources); null where there is no such object.
  // `resource` is the plural: get("rbac.authorization.k8s.io", "roles", "default", "r").
  virtual Bytes get(std::string_view group, std::string_view resource, std::string_view ns, std::string_view name) const = 0;
  // In order of namespace and name; ns "" is all. fn returns false to stop.
  using Visit = std::function<bool(std::string_view ns, std::string_view name, const Bytes& object)>;
  virtual void for_each(std::string_view group, std::string_view resource, std::string_view ns, const Visit& fn) const = 0;
  // Pods on a node, by the index on spec.nodeName.
  virtual void for_each_pod_on_node(std::string_view node, const Visit& fn) const = 0;

  // Called once for each object there is and then for each change, in order, inside the feed: keep it short, do not await.
  // `before` is null for an addition, `now` for a deletion. For as long as the server lives.
  using Handler = std::function<void(std::string_view ns, std::string_view name, const Bytes& before, const Bytes& now)>;
  virtual void subscribe(std::string_view group, std::string_view resource, Handler handler) = 0;

  template <class T>
  std::optional<T> get(std::string_view ns, std::string_view name) const {
    const auto& r = api::resource_of<T>();
    Bytes b = get(r.group, r.plural, ns, name);
    if (!b) return std::nullopt;
    Result<T> object = api::from_protobuf<T>(*b);
    return object ? std::optional<T>(std::move(*object)) : std::nullopt;
  }
  // fn(const T&) returns false to stop.
  template <class T, class Fn>
  void for_each(std::string_view ns, Fn fn) const {
    const auto& r = api::resource_of<T>();
    for_each(r.group, r.plural, ns, [&](std::string_view, std::string_view, const Bytes& b) {
      Result<T> object = api::from_protobuf<T>(*b);
      return object ? fn(*object) : true;
    });
  }
};

}  // namespace onebin::apiserver
