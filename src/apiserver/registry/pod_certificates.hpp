// Rules of pods' certificates, for the kinds and volumes that have to do with them.
#pragma once
#include "apiserver/registry/kinds.hpp"

namespace onebin::apiserver {

// "example.com/signer-name".
void validate_signer_name(std::string_view name, const FieldPath& path, FieldErrors& errors);
// A volume's `projected`.
void validate_projected(const Document& projected, const FieldPath& path, FieldErrors& errors);

StrategyPtr make_pod_certificate_request_strategy(const KindSchema& kind);

}  // namespace onebin::apiserver
