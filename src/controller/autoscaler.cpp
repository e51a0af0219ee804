// HorizontalPodAutoscaler: every fifteen seconds, as long as there is one, asks the metrics APIs and sizes the target.
#include "autoscaler_plan.hpp"
#include "controllers.hpp"

#include <onebin/api/autoscaling_v1.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/client/resources.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

namespace v2 = api::autoscaling::v2;
using api::autoscaling::v1::Scale;
using apimachinery::LabelSelector;
using apimachinery::Quantity;
constexpr Duration kPeriod = 15s;

struct Metric {
  Proposal proposal;
  v2::MetricStatus status;
  std::string name;            // of the metric, in "X above target"
  std::string reason, prefix;  // of a failure: the condition's reason, and what leads its message
};

class Autoscalers final : public Controller {
 public:
  explicit Autoscalers(Context& c)
      : Controller(c, "horizontal-pod-autoscaler"), autoscalers_(c.informers->get<HorizontalPodAutoscaler>()), pods_(c.informers->get<Pod>()) {
    needs(autoscalers_);
    needs(pods_);
    autoscalers_.on_event([this](const std::string& key, const HorizontalPodAutoscaler* before, const HorizontalPodAutoscaler* now) {
      // Statuses are our own writes; what they bring comes with the next look.
      if (!now || !before || !(before->spec == now->spec)) queue_.add(key);
    });
  }

 private:
  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<HorizontalPodAutoscaler> h = autoscalers_.get(key);
    if (!h || h->metadata.deletion_timestamp) {
      history_.erase(key);
      selectors_.erase(key);
      co_return ReconcileResult{};
    }
    v2::HorizontalPodAutoscalerStatus before = h->status;
    co_await size(key, &*h);
    ReconcileResult again;
    again.requeue_after = kPeriod;
    h->status.observed_generation = h->metadata.generation;
    if (h->status == before) co_return again;
    Result<HorizontalPodAutoscaler> r = co_await client_.update(std::move(*h), "status");
    if (!r && !r.is(Reason::NotFound) && !r.is(Reason::Conflict)) again.status = r.status();
    co_return again;
  }

  void condition(HorizontalPodAutoscaler* h, std::string type, bool status, std::string reason, std::string message) {
    set_hpa_condition(*h, {std::move(type), status, std::move(reason), std::move(message)}, context_.now());
  }
  void warn(const HorizontalPodAutoscaler& h, std::string reason, std::string message) {
    events_.event(client::ref_of(h), "Warning", std::move(reason), std::move(message));
  }

  // --- The target

  // The path of "kind" objects; resources of a kind that is not known yet are asked for.
  async::Task<Result<std::string>> target_path(std::string ns, v2::CrossVersionObjectReference ref) {
    std::string group = ref.api_version.find('/') == std::string::npos ? "" : ref.api_version.substr(0, ref.api_version.find('/'));
    auto find = [&]() -> const client::DiscoveredResource* {
      for (const auto& r : resources_)
        if (r.kind == ref.kind && r.group == group && r.namespaced) return &r;
      return nullptr;
    };
    if (!find()) {
      Result<std::vector<client::DiscoveredResource>> all = co_await client::discover(client_);
      if (!all) co_return all.status();
      resources_ = std::move(*all);
    }
    const client::DiscoveredResource* r = find();
    if (!r) co_return Status(Reason::NotFound, "no matches for kind \"" + ref.kind + "\" in group \"" + group + "\"");
    co_return r->path(ns, ref.name);
  }

  async::Task<void> size(std::string key, HorizontalPodAutoscaler* h) {
    Result<std::string> path = co_await target_path(h->metadata.namespace_, h->spec.scale_target_ref);
    Result<Scale> scale = path ? Result<Scale>(Scale()) : Result<Scale>(path.status());
    if (path) {
      client::ApiRequest q;
      q.path = *path + "/scale";
      Result<std::string> raw = co_await client_.raw(std::move(q));
      scale = raw ? api::from_protobuf<Scale>(*raw) : Result<Scale>(raw.status());
    }
    if (!scale) {
      warn(*h, "FailedGetScale", scale.status().message());
      condition(h, "AbleToScale", false, "FailedGetScale", "the HPA controller was unable to get the target's current scale: " + scale.status().message());
      co_return;
    }
    condition(h, "AbleToScale", true, "SucceededGetScale", "the HPA controller was able to get the target's current scale");
    int current = scale->spec.replicas, least = h->spec.min_replicas.value_or(1), wanted = current;
    h->status.current_replicas = current;
    ScalingHistory& history = history_[key];
    if (history.recommendations.empty()) history.recommendations.push_back({context_.now(), current});
    std::string why;
    if (current == 0 && least != 0) {
      condition(h, "ScalingActive", false, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero");
      h->status.current_metrics.clear();
    } else if (current > h->spec.max_replicas) {
      wanted = h->spec.max_replicas;
      why = "Current number of replicas above Spec.MaxReplicas";
    } else if (current < least) {
      wanted = least;
      why = "Current number of replicas below Spec.MinReplicas";
    } else {
      bool sized = co_await measure(key, h, *scale, &wanted, &why);
      if (!sized) co_return;
      Sized s = limit_size(*h, current, wanted, history_[key], context_.now());
      for (const auto& c : s.conditions) set_hpa_condition(*h, c, context_.now());
      wanted = s.replicas;
    }
    if (wanted != current) co_await rescale(key, h, *path, std::move(*scale), wanted, why);
    else h->status.desired_replicas = current;
  }

  async::Task<void> rescale(std::string key, HorizontalPodAutoscaler* h, std::string path, Scale scale, int wanted, std::string why) {
    int current = scale.spec.replicas;
    scale.spec.replicas = wanted;
    Result<std::string> r = co_await client_.raw(client_.write_request("PUT", path + "/scale", api::to_protobuf(scale)));
    if (!r) {
      warn(*h, "FailedRescale", "New size: " + std::to_string(wanted) + "; reason: " + why + "; error: " + r.status().message());
      condition(h, "AbleToScale", false, "FailedUpdateScale", "the HPA controller was unable to update the target scale: " + r.status().message());
      co_return;
    }
    condition(h, "AbleToScale", true, "SucceededRescale", "the HPA controller was able to update the target scale to " + std::to_string(wanted));
    events_.event(client::ref_of(*h), "Normal", "SuccessfulRescale", "New size: " + std::to_string(wanted) + "; reason: " + why);
    note_scaling(*h, current, wanted, history_[key], context_.now());
    h->status.desired_replicas = wanted;
    h->status.last_scale_time = context_.now();
  }

  // --- Metrics

  std::vector<Pod> pods_of(const std::string& ns, const LabelSelector& selector) const {
    std::vector<Pod> out;
    std::string prefix = ns + "/";
    for (auto it = pods_.items().lower_bound(prefix); it != pods_.items().end() && it->first.starts_with(prefix); ++it) {
      std::optional<Pod> p = pods_.get(it->first);
      if (p && selector.matches(p->metadata.labels)) out.push_back(std::move(*p));
    }
    return out;
  }

  // What selects the target's pods; nothing, with the reason in the conditions, when that is not clear.
  std::optional<LabelSelector> selector_of(const std::string& key, HorizontalPodAutoscaler* h, const Scale& scale) {
    if (scale.status.selector.empty()) {
      warn(*h, "SelectorRequired", "selector is required");
      condition(h, "ScalingActive", false, "InvalidSelector", "the HPA target's scale is missing a selector");
      return std::nullopt;
    }
    Result<LabelSelector> s = LabelSelector::parse(scale.status.selector);
    if (!s) {
      std::string message = "couldn't convert selector into a corresponding internal selector object: " + s.status().message();
      warn(*h, "InvalidSelector", message);
      condition(h, "ScalingActive", false, "InvalidSelector", message);
      return std::nullopt;
    }
    selectors_[key] = *s;
    std::vector<Pod> pods = pods_of(h->metadata.namespace_, *s);
    std::string prefix = h->metadata.namespace_ + "/";
    for (auto it = selectors_.lower_bound(prefix); it != selectors_.end() && it->first.starts_with(prefix); ++it) {
      if (it->first == key || std::none_of(pods.begin(), pods.end(), [&](const Pod& p) { return it->second.matches(p.metadata.labels); })) continue;
      std::string message = "pods by selector " + scale.status.selector + " are controlled by more than one HPA (e.g. [" + key + " " + it->first + "])";
      warn(*h, "AmbiguousSelector", message);
      condition(h, "ScalingActive", false, "AmbiguousSelector", message);
      return std::nullopt;
    }
    return std::move(*s);
  }

  // The largest of what the metrics ask for. False when they give no answer.
  async::Task<bool> measure(std::string key, HorizontalPodAutoscaler* h, Scale scale, int* wanted, std::string* why) {
    std::optional<LabelSelector> selector = selector_of(key, h, scale);
    if (!selector) co_return false;
    std::vector<v2::MetricSpec> specs = h->spec.metrics;
    std::vector<v2::MetricStatus> statuses;
    int best = 0, failures = 0;
    std::string best_name, first_error;
    Condition failed{"ScalingActive", false, "", ""};
    for (const auto& spec : specs) {
      Metric m = co_await measure_one(*h, spec, scale, scale.status.selector, pods_of(h->metadata.namespace_, *selector));
      statuses.push_back(m.status);
      if (!m.proposal.failure) {
        const std::string& text = m.proposal.failure.message();
        warn(*h, m.reason, text);
        if (++failures > 1) continue;
        failed.reason = m.reason;
        failed.message = "the HPA was unable to compute the replica count: " + text;
        first_error = m.prefix + text;
        continue;
      }
      if (best != 0 && m.proposal.replicas <= best) continue;
      best = m.proposal.replicas;
      best_name = m.name;
    }
    h->status.current_metrics = std::move(statuses);
    int all = static_cast<int>(specs.size()), current = scale.spec.replicas;
    if (failures == all || (failures > 0 && best < current)) {
      set_hpa_condition(*h, failed, context_.now());
      warn(*h, "FailedComputeMetricsReplicas", "invalid metrics (" + std::to_string(failures) + " invalid out of " + std::to_string(all) + "), first error is: " + first_error);
      co_return false;
    }
    condition(h, "ScalingActive", true, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from " + best_name);
    *wanted = best;
    *why = best > current ? best_name + " above target" : "All metrics below target";
    co_return true;
  }

  async::Task<Metric> measure_one(HorizontalPodAutoscaler h, v2::MetricSpec spec, Scale scale, std::string selector, std::vector<Pod> pods) {
    Metric m;
    m.status.type = spec.type;
    const std::string& ns = h.metadata.namespace_;
    Tolerance t = tolerance_of(h);
    int current = scale.spec.replicas, have = scale.status.replicas;
    if (spec.type == "Resource" && spec.resource) {
      co_return co_await by_resource(ns, selector, std::move(pods), current, t, spec.resource->name, "", spec.resource->target);
    } else if (spec.type == "ContainerResource" && spec.container_resource) {
      const auto& c = *spec.container_resource;
      co_return co_await by_resource(ns, selector, std::move(pods), current, t, c.name, c.container, c.target);
    } else if (spec.type == "Pods" && spec.pods) {
      m.reason = "FailedGetPodsMetric";
      m.prefix = "failed to get pods metric value: ";
      m.name = "pods metric " + spec.pods->metric.name;
      Result<PodMetrics> values = co_await custom_metric(ns, "pods/*/" + spec.pods->metric.name, selector, spec.pods->metric);
      if (values) m.proposal = by_average(pods, std::move(*values), current, milli(spec.pods->target.average_value), "", t, context_.now());
      else m.proposal.failure = values.status();
      auto& s = m.status.pods.ensure();
      s.metric = spec.pods->metric;
      s.current.average_value = Quantity::from_milli(m.proposal.average);
    } else if (spec.type == "Object" && spec.object) {
      m.reason = "FailedGetObjectMetric";
      m.prefix = "failed to get object metric value: ";
      const auto& o = *spec.object;
      m.name = o.described_object.kind + " metric " + o.metric.name;
      Result<PodMetrics> values = co_await object_metric(ns, o);
      std::int64_t usage = values && !values->empty() ? values->begin()->second.value : 0;
      if (!values) m.proposal.failure = values.status();
      else if (o.target.value) m.proposal = by_value(pods, usage, current, milli(o.target.value), t);
      else m.proposal = by_value_per_pod(usage, have, milli(o.target.average_value), t);
      auto& s = m.status.object.ensure();
      s.metric = o.metric;
      s.described_object = o.described_object;
      (o.target.value ? s.current.value : s.current.average_value) = Quantity::from_milli(m.proposal.average);
    } else if (spec.type == "External" && spec.external) {
      m.reason = "FailedGetExternalMetric";
      const auto& e = *spec.external;
      m.prefix = "failed to get " + e.metric.name + " external metric value: ";
      m.name = "external metric " + e.metric.name;
      Result<PodMetrics> values = co_await external_metric(ns, e.metric);
      std::int64_t usage = 0;
      if (values)
        for (const auto& [name, one] : *values) usage += one.value;
      if (!values) m.proposal.failure = values.status();
      else if (e.target.average_value) m.proposal = by_value_per_pod(usage, have, milli(e.target.average_value), t);
      else m.proposal = by_value(pods, usage, current, milli(e.target.value), t);
      auto& s = m.status.external.ensure();
      s.metric = e.metric;
      (e.target.average_value ? s.current.average_value : s.current.value) = Quantity::from_milli(m.proposal.average);
    } else {
      m.reason = "InvalidMetricSourceType";
      m.proposal.failure = Status(Reason::Invalid, "unknown metric source type \"" + spec.type + "\"");
    }
    if (!m.proposal.failure) m.status = {.type = spec.type};
    co_return m;
  }
  static std::int64_t milli(const std::optional<Quantity>& q) { return q ? q->milli_value() : 0; }

  async::Task<Metric> by_resource(std::string ns, std::string selector, std::vector<Pod> pods, int current, Tolerance t, std::string resource, std::string container,
                                  v2::MetricTarget target) {
    Metric m;
    m.status.type = container.empty() ? "Resource" : "ContainerResource";
    m.reason = container.empty() ? "FailedGetResourceMetric" : "FailedGetContainerResourceMetric";
    m.prefix = container.empty() ? "failed to get " + resource + " resource metric value: " : "failed to get " + container + " container metric value: ";
    bool average = target.average_value.has_value();
    m.name = resource + (container.empty() ? " resource" : " container resource") + (average ? "" : " utilization (percentage of request)");
    Result<PodMetrics> usage = co_await resource_usage(ns, selector, resource, container);
    if (!usage) m.proposal.failure = usage.status().with_context("unable to get metrics for resource " + resource);
    else if (average) m.proposal = by_average(pods, std::move(*usage), current, milli(target.average_value), resource, t, context_.now());
    else m.proposal = by_utilization(pods, std::move(*usage), current, target.average_utilization.value_or(0), resource, container, t, context_.now());
    if (!m.proposal.failure) {
      m.proposal.failure = m.proposal.failure.with_context("failed to get " + resource + (average ? " usage" : " utilization"));
      co_return m;
    }
    auto fill = [&](auto& s) {
      s.name = resource;
      s.current.average_value = Quantity::from_milli(m.proposal.average, resource == "memory" ? Quantity::Format::BinarySI : Quantity::Format::DecimalSI);
      s.current.average_utilization = m.proposal.utilization;
    };
    if (container.empty()) {
      fill(m.status.resource.ensure());
    } else {
      fill(m.status.container_resource.ensure());
      m.status.container_resource->container = container;
    }
    co_return m;
  }

  // --- The metrics APIs, which other servers offer where they are there

  async::Task<Result<nlohmann::json>> fetch(std::string path, std::string query, const char* api, const char* what) {
    client::ApiRequest q;
    q.path = std::move(path);
    q.query = std::move(query);
    q.accept = "application/json";
    Result<std::string> r = co_await client_.raw(std::move(q));
    std::string context = std::string("unable to fetch metrics from ") + api;
    if (r.is(Reason::NotFound)) co_return Status(Reason::NotFound, context + ": the server could not find the requested resource (get " + what + ")");
    if (!r) co_return r.status().with_context(context);
    nlohmann::json j = nlohmann::json::parse(*r, nullptr, false);
    const nlohmann::json& items = member(j, "items");
    if (!items.is_array()) co_return internal_error(context + ": not a list");
    if (items.empty()) co_return Status(Reason::NotFound, std::string("no metrics returned from ") + api);
    co_return Result<nlohmann::json>(items);
  }
  static std::string label_query(const std::string& selector) { return selector.empty() ? "" : "labelSelector=" + client::escape_query(selector); }
  static std::string metric_query(const char* parameter, const v2::MetricIdentifier& m) {
    if (!m.selector) return "";
    auto s = LabelSelector::from_struct(*m.selector);
    return s && !s->empty() ? std::string(parameter) + "=" + client::escape_query(s->to_string()) : "";
  }
  // What others' servers answer is not taken for well formed.
  static const nlohmann::json& member(const nlohmann::json& j, const char* k) {
    static const nlohmann::json kNone;
    auto it = j.is_object() ? j.find(k) : j.end();
    return it == j.end() ? kNone : *it;
  }
  static std::string text(const nlohmann::json& j, const char* k) {
    const nlohmann::json& v = member(j, k);
    return v.is_string() ? v.get<std::string>() : "";
  }
  static std::int64_t milli_in(const nlohmann::json& j, const char* k) {
    auto q = Quantity::parse(text(j, k));
    return q ? q->milli_value() : 0;
  }
  PodMetric stamped(const nlohmann::json& item) const {
    PodMetric m;
    m.at = parse_rfc3339(text(item, "timestamp")).value_or(context_.now());
    m.window = parse_duration(text(item, "window")).value_or(1min);
    return m;
  }

  async::Task<Result<PodMetrics>> resource_usage(std::string ns, std::string selector, std::string resource, std::string container) {
    Result<nlohmann::json> items = co_await fetch("/apis/metrics.k8s.io/v1beta1/namespaces/" + ns + "/pods", label_query(selector), "resource metrics API", "pods.metrics.k8s.io");
    if (!items) co_return items.status();
    PodMetrics out;
    for (const auto& item : *items) {
      PodMetric m = stamped(item);
      const nlohmann::json& containers = member(item, "containers");
      bool complete = containers.is_array();
      for (std::size_t i = 0; complete && i < containers.size(); ++i) {
        if (!container.empty() && text(containers[i], "name") != container) continue;
        const nlohmann::json& usage = member(containers[i], "usage");
        complete = !text(usage, resource.c_str()).empty();
        m.value += milli_in(usage, resource.c_str());
      }
      if (complete) out[text(member(item, "metadata"), "name")] = m;
    }
    co_return Result<PodMetrics>(std::move(out));
  }
  async::Task<Result<PodMetrics>> values_at(std::string path, std::string query, const char* api, const char* what) {
    Result<nlohmann::json> items = co_await fetch(std::move(path), std::move(query), api, what);
    if (!items) co_return items.status();
    PodMetrics out;
    std::size_t i = 0;
    for (const auto& item : *items) {
      PodMetric m = stamped(item);
      m.value = milli_in(item, "value");
      std::string name = text(member(item, "describedObject"), "name");
      out[name.empty() ? std::to_string(i++) : name] = m;
    }
    co_return Result<PodMetrics>(std::move(out));
  }
  async::Task<Result<PodMetrics>> custom_metric(std::string ns, std::string rest, std::string selector, v2::MetricIdentifier metric) {
    std::string query = label_query(selector), more = metric_query("metricLabelSelector", metric);
    if (!query.empty() && !more.empty()) query += "&";
    co_return co_await values_at("/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + ns + "/" + rest, query + more, "custom metrics API", "pods.custom.metrics.k8s.io");
  }
  async::Task<Result<PodMetrics>> object_metric(std::string ns, v2::ObjectMetricSource o) {
    Result<std::string> path = co_await target_path(ns, o.described_object);
    if (!path) co_return path.status();
    std::string plural = path->substr(0, path->rfind('/'));
    plural = plural.substr(plural.rfind('/') + 1);
    std::size_t slash = o.described_object.api_version.find('/');
    if (slash != std::string::npos) plural += "." + o.described_object.api_version.substr(0, slash);
    co_return co_await custom_metric(ns, plural + "/" + o.described_object.name + "/" + o.metric.name, "", o.metric);
  }
  async::Task<Result<PodMetrics>> external_metric(std::string ns, v2::MetricIdentifier metric) {
    co_return co_await values_at("/apis/external.metrics.k8s.io/v1beta1/namespaces/" + ns + "/" + metric.name, metric_query("labelSelector", metric), "external metrics API",
                                 "external.metrics.k8s.io");
  }

  client::Informer<HorizontalPodAutoscaler>& autoscalers_;
  client::Informer<Pod>& pods_;
  std::vector<client::DiscoveredResource> resources_;
  std::map<std::string, ScalingHistory> history_;
  std::map<std::string, LabelSelector> selectors_;  // as last seen, of each autoscaler's target
};

}  // namespace

std::unique_ptr<Controller> make_horizontal_pod_autoscaler(Context& c) { return std::make_unique<Autoscalers>(c); }

}  // namespace onebin::controller
