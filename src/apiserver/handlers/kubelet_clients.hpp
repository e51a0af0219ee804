// HTTP clients to kubelets, kept alive between requests, through the NodeDialer.
#pragma once
#include "apiserver/core.hpp"

#include <onebin/net/client.hpp>

#include <map>

namespace onebin::apiserver {

class KubeletClients {
 public:
  explicit KubeletClients(Core& core) : core_(core) {}
  // Where a node's kubelet listens, from the Node's status; and a client to it.
  Result<net::HttpClient*> of(const std::string& node);
  net::Dialer dialer(std::string node) const;

 private:
  struct Entry {
    std::string url;
    std::unique_ptr<net::HttpClient> client;
  };
  Core& core_;
  std::map<std::string, Entry> clients_;
  std::vector<std::unique_ptr<net::HttpClient>> retired_;  // may still carry streams
};

}  // namespace onebin::apiserver
