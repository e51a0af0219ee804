#include "apiserver/security.hpp"

#include "apiserver/admission/plugins.hpp"
#include "apiserver/authn/chain.hpp"
#include "apiserver/authn/service_account_tokens.hpp"
#include "apiserver/authz/node_authorizer.hpp"
#include "apiserver/authz/rbac_authorizer.hpp"
#include "apiserver/rbac/aggregation.hpp"
#include "apiserver/rbac/default_policy.hpp"
#include "apiserver/rbac/escalation.hpp"
#include "apiserver/rbac/policy_store.hpp"
#include "apiserver/rbac/reconcile.hpp"

namespace onebin::apiserver {
namespace {

// In upstream's order. Admission policies and webhooks follow, and last of all ResourceQuota (which Core adds).
void add_plugins(Security& s, const SecurityDeps& deps, std::shared_ptr<const PolicyStore> policy) {
  Lister& lister = *deps.lister;
  AdmissionChain& chain = s.admission;
  chain.add(make_escalation_check(std::move(policy), s.authorizer.get()));
  chain.add(make_namespace_lifecycle(lister));
  chain.add(make_limit_ranger(lister));
  chain.add(make_service_account_admission(lister, *deps.rng));
  chain.add(make_node_restriction(lister, *s.authorizer));
  chain.add(make_node_identity(lister));
  chain.add(make_pod_certificate_signing(*s.authorizer));
  chain.add(make_taint_nodes_by_condition());
  chain.add(make_pod_security(lister));
  chain.add(make_priority_admission(lister));
  chain.add(make_default_toleration_seconds());
  chain.add(make_default_storage_class(lister));
  chain.add(make_storage_object_in_use_protection());
  chain.add(make_claim_resize(lister));
  chain.add(make_runtime_class_admission(lister));
  chain.add(make_certificate_approval(*s.authorizer));
  chain.add(make_certificate_signing(*s.authorizer));
  chain.add(make_cluster_trust_bundle_attest(*s.authorizer));
  chain.add(make_certificate_subject_restriction());
  chain.add(make_default_ingress_class(lister));
  chain.add(make_pod_topology_labels(lister));
  chain.add(make_pod_resize_validator(lister));
}

}  // namespace

Result<Security> make_security(const SecurityDeps& deps) {
  Security s;
  const Options& o = *deps.options;
  std::shared_ptr<const JwtKeys> keys;
  if (!o.service_account_keys_pem.empty()) {
    Result<JwtKeys> loaded = JwtKeys::load(o.service_account_keys_pem);
    if (!loaded) return loaded.status().with_context("service account keys");
    keys = std::make_shared<const JwtKeys>(std::move(*loaded));
    if (keys->can_sign()) s.token_issuer = std::make_unique<ServiceAccountIssuer>(keys, o, *deps.rng, *deps.clock);
  }
  s.authenticator = std::make_unique<AuthenticatorChain>(o, *deps.lister, *deps.clock, keys);
  auto policy = std::make_shared<PolicyStore>(*deps.lister);
  std::vector<std::unique_ptr<Authorizer>> authorizers;
  authorizers.push_back(std::make_unique<MastersAuthorizer>());
  authorizers.push_back(std::make_unique<NodeAuthorizer>(*deps.lister, node_rules()));
  authorizers.push_back(std::make_unique<RbacAuthorizer>(policy));
  s.authorizer = std::make_unique<UnionAuthorizer>(std::move(authorizers));
  s.background = std::make_unique<RoleAggregator>(policy);
  add_plugins(s, deps, policy);
  return Result<Security>(std::move(s));
}

async::Task<Result<void>> bootstrap_security(client::Transport& transport, const Lister& lister, const Options& options) {
  co_return co_await send_all(&transport, plan_bootstrap(lister, options));
}

}  // namespace onebin::apiserver
