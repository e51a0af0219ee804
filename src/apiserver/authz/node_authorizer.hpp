// Node: what a kubelet may do: its own Node, Lease and CSINode, and what the pods bound to it name; for the rest the rules
// of ClusterRole system:node. Creates and status updates are limited further by the admission plug-in NodeRestriction.
// Source: Kubernetes "Using Node Authorization".
#pragma once
#include "apiserver/authorizer.hpp"
#include "apiserver/authz/node_graph.hpp"
#include "apiserver/rbac/rules.hpp"

namespace onebin::apiserver {

class NodeAuthorizer final : public Authorizer {
 public:
  NodeAuthorizer(Lister& lister, std::vector<PolicyRule> rules) : graph_(lister), rules_(std::move(rules)) {}
  async::Task<Authorized> authorize(const Attributes& attributes) override;
  Rules rules_for(const UserInfo& user, const std::string& ns) override;

 private:
  // "" allows; else why not. " " where nothing is to be said.
  std::string refusal(const std::string& node, const Attributes& a) const;
  std::string refuse_node_object(const std::string& node, const Attributes& a) const;
  std::string refuse_pod(const std::string& node, const Attributes& a) const;
  std::string refuse_lease(const std::string& node, const Attributes& a) const;
  std::string refuse_csi_node(const std::string& node, const Attributes& a) const;
  std::string refuse_slice(const std::string& node, const Attributes& a) const;
  std::string refuse_service_account(const std::string& node, const Attributes& a) const;
  std::string refuse_certificate_request(const std::string& node, const Attributes& a) const;

  NodeGraph graph_;
  std::vector<PolicyRule> rules_;
};

}  // namespace onebin::apiserver
