// A Job's decisions about failures and success, pure. Source: Kubernetes documentation, "Jobs"; KEP-3329, KEP-3850, KEP-3998.
#pragma once
#include "pods.hpp"

#include <onebin/api/batch_v1.hpp>

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace onebin::controller {

using api::batch::v1::Job;

inline constexpr char kJobTracking[] = "batch.kubernetes.io/job-tracking";
inline constexpr char kCompletionIndex[] = "batch.kubernetes.io/job-completion-index";

bool is_indexed(const Job& j);
int completion_index(const Pod& p);  // -1 when there is none
bool has_tracking(const Pod& p);
const api::batch::v1::JobCondition* find_condition(const Job& j, std::string_view type);
bool is_finished(const Job& j);  // Complete or Failed

// What the pod failure policy says of a failed pod.
struct FailureAction {
  enum class Kind { Count, Ignore, FailIndex, FailJob } kind = Kind::Count;
  std::string message;  // of FailJob
};
FailureAction failure_action(const Job& j, const Pod& p);

// The success policy's rule that the finished indexes meet: its condition's message; none when no rule is met.
std::optional<std::string> success_met(const Job& j, const std::set<int>& succeeded);

}  // namespace onebin::controller
