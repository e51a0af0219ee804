// Informer<T>: a list and watch of one resource that keeps the encoded objects and calls handlers in order.
//
// What is cached is the encoded protobuf object, shared by reference with the server's watch cache where the transport is
// local; get() decodes. Components keep projections of what they decide on, built in handlers.
// Handlers run on the loop, are short and do not await: they note keys in a work queue.
#pragma once
#include <onebin/api/codec.hpp>
#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>
#include <onebin/base/sorted_keys.hpp>
#include <onebin/client/client.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onebin::client {

// The keys of an informer's objects by a value that each has, kept up to date ahead of its handlers.
class Index {
 public:
  using ValueOf = std::string (*)(std::string_view object);  // "": the object is in no set
  using Keys = SortedKeys;                                   // of the cache: none outlives its object

  explicit Index(ValueOf value_of) : value_of_(value_of) {}
  const Keys& operator[](std::string_view value) const;

 private:
  friend class RawInformer;
  void change(std::string_view key, const Bytes& before, const Bytes& now);

  ValueOf value_of_;
  std::map<std::string, Keys, std::less<>> keys_;
};

// The untyped part: one resource, all namespaces unless `ns` is given.
class RawInformer {
 public:
  struct Options {
    std::string ns, label_selector, field_selector;
    bool metadata_only = false;  // objects as PartialObjectMetadata: the one form of custom resources in protobuf
    // Where given, what is kept and handed out of an object, in its own kind and version: client-go's transform.
    Bytes (*reduce)(const Bytes& object) = nullptr;
  };
  using Items = std::map<std::string, Bytes, std::less<>>;  // objects in protobuf with envelope
  // `key` is "namespace/name", or "name" for what has no namespace. `before` is null for an addition, `now` for a deletion.
  using Handler = std::function<void(const std::string& key, const Bytes& before, const Bytes& now)>;

  RawInformer(Client& client, api::ResourceInfo resource, Options options);
  virtual ~RawInformer();                      // Informer<T> is held as this

  void add_handler(Handler handler);           // before start(); later ones are called for what is cached already
  const Index& index(Index::ValueOf value_of);  // one for each function, shared by all who ask
  void start();                                // starts the reflector
  async::Task<void> stop();                    // ends it and waits
  bool synced() const { return synced_; }
  async::Task<Result<void>> wait_synced();     // after the first complete list has been handed to the handlers

  Bytes get(std::string_view key) const;       // null when absent
  const Items& items() const { return items_; }
  const api::ResourceInfo& resource() const { return resource_; }

 private:
  async::Task<void> run();
  async::Task<Result<void>> list_and_watch();
  async::Task<Result<void>> watch_from(std::string resource_version);
  Result<void> apply(const WatchEvent& event);
  Result<void> apply_initial(const WatchEvent& event, Items& fresh, bool& initial);
  void replace(Items fresh);
  Bytes reduced(const Bytes& object) const { return options_.reduce ? options_.reduce(object) : object; }
  void store(std::string key, Bytes object);
  void erase(const std::string& key, const Bytes& last);
  void became_synced();

  Client& client_;
  api::ResourceInfo resource_;
  Options options_;
  std::vector<Handler> handlers_;
  std::vector<std::unique_ptr<Index>> indexes_;
  Items items_;
  std::string last_resource_version_;
  bool synced_ = false;
  async::WaitQueue sync_waiters_;
  async::TaskGroup group_;
};

std::string object_key(std::string_view ns, std::string_view name);          // "ns/name" or "name"
std::pair<std::string, std::string> split_key(std::string_view key);         // {ns, name}

template <class T>
class Informer : public RawInformer {
 public:
  explicit Informer(Client& client, Options options = {}) : RawInformer(client, api::resource_of<T>(), std::move(options)) {}

  std::optional<T> get(std::string_view key) const {
    Bytes b = RawInformer::get(key);
    return b ? decode(b) : std::nullopt;
  }
  std::optional<T> get(std::string_view ns, std::string_view name) const { return get(object_key(ns, name)); }
  // fn(key, object); decodes each: for decisions, not for hot paths.
  template <class Fn>
  void for_each(Fn fn) const {
    for (const auto& [key, item] : items())
      if (std::optional<T> object = decode(item)) fn(key, *object);
  }
  // Typed handler: `before` and `now` are null where there is none. An event is decoded once for all typed handlers.
  using TypedHandler = std::function<void(const std::string& key, const T* before, const T* now)>;
  void on_event(TypedHandler fn) {
    typed_.push_back(std::move(fn));
    if (typed_.size() > 1) {
      for_each([this](const std::string& key, const T& object) { typed_.back()(key, nullptr, &object); });
      return;
    }
    add_handler([this](const std::string& key, const Bytes& before, const Bytes& now) {
      std::optional<T> b = before ? decode(before) : std::nullopt;
      std::optional<T> n = now ? decode(now) : std::nullopt;
      for (const auto& h : typed_) h(key, b ? &*b : nullptr, n ? &*n : nullptr);
    });
  }

 private:
  static std::optional<T> decode(const Bytes& bytes) {
    Result<T> r = api::from_protobuf<T>(*bytes);
    return r ? std::optional<T>(std::move(*r)) : std::nullopt;
  }
  std::vector<TypedHandler> typed_;
};

}  // namespace onebin::client
