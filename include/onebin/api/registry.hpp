// Registry: the built-in kinds. A CRD's kinds live with their owner, in tables of the same types.
#pragma once
#include <onebin/apimachinery/schema.hpp>

#include <span>
#include <string_view>

namespace onebin::api {

using apimachinery::KindSchema;
using apimachinery::TypeSchema;

// Null when there is none. Kinds without a resource too: ("", "v1", "Status"), ("", "v1", "PodList"), ("autoscaling", "v1", "Scale").
// Types of meta.k8s.io/v1 are found under ("meta.k8s.io", "v1", ...) and, for Status, DeleteOptions and the like, under "v1".
const KindSchema* find_kind(std::string_view group, std::string_view version, std::string_view kind);
const KindSchema* find_resource(std::string_view group, std::string_view version, std::string_view plural);
// Every kind that has a resource, in discovery order: groups by priority, then resources by name.
std::span<const KindSchema* const> all_kinds();
// By OpenAPI name: "io.k8s.api.core.v1.PodSpec".
const TypeSchema* find_type(std::string_view name);
std::span<const TypeSchema* const> all_types();

}  // namespace onebin::api
