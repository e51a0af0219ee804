// The strategy of CustomResourceDefinitions themselves.
#pragma once
#include "apiserver/registry/strategy.hpp"

#include <utility>

namespace onebin::apiserver {

StrategyPtr make_definition_strategy(const KindSchema& kind);

// The definition's own rules (crd/definition_validation.cpp); `old` null for a create.
void validate_definition(const Document& definition, const Document* old, FieldErrors& errors);
// That a schema is structural and can be served (crd/schema_rules.cpp).
void validate_custom_schema(const Document& schema, bool status_subresource, const FieldPath& path, FieldErrors& errors);

// Whether a group is Kubernetes' own (*.k8s.io, *.kubernetes.io), and what the approval annotation says of its use.
enum class ApprovalState : unsigned char { Missing, Invalid, Bypassed, Approved };
bool is_protected_group(std::string_view group);
std::pair<ApprovalState, std::string> approval_of(const Document& definition);

}  // namespace onebin::apiserver
