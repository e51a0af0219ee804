#include <onebin/client/events.hpp>

#include <onebin/api/core_v1.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

namespace onebin::client {
namespace {
constexpr std::size_t kQueue = 256, kSeen = 1024;
constexpr Duration kSame = 10min, kWriteLimit = 10s;
constexpr std::size_t kMessageLimit = 1024;

std::string seen_key(const ObjectRef& o, const std::string& type, const std::string& reason, const std::string& message) {
  return o.uid + "|" + o.kind + "|" + o.ns + "|" + o.name + "|" + o.field_path + "|" + type + "|" + reason + "|" + message;
}
}  // namespace

EventRecorder::EventRecorder(Client& client, std::string component, std::string host)
    : client_(client), component_(std::move(component)), host_(std::move(host)), queue_(kQueue), group_("events " + component_) {}
EventRecorder::~EventRecorder() = default;

void EventRecorder::start() { group_.spawn(run()); }

async::Task<void> EventRecorder::stop() {
  queue_.close();
  group_.cancel();
  co_await group_.join();
}

void EventRecorder::event(const ObjectRef& about, std::string type, std::string reason, std::string message) {
  if (message.size() > kMessageLimit) message.resize(kMessageLimit);
  queue_.try_send(Item{about, std::move(type), std::move(reason), std::move(message)});
}

async::Task<void> EventRecorder::run() {
  for (;;) {
    Result<Item> item = co_await queue_.recv();
    if (!item) co_return;
    co_await write(std::move(*item));
  }
}

async::Task<void> EventRecorder::write(Item item) {
  auto& loop = async::Loop::current();
  std::string key = seen_key(item.about, item.type, item.reason, item.message);
  std::string now = format_rfc3339(loop.clock().wall());
  std::string ns = item.about.ns.empty() ? "default" : item.about.ns;
  auto it = seen_.find(key);
  if (it != seen_.end() && loop.now() - it->second.last < kSame) {
    it->second.last = loop.now();
    ++it->second.count;
    nlohmann::json patch = {{"count", it->second.count}, {"lastTimestamp", now}};
    std::string name = it->second.name;
    auto r = co_await async::with_timeout(kWriteLimit, client_.patch<api::core::v1::Event>(ns, name, PatchType::Merge, patch.dump()));
    if (r || !r.is(Reason::NotFound)) co_return;
    seen_.erase(key);
  }
  nlohmann::json o = {{"kind", "Event"}, {"apiVersion", "v1"}};
  std::string name = item.about.name + "." + random_hex(system_rng(), 8);
  o["metadata"] = {{"name", name}, {"namespace", ns}};
  o["involvedObject"] = {{"kind", item.about.kind}, {"apiVersion", item.about.api_version}, {"name", item.about.name},
                         {"namespace", item.about.ns}, {"uid", item.about.uid}, {"resourceVersion", item.about.resource_version}};
  if (!item.about.field_path.empty()) o["involvedObject"]["fieldPath"] = item.about.field_path;
  if (item.about.ns.empty()) o["involvedObject"].erase("namespace");
  o["type"] = item.type;
  o["reason"] = item.reason;
  o["message"] = item.message;
  o["source"]["component"] = component_;
  if (!host_.empty()) o["source"]["host"] = host_;
  o["reportingComponent"] = component_;
  o["reportingInstance"] = host_;
  o["count"] = 1;
  o["firstTimestamp"] = o["lastTimestamp"] = now;
  ApiRequest q;
  q.method = "POST";
  q.path = resource_path(api::resource_of<api::core::v1::Event>(), ns);
  q.content_type = "application/json";
  q.body = o.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  auto r = co_await async::with_timeout(kWriteLimit, client_.raw(std::move(q)));
  if (!r) {
    log_debug("event not written", {{"reason", item.reason}, {"object", item.about.name}, {"error", r.status()}});
    co_return;
  }
  if (seen_.size() >= kSeen) {
    auto oldest = seen_.begin();
    for (auto i = seen_.begin(); i != seen_.end(); ++i)
      if (i->second.last < oldest->second.last) oldest = i;
    seen_.erase(oldest);
  }
  seen_[key] = Seen{name, now, 1, loop.now()};
}

}  // namespace onebin::client
