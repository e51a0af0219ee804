#include "apiserver/rbac/rules.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

using Strings = std::vector<std::string>;

bool has(const Strings& set, std::string_view item) { return std::find(set.begin(), set.end(), item) != set.end(); }
bool has_all(const Strings& set, const Strings& items) {
  return std::all_of(items.begin(), items.end(), [&](const std::string& i) { return has(set, i); });
}

bool resource_matches(const Strings& resources, const std::string& combined, std::string_view subresource) {
  for (const auto& r : resources) {
    if (r == "*" || r == combined) return true;
    if (!subresource.empty() && r.size() == subresource.size() + 2 && starts_with(r, "*/") && ends_with(r, subresource)) return true;
  }
  return false;
}

std::string_view without_stars(std::string_view path) {
  while (!path.empty() && path.back() == '*') path.remove_suffix(1);
  return path;
}

bool url_matches(const Strings& urls, std::string_view path) {
  for (const auto& u : urls)
    if (u == "*" || u == path || (ends_with(u, "*") && starts_with(path, without_stars(u)))) return true;
  return false;
}

bool resources_cover(const Strings& owned, const Strings& wanted) {
  if (has(owned, "*")) return true;
  for (const auto& w : wanted) {
    if (has(owned, w)) continue;
    std::size_t slash = w.find('/');
    if (slash == std::string::npos || !has(owned, "*" + w.substr(slash))) return false;
  }
  return true;
}

bool urls_cover(const Strings& owned, const Strings& wanted) {
  for (const auto& w : wanted) {
    bool covered = std::any_of(owned.begin(), owned.end(), [&](const std::string& o) {
      return o == w || (ends_with(o, "*") && starts_with(w, without_stars(o)));
    });
    if (!covered) return false;
  }
  return true;
}

// `wanted` is broken down.
bool rule_covers(const PolicyRule& owned, const PolicyRule& wanted) {
  if (!has(owned.verbs, "*") && !has_all(owned.verbs, wanted.verbs)) return false;
  if (!has(owned.api_groups, "*") && !has_all(owned.api_groups, wanted.api_groups)) return false;
  if (!resources_cover(owned.resources, wanted.resources)) return false;
  if (!urls_cover(owned.non_resource_urls, wanted.non_resource_urls)) return false;
  if (owned.resource_names.empty()) return true;
  return !wanted.resource_names.empty() && has_all(owned.resource_names, wanted.resource_names);
}

}  // namespace

bool rule_allows(const PolicyRule& rule, const Attributes& a) {
  if (!has(rule.verbs, "*") && !has(rule.verbs, a.verb)) return false;
  if (!a.is_resource) return url_matches(rule.non_resource_urls, a.path);
  if (!has(rule.api_groups, "*") && !has(rule.api_groups, a.group)) return false;
  if (!rule.resource_names.empty() && !has(rule.resource_names, a.name)) return false;
  return resource_matches(rule.resources, a.subresource.empty() ? a.resource : a.resource + "/" + a.subresource, a.subresource);
}

bool rules_allow(const std::vector<PolicyRule>& rules, const Attributes& a) {
  return std::any_of(rules.begin(), rules.end(), [&](const PolicyRule& r) { return rule_allows(r, a); });
}

std::vector<PolicyRule> break_down(const PolicyRule& rule) {
  std::vector<PolicyRule> out;
  for (const auto& group : rule.api_groups)
    for (const auto& resource : rule.resources)
      for (const auto& verb : rule.verbs) {
        PolicyRule one;
        one.verbs = {verb};
        one.api_groups = {group};
        one.resources = {resource};
        if (rule.resource_names.empty()) out.push_back(one);
        for (const auto& name : rule.resource_names) {
          one.resource_names = {name};
          out.push_back(one);
        }
      }
  for (const auto& url : rule.non_resource_urls)
    for (const auto& verb : rule.verbs) {
      PolicyRule one;
      one.verbs = {verb};
      one.non_resource_urls = {url};
      out.push_back(std::move(one));
    }
  return out;
}

std::vector<PolicyRule> missing_rules(const std::vector<PolicyRule>& owned, const std::vector<PolicyRule>& wanted) {
  std::vector<PolicyRule> out;
  for (const auto& rule : wanted)
    for (auto& one : break_down(rule))
      if (std::none_of(owned.begin(), owned.end(), [&](const PolicyRule& o) { return rule_covers(o, one); })) out.push_back(std::move(one));
  return out;
}

std::vector<PolicyRule> compact_rules(const std::vector<PolicyRule>& rules) {
  std::vector<PolicyRule> out;
  for (const auto& rule : rules) {
    bool simple = rule.api_groups.size() == 1 && rule.resources.size() == 1 && rule.resource_names.size() <= 1 && rule.non_resource_urls.empty();
    auto same = std::find_if(out.begin(), out.end(), [&](const PolicyRule& o) {
      return simple && o.api_groups == rule.api_groups && o.resources == rule.resources && o.resource_names == rule.resource_names &&
             o.non_resource_urls.empty();
    });
    if (same == out.end()) {
      out.push_back(rule);
      continue;
    }
    for (const auto& verb : rule.verbs)
      if (!has(same->verbs, verb)) same->verbs.push_back(verb);
  }
  return out;
}

std::string quoted_list(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const auto& i : items) {
    if (out.size() > 1) out += ' ';
    out += apimachinery::go_quote(i);
  }
  return out + "]";
}

std::string describe_rule(const PolicyRule& rule) {
  std::string out;
  auto part = [&](const char* name, const Strings& items) {
    if (items.empty()) return;
    if (!out.empty()) out += ", ";
    out.append(name).append(":").append(quoted_list(items));
  };
  part("APIGroups", rule.api_groups);
  part("Resources", rule.resources);
  part("NonResourceURLs", rule.non_resource_urls);
  part("ResourceNames", rule.resource_names);
  part("Verbs", rule.verbs);
  return "{" + out + "}";
}

}  // namespace onebin::apiserver
