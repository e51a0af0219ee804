#include "kubelet/pod_status.hpp"

#include <onebin/api/codec.hpp>

#include <nlohmann/json.hpp>

namespace onebin::kubelet {
namespace {

using nlohmann::json;

// The status fields that the kubelet owns; others (nominatedNodeName, claims) are never touched.
constexpr const char* kPlain[] = {"observedGeneration", "phase",             "message",
                                  "reason",             "hostIP",            "podIP",
                                  "startTime",          "qosClass",          "initContainerStatuses",
                                  "containerStatuses",  "ephemeralContainerStatuses"};
constexpr const char* kMergedByIp[] = {"hostIPs", "podIPs"};

const json& field(const json& o, const char* name) {
  static const json none;
  auto i = o.find(name);
  return i == o.end() ? none : *i;
}

// Conditions merge by type: only those that differ are sent, and those of the kubelet's own that are gone are deleted.
json condition_changes(const json& before, const json& after) {
  json out = json::array();
  auto find = [](const json& list, const json& type) -> const json* {
    if (!list.is_array()) return nullptr;
    for (const auto& c : list)
      if (field(c, "type") == type) return &c;
    return nullptr;
  };
  if (after.is_array())
    for (const auto& c : after) {
      const json* old = find(before, field(c, "type"));
      if (old && *old == c) continue;
      json change = c;
      if (old)
        for (const auto& [k, v] : old->items())
          if (!c.contains(k)) change[k] = nullptr;
      out.push_back(std::move(change));
    }
  if (before.is_array())
    for (const auto& c : before) {
      const json& type = field(c, "type");
      if (type.is_string() && owned_by_kubelet(type.get_ref<const std::string&>()) && !find(after, type))
        out.push_back(json{{"$patch", "delete"}, {"type", type}});
    }
  return out;
}

}  // namespace

std::string status_patch(const core::Pod& pod, const core::PodStatus& before, const core::PodStatus& after) {
  json a = json::parse(api::to_json(before), nullptr, false), b = json::parse(api::to_json(after), nullptr, false);
  if (!a.is_object() || !b.is_object()) return {};
  json status = json::object();
  for (const char* name : kPlain) {
    const json &x = field(a, name), &y = field(b, name);
    if (x == y) continue;
    status[name] = y;  // null deletes
  }
  for (const char* name : kMergedByIp) {
    const json &x = field(a, name), &y = field(b, name);
    if (x == y) continue;
    json list = y.is_array() ? y : json::array();
    if (x.is_array() && !x.empty()) list.push_back(json{{"$patch", "replace"}});
    status[name] = std::move(list);
  }
  json conditions = condition_changes(field(a, "conditions"), field(b, "conditions"));
  if (!conditions.empty()) status["conditions"] = std::move(conditions);
  if (status.empty()) return {};
  json patch{{"metadata", {{"uid", pod.metadata.uid}}}, {"status", std::move(status)}};
  return patch.dump();
}

}  // namespace onebin::kubelet
