// What a Service may say.
#pragma once
#include "apiserver/registry/strategy.hpp"

namespace onebin::apiserver {

void validate_service(const Document& service, const Document* old, FieldErrors& errors);
// Its status: where it is reached by a load balancer.
void validate_service_status(const Document& service, const Document& old, FieldErrors& errors);
// clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy by themselves and with each other, before any is chosen.
void validate_service_addresses(const Document& spec, const Document* old, FieldErrors& errors);

// An address that only its own host understands is no endpoint.
void validate_endpoint_ip(std::string_view text, const FieldPath& path, FieldErrors& errors);

}  // namespace onebin::apiserver
