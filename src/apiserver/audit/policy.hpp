// Which requests go into the audit log, and with how much: an audit.k8s.io/v1 Policy.
#pragma once
#include "apiserver/request.hpp"

#include <onebin/base/result.hpp>

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apiserver {

enum class AuditLevel : unsigned char { None, Metadata, Request, RequestResponse };
std::string_view to_string(AuditLevel level);

enum class AuditStage : unsigned char { RequestReceived, ResponseStarted, ResponseComplete, Panic };
inline constexpr std::size_t kAuditStages = 4;
std::string_view to_string(AuditStage stage);

struct AuditDecision {
  AuditLevel level = AuditLevel::None;
  std::array<bool, kAuditStages> omitted{};  // stages
  bool omit_managed_fields = false;          // of the objects
};

struct AuditResources {
  std::string group;  // "*" any
  std::vector<std::string> resources, names;
};
struct AuditRule {
  AuditDecision decision;
  std::vector<std::string> users, groups, verbs, namespaces, paths;  // empty: any
  std::vector<AuditResources> resources;
};

class AuditPolicy {
 public:
  // YAML or JSON. BadRequest says what cannot be used.
  static Result<AuditPolicy> parse(std::string_view text);
  // The first rule that matches; none: nothing is written.
  AuditDecision decide(const Attributes& request) const;

 private:
  std::vector<AuditRule> rules_;
};

}  // namespace onebin::apiserver
