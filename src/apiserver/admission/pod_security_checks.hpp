// The Pod Security Standards as functions of a pod: what a level at a version forbids, in upstream's order and words.
// Source: Kubernetes "Pod Security Standards"; KEP-2579.
#pragma once
#include <onebin/apimachinery/document.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace onebin::apiserver {

enum class PodSecurityLevel : unsigned char { Privileged, Baseline, Restricted };  // stricter is greater

struct LevelVersion {
  PodSecurityLevel level = PodSecurityLevel::Privileged;
  int minor = -1;  // of v1.MINOR; -1: latest
  std::string to_string() const;  // "restricted:latest"
  bool operator==(const LevelVersion&) const = default;
};

struct PodSecurityFault {
  std::string reason, detail;
};
// `metadata` and `spec` are a pod's or a pod template's.
std::vector<PodSecurityFault> check_pod_security(const LevelVersion& policy, const apimachinery::Document& metadata, const apimachinery::Document& spec);
// `privileged (container "a" must not set ...), hostPort (...)`
std::string describe_faults(const std::vector<PodSecurityFault>& faults, bool with_details);

}  // namespace onebin::apiserver
