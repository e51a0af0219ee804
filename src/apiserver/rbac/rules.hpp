// Rules of RBAC as pure functions: what a rule allows, what a set of rules covers, and how missing ones are told.
// Source: Kubernetes "Using RBAC Authorization", privilege escalation prevention.
#pragma once
#include "apiserver/request.hpp"

#include <onebin/api/rbac_v1.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace onebin::apiserver {

using api::rbac::v1::PolicyRule;

bool rule_allows(const PolicyRule& rule, const Attributes& attributes);
bool rules_allow(const std::vector<PolicyRule>& rules, const Attributes& attributes);

// Every rule as rules of one verb on one resource (and one name) or one path.
std::vector<PolicyRule> break_down(const PolicyRule& rule);
// Those parts of `wanted` that no rule of `owned` covers, broken down; empty: all are covered.
std::vector<PolicyRule> missing_rules(const std::vector<PolicyRule>& owned, const std::vector<PolicyRule>& wanted);
// Rules that differ only in their verb made one.
std::vector<PolicyRule> compact_rules(const std::vector<PolicyRule>& rules);
// {APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}
std::string describe_rule(const PolicyRule& rule);
// ["a" "b"], as Go's %q prints a slice.
std::string quoted_list(const std::vector<std::string>& items);

}  // namespace onebin::apiserver
