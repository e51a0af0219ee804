// Informers: one informer a resource for all components of a process that read by the same transport; client-go's
// SharedInformerFactory.
#pragma once
#include <onebin/client/informer.hpp>

#include <map>
#include <memory>
#include <string>

namespace onebin::client {

class Informers {
 public:
  // `client` outlives the informers.
  explicit Informers(Client& client) : client_(client) {}
  // Made on first use; started at once where start() has been called before.
  template <class T>
  Informer<T>& get() {
    auto& slot = informers_[key_of(api::resource_of<T>())];
    if (!slot) {
      slot = std::make_unique<Informer<T>>(client_);
      if (started_) slot->start();
    }
    return static_cast<Informer<T>&>(*slot);
  }
  // The informer of a resource that somebody has asked for; null where nobody has.
  RawInformer* find(const api::ResourceInfo& resource) const {
    auto at = informers_.find(key_of(resource));
    return at == informers_.end() ? nullptr : at->second.get();
  }
  void start();
  async::Task<void> stop();

 private:
  static std::string key_of(const api::ResourceInfo& r) { return r.api_version() + "/" + std::string(r.plural); }
  Client& client_;
  bool started_ = false;
  std::map<std::string, std::unique_ptr<RawInformer>> informers_;
};

}  // namespace onebin::client
