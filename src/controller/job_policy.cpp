#include "job_policy.hpp"

#include "job_indexes.hpp"

#include <algorithm>
#include <cstdlib>

namespace onebin::controller {
namespace {

struct Exit {
  std::string container;
  int code;
};
// Containers that failed, in order of the pod's status.
std::vector<Exit> failed_exits(const Pod& p) {
  std::vector<Exit> out;
  for (const auto* list : {&p.status.init_container_statuses, &p.status.container_statuses})
    for (const auto& c : *list)
      if (c.state.terminated && c.state.terminated->exit_code != 0) out.push_back({c.name, c.state.terminated->exit_code});
  return out;
}

}  // namespace

bool is_indexed(const Job& j) { return j.spec.completion_mode && *j.spec.completion_mode == "Indexed"; }

int completion_index(const Pod& p) {
  auto it = p.metadata.annotations.find(kCompletionIndex);
  return it == p.metadata.annotations.end() || it->second.empty() ? -1 : std::atoi(it->second.c_str());
}

bool has_tracking(const Pod& p) { return std::find(p.metadata.finalizers.begin(), p.metadata.finalizers.end(), kJobTracking) != p.metadata.finalizers.end(); }

const api::batch::v1::JobCondition* find_condition(const Job& j, std::string_view type) {
  for (const auto& c : j.status.conditions)
    if (c.type == type && c.status == "True") return &c;
  return nullptr;
}
bool is_finished(const Job& j) { return find_condition(j, "Complete") || find_condition(j, "Failed"); }

FailureAction failure_action(const Job& j, const Pod& p) {
  if (!j.spec.pod_failure_policy) return {};
  std::size_t number = 0;
  for (const auto& rule : j.spec.pod_failure_policy->rules) {
    std::string why;
    if (rule.on_exit_codes) {
      const auto& want = *rule.on_exit_codes;
      for (const auto& e : failed_exits(p)) {
        if (want.container_name && *want.container_name != e.container) continue;
        bool in = std::find(want.values.begin(), want.values.end(), e.code) != want.values.end();
        if (in == (want.operator_ == "In")) {
          why = "Container " + e.container + " for pod " + key_of(p) + " failed with exit code " + std::to_string(e.code) + " matching " + rule.action + " rule at index " + std::to_string(number);
          break;
        }
      }
    } else {
      for (const auto& want : rule.on_pod_conditions) {
        const auto* c = pod_condition(p, want.type);
        if (c && c->status == (want.status.empty() ? "True" : want.status)) why = "Pod " + key_of(p) + " has condition " + want.type + " matching " + rule.action + " rule at index " + std::to_string(number);
      }
    }
    ++number;
    if (why.empty()) continue;
    if (rule.action == "FailJob") return {FailureAction::Kind::FailJob, why};
    if (rule.action == "FailIndex") return {FailureAction::Kind::FailIndex, why};
    if (rule.action == "Ignore") return {FailureAction::Kind::Ignore, why};
    return {FailureAction::Kind::Count, why};
  }
  return {};
}

std::optional<std::string> success_met(const Job& j, const std::set<int>& succeeded) {
  if (!j.spec.success_policy || !is_indexed(j)) return std::nullopt;
  int completions = j.spec.completions ? *j.spec.completions : 1;
  std::size_t number = 0;
  for (const auto& rule : j.spec.success_policy->rules) {
    std::set<int> among = rule.succeeded_indexes ? parse_indexes(*rule.succeeded_indexes, completions) : std::set<int>();
    int have = 0;
    for (int i : succeeded)
      if (!rule.succeeded_indexes || among.count(i)) ++have;
    int want = rule.succeeded_count ? *rule.succeeded_count : static_cast<int>(among.size());
    if (have >= want) return "Matched rules at index " + std::to_string(number);
    ++number;
  }
  return std::nullopt;
}

}  // namespace onebin::controller
