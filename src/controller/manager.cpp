#include "controllers.hpp"
#include "pod_certificates.hpp"
#include "policy_status.hpp"
#include "resource_quota.hpp"

#include <onebin/base/log.hpp>

namespace onebin::controller {
namespace {

constexpr char kManager[] = "system:kube-controller-manager";

struct Maker {
  const char* name;  // as --disable takes it
  std::unique_ptr<Controller> (*make)(Context&);
};
// In the order of start: what others wait for goes first.
constexpr Maker kMakers[] = {
    {"namespace-controller", make_namespace_controller},
    {"service-account-controller", make_serviceaccount_controller},
    {"root-ca-cert-publisher", make_root_ca_publisher},
    {"certificate-approver", make_certificate_approver},
    {"certificate-signer", make_certificate_signer},
    {"certificate-cleaner", make_certificate_cleaner},
    {"node-ipam-controller", make_node_ipam_controller},
    {"node-lifecycle-controller", make_node_lifecycle_controller},
    {"taint-eviction-controller", make_taint_eviction_controller},
    {"replicaset-controller", make_replicaset_controller},
    {"deployment-controller", make_deployment_controller},
    {"daemonset-controller", make_daemonset_controller},
    {"job-controller", make_job_controller},
    {"statefulset-controller", make_statefulset_controller},
    {"replicationcontroller-controller", make_replication_controller},
    {"cronjob-controller", make_cronjob_controller},
    {"horizontal-pod-autoscaler-controller", make_horizontal_pod_autoscaler},
    {"service-cidr-controller", make_service_cidrs_controller},
    {"endpoints-controller", make_endpoints_controller},
    {"endpointslice-controller", make_endpointslice_controller},
    {"endpointslicemirroring-controller", make_endpoint_mirroring_controller},
    {"servicelb", make_servicelb},  // as k3s calls it
    {"disruption-controller", make_disruption_controller},
    {"pod-garbage-collector", make_pod_garbage_collector},
    {"garbage-collector", make_garbage_collector},
    {"token-cleaner", make_token_cleaner},
    {"persistentvolume-binder-controller", make_persistent_volume_binder},
    {"ephemeral-volume-controller", make_ephemeral_volume_controller},
    {"resourceclaim-controller", make_resource_claim_controller},
    {"ttl-controller", make_ttl_controller},
    {"flow-schema-status-controller", make_flow_schema_controller},
    {"pvc-protection-controller", make_pvc_protection_controller},
    {"pv-protection-controller", make_pv_protection_controller},
    {"volumeattributesclass-protection-controller", make_vac_protection_controller},
    {"resourcequota-controller", make_resource_quota_controller},
    {"validatingadmissionpolicy-status-controller", make_policy_status_controller},
    {"podcertificaterequest-cleaner-controller", make_pod_certificate_request_cleaner},
    {"kube-apiserver-serving-clustertrustbundle-publisher-controller", make_serving_bundle_publisher},
};

}  // namespace

class Manager::Impl {
 public:
  Impl(TransportOf transport_of, Options options)
      : options_(std::move(options)), client_(transport_of(kManager), "kube-controller-manager"), informers_(client_) {
    context_.options = &options_;
    context_.informers = &informers_;
    context_.rng = options_.rng ? options_.rng : &system_rng();
    context_.transport_of = std::move(transport_of);
    for (const Maker& m : kMakers)
      if (!options_.disabled.count(m.name)) controllers_.push_back(m.make(context_));
  }
  Informers& informers() { return informers_; }
  void start() {
    for (auto& c : controllers_) c->start();
    informers_.start();
  }
  async::Task<void> stop() {
    for (auto& c : controllers_) co_await c->stop();
    co_await informers_.stop();
  }

 private:
  Options options_;
  Client client_;
  Informers informers_;
  Context context_;
  Controllers controllers_;
};

std::vector<std::string> controller_names() {
  std::vector<std::string> out;
  for (const Maker& m : kMakers) out.emplace_back(m.name);
  return out;
}

Manager::Manager(TransportOf transport_of, Options options) : impl_(std::make_unique<Impl>(std::move(transport_of), std::move(options))) {}
Manager::~Manager() = default;
client::Informers& Manager::informers() { return impl_->informers(); }
void Manager::start() { impl_->start(); }
async::Task<void> Manager::stop() { return impl_->stop(); }

}  // namespace onebin::controller
