// Warnings: what is valid and still most likely a mistake; clients show them to people.
#pragma once
#include "apiserver/registry/strategy.hpp"

namespace onebin::apiserver {

// Those of a kind's object. `old` is null for a creation. Null where the kind has none.
using KindWarnings = void (*)(const WriteContext& c, const Document& object, const Document* old);
KindWarnings find_warnings(std::string_view group, std::string_view kind);
// Of addresses in the status, where that is written.
void warn_of_status(const WriteContext& c, const KindSchema& kind, const Document& object);

// Of a pod's or a template's spec and metadata, which lie below `path`; the root for a pod.
void warn_of_pod(const WriteContext& c, const Document& holder, const FieldPath& path);
void warn_of_ip(const WriteContext& c, const FieldPath& path, std::string_view ip);
void warn_of_network(const WriteContext& c, const FieldPath& path, std::string_view cidr);
// Resources of a claim whose amount is no whole number.
void warn_of_claim_spec(const WriteContext& c, const Document& spec, const FieldPath& path);
// Why a node label should be used no longer; "" where there is no reason.
std::string_view deprecated_node_label(std::string_view key);
// Of matchExpressions of a node selector's term; `values` looks at these too.
void warn_of_node_term(const WriteContext& c, const Document& term, const FieldPath& path, bool values);

}  // namespace onebin::apiserver
