// Client: typed access to the API for onebin's own components.
#pragma once
#include <onebin/api/codec.hpp>
#include <onebin/client/objects.hpp>
#include <onebin/client/transport.hpp>

#include <optional>
#include <string>
#include <vector>

namespace onebin::client {

enum class PatchType { Json, Merge, StrategicMerge, Apply };

struct ListOptions {
  std::string label_selector, field_selector;
  std::string resource_version;  // "" most recent, "0" any
  int limit = 0;
  std::string continue_;
};

struct DeleteOptions {
  std::optional<std::int64_t> grace_period_seconds;
  std::string propagation_policy;      // "", "Orphan", "Background", "Foreground"
  std::string uid, resource_version;   // preconditions where not empty
};

template <class T>
struct List {
  std::string resource_version;
  std::string continue_;
  std::vector<T> items;
};

// "/apis/apps/v1/namespaces/NS/deployments/NAME/SUB"; empty parts are left out.
std::string resource_path(const api::ResourceInfo& r, std::string_view ns, std::string_view name = {}, std::string_view subresource = {});
std::string escape_query(std::string_view text);

class Client {
 public:
  // `field_manager` is what managedFields name for this component's writes.
  Client(Transport& transport, std::string field_manager);

  Transport& transport() { return *transport_; }
  const std::string& field_manager() const { return field_manager_; }

  // The encoded object of a successful response; otherwise the server's Status.
  async::Task<Result<std::string>> raw(ApiRequest request);

  template <class T>
  async::Task<Result<T>> get(std::string ns, std::string name) {
    ApiRequest q;
    q.path = resource_path(api::resource_of<T>(), ns, name);
    Result<std::string> r = co_await raw(std::move(q));
    if (!r) co_return r.status();
    co_return api::from_protobuf<T>(*r);
  }
  template <class T>
  async::Task<Result<List<T>>> list(std::string ns, ListOptions options = {}) {
    Result<std::string> r = co_await raw(list_request(api::resource_of<T>(), ns, options));
    if (!r) co_return r.status();
    co_return decode_list<T>(*r);
  }
  template <class T>
  async::Task<Result<T>> create(std::string ns, T object) {
    ApiRequest q = write_request("POST", resource_path(api::resource_of<T>(), ns), api::to_protobuf(object));
    Result<std::string> r = co_await raw(std::move(q));
    if (!r) co_return r.status();
    co_return api::from_protobuf<T>(*r);
  }
  // PUT; metadata.resource_version of `object` is the precondition. `subresource` is "status" or so.
  template <class T>
  async::Task<Result<T>> update(T object, std::string subresource = {}) {
    ApiRequest q = write_request("PUT", resource_path(api::resource_of<T>(), object.metadata.namespace_, object.metadata.name, subresource),
                                 api::to_protobuf(object));
    Result<std::string> r = co_await raw(std::move(q));
    if (!r) co_return r.status();
    co_return api::from_protobuf<T>(*r);
  }
  // `body` is JSON. Include metadata.resourceVersion or metadata.uid where the decision rested on a read.
  template <class T>
  async::Task<Result<T>> patch(std::string ns, std::string name, PatchType type, std::string body, std::string subresource = {}) {
    Result<std::string> r = co_await raw(patch_request(resource_path(api::resource_of<T>(), ns, name, subresource), type, std::move(body)));
    if (!r) co_return r.status();
    co_return api::from_protobuf<T>(*r);
  }
  template <class T>
  async::Task<Result<void>> remove(std::string ns, std::string name, DeleteOptions options = {}) {
    Result<std::string> r = co_await raw(delete_request(resource_path(api::resource_of<T>(), ns, name), options));
    if (!r) co_return r.status();
    co_return Result<void>();
  }
  // POST of `body` (T) to a subresource that answers with U: pods/eviction, pods/binding, serviceaccounts/token.
  template <class U, class T>
  async::Task<Result<U>> create_sub(const api::ResourceInfo& parent, std::string ns, std::string name, std::string subresource, T body) {
    ApiRequest q = write_request("POST", resource_path(parent, ns, name, subresource), api::to_protobuf(body));
    Result<std::string> r = co_await raw(std::move(q));
    if (!r) co_return r.status();
    co_return api::from_protobuf<U>(*r);
  }

  // The requests that the above send; also for components that work on any resource (garbage collector, namespaces).
  ApiRequest list_request(const api::ResourceInfo& r, std::string_view ns, const ListOptions& options) const;
  ApiRequest write_request(std::string method, std::string path, std::string protobuf) const;
  ApiRequest patch_request(std::string path, PatchType type, std::string body) const;
  ApiRequest delete_request(std::string path, const DeleteOptions& options) const;

 private:
  template <class T>
  static Result<List<T>> decode_list(std::string_view protobuf) {
    Result<RawList> raw = split_list(protobuf);
    if (!raw) return raw.status();
    List<T> out;
    out.resource_version = raw->resource_version;
    out.continue_ = raw->continue_;
    out.items.reserve(raw->items.size());
    for (const auto& item : raw->items) {
      Result<T> object = api::from_message<T>(item);
      if (!object) return object.status();
      out.items.push_back(std::move(*object));
    }
    return out;
  }
  Transport* transport_;
  std::string field_manager_;
};

}  // namespace onebin::client
