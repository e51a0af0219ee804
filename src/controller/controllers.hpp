// The controllers' makers, by upstream's names.
#pragma once
#include "framework.hpp"

namespace onebin::controller {

std::unique_ptr<Controller> make_replicaset_controller(Context& c);
std::unique_ptr<Controller> make_deployment_controller(Context& c);
std::unique_ptr<Controller> make_daemonset_controller(Context& c);
std::unique_ptr<Controller> make_statefulset_controller(Context& c);
std::unique_ptr<Controller> make_replication_controller(Context& c);
std::unique_ptr<Controller> make_cronjob_controller(Context& c);
std::unique_ptr<Controller> make_horizontal_pod_autoscaler(Context& c);
std::unique_ptr<Controller> make_job_controller(Context& c);
std::unique_ptr<Controller> make_namespace_controller(Context& c);
std::unique_ptr<Controller> make_serviceaccount_controller(Context& c);
std::unique_ptr<Controller> make_root_ca_publisher(Context& c);
std::unique_ptr<Controller> make_service_cidrs_controller(Context& c);
std::unique_ptr<Controller> make_endpoints_controller(Context& c);
std::unique_ptr<Controller> make_endpointslice_controller(Context& c);
std::unique_ptr<Controller> make_endpoint_mirroring_controller(Context& c);
std::unique_ptr<Controller> make_node_lifecycle_controller(Context& c);
std::unique_ptr<Controller> make_taint_eviction_controller(Context& c);
std::unique_ptr<Controller> make_pod_garbage_collector(Context& c);
std::unique_ptr<Controller> make_disruption_controller(Context& c);
std::unique_ptr<Controller> make_garbage_collector(Context& c);
std::unique_ptr<Controller> make_node_ipam_controller(Context& c);
std::unique_ptr<Controller> make_certificate_approver(Context& c);
std::unique_ptr<Controller> make_certificate_signer(Context& c);
std::unique_ptr<Controller> make_certificate_cleaner(Context& c);
std::unique_ptr<Controller> make_token_cleaner(Context& c);
std::unique_ptr<Controller> make_persistent_volume_binder(Context& c);
std::unique_ptr<Controller> make_ephemeral_volume_controller(Context& c);
std::unique_ptr<Controller> make_resource_claim_controller(Context& c);
std::unique_ptr<Controller> make_ttl_controller(Context& c);
std::unique_ptr<Controller> make_flow_schema_controller(Context& c);
std::unique_ptr<Controller> make_pvc_protection_controller(Context& c);
std::unique_ptr<Controller> make_pv_protection_controller(Context& c);
std::unique_ptr<Controller> make_vac_protection_controller(Context& c);
std::unique_ptr<Controller> make_servicelb(Context& c);

}  // namespace onebin::controller
