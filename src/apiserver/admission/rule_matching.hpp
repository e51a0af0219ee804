// Which requests a webhook or a policy is about: the rules of admissionregistration.k8s.io/v1 (operations, groups, versions,
// resources, scope), its matchPolicy and its two selectors. Source: API reference of RuleWithOperations, MatchResources and
// MutatingWebhook; texts and order of the checks are upstream's.
#pragma once
#include "apiserver/admission.hpp"
#include "apiserver/registry/registry.hpp"

#include <onebin/apimachinery/selectors.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace onebin::apiserver {

struct GroupVersionResource {
  std::string group, version, resource;
  bool operator==(const GroupVersionResource&) const = default;
};
struct GroupVersionKind {
  std::string group, version, kind;
  std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  bool operator==(const GroupVersionKind&) const = default;
};
// As a request's description has them.
Document kind_document(const GroupVersionKind& kind);
Document resource_document(const GroupVersionResource& resource);

struct MatchRule {
  std::vector<std::string> operations, groups, versions, resources;  // "*" among them is all; resources "a", "a/b", "*/b", "a/*"
  std::vector<std::string> names;  // resourceNames of policies; none: any
  std::string scope;               // "Cluster", "Namespaced"; "" and "*": both
};

// Made once of a webhook or a policy, then asked for each request.
struct MatchCriteria {
  std::vector<MatchRule> rules, excluded;
  bool equivalent = true;         // matchPolicy; only the text "Exact" and an absent one are false
  bool everything_without_rules = false;
  Result<apimachinery::LabelSelector> namespace_selector = apimachinery::LabelSelector(), object_selector = apimachinery::LabelSelector();

  // A MutatingWebhook or ValidatingWebhook. An absent selector selects nothing, as everywhere: defaulting sets {}.
  static MatchCriteria of_webhook(const Document& webhook);
  // MatchResources of a policy or a binding. Where there are no resourceRules all is matched.
  static MatchCriteria of_policy(const Document& match_resources);
};

// As what a request is shown to who matched it: an equivalent resource where only that was asked for.
struct Match {
  GroupVersionResource resource;
  GroupVersionKind kind;  // of the subresource's body where that has a kind of its own
};

class RuleMatcher {
 public:
  RuleMatcher(const Registry& registry, const Lister& lister) : registry_(registry), lister_(lister) {}  // both outlive it
  // None: not concerned. Errors only where the rules match: NotFound of the namespace, InternalError of an unusable selector.
  Result<std::optional<Match>> match(const MatchCriteria& criteria, const AdmissionAttributes& a) const;

 private:
  const std::vector<Match>& equivalents_of(const AdmissionAttributes& a) const;
  std::optional<Match> match_rules(const std::vector<MatchRule>& rules, bool equivalent, const AdmissionAttributes& a) const;
  Result<bool> in_namespace(const MatchCriteria& criteria, const AdmissionAttributes& a) const;

  const Registry& registry_;
  const Lister& lister_;
  mutable std::uint64_t generation_ = ~std::uint64_t{0};
  mutable std::map<std::string, std::vector<Match>, std::less<>> equivalents_;  // of "group/version/resource/subresource"
};

// The kinds of admissionregistration.k8s.io and the reviews of authentication and authorization, which no webhook and no
// policy sees, so that a cluster can always be repaired.
bool is_exempt_from_admission_configuration(const AdmissionAttributes& a);
// Where the request is: for a Namespace itself that is the Namespace.
const std::string& namespace_of_request(const AdmissionAttributes& a);
inline GroupVersionResource resource_of_request(const AdmissionAttributes& a) { return {a.resource_group, a.resource_version, a.resource}; }
inline GroupVersionKind kind_of_request(const AdmissionAttributes& a) { return {a.group, a.version, a.kind}; }

}  // namespace onebin::apiserver
