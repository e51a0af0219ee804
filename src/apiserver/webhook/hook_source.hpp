// The webhooks of all MutatingWebhookConfigurations or ValidatingWebhookConfigurations, in the order in which they are called:
// by the configuration's name, then as it lists them.
#pragma once
#include "apiserver/admission/rule_matching.hpp"
#include "apiserver/webhook/client.hpp"

#include <memory>
#include <string>
#include <vector>

namespace onebin::apiserver {

struct MatchConditions;
struct Hook {
  std::string uid;                // "configuration/name/n": the nth of that name
  std::string configuration, name;
  MatchCriteria criteria;
  WebhookTarget target;
  std::string review_version;     // the first of admissionReviewVersions that is known here; "" where none is
  bool ignore_failures = false;   // failurePolicy
  bool reinvoke = false;          // reinvocationPolicy IfNeeded
  bool side_effects_told = false, dry_run = false;  // sideEffects; None or NoneOnDryRun
  Duration timeout = std::chrono::seconds(10);
  std::shared_ptr<const MatchConditions> match_conditions;  // null where there are none
};
using Hooks = std::vector<Hook>;

class HookSource {
 public:
  // Follows the lister, which outlives it.
  HookSource(Lister& lister, bool mutating);
  HookSource(const HookSource&) = delete;
  std::shared_ptr<const Hooks> hooks();
  bool empty() { return hooks()->empty(); }

 private:
  void add(Hooks& to, const Document& configuration) const;

  Lister& lister_;
  const apimachinery::KindSchema* kind_;
  std::shared_ptr<const Hooks> hooks_;  // null after a change
};

}  // namespace onebin::apiserver
