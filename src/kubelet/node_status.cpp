#include "kubelet/node_status.hpp"

#include <onebin/api/codec.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace onebin::kubelet {
namespace {

using nlohmann::json;
constexpr std::size_t kMaxImages = 50;

std::string first_line(const std::string& path) { return std::string(trim(read_file(path, 4096).value_or(std::string()))); }

std::int64_t meminfo(const std::string& text, const char* key) {
  for (const auto& line : split(text, '\n'))
    if (line.starts_with(key)) return std::atoll(line.c_str() + std::string_view(key).size()) * 1024;
  return 0;
}

std::string os_image() {
  for (const auto& line : split(read_file("/etc/os-release", 65536).value_or(std::string()), '\n')) {
    if (!line.starts_with("PRETTY_NAME=")) continue;
    std::string v = line.substr(12);
    if (v.size() >= 2 && v.front() == '"') v = v.substr(1, v.size() - 2);
    return v;
  }
  return "Linux";
}

std::string go_arch(const std::string& machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  if (machine.starts_with("arm")) return "arm";
  if (machine == "i686" || machine == "i386") return "386";
  return machine;
}

void read_hugepages(MachineInfo& m) {
  const std::string root = "/sys/kernel/mm/hugepages";
  for (const auto& name : list_dir(root).value_or(std::vector<std::string>())) {
    if (!name.starts_with("hugepages-")) continue;
    std::int64_t kb = std::atoll(name.c_str() + 10);
    std::int64_t count = std::atoll(first_line(root + "/" + name + "/nr_hugepages").c_str());
    std::string size = kb >= 1024 * 1024 ? std::to_string(kb / 1024 / 1024) + "Gi" : std::to_string(kb / 1024) + "Mi";
    m.hugepages[size] = kb * 1024 * count;
  }
}

core::NodeCondition condition(const NodeInput& in, const char* type, bool yes, const char* reason, std::string message) {
  core::NodeCondition c;
  c.type = type;
  c.status = yes ? "True" : "False";
  c.reason = reason;
  c.message = std::move(message);
  c.last_heartbeat_time = c.last_transition_time = in.now;
  if (in.old)
    for (const auto& o : in.old->conditions)
      if (o.type == type && o.status == c.status && !o.last_transition_time.is_zero()) c.last_transition_time = o.last_transition_time;
  return c;
}

Quantity bytes(std::int64_t n) { return Quantity::from_units(n, Quantity::Format::BinarySI); }

}  // namespace

MachineInfo read_machine(const std::string& root_dir) {
  MachineInfo m;
  m.cpus = std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN));
  std::string mem = read_file("/proc/meminfo", 65536).value_or(std::string());
  m.memory_bytes = meminfo(mem, "MemTotal:");
  m.memory_available = meminfo(mem, "MemAvailable:");
  struct statvfs fs {};
  if (::statvfs(root_dir.c_str(), &fs) == 0) {
    m.storage_bytes = static_cast<std::int64_t>(fs.f_blocks) * static_cast<std::int64_t>(fs.f_frsize);
    m.storage_available = static_cast<std::int64_t>(fs.f_bavail) * static_cast<std::int64_t>(fs.f_frsize);
    m.inodes = static_cast<std::int64_t>(fs.f_files);
    m.inodes_free = static_cast<std::int64_t>(fs.f_ffree);
  }
  read_hugepages(m);
  m.machine_id = first_line("/etc/machine-id");
  m.system_uuid = first_line("/sys/class/dmi/id/product_uuid");
  if (m.system_uuid.empty()) m.system_uuid = m.machine_id;
  m.boot_id = first_line("/proc/sys/kernel/random/boot_id");
  m.max_pids = std::atoll(first_line("/proc/sys/kernel/pid_max").c_str());
  m.os_image = os_image();
  utsname u{};
  if (::uname(&u) == 0) {
    m.kernel_version = u.release;
    m.architecture = go_arch(u.machine);
  }
  return m;
}

std::map<std::string, Quantity> node_capacity(const Options& o, const MachineInfo& m) {
  std::map<std::string, Quantity> c;
  c["cpu"] = Quantity::from_units(m.cpus);
  c["memory"] = bytes(m.memory_bytes);
  c["ephemeral-storage"] = bytes(m.storage_bytes);
  c["pods"] = Quantity::from_units(o.max_pods);
  for (const auto& [size, n] : m.hugepages) c["hugepages-" + size] = bytes(n);
  return c;
}

std::map<std::string, Quantity> node_allocatable(const Options& o, const std::map<std::string, Quantity>& capacity) {
  std::map<std::string, Quantity> a = capacity;
  auto take = [&](const std::string& name, const Quantity& q) {
    auto i = a.find(name);
    if (i == a.end()) return;
    i->second -= q;
    if (i->second.sign() < 0) i->second = Quantity();
  };
  for (const auto& [name, text] : o.reserved)
    if (auto q = Quantity::parse(text)) take(name, *q);
  take("memory", bytes(o.eviction_memory_available));
  if (auto i = capacity.find("ephemeral-storage"); i != capacity.end())
    take("ephemeral-storage", bytes(static_cast<std::int64_t>(static_cast<double>(i->second.value()) * o.eviction_nodefs_available)));
  return a;
}

std::map<std::string, std::string> node_labels(const Options& o, const MachineInfo& m) {
  std::map<std::string, std::string> l = {{"kubernetes.io/hostname", o.hostname.empty() ? o.node_name : o.hostname},
                                          {"kubernetes.io/os", "linux"},
                                          {"kubernetes.io/arch", m.architecture},
                                          {"beta.kubernetes.io/os", "linux"},
                                          {"beta.kubernetes.io/arch", m.architecture}};
  for (const auto& [k, v] : o.labels) l[k] = v;
  return l;
}

core::NodeStatus node_status(const NodeInput& in) {
  core::NodeStatus s;
  const Options& o = *in.options;
  const MachineInfo& m = *in.machine;
  s.capacity = node_capacity(o, m);
  s.capacity.insert(in.extended.begin(), in.extended.end());
  s.allocatable = node_allocatable(o, s.capacity);
  for (const auto& ip : o.node_ips) s.addresses.push_back({"InternalIP", ip});
  for (const auto& ip : o.node_external_ips) s.addresses.push_back({"ExternalIP", ip});
  s.addresses.push_back({"Hostname", o.hostname.empty() ? o.node_name : o.hostname});
  s.daemon_endpoints.kubelet_endpoint.port = in.port;
  s.node_info.machine_id = m.machine_id;
  s.node_info.system_uuid = m.system_uuid;
  s.node_info.boot_id = m.boot_id;
  s.node_info.kernel_version = m.kernel_version;
  s.node_info.os_image = m.os_image;
  s.node_info.container_runtime_version = o.container_runtime_version;
  s.node_info.kubelet_version = o.kubelet_version;
  s.node_info.operating_system = "linux";
  s.node_info.architecture = m.architecture;
  core::NodeFeatures features;
  features.supplemental_groups_policy = true;
  s.features = features;

  const NodeConditions& c = in.conditions;
  s.conditions.push_back(condition(in, "MemoryPressure", c.memory_pressure, c.memory_pressure ? "KubeletHasInsufficientMemory" : "KubeletHasSufficientMemory",
                                   c.memory_pressure ? "kubelet has insufficient memory available" : "kubelet has sufficient memory available"));
  s.conditions.push_back(condition(in, "DiskPressure", c.disk_pressure, c.disk_pressure ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
                                   c.disk_pressure ? "kubelet has disk pressure" : "kubelet has no disk pressure"));
  s.conditions.push_back(condition(in, "PIDPressure", c.pid_pressure, c.pid_pressure ? "KubeletHasInsufficientPID" : "KubeletHasSufficientPID",
                                   c.pid_pressure ? "kubelet has insufficient PID available" : "kubelet has sufficient PID available"));
  if (c.network_ready)
    s.conditions.push_back(condition(in, "NetworkUnavailable", false, "PodNetworkIsUp", "the pod network of this node is set up"));
  bool ready = c.network_ready && c.not_ready_why.empty();
  std::string why = !c.not_ready_why.empty() ? c.not_ready_why : "container runtime network not ready: the node has no pod address range yet";
  s.conditions.push_back(condition(in, "Ready", ready, ready ? "KubeletReady" : "KubeletNotReady", ready ? "kubelet is posting ready status" : why));

  std::vector<engine::ImageInfo> images = in.images;
  std::sort(images.begin(), images.end(), [](const auto& a, const auto& b) { return a.size != b.size ? a.size > b.size : a.id < b.id; });
  for (const auto& i : images) {
    if (s.images.size() == kMaxImages) break;
    core::ContainerImage out;
    for (const auto* names : {&i.repo_digests, &i.repo_tags})
      for (const auto& n : *names)
        if (out.names.size() < 5) out.names.push_back(n);
    out.size_bytes = static_cast<std::int64_t>(i.size);
    if (!out.names.empty()) s.images.push_back(std::move(out));
  }
  return s;
}

core::Node new_node(const NodeInput& in) {
  core::Node n;
  n.metadata.name = in.options->node_name;
  n.metadata.labels = node_labels(*in.options, *in.machine);
  n.metadata.annotations["volumes.kubernetes.io/controller-managed-attach-detach"] = "true";
  n.spec.provider_id = in.options->provider_id;
  for (const auto& t : in.options->taints) {
    core::Taint taint;
    taint.key = t.key;
    taint.value = t.value;
    taint.effect = t.effect;
    n.spec.taints.push_back(std::move(taint));
  }
  n.status = node_status(in);
  return n;
}

std::string node_status_patch(const core::NodeStatus& before, const core::NodeStatus& after, bool heartbeat) {
  json a = json::parse(api::to_json(before), nullptr, false), b = json::parse(api::to_json(after), nullptr, false);
  json status = json::object();
  auto differs = [&](const char* name) { return a.value(name, json()) != b.value(name, json()); };
  // Capacity is others' to write too; what may be allocated follows from it.
  for (const char* name : {"capacity", "allocatable"}) {
    if (!differs(name)) continue;
    json change = b.value(name, json::object()), was = a.value(name, json::object());
    for (const auto& [k, v] : was.items())
      if (!change.contains(k) && (k.starts_with("hugepages-") || name[0] == 'a')) change[k] = nullptr;
    status[name] = std::move(change);
  }
  for (const char* name : {"daemonEndpoints", "nodeInfo", "features", "images"})
    if (differs(name)) status[name] = b.value(name, json());
  if (differs("addresses")) {
    json list = b.value("addresses", json::array());
    if (!a.value("addresses", json::array()).empty()) list.push_back(json{{"$patch", "replace"}});
    status["addresses"] = std::move(list);
  }
  json conditions = json::array();
  for (const auto& c : b.value("conditions", json::array())) {
    const json* old = nullptr;
    json olds = a.value("conditions", json::array());
    for (const auto& o : olds)
      if (o.value("type", "") == c.value("type", "")) old = &o;
    bool same = old && old->value("status", "") == c.value("status", "") && old->value("reason", "") == c.value("reason", "") &&
                old->value("message", "") == c.value("message", "");
    if (!same || heartbeat) conditions.push_back(c);
  }
  if (!conditions.empty()) status["conditions"] = std::move(conditions);
  if (status.empty()) return {};
  return json{{"status", std::move(status)}}.dump();
}

}  // namespace onebin::kubelet
