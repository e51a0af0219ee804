// Reading pods as documents, for admission and authorizers that look into them.
#pragma once
#include <onebin/apimachinery/document.hpp>

#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace onebin::apiserver {

using apimachinery::Document;

inline constexpr char kMirrorAnnotation[] = "kubernetes.io/config.mirror";

// The array at `field`, empty where there is none.
const Document& items(const Document& object, std::string_view field);
bool is_mirror_pod(const Document& pod);
// Init, main and ephemeral containers in this order. fn(container, "spec.initContainers[0]").
void for_each_container(const Document& spec, const std::function<void(const Document&, const char* field, std::size_t index)>& fn);
// Names of the Secrets and ConfigMaps that the pod's volumes, environments and pull secrets name.
std::set<std::string> referenced_secrets(const Document& pod);
std::set<std::string> referenced_config_maps(const Document& pod);

}  // namespace onebin::apiserver
