// A HorizontalPodAutoscaler's decisions, pure: how many replicas a metric asks for, and how far the target may go at once.
// Source of the behaviour: Kubernetes documentation, "Horizontal Pod Autoscaling"; conditions as upstream's controller words them.
#pragma once
#include "pods.hpp"

#include <onebin/api/autoscaling_v2.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace onebin::controller {

using api::autoscaling::v2::HorizontalPodAutoscaler;
using api::autoscaling::v2::HPAScalingRules;

// Values are thousandths, of the resource's or the metric's unit.
struct PodMetric {
  std::int64_t value = 0;
  WallTime at{};
  Duration window = 1min;
};
using PodMetrics = std::map<std::string, PodMetric>;  // by pod

// A ratio of usage to target this close to 1 changes nothing.
struct Tolerance {
  double up = 0.1, down = 0.1;
  bool covers(double ratio) const { return ratio >= 1 - down && ratio <= 1 + up; }
};
Tolerance tolerance_of(const HorizontalPodAutoscaler& h);

struct Proposal {
  int replicas = 0;
  std::int64_t average = 0;        // per pod
  std::optional<int> utilization;  // percent of what is requested
  Status failure;
};
// `percent` of requests of `resource` (of one container where named), or `target` per pod.
Proposal by_utilization(const std::vector<Pod>& pods, PodMetrics metrics, int current, int percent, const std::string& resource, const std::string& container,
                        Tolerance tolerance, WallTime now);
Proposal by_average(const std::vector<Pod>& pods, PodMetrics metrics, int current, std::int64_t target, const std::string& resource, Tolerance tolerance, WallTime now);
// One value for all pods: `target` of it in all, or per pod.
Proposal by_value(const std::vector<Pod>& pods, std::int64_t usage, int current, std::int64_t target, Tolerance tolerance);
Proposal by_value_per_pod(std::int64_t usage, int current, std::int64_t target, Tolerance tolerance);

// What has been recommended and done lately, which scaling down waits for and rates are counted from.
struct ScalingHistory {
  struct Entry {
    WallTime at{};
    int n = 0;
  };
  std::vector<Entry> recommendations, ups, downs;
};
struct Condition {
  std::string type;
  bool status = false;
  std::string reason, message;
};
struct Sized {
  int replicas = 0;
  std::vector<Condition> conditions;
};
// Notes the recommendation, and holds it within the stabilization window, the rates and the bounds.
Sized limit_size(const HorizontalPodAutoscaler& h, int current, int wanted, ScalingHistory& history, WallTime now);
void note_scaling(const HorizontalPodAutoscaler& h, int before, int now_replicas, ScalingHistory& history, WallTime now);

void set_hpa_condition(HorizontalPodAutoscaler& h, const Condition& c, WallTime now);

}  // namespace onebin::controller
