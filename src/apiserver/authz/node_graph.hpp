// NodeGraph: which nodes may see which Secrets, ConfigMaps, service accounts and claims, since pods bound to them name them.
// Kept by counts per object and node; a pod itself costs nothing here.
#pragma once
#include "apiserver/lister.hpp"

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

namespace onebin::apiserver {

class NodeGraph {
 public:
  // Subscribes to pods.
  explicit NodeGraph(Lister& lister);
  NodeGraph(const NodeGraph&) = delete;

  bool secret(std::string_view node, std::string_view ns, std::string_view name) const;  // also by way of volumes
  bool config_map(std::string_view node, std::string_view ns, std::string_view name) const { return reaches('c', node, ns, name); }
  bool service_account(std::string_view node, std::string_view ns, std::string_view name) const { return reaches('a', node, ns, name); }
  bool claim(std::string_view node, std::string_view ns, std::string_view name) const { return reaches('v', node, ns, name); }
  bool volume(std::string_view node, std::string_view name) const;
  bool pod(std::string_view node, std::string_view ns, std::string_view name) const;
  bool resource_claim(std::string_view node, std::string_view ns, std::string_view name) const;
  // Objects that name their node in spec.nodeName: volume attachments, resource slices, pod certificate requests.
  bool names_node(std::string_view group, std::string_view resource, std::string_view node, std::string_view ns, std::string_view name) const;

 private:
  bool reaches(char kind, std::string_view node, std::string_view ns, std::string_view name) const;
  void count(const Bytes& pod, int by);

  const Lister& lister_;
  std::unordered_map<std::string, std::map<std::string, int, std::less<>>> reach_;  // kind ns/name -> node -> pods
};

}  // namespace onebin::apiserver
