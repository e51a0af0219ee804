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

#include <algorithm>

namespace onebin::apiserver {
namespace {

// What plug-ins are made of.
struct Parts {
  Lister& lister;
  Authorizer& authorizer;
  const SecurityDeps& deps;
  const Options& options;
};

struct Plugin {
  const char* name;  // upstream's
  bool on;           // by default
  std::unique_ptr<AdmissionPlugin> (*make)(Parts& p);
};

// In upstream's order.
constexpr Plugin kPlugins[] = {
    {"NamespaceLifecycle", true, [](Parts& p) { return make_namespace_lifecycle(p.lister); }},
    {"LimitRanger", true, [](Parts& p) { return make_limit_ranger(p.lister); }},
    {"ServiceAccount", true, [](Parts& p) { return make_service_account_admission(p.lister, *p.deps.rng); }},
    {"NodeRestriction", true, [](Parts& p) { return make_node_restriction(p.lister, p.authorizer); }},
    {"TaintNodesByCondition", true, [](Parts&) { return make_taint_nodes_by_condition(); }},
    {"AlwaysPullImages", false, [](Parts&) { return make_always_pull_images(); }},
    {"PodSecurity", true, [](Parts& p) { return make_pod_security(p.lister, p.options.pod_security); }},
    {"Priority", true, [](Parts& p) { return make_priority_admission(p.lister); }},
    {"DefaultTolerationSeconds", true, [](Parts& p) { return make_default_toleration_seconds(p.options.not_ready_toleration_seconds, p.options.unreachable_toleration_seconds); }},
    {"ExtendedResourceToleration", false, [](Parts&) { return make_extended_resource_toleration(); }},
    {"DefaultStorageClass", true, [](Parts& p) { return make_default_storage_class(p.lister); }},
    {"StorageObjectInUseProtection", true, [](Parts&) { return make_storage_object_in_use_protection(); }},
    {"OwnerReferencesPermissionEnforcement", false, [](Parts& p) { return make_owner_references_permission_enforcement(p.lister, p.authorizer); }},
    {"PersistentVolumeClaimResize", true, [](Parts& p) { return make_claim_resize(p.lister); }},
    {"RuntimeClass", true, [](Parts& p) { return make_runtime_class_admission(p.lister); }},
    {"CertificateApproval", true, [](Parts& p) { return make_certificate_approval(p.authorizer); }},
    {"CertificateSigning", true, [](Parts& p) { return make_certificate_signing(p.authorizer); }},
    {"ClusterTrustBundleAttest", true, [](Parts& p) { return make_cluster_trust_bundle_attest(p.authorizer); }},
    {"CertificateSubjectRestriction", true, [](Parts&) { return make_certificate_subject_restriction(); }},
    {"DefaultIngressClass", true, [](Parts& p) { return make_default_ingress_class(p.lister); }},
    {"DenyServiceExternalIPs", false, [](Parts&) { return make_deny_service_external_ips(); }},
    {"PodTopologyLabels", true, [](Parts& p) { return make_pod_topology_labels(p.lister); }},
    {"PodResizeValidator", true, [](Parts& p) { return make_pod_resize_validator(p.lister); }},
    // These Core makes, which they work through.
    {"MutatingAdmissionPolicy", true, nullptr},
    {"MutatingAdmissionWebhook", true, nullptr},
    {"ValidatingAdmissionPolicy", true, nullptr},
    {"ValidatingAdmissionWebhook", true, nullptr},
    {"ResourceQuota", true, nullptr},
};

Status check_plugins(const Options& o) {
  for (const auto* names : {&o.enable_admission_plugins, &o.disable_admission_plugins})
    for (const auto& name : *names) {
      bool known = std::any_of(std::begin(kPlugins), std::end(kPlugins), [&](const Plugin& p) { return name == p.name; });
      if (!known) return bad_request(std::string(names == &o.enable_admission_plugins ? "enable" : "disable") + "-admission-plugins plugin \"" + name + "\" is unknown");
      if (names == &o.enable_admission_plugins && o.disable_admission_plugins.count(name))
        return bad_request(name + " in enable-admission-plugins and disable-admission-plugins overlapped");
    }
  return Status::ok();
}

void add_plugins(Security& s, const SecurityDeps& deps, std::shared_ptr<const PolicyStore> policy) {
  Parts parts{*deps.lister, *s.authorizer, deps, *deps.options};
  // These are no plug-ins upstream, or not in it, and cannot be turned off.
  s.admission.add(make_escalation_check(std::move(policy), s.authorizer.get()));
  s.admission.add(make_node_identity(*deps.lister));
  s.admission.add(make_pod_certificate_signing(*s.authorizer));
  for (const Plugin& p : kPlugins)
    if (p.make && (p.on || parts.options.enable_admission_plugins.count(p.name)) && !parts.options.disable_admission_plugins.count(p.name)) s.admission.add(p.make(parts));
}

}  // namespace

Result<Security> make_security(const SecurityDeps& deps) {
  Security s;
  const Options& o = *deps.options;
  RETURN_IF_ERROR(check_plugins(o));
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
