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
    const auto& r = api::resource_of<T>();
    auto& slot = informers_[r.api_version() + "/" + std::string(r.plural)];
    if (!slot) {
      slot = std::make_unique<Informer<T>>(client_);
      if (started_) slot->start();
    }
    return static_cast<Informer<T>&>(*slot);
  }
  void start();
  async::Task<void> stop();

 private:
  Client& client_;
  bool started_ = false;
  std::map<std::string, std::unique_ptr<RawInformer>> informers_;
};

}  // namespace onebin::client
