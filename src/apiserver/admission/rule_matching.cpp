#include "apiserver/admission/rule_matching.hpp"

#include "apiserver/errors.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/string_list.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::LabelSelector;
using apimachinery::member;
using apimachinery::string_at;
using apimachinery::string_list;

namespace {

std::vector<MatchRule> rules_of(const Document& list) {
  std::vector<MatchRule> out;
  if (!list.is_array()) return out;
  for (const auto& r : list)
    out.push_back({string_list(member(r, "operations")), string_list(member(r, "apiGroups")), string_list(member(r, "apiVersions")),
                   string_list(member(r, "resources")),
                   string_list(member(r, "resourceNames")), std::string(string_at(r, "scope"))});
  return out;
}

MatchCriteria criteria_of(const Document& d, const char* rules) {
  MatchCriteria c;
  c.rules = rules_of(member(d, rules));
  c.equivalent = string_at(d, "matchPolicy") == "Equivalent";
  c.namespace_selector = LabelSelector::from_document(member(d, "namespaceSelector"));
  c.object_selector = LabelSelector::from_document(member(d, "objectSelector"));
  return c;
}

bool any_or_all(const std::vector<std::string>& items, std::string_view item) {
  return std::any_of(items.begin(), items.end(), [&](const std::string& i) { return i == "*" || i == item; });
}

bool is_namespace(const GroupVersionResource& r) { return r.group.empty() && r.resource == "namespaces"; }

bool matches_scope(const MatchRule& rule, const GroupVersionResource& r, const AdmissionAttributes& a) {
  if (rule.scope.empty() || rule.scope == "*") return true;
  bool cluster = is_namespace(r) || a.ns.empty();
  return rule.scope == "Cluster" ? cluster : rule.scope == "Namespaced" && !cluster;
}

bool matches_resource(const MatchRule& rule, std::string_view resource, std::string_view subresource) {
  for (const auto& text : rule.resources) {
    std::string_view t = text;
    std::size_t slash = t.find('/');
    std::string_view main = t.substr(0, slash), sub = slash == std::string_view::npos ? std::string_view() : t.substr(slash + 1);
    if ((main == "*" || main == resource) && (sub == "*" || sub == subresource)) return true;
  }
  return false;
}

bool matches(const MatchRule& rule, const GroupVersionResource& r, const AdmissionAttributes& a) {
  return matches_scope(rule, r, a) && any_or_all(rule.operations, to_string(a.operation)) && any_or_all(rule.groups, r.group) &&
         any_or_all(rule.versions, r.version) && matches_resource(rule, r.resource, a.subresource) &&
         (rule.names.empty() || std::find(rule.names.begin(), rule.names.end(), a.name) != rule.names.end());
}

// An object without metadata (what a CONNECT or an eviction is asked with may be one) has no labels to select by.
bool selects(const LabelSelector& selector, const Document* object) {
  return object && find_member(*object, "metadata") && selector.matches(apimachinery::labels_of(*object));
}

}  // namespace

Document kind_document(const GroupVersionKind& k) { return {{"group", k.group}, {"version", k.version}, {"kind", k.kind}}; }
Document resource_document(const GroupVersionResource& r) { return {{"group", r.group}, {"version", r.version}, {"resource", r.resource}}; }

MatchCriteria MatchCriteria::of_webhook(const Document& webhook) { return criteria_of(webhook, "rules"); }

MatchCriteria MatchCriteria::of_policy(const Document& match_resources) {
  MatchCriteria c = criteria_of(match_resources, "resourceRules");
  c.excluded = rules_of(member(match_resources, "excludeResourceRules"));
  c.everything_without_rules = true;
  return c;
}

const std::string& namespace_of_request(const AdmissionAttributes& a) { return a.ns.empty() && a.resource_group.empty() && a.resource == "namespaces" ? a.name : a.ns; }

bool is_exempt_from_admission_configuration(const AdmissionAttributes& a) {
  if (a.group == "admissionregistration.k8s.io")
    for (std::string_view k : {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
                               "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"})
      if (a.kind == k) return true;
  if (a.resource_group == "authentication.k8s.io") return a.resource == "selfsubjectreviews" || a.resource == "tokenreviews";
  if (a.resource_group != "authorization.k8s.io") return false;
  for (std::string_view r : {"localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews"})
    if (a.resource == r) return true;
  return false;
}

// Resources of one storage identity, those of the request's own group first.
const std::vector<Match>& RuleMatcher::equivalents_of(const AdmissionAttributes& a) const {
  if (generation_ != registry_.generation()) {
    equivalents_.clear();
    generation_ = registry_.generation();
  }
  std::string key = a.resource_group + "/" + a.resource_version + "/" + a.resource + "/" + a.subresource;
  auto [at, fresh] = equivalents_.try_emplace(std::move(key));
  const Served* own = fresh ? registry_.find(a.resource_group, a.resource_version, a.resource) : nullptr;
  if (!own || !own->cache) return at->second;
  for (const Served* s : registry_.all()) {
    if (s == own || s->cache != own->cache) continue;
    Match m{{std::string(s->kind->group), std::string(s->kind->version), std::string(s->kind->plural)},
            {std::string(s->kind->group), std::string(s->kind->version), std::string(s->kind->kind)}};
    if (!a.subresource.empty()) {
      const auto* sub = s->kind->subresource(a.subresource);
      if (!sub) continue;
      m.kind = {std::string(sub->group), std::string(sub->version), std::string(sub->kind)};
    }
    at->second.push_back(std::move(m));
  }
  return at->second;
}

std::optional<Match> RuleMatcher::match_rules(const std::vector<MatchRule>& rules, bool equivalent, const AdmissionAttributes& a) const {
  Match own{resource_of_request(a), kind_of_request(a)};
  for (const auto& rule : rules)
    if (matches(rule, own.resource, a)) return own;
  if (!equivalent || rules.empty()) return std::nullopt;
  const auto& others = equivalents_of(a);
  for (const auto& rule : rules)
    for (const auto& other : others)
      if (matches(rule, other.resource, a)) return other;
  return std::nullopt;
}

Result<bool> RuleMatcher::in_namespace(const MatchCriteria& criteria, const AdmissionAttributes& a) const {
  const std::string& ns = namespace_of_request(a);
  if (ns.empty() && a.resource != "namespaces") return true;  // no selector of namespaces leaves out what is in none
  if (!criteria.namespace_selector) return internal_error_occurred(criteria.namespace_selector.status().message());
  const LabelSelector& selector = *criteria.namespace_selector;
  if (selector.empty()) return true;
  // Of a Namespace that is written what it is going to be counts.
  bool written = a.resource == "namespaces" && a.subresource.empty() && (a.operation == Operation::Create || a.operation == Operation::Update);
  if (written) return a.object && selector.matches(apimachinery::labels_of(*a.object));
  Bytes object = lister_.get("", "namespaces", "", ns);
  if (!object) return not_found("namespaces", ns);
  return matches_labels(selector, *object);
}

Result<std::optional<Match>> RuleMatcher::match(const MatchCriteria& criteria, const AdmissionAttributes& a) const {
  std::optional<Match> none;
  Result<bool> here = in_namespace(criteria, a);
  if (here && !*here) return none;
  Status unusable;
  if (!criteria.object_selector) {
    unusable = internal_error_occurred(criteria.object_selector.status().message());
  } else if (const LabelSelector& s = *criteria.object_selector; !s.empty() && !selects(s, a.object)) {
    bool has_old = a.operation == Operation::Update || a.operation == Operation::Delete;
    if (!has_old || !selects(s, a.old_object())) return none;
  }
  if (match_rules(criteria.excluded, criteria.equivalent, a)) return none;
  std::optional<Match> found;
  if (criteria.rules.empty() && criteria.everything_without_rules) found = Match{resource_of_request(a), kind_of_request(a)};
  else found = match_rules(criteria.rules, criteria.equivalent, a);
  if (!found) return none;
  if (!here) return here.status();
  if (!unusable) return unusable;
  return found;
}

}  // namespace onebin::apiserver
