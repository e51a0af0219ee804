// Latest<T>: an informer's objects, overlaid by what the component itself has written and not seen come back yet, so that
// decisions in a row rest on each other, or by what it is about to write. An overlay goes when the informer has caught up.
#pragma once
#include <onebin/client/informer.hpp>

#include <charconv>
#include <map>
#include <optional>
#include <string>

namespace onebin::client {

template <class T>
class Latest {
 public:
  // Before the informer starts; both live as long as each other.
  explicit Latest(Informer<T>& informer) : informer_(informer) {
    informer.on_event([this](const std::string& key, const T*, const T* now) {
      auto it = written_.find(key);
      if (it != written_.end() && (!now || version(*now) >= version(it->second.object) + it->second.assumed)) written_.erase(it);
    });
  }
  std::optional<T> get(const std::string& key) const {
    auto it = written_.find(key);
    return it == written_.end() ? informer_.get(key) : std::optional<T>(it->second.object);
  }
  // `object` as the server has answered it.
  void put(T object) {
    std::string key = object_key(object.metadata.namespace_, object.metadata.name);
    std::optional<T> seen = informer_.get(key);
    if (seen && version(*seen) < version(object)) written_[key] = {std::move(object), 0};
    else written_.erase(key);
  }
  // `object` as it will be: read from here, changed, not written yet. revert() where the write fails.
  void assume(T object) {
    std::string key = object_key(object.metadata.namespace_, object.metadata.name);
    written_[key] = {std::move(object), 1};
  }
  void revert(const std::string& key) { written_.erase(key); }
  template <class Fn>
  void for_each(Fn fn) const {
    informer_.for_each([&](const std::string& key, const T& object) {
      auto it = written_.find(key);
      fn(key, it == written_.end() ? object : it->second.object);
    });
  }

 private:
  struct Overlay {
    T object;
    std::uint64_t assumed = 0;  // 1: has the version that it was read at
  };
  static std::uint64_t version(const T& object) {
    std::uint64_t v = 0;
    const std::string& text = object.metadata.resource_version;
    std::from_chars(text.data(), text.data() + text.size(), v);
    return v;
  }
  Informer<T>& informer_;
  std::map<std::string, Overlay> written_;
};

}  // namespace onebin::client
