// /stats/summary and /metrics/resource: what pods and the node use, read from their cgroups when asked.
#include "kubelet/kubelet_impl.hpp"

#include <nlohmann/json.hpp>

namespace onebin::kubelet {
namespace {

using nlohmann::json;

json memory_json(const engine::CgroupStats& s, const std::string& now) {
  json m{{"time", now}, {"usageBytes", s.memory_usage}, {"workingSetBytes", s.memory_working_set}, {"rssBytes", s.memory_rss},
         {"pageFaults", s.memory_page_faults}, {"majorPageFaults", s.memory_major_page_faults}};
  if (s.memory_limit) m["availableBytes"] = s.memory_limit > s.memory_working_set ? s.memory_limit - s.memory_working_set : 0;
  return m;
}

void sample(std::string& out, const char* name, const std::string& labels, double value, std::int64_t at_ms) {
  char number[64];
  std::snprintf(number, sizeof number, "%.9g", value);
  out += std::string(name) + (labels.empty() ? "" : "{" + labels + "}") + " " + number + " " + std::to_string(at_ms) + "\n";
}

void head(std::string& out, const char* name, const char* help, const char* type) {
  out += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

struct Usage {
  PodWorker* pod;
  engine::CgroupStats total;
  std::vector<std::pair<std::string, engine::CgroupStats>> containers;
};

std::vector<Usage> usages(const std::vector<PodWorker*>& workers, PodCgroups& cgroups, engine::Engine& engine) {
  std::vector<Usage> out;
  Result<engine::Cgroups> reader = engine::Cgroups::detect();
  for (PodWorker* w : workers) {
    if (w->stage() != PodWorker::Stage::Syncing && w->stage() != PodWorker::Stage::Terminating) continue;
    std::optional<engine::CgroupStats> s = cgroups.stats(w->uid());
    if (!s) continue;
    Usage u{w, *s, {}};
    for (const auto& c : w->runtime().containers) {
      if (c.state != ContainerState::Running || !reader) continue;
      Result<engine::ContainerStatus> status = engine.container_status(c.id);
      if (!status || status->cgroup_path.empty()) continue;
      Result<engine::CgroupStats> cs = reader->stats(status->cgroup_path);
      if (cs) u.containers.emplace_back(c.name, *cs);
    }
    out.push_back(std::move(u));
  }
  return out;
}

}  // namespace

std::string Kubelet::Impl::stats_summary() {
  Clock& clock = async::Loop::current().clock();
  std::string now = format_rfc3339(clock.wall());
  MachineInfo m = read_machine(options_.root_dir);
  json node{{"nodeName", options_.node_name}, {"startTime", format_rfc3339(context_.started)},
            {"memory", {{"time", now}, {"availableBytes", m.memory_available}, {"usageBytes", m.memory_bytes - m.memory_available},
                        {"workingSetBytes", m.memory_bytes - m.memory_available}}},
            {"fs", {{"time", now}, {"availableBytes", m.storage_available}, {"capacityBytes", m.storage_bytes},
                    {"usedBytes", m.storage_bytes - m.storage_available}, {"inodes", m.inodes}, {"inodesFree", m.inodes_free}}}};
  json pods = json::array();
  for (const auto& u : usages(workers(), *cgroups_, engine_)) {
    const auto& meta = u.pod->pod().metadata;
    json p{{"podRef", {{"name", meta.name}, {"namespace", meta.namespace_}, {"uid", meta.uid}}},
           {"startTime", u.pod->status().start_time.to_string()},
           {"cpu", {{"time", now}, {"usageCoreNanoSeconds", u.total.cpu_usage_ns}}},
           {"memory", memory_json(u.total, now)},
           {"process_stats", {{"process_count", u.total.pids}}}};
    json containers = json::array();
    for (const auto& [name, s] : u.containers)
      containers.push_back(json{{"name", name}, {"cpu", {{"time", now}, {"usageCoreNanoSeconds", s.cpu_usage_ns}}}, {"memory", memory_json(s, now)}});
    p["containers"] = std::move(containers);
    pods.push_back(std::move(p));
  }
  return json{{"node", std::move(node)}, {"pods", std::move(pods)}}.dump();
}

std::string Kubelet::Impl::resource_metrics() {
  std::int64_t at = std::chrono::duration_cast<std::chrono::milliseconds>(async::Loop::current().clock().wall().time_since_epoch()).count();
  auto all = usages(workers(), *cgroups_, engine_);
  MachineInfo m = read_machine(options_.root_dir);
  std::string out;
  head(out, "node_memory_working_set_bytes", "Current working set of the node in bytes", "gauge");
  sample(out, "node_memory_working_set_bytes", {}, static_cast<double>(m.memory_bytes - m.memory_available), at);
  auto each = [&](const char* name, const char* help, const char* type, bool containers, auto value) {
    head(out, name, help, type);
    for (const auto& u : all) {
      const auto& meta = u.pod->pod().metadata;
      std::string labels = "namespace=\"" + meta.namespace_ + "\",pod=\"" + meta.name + "\"";
      if (!containers) {
        sample(out, name, labels, value(u.total), at);
        continue;
      }
      for (const auto& [c, s] : u.containers) sample(out, name, "container=\"" + c + "\"," + labels, value(s), at);
    }
  };
  auto cpu = [](const engine::CgroupStats& s) { return static_cast<double>(s.cpu_usage_ns) / 1e9; };
  auto memory = [](const engine::CgroupStats& s) { return static_cast<double>(s.memory_working_set); };
  each("container_cpu_usage_seconds_total", "Cumulative cpu time consumed by the container in core-seconds", "counter", true, cpu);
  each("container_memory_working_set_bytes", "Current working set of the container in bytes", "gauge", true, memory);
  each("pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds", "counter", false, cpu);
  each("pod_memory_working_set_bytes", "Current working set of the pod in bytes", "gauge", false, memory);
  head(out, "resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise", "gauge");
  sample(out, "resource_scrape_error", {}, 0, at);
  return out;
}

}  // namespace onebin::kubelet
