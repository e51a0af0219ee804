// Certificates of pods (KEP-4317): the kubelet makes a key, asks for its certificate with a PodCertificateRequest and gives
// both to the pod; it asks again when the signer says so. One watch of this node's requests, while a pod needs one.
#pragma once
#include "kubelet/volumes/payload.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/base/random.hpp>
#include <onebin/client/informer.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace onebin::kubelet {

class CertificateCache {
 public:
  CertificateCache(client::Client& client, Rng& rng, std::string node_name) : client_(client), rng_(rng), node_(std::move(node_name)) {}

  // Called with the pod's uid when a certificate was issued or refused.
  void on_change(std::function<void(const std::string& uid)> fn) { changed_ = std::move(fn); }
  // What the pod has, or gets within `limit`. A certificate that is being renewed serves on.
  async::Task<Result<Credential>> get(core::Pod pod, CertificateSource source, Duration limit);
  // When the earliest of a pod's certificates wants renewal; none when it has none, or has asked already.
  std::optional<WallTime> next_refresh(const core::Pod& pod) const;
  void forget(const std::string& pod_uid);
  async::Task<void> stop();

 private:
  struct Request {
    std::string ns, name, key;
    WallTime give_up{};  // when a request that cannot be found any more counts as deleted
  };
  struct Entry {
    std::optional<Request> pending;
    std::optional<Credential> credential;
    WallTime refresh{};
    Status refused;  // for good
  };
  static std::string id_of(const core::Pod& pod, const CertificateSource& source) { return pod.metadata.uid + "/" + source.key(); }
  async::Task<Result<Request>> ask(core::Pod pod, CertificateSource source);
  void watch();
  void on_request(const std::string& key, const Bytes& object);
  void settle(Entry& e, const api::certificates::v1::PodCertificateRequest& request);

  client::Client& client_;
  Rng& rng_;
  std::string node_;
  std::function<void(const std::string&)> changed_;
  std::map<std::string, Entry> entries_;  // by pod's uid, volume and source
  std::unique_ptr<client::RawInformer> requests_;
  async::Notify news_;
};

}  // namespace onebin::kubelet
