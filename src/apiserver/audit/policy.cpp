#include "apiserver/audit/policy.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/string_list.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

using apimachinery::Document;
using apimachinery::member;
using apimachinery::string_at;

constexpr std::string_view kLevels[] = {"None", "Metadata", "Request", "RequestResponse"};
constexpr std::string_view kStages[] = {"RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"};

bool has(const std::vector<std::string>& list, std::string_view text) { return std::find(list.begin(), list.end(), text) != list.end(); }

Status only_known(std::string_view at, const Document& object, std::initializer_list<std::string_view> known) {
  if (!object.is_object()) return bad_request(std::string(at) + ": want an object");
  for (const auto& [name, value] : object.items())
    if (std::find(known.begin(), known.end(), name) == known.end()) return bad_request("unknown field \"" + std::string(at) + "." + name + "\"");
  return {};
}

Status read_stages(std::string_view at, const Document& list, std::array<bool, kAuditStages>& omitted) {
  for (const auto& name : apimachinery::string_list(list)) {
    auto stage = std::find(std::begin(kStages), std::end(kStages), name);
    if (stage == std::end(kStages)) return bad_request(std::string(at) + ".omitStages: " + name + " is no stage");
    omitted[static_cast<std::size_t>(stage - kStages)] = true;
  }
  return {};
}

bool path_matches(std::string_view path, std::string_view pattern) {
  if (pattern == "*" || pattern == path) return true;
  if (!ends_with(pattern, "*")) return false;
  while (!pattern.empty() && pattern.back() == '*') pattern.remove_suffix(1);
  return starts_with(path, pattern);
}

Result<AuditRule> read_rule(std::string_view at, const Document& d, const AuditDecision& defaults) {
  RETURN_IF_ERROR(only_known(at, d, {"level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs", "omitStages", "omitManagedFields"}));
  AuditRule rule;
  rule.decision = defaults;
  auto level = std::find(std::begin(kLevels), std::end(kLevels), string_at(d, "level"));
  if (level == std::end(kLevels)) return bad_request(std::string(at) + ".level: want None, Metadata, Request or RequestResponse");
  rule.decision.level = static_cast<AuditLevel>(level - kLevels);
  RETURN_IF_ERROR(read_stages(at, member(d, "omitStages"), rule.decision.omitted));
  rule.decision.omit_managed_fields = apimachinery::bool_at(d, "omitManagedFields", defaults.omit_managed_fields);
  auto list = [&d](const char* name) { return apimachinery::string_list(member(d, name)); };
  rule.users = list("users");
  rule.groups = list("userGroups");
  rule.verbs = list("verbs");
  rule.namespaces = list("namespaces");
  rule.paths = list("nonResourceURLs");
  if (const Document& resources = member(d, "resources"); resources.is_array())
    for (const Document& r : resources) {
      RETURN_IF_ERROR(only_known(std::string(at) + ".resources", r, {"group", "resources", "resourceNames"}));
      rule.resources.push_back({std::string(string_at(r, "group")), apimachinery::string_list(member(r, "resources")), apimachinery::string_list(member(r, "resourceNames"))});
      if (!rule.resources.back().names.empty() && rule.resources.back().resources.empty())
        return bad_request(std::string(at) + ".resources: resourceNames need resources");
    }
  if (!rule.paths.empty() && (!rule.resources.empty() || !rule.namespaces.empty()))
    return bad_request(std::string(at) + ".nonResourceURLs: a rule applies to resources or to other URLs, not to both");
  for (const auto& path : rule.paths)
    if (path != "*" && (path.empty() || path[0] != '/' || path.find('*') < path.size() - 1))
      return bad_request(std::string(at) + ".nonResourceURLs: " + path + ": want a path, with '*' at most at its end");
  return rule;
}

bool matches_resource(const AuditRule& rule, const Attributes& a) {
  if (!a.is_resource) return false;
  if (!rule.namespaces.empty() && !has(rule.namespaces, a.ns)) return false;
  if (rule.resources.empty()) return true;
  std::string whole = a.subresource.empty() ? a.resource : a.resource + "/" + a.subresource;
  for (const auto& r : rule.resources) {
    if (r.group != a.group && r.group != "*") continue;
    if (r.resources.empty()) return true;
    if (!r.names.empty() && !has(r.names, a.name)) continue;
    for (const auto& pattern : r.resources)
      if (pattern == whole || pattern == "*" || (!a.subresource.empty() && pattern == "*/" + a.subresource) || pattern == a.resource + "/*") return true;
  }
  return false;
}

bool matches(const AuditRule& rule, const Attributes& a) {
  if (!rule.users.empty() && (!a.user || !has(rule.users, a.user->name))) return false;
  if (!rule.groups.empty() && (!a.user || std::none_of(a.user->groups.begin(), a.user->groups.end(), [&](const std::string& g) { return has(rule.groups, g); }))) return false;
  if (!rule.verbs.empty() && !has(rule.verbs, a.verb)) return false;
  if (!rule.namespaces.empty() || !rule.resources.empty()) return matches_resource(rule, a);
  if (rule.paths.empty()) return true;
  return !a.is_resource && std::any_of(rule.paths.begin(), rule.paths.end(), [&](const std::string& p) { return path_matches(a.path, p); });
}

}  // namespace

std::string_view to_string(AuditLevel level) { return kLevels[static_cast<std::size_t>(level)]; }
std::string_view to_string(AuditStage stage) { return kStages[static_cast<std::size_t>(stage)]; }

Result<AuditPolicy> AuditPolicy::parse(std::string_view text) {
  ASSIGN_OR_RETURN(Document d, apimachinery::decode_yaml(text, nullptr));
  if (string_at(d, "kind") != "Policy" || string_at(d, "apiVersion") != "audit.k8s.io/v1") return bad_request("want a Policy of audit.k8s.io/v1");
  RETURN_IF_ERROR(only_known("policy", d, {"kind", "apiVersion", "metadata", "rules", "omitStages", "omitManagedFields"}));
  AuditDecision defaults;
  RETURN_IF_ERROR(read_stages("policy", member(d, "omitStages"), defaults.omitted));
  defaults.omit_managed_fields = apimachinery::bool_at(d, "omitManagedFields");
  const Document& rules = member(d, "rules");
  if (!rules.is_array() || rules.empty()) return bad_request("a policy without rules would log nothing");
  AuditPolicy out;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    ASSIGN_OR_RETURN(AuditRule rule, read_rule("rules[" + std::to_string(i) + "]", rules[i], defaults));
    out.rules_.push_back(std::move(rule));
  }
  return out;
}

AuditDecision AuditPolicy::decide(const Attributes& request) const {
  for (const auto& rule : rules_)
    if (matches(rule, request)) return rule.decision;
  return {};
}

}  // namespace onebin::apiserver
