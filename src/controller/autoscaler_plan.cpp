#include "autoscaler_plan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

namespace onebin::controller {
namespace {

constexpr Duration kDownWindow = 5min, kCpuInitialization = 5min, kInitialReadiness = 30s;
constexpr int kLeastUpLimit = 4;
using History = std::vector<ScalingHistory::Entry>;

struct Groups {
  int ready = 0;
  std::set<std::string> unready, missing, ignored;
};

// A pod that starts uses much CPU: its figures say nothing yet.
bool cpu_unready(const Pod& p, const PodMetric& m, WallTime now) {
  const auto* c = pod_condition(p, "Ready");
  if (!c || !p.status.start_time) return true;
  WallTime started = p.status.start_time.wall(), changed = c->last_transition_time.wall();
  if (started + kCpuInitialization > now) return c->status == "False" || m.at < changed + m.window;
  return c->status == "False" && started + kInitialReadiness > changed;
}

Groups group_pods(const std::vector<Pod>& pods, const PodMetrics& metrics, const std::string& resource, WallTime now) {
  Groups g;
  for (const auto& p : pods) {
    const std::string& name = p.metadata.name;
    auto m = metrics.find(name);
    if (p.metadata.deletion_timestamp || p.status.phase == "Failed") g.ignored.insert(name);
    else if (p.status.phase == "Pending") g.unready.insert(name);
    else if (m == metrics.end()) g.missing.insert(name);
    else if (resource == "cpu" && cpu_unready(p, m->second, now)) g.unready.insert(name);
    else ++g.ready;
  }
  return g;
}

Proposal failed(std::string why) {
  Proposal p;
  p.failure = Status(Reason::ServiceUnavailable, std::move(why));
  return p;
}

int rounded_up(double ratio, std::size_t n) {
  double v = std::ceil(ratio * static_cast<double>(n));
  return v > static_cast<double>(std::numeric_limits<int>::max()) ? std::numeric_limits<int>::max() : static_cast<int>(v);
}

// The common part: pods without figures are taken for what speaks against scaling.
template <class Ratio>
Proposal propose(const std::vector<Pod>& pods, PodMetrics& metrics, int current, const std::string& resource, Tolerance tolerance, WallTime now,
                 const std::map<std::string, std::int64_t>& missing_as_high, Ratio ratio_of) {
  if (pods.empty()) return failed("no pods returned by selector while calculating replica count");
  Groups g = group_pods(pods, metrics, resource, now);
  for (const auto* out : {&g.ignored, &g.unready})
    for (const auto& name : *out) metrics.erase(name);
  if (metrics.empty()) return failed("did not receive metrics for targeted pods (pods might be unready)");
  Proposal p;
  std::optional<double> ratio = ratio_of(metrics, &p);
  if (!ratio) return failed("no metrics returned matched known pods");
  bool with_unready = !g.unready.empty() && *ratio > 1;
  if (!with_unready && g.missing.empty()) {
    p.replicas = tolerance.covers(*ratio) ? current : rounded_up(*ratio, static_cast<std::size_t>(g.ready));
    return p;
  }
  for (const auto& name : g.missing) {
    auto high = missing_as_high.find(name);
    if (*ratio < 1) metrics[name].value = high == missing_as_high.end() ? 0 : high->second;
    else if (*ratio > 1) metrics[name].value = 0;
  }
  if (with_unready)
    for (const auto& name : g.unready) metrics[name].value = 0;
  Proposal ignored;
  double again = ratio_of(metrics, &ignored).value_or(1);
  int n = rounded_up(again, metrics.size());
  bool turned = (*ratio < 1 && again > 1) || (*ratio > 1 && again < 1);
  bool wrong_way = (again < 1 && n > current) || (again > 1 && n < current);
  p.replicas = tolerance.covers(again) || turned || wrong_way ? current : n;
  return p;
}

Result<std::int64_t> request_of(const Pod& p, const std::string& resource, const std::string& container) {
  if (container.empty() && p.spec.resources)
    if (auto it = p.spec.resources->requests.find(resource); it != p.spec.resources->requests.end()) return it->second.milli_value();
  std::int64_t sum = 0;
  bool found = false;
  auto add = [&](const auto& c) -> Status {
    if (!container.empty() && c.name != container) return Status();
    found = true;
    auto it = c.resources.requests.find(resource);
    if (it == c.resources.requests.end())
      return Status(Reason::ServiceUnavailable, "missing request for " + resource + " in container " + c.name + " of Pod " + p.metadata.name);
    sum += it->second.milli_value();
    return Status();
  };
  for (const auto& c : p.spec.containers)
    if (Status s = add(c); !s) return s;
  for (const auto& c : p.spec.init_containers)
    if (c.restart_policy && *c.restart_policy == "Always")
      if (Status s = add(c); !s) return s;
  if (!container.empty() && !found) return Status(Reason::ServiceUnavailable, "container " + container + " not found in Pod " + p.metadata.name);
  return sum;
}

int change_within(const History& h, int seconds, WallTime now) {
  int n = 0;
  for (const auto& e : h)
    if (e.at > now - std::chrono::seconds(seconds)) n += e.n;
  return n;
}

// As many as the policies allow at once: up, or down.
int rate_limit(const HPAScalingRules& rules, int current, const ScalingHistory& h, WallTime now, bool up) {
  std::string select = rules.select_policy.value_or("Max");
  if (select == "Disabled") return current;
  bool most = (select == "Max") == up;  // the larger number of replicas is the larger change up, the smaller one down
  std::optional<int> out;
  for (const auto& p : rules.policies) {
    int start = current - change_within(h.ups, p.period_seconds, now) + change_within(h.downs, p.period_seconds, now);
    double share = static_cast<double>(p.value) / 100;
    int n = p.type == "Percent" ? (up ? static_cast<int>(std::ceil(start * (1 + share))) : static_cast<int>(start * (1 - share)))
                                : (up ? start + p.value : start - p.value);
    if (!out || (most ? n > *out : n < *out)) out = n;
  }
  return out.value_or(current);
}

int stabilized(const HorizontalPodAutoscaler& h, int current, int wanted, ScalingHistory& history, WallTime now) {
  const auto& b = h.spec.behavior;
  auto window = [](const Box<HPAScalingRules>& r, Duration otherwise) -> Duration {
    return r && r->stabilization_window_seconds ? std::chrono::seconds(*r->stabilization_window_seconds) : otherwise;
  };
  Duration up = b ? window(b->scale_up, Duration(0)) : Duration(0), down = b ? window(b->scale_down, kDownWindow) : kDownWindow;
  int lowest = wanted, highest = wanted;
  for (const auto& r : history.recommendations) {
    if (r.at > now - up) lowest = std::min(lowest, r.n);
    if (r.at > now - down) highest = std::max(highest, r.n);
  }
  std::erase_if(history.recommendations, [&](const auto& r) { return r.at <= now - std::max(up, down); });
  history.recommendations.push_back({now, wanted});
  if (!b) return highest;
  return std::min(std::max(current, lowest), highest);
}

}  // namespace

Tolerance tolerance_of(const HorizontalPodAutoscaler& h) {
  Tolerance t;
  if (!h.spec.behavior) return t;
  if (h.spec.behavior->scale_up && h.spec.behavior->scale_up->tolerance) t.up = h.spec.behavior->scale_up->tolerance->as_double();
  if (h.spec.behavior->scale_down && h.spec.behavior->scale_down->tolerance) t.down = h.spec.behavior->scale_down->tolerance->as_double();
  return t;
}

Proposal by_utilization(const std::vector<Pod>& pods, PodMetrics metrics, int current, int percent, const std::string& resource, const std::string& container,
                        Tolerance tolerance, WallTime now) {
  std::map<std::string, std::int64_t> requests, fallback;
  for (const auto& p : pods) {
    Result<std::int64_t> r = request_of(p, resource, container);
    if (!r) {
      Proposal out;
      out.failure = r.status();
      return out;
    }
    requests[p.metadata.name] = *r;
    fallback[p.metadata.name] = *r * std::max(100, percent) / 100;
  }
  return propose(pods, metrics, current, resource, tolerance, now, fallback, [&](const PodMetrics& m, Proposal* out) -> std::optional<double> {
    std::int64_t used = 0, requested = 0, n = 0;
    for (const auto& [name, one] : m) {
      auto r = requests.find(name);
      if (r == requests.end()) continue;
      used += one.value;
      requested += r->second;
      ++n;
    }
    if (requested == 0) return std::nullopt;
    out->utilization = static_cast<int>(used * 100 / requested);
    out->average = used / n;
    return static_cast<double>(*out->utilization) / percent;
  });
}

Proposal by_average(const std::vector<Pod>& pods, PodMetrics metrics, int current, std::int64_t target, const std::string& resource, Tolerance tolerance, WallTime now) {
  std::map<std::string, std::int64_t> fallback;
  for (const auto& p : pods) fallback[p.metadata.name] = target;
  return propose(pods, metrics, current, resource, tolerance, now, fallback, [&](const PodMetrics& m, Proposal* out) -> std::optional<double> {
    std::int64_t sum = 0;
    for (const auto& [name, one] : m) sum += one.value;
    if (target <= 0) return std::nullopt;
    out->average = sum / static_cast<std::int64_t>(m.size());
    return static_cast<double>(out->average) / static_cast<double>(target);
  });
}

Proposal by_value(const std::vector<Pod>& pods, std::int64_t usage, int current, std::int64_t target, Tolerance tolerance) {
  if (target <= 0) return failed("the target value is not positive");
  Proposal p;
  p.average = usage;
  double ratio = static_cast<double>(usage) / static_cast<double>(target);
  auto ready = static_cast<std::size_t>(std::count_if(pods.begin(), pods.end(), [](const Pod& one) { return one.status.phase == "Running" && is_ready(one); }));
  p.replicas = current == 0 ? rounded_up(ratio, 1) : tolerance.covers(ratio) ? current : rounded_up(ratio, ready);
  return p;
}

Proposal by_value_per_pod(std::int64_t usage, int current, std::int64_t target, Tolerance tolerance) {
  if (target <= 0) return failed("the target value is not positive");
  Proposal p;
  double wanted = static_cast<double>(usage) / static_cast<double>(target);
  bool stay = current > 0 && tolerance.covers(wanted / current);
  p.replicas = stay ? current : rounded_up(wanted, 1);
  p.average = current > 0 ? (usage + current - 1) / current : usage;
  return p;
}

Sized limit_size(const HorizontalPodAutoscaler& h, int current, int wanted, ScalingHistory& history, WallTime now) {
  Sized out;
  int least = h.spec.min_replicas.value_or(1), most = h.spec.max_replicas;
  int steady = stabilized(h, current, wanted, history, now);
  if (steady == wanted) out.conditions.push_back({"AbleToScale", true, "ReadyForNewScale", "recommended size matches current size"});
  else if (!h.spec.behavior || wanted < current)
    out.conditions.push_back({"AbleToScale", true, "ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation"});
  else
    out.conditions.push_back({"AbleToScale", true, "ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation"});

  const auto& b = h.spec.behavior;
  int up = b && b->scale_up ? std::max(current, rate_limit(*b->scale_up, current, history, now, true)) : std::max(2 * current, kLeastUpLimit);
  int down = b && b->scale_down ? std::min(current, rate_limit(*b->scale_down, current, history, now, false)) : 0;
  Condition limited{"ScalingLimited", false, "DesiredWithinRange", "the desired count is within the acceptable range"};
  out.replicas = steady;
  if (steady > std::min(most, up)) {
    out.replicas = std::min(most, up);
    limited = most > up ? Condition{"ScalingLimited", true, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"}
                        : Condition{"ScalingLimited", true, "TooManyReplicas", "the desired replica count is more than the maximum replica count"};
  } else if (steady < std::max(least, down)) {
    out.replicas = std::max(least, down);
    limited = least < down ? Condition{"ScalingLimited", true, "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"}
                           : Condition{"ScalingLimited", true, "TooFewReplicas", "the desired replica count is less than the minimum replica count"};
  }
  out.conditions.push_back(std::move(limited));
  return out;
}

void note_scaling(const HorizontalPodAutoscaler& h, int before, int after, ScalingHistory& history, WallTime now) {
  if (!h.spec.behavior || before == after) return;
  const auto& rules = after > before ? h.spec.behavior->scale_up : h.spec.behavior->scale_down;
  int longest = 0;
  if (rules)
    for (const auto& p : rules->policies) longest = std::max(longest, p.period_seconds);
  History& list = after > before ? history.ups : history.downs;
  std::erase_if(list, [&](const auto& e) { return e.at < now - std::chrono::seconds(longest); });
  list.push_back({now, std::abs(after - before)});
}

void set_hpa_condition(HorizontalPodAutoscaler& h, const Condition& c, WallTime now) {
  api::autoscaling::v2::HorizontalPodAutoscalerCondition k;
  k.type = c.type;
  k.status = c.status ? "True" : "False";
  k.reason = c.reason;
  k.message = c.message;
  k.last_transition_time = now;
  set_condition(h.status.conditions, std::move(k));
}

}  // namespace onebin::controller
