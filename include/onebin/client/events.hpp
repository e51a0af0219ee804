// EventRecorder: Events about objects, as kubectl describe shows them. Repeats are counted into one Event; the queue is
// bounded and drops the newest when full; nothing waits for it.
#pragma once
#include <onebin/client/client.hpp>
#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>
#include <onebin/base/random.hpp>
#include <onebin/base/time.hpp>

#include <map>
#include <string>

namespace onebin::client {

struct ObjectRef {
  std::string api_version, kind, ns, name, uid, resource_version, field_path;
};
template <class T>
ObjectRef ref_of(const T& object) {
  const auto& r = api::resource_of<T>();
  return {r.api_version(), std::string(r.kind), object.metadata.namespace_, object.metadata.name,
          object.metadata.uid, object.metadata.resource_version, {}};
}

class EventRecorder {
 public:
  // `component` and `host` are the Event's source. The queue holds 256 events; same events within ten minutes are counted.
  EventRecorder(Client& client, std::string component, std::string host);
  ~EventRecorder();
  void start();
  async::Task<void> stop();
  // type is "Normal" or "Warning".
  void event(const ObjectRef& about, std::string type, std::string reason, std::string message);

 private:
  struct Item {
    ObjectRef about;
    std::string type, reason, message;
  };
  struct Seen {
    std::string name, first_timestamp;
    int count = 0;
    SteadyTime last;
  };
  async::Task<void> run();
  async::Task<void> write(Item item);
  Client& client_;
  std::string component_, host_;
  async::Channel<Item> queue_;
  std::map<std::string, Seen> seen_;  // at most 1024, oldest dropped
  async::TaskGroup group_;
};

}  // namespace onebin::client
