// Objects that every cluster has from its start: priority levels and flow schemas, and APIServices of the built-in groups.
#pragma once
#include <onebin/apimachinery/document.hpp>

#include <string_view>
#include <vector>

namespace onebin::apiserver {

// Suggested ones may be changed by whoever turns their annotation apf.kubernetes.io/autoupdate-spec off; of a mandatory one
// the spec is fixed.
const std::vector<apimachinery::Document>& default_priority_levels();
const std::vector<apimachinery::Document>& default_flow_schemas();
// The spec that a mandatory object must have; null for others.
const apimachinery::Document* mandatory_spec(std::string_view kind, std::string_view name);

// One for each group and version that is served by this process itself, but for the group of APIServices.
std::vector<apimachinery::Document> local_api_services();

}  // namespace onebin::apiserver
