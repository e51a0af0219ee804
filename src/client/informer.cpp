#include <onebin/client/informers.hpp>

#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/random.hpp>

namespace onebin::client {
namespace {
constexpr Duration kRetryFirst = 200ms, kRetryMax = 10s;
// A server ends a watch within this time; past it a silent connection is dead. The same bounds as client-go's reflector.
constexpr std::int64_t kWatchSecondsMin = 300, kWatchSecondsSpread = 300;
constexpr Duration kWatchGrace = 30s;

void append(std::string& query, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  if (!query.empty()) query.push_back('&');
  query.append(key).append("=").append(escape_query(value));
}

bool same_version(const Bytes& a, const Bytes& b) {
  if (a == b) return true;
  auto left = peek(*a), right = peek(*b);
  return left && right && left->resource_version == right->resource_version;
}
}  // namespace

std::string object_key(std::string_view ns, std::string_view name) {
  std::string k(ns);
  if (!k.empty()) k.push_back('/');
  return k.append(name);
}

std::pair<std::string, std::string> split_key(std::string_view key) {
  auto slash = key.find('/');
  if (slash == std::string_view::npos) return {"", std::string(key)};
  return {std::string(key.substr(0, slash)), std::string(key.substr(slash + 1))};
}

RawInformer::RawInformer(Client& client, api::ResourceInfo resource, Options options)
    : client_(client), resource_(std::move(resource)), options_(std::move(options)), group_("informer " + std::string(resource_.plural)) {}
RawInformer::~RawInformer() = default;

void RawInformer::add_handler(Handler handler) {
  for (const auto& [key, item] : items_) handler(key, nullptr, item);
  handlers_.push_back(std::move(handler));
}

const Index::Keys& Index::operator[](std::string_view value) const {
  static const Keys none;
  auto at = keys_.find(value);
  return at == keys_.end() ? none : at->second;
}

void Index::change(std::string_view key, const Bytes& before, const Bytes& now) {
  std::string old = before ? value_of_(*before) : std::string(), fresh = now ? value_of_(*now) : std::string();
  if (old != fresh) {
    if (auto at = keys_.find(old); at != keys_.end()) {
      erase_key(at->second, key);
      if (at->second.empty()) keys_.erase(at);
    }
  }
  if (!fresh.empty()) insert_key(keys_[std::move(fresh)], key);
}

const Index& RawInformer::index(Index::ValueOf value_of) {
  for (const auto& i : indexes_)
    if (i->value_of_ == value_of) return *i;
  indexes_.push_back(std::make_unique<Index>(value_of));
  for (const auto& [key, item] : items_) indexes_.back()->change(key, nullptr, item);
  return *indexes_.back();
}

void RawInformer::start() { group_.spawn(run()); }

async::Task<void> RawInformer::stop() {
  group_.cancel();
  co_await group_.join();
}

async::Task<Result<void>> RawInformer::wait_synced() {
  while (!synced_) {
    Status s = co_await sync_waiters_.wait();
    if (!s) co_return s;
  }
  co_return Result<void>();
}

Bytes RawInformer::get(std::string_view key) const {
  auto it = items_.find(key);
  return it == items_.end() ? nullptr : it->second;
}

void RawInformer::became_synced() {
  if (synced_) return;
  synced_ = true;
  sync_waiters_.wake_all();
}

async::Task<void> RawInformer::run() {
  Duration retry = kRetryFirst;
  for (;;) {
    SteadyTime began = async::Loop::current().now();
    Result<void> r = co_await list_and_watch();
    if (r.is(Reason::Cancelled)) co_return;
    bool lasted = async::Loop::current().now() - began > kRetryMax;
    if (r.is_ok() || r.is(Reason::Expired) || r.is(Reason::Gone)) {
      if (lasted) {
        retry = kRetryFirst;
        continue;
      }
    } else {
      log_debug("list and watch failed", {{"resource", resource_.plural}, {"error", r.status()}});
    }
    Duration jitter(static_cast<std::int64_t>(static_cast<double>(retry.count()) * system_rng().unit()));
    Status s = co_await async::sleep_for(retry + jitter);
    if (!s) co_return;
    retry = lasted ? kRetryFirst : std::min(retry * 2, kRetryMax);
  }
}

// One watch does both: without a revision to continue from it asks for the initial events, whose objects are shared with the
// server's cache where the transport is local.
async::Task<Result<void>> RawInformer::list_and_watch() {
  Result<void> r = co_await watch_from(last_resource_version_);
  if (r.is(Reason::Expired) || r.is(Reason::Gone)) last_resource_version_.clear();
  co_return r;
}

async::Task<Result<void>> RawInformer::watch_from(std::string resource_version) {
  ApiRequest q;
  q.path = resource_path(resource_, options_.ns);
  if (options_.metadata_only) q.accept = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
  auto seconds = kWatchSecondsMin + static_cast<std::int64_t>(system_rng().below(kWatchSecondsSpread));
  q.query = "watch=true&allowWatchBookmarks=true&timeoutSeconds=" + std::to_string(seconds);
  bool initial = resource_version.empty();
  if (initial) q.query.append("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
  append(q.query, "resourceVersion", resource_version);
  append(q.query, "labelSelector", options_.label_selector);
  append(q.query, "fieldSelector", options_.field_selector);
  Result<std::unique_ptr<WatchStream>> stream = co_await client_.transport().watch(std::move(q));
  if (!stream) co_return stream.status();
  Items fresh;
  for (;;) {
    Result<std::vector<WatchEvent>> events = co_await async::with_timeout(std::chrono::seconds(seconds) + kWatchGrace, (*stream)->next());
    if (!events) {
      if (events.is(Reason::Closed)) co_return Result<void>();
      co_return events.status();
    }
    for (const auto& event : *events) {
      Result<void> applied;
      if (initial) applied = apply_initial(event, fresh, initial);
      else applied = apply(event);
      if (!applied) co_return applied.status();
    }
  }
}

Result<void> RawInformer::apply_initial(const WatchEvent& event, Items& fresh, bool& initial) {
  if (event.type == WatchType::Error) return event.error;
  Result<ObjectHeader> h = peek(*event.object);
  if (!h) return h.status();
  if (event.type != WatchType::Bookmark) {
    std::string key = object_key(h->namespace_, h->name);
    if (event.type == WatchType::Deleted) fresh.erase(key);
    else fresh[std::move(key)] = reduced(event.object);
    return {};
  }
  initial = false;
  replace(std::move(fresh));
  last_resource_version_ = h->resource_version;
  became_synced();
  return {};
}

// Turns the difference to the cache into events, so that handlers miss nothing over a gap.
void RawInformer::replace(Items fresh) {
  std::vector<std::string> gone;
  for (const auto& [key, item] : items_)
    if (!fresh.count(key)) gone.push_back(key);
  for (const auto& key : gone) erase(key, get(key));
  for (auto& [key, item] : fresh)
    if (Bytes held = get(key); !held || !same_version(held, item)) store(key, std::move(item));
}

Result<void> RawInformer::apply(const WatchEvent& event) {
  if (event.type == WatchType::Error) return event.error;
  Result<ObjectHeader> h = peek(*event.object);
  if (!h) return h.status();
  last_resource_version_ = h->resource_version;
  if (event.type == WatchType::Bookmark) return {};
  std::string key = object_key(h->namespace_, h->name);
  if (event.type == WatchType::Deleted) {
    erase(key, reduced(event.object));
  } else {
    store(std::move(key), reduced(event.object));
  }
  return {};
}

void RawInformer::store(std::string key, Bytes object) {
  auto at = items_.try_emplace(std::move(key)).first;
  Bytes before = std::exchange(at->second, object);
  for (const auto& i : indexes_) i->change(at->first, before, object);
  for (const auto& h : handlers_) h(at->first, before, object);
}

// Handlers get the object's last state as `before`.
void RawInformer::erase(const std::string& key, const Bytes& last) {
  auto node = items_.extract(key);
  if (node.empty()) return;
  for (const auto& i : indexes_) i->change(node.key(), node.mapped(), nullptr);
  for (const auto& h : handlers_) h(node.key(), last, nullptr);
}

void Informers::start() {
  started_ = true;
  for (auto& [name, informer] : informers_) informer->start();
}

async::Task<void> Informers::stop() {
  for (auto& [name, informer] : informers_) co_await informer->stop();
}

}  // namespace onebin::client
