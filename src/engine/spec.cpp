#include "engine/spec.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace onebin::engine {
namespace {

using nlohmann::json;

// What containers get unless told otherwise: the set that the other engines give, too.
const std::vector<std::string> default_capabilities = {
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
    "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"};

const std::vector<std::string> masked_paths = {
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"};
const std::vector<std::string> readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

Result<std::vector<std::string>> capabilities_of(const ContainerConfig& c, const HostLimits& host) {
  if (c.privileged) return host.capabilities;
  std::set<std::string> held(default_capabilities.begin(), default_capabilities.end());
  auto is_all = [](const std::string& n) { return iequals(n, "ALL"); };
  if (std::any_of(c.add_capabilities.begin(), c.add_capabilities.end(), is_all)) held.insert(host.capabilities.begin(), host.capabilities.end());
  if (std::any_of(c.drop_capabilities.begin(), c.drop_capabilities.end(), is_all)) held.clear();
  for (const auto& n : c.drop_capabilities) {
    if (is_all(n)) continue;
    auto name = canonical_capability(n);
    if (name.empty()) return bad_request("unknown capability \"" + n + "\"");
    held.erase(name);
  }
  std::vector<std::string> out;
  for (const auto& n : held) {
    if (host.holds(n)) out.push_back(n);
  }
  for (const auto& n : c.add_capabilities) {
    if (is_all(n)) continue;
    auto name = canonical_capability(n);
    if (name.empty()) return bad_request("unknown capability \"" + n + "\"");
    if (!host.holds(name)) return bad_request("capability " + name + " is not this node's to give");
    if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  }
  return out;
}

json environment(const SpecInputs& in) {
  std::vector<std::pair<std::string, std::string>> env;
  auto set = [&](const std::string& k, const std::string& v) {
    for (auto& e : env) {
      if (e.first == k) {
        e.second = v;
        return;
      }
    }
    env.emplace_back(k, v);
  };
  set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  if (in.config.tty) set("TERM", "xterm");
  std::string hostname = in.sandbox.hostname;
  if (hostname.empty() && in.uts_ns.empty()) hostname = in.host.hostname;
  if (!hostname.empty()) set("HOSTNAME", hostname);
  for (const auto& e : in.image.env) {
    auto eq = e.find('=');
    if (eq != std::string::npos) set(e.substr(0, eq), e.substr(eq + 1));
  }
  for (const auto& [k, v] : in.config.env) set(k, v);
  json out = json::array();
  for (const auto& [k, v] : env) out.push_back(k + "=" + v);
  return out;
}

Result<json> arguments(const SpecInputs& in) {
  std::vector<std::string> args = in.config.command.empty() ? in.image.entrypoint : in.config.command;
  const auto& rest = !in.config.args.empty() ? in.config.args : in.config.command.empty() ? in.image.cmd : in.config.args;
  args.insert(args.end(), rest.begin(), rest.end());
  if (args.empty()) return bad_request("no command specified");
  return json(args);
}

json rlimits(const SpecInputs& in) {
  json out = json::array();
  for (auto l : in.config.rlimits) {
    if (l.type == "RLIMIT_NOFILE" && !in.host.may_raise_rlimits) {
      rlimit own{};
      ::getrlimit(RLIMIT_NOFILE, &own);
      l.hard = std::min<std::uint64_t>(l.hard, own.rlim_max);
      l.soft = std::min(l.soft, l.hard);
    }
    out.push_back({{"type", l.type}, {"soft", l.soft}, {"hard", l.hard}});
  }
  return out;
}

Result<json> process(const SpecInputs& in, const std::vector<std::string>& caps) {
  const auto& c = in.config;
  json p;
  p["terminal"] = c.tty;
  json user = {{"uid", in.user.uid}, {"gid", in.user.gid}, {"additionalGids", in.user.groups}};
  p["user"] = user;
  ASSIGN_OR_RETURN(p["args"], arguments(in));
  p["env"] = environment(in);
  std::string cwd = !c.working_dir.empty() ? c.working_dir : in.image.working_dir;
  p["cwd"] = cwd.empty() ? "/" : cwd[0] == '/' ? cwd : "/" + cwd;
  p["capabilities"] = {{"bounding", caps}, {"effective", caps}, {"permitted", caps}};
  p["noNewPrivileges"] = c.no_new_privs;
  p["oomScoreAdj"] = std::clamp(c.oom_score_adj, in.host.min_oom_score_adj, 1000);
  if (!c.rlimits.empty()) p["rlimits"] = rlimits(in);
  if (in.host.apparmor && !c.privileged) {
    if (c.apparmor.type == SecurityProfile::Type::Localhost) p["apparmorProfile"] = c.apparmor.localhost_ref;
  } else if (c.apparmor.type == SecurityProfile::Type::Localhost) {
    return bad_request("AppArmor profile " + c.apparmor.localhost_ref + ": this host has no AppArmor");
  }
  if (in.host.selinux && c.selinux && !c.privileged) {
    const auto& s = *c.selinux;
    p["selinuxLabel"] = (s.user.empty() ? "system_u" : s.user) + ":" + (s.role.empty() ? "system_r" : s.role) + ":" +
                        (s.type.empty() ? "container_t" : s.type) + ":" + (s.level.empty() ? "s0" : s.level);
  }
  return p;
}

json mount_json(const std::string& destination, const std::string& type, const std::string& source, std::vector<std::string> options) {
  return {{"destination", destination}, {"type", type}, {"source", source}, {"options", std::move(options)}};
}

bool mounts_at(const SpecInputs& in, const std::string& path) {
  return std::any_of(in.mounts.begin(), in.mounts.end(), [&](const Mount& m) { return m.container_path == path; });
}

json mounts(const SpecInputs& in) {
  const bool privileged = in.config.privileged;
  json out = json::array();
  out.push_back(mount_json("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}));
  out.push_back(mount_json("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}));
  out.push_back(mount_json("/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}));
  out.push_back(mount_json("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
  out.push_back(mount_json("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", privileged ? "rw" : "ro"}));
  out.push_back(mount_json("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", privileged ? "rw" : "ro"}));
  auto bind = [&](const std::string& path, const std::string& from, bool readonly) {
    if (from.empty() || mounts_at(in, path)) return;
    out.push_back(mount_json(path, "bind", from, {"rbind", "rprivate", readonly ? "ro" : "rw"}));
  };
  bind("/dev/shm", in.shm_path, false);
  bind("/etc/hostname", in.hostname_path, in.config.readonly_rootfs);
  bind("/etc/resolv.conf", in.resolv_conf_path, in.config.readonly_rootfs);
  // Outer ones first, so that none hides another; in the given order at the same depth.
  std::multimap<std::ptrdiff_t, const Mount*> sorted;
  for (const auto& m : in.mounts) sorted.emplace(std::count(m.container_path.begin(), m.container_path.end(), '/'), &m);
  for (const auto& [depth, mount] : sorted) {
    const Mount& m = *mount;
    const char* propagation = m.propagation == Propagation::Bidirectional     ? "rshared"
                              : m.propagation == Propagation::HostToContainer ? "rslave"
                                                                              : "rprivate";
    std::vector<std::string> options = {"rbind", propagation, m.readonly ? (m.recursive_readonly ? "rro" : "ro") : "rw"};
    out.push_back(mount_json(m.container_path, "bind", m.host_path, options));
  }
  return out;
}

Result<json> device_json(const Device& d) {
  struct stat st;
  if (::stat(d.host_path.c_str(), &st) < 0) return from_errno("device " + d.host_path, errno);
  if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) return bad_request(d.host_path + " is not a device");
  return json{{"path", d.container_path.empty() ? d.host_path : d.container_path},
              {"type", S_ISCHR(st.st_mode) ? "c" : "b"},
              {"major", gnu_dev_major(st.st_rdev)},
              {"minor", gnu_dev_minor(st.st_rdev)},
              {"fileMode", st.st_mode & 07777},
              {"uid", st.st_uid},
              {"gid", st.st_gid}};
}

// The rules that go with `devices`; runc adds /dev/null and its like itself.
Result<void> add_devices(const SpecInputs& in, json& linux) {
  json nodes = json::array(), rules = json::array();
  rules.push_back({{"allow", in.config.privileged}, {"access", "rwm"}});
  for (const auto& d : in.config.devices) {
    ASSIGN_OR_RETURN(json node, device_json(d));
    rules.push_back({{"allow", true}, {"type", node["type"]}, {"major", node["major"]}, {"minor", node["minor"]}, {"access", d.permissions}});
    nodes.push_back(std::move(node));
  }
  for (const auto& d : in.host_devices) {
    auto node = device_json(d);
    bool known = !node || std::any_of(nodes.begin(), nodes.end(), [&](const json& n) { return n["path"] == (*node)["path"]; });
    if (!known) nodes.push_back(std::move(*node));
  }
  linux["devices"] = std::move(nodes);
  linux["resources"]["devices"] = std::move(rules);
  return {};
}

json namespaces(const SpecInputs& in) {
  json out = json::array();
  out.push_back({{"type", "mount"}});
  auto add = [&](const char* type, const std::string& path) {
    if (!path.empty()) out.push_back({{"type", type}, {"path", path}});
  };
  add("network", in.net_ns);
  add("ipc", in.ipc_ns);
  add("uts", in.uts_ns);
  if (in.pid_ns == "new") out.push_back({{"type", "pid"}});
  else add("pid", in.pid_ns);
  if (in.cgroup_v2 && !in.config.privileged) out.push_back({{"type", "cgroup"}});
  return out;
}

Result<void> add_seccomp(const SpecInputs& in, const std::vector<std::string>& caps, json& linux) {
  const auto& profile = in.config.seccomp;
  if (in.config.privileged || profile.type == SecurityProfile::Type::Unconfined) return {};
  if (!in.host.seccomp) return bad_request("seccomp: this kernel has none");
  if (profile.type == SecurityProfile::Type::RuntimeDefault) {
    linux["seccomp"] = default_seccomp(caps);
    return {};
  }
  auto text = read_file(profile.localhost_ref, 4u << 20);
  if (!text) return bad_request("seccomp profile " + profile.localhost_ref + ": " + text.status().message());
  json parsed = json::parse(*text, nullptr, false);
  if (!parsed.is_object()) return bad_request("seccomp profile " + profile.localhost_ref + " is not a JSON object");
  linux["seccomp"] = std::move(parsed);
  return {};
}

}  // namespace

json resources_json(const Resources& r, bool v2, bool swap_accounting) {
  json out = json::object();
  json cpu = json::object(), memory = json::object();
  if (r.cpu_shares) cpu["shares"] = *r.cpu_shares;
  if (r.cpu_quota) cpu["quota"] = *r.cpu_quota;
  if (r.cpu_period) cpu["period"] = *r.cpu_period;
  if (!r.cpuset_cpus.empty()) cpu["cpus"] = r.cpuset_cpus;
  if (!r.cpuset_mems.empty()) cpu["mems"] = r.cpuset_mems;
  if (!cpu.empty()) out["cpu"] = cpu;
  if (r.memory_limit) {
    memory["limit"] = *r.memory_limit;
    // Without a word about swap a limited container gets none.
    if (swap_accounting) memory["swap"] = r.memory_swap_limit.value_or(*r.memory_limit);
  }
  if (!memory.empty()) out["memory"] = memory;
  if (r.pids_limit) out["pids"] = {{"limit", *r.pids_limit}};
  for (const auto& h : r.hugepages) {
    if (h.limit > 0) out["hugepageLimits"].push_back({{"pageSize", h.page_size}, {"limit", h.limit}});
  }
  if (v2) {
    json unified = json::object();
    for (const auto& [k, v] : r.unified) unified[k] = v;
    if (r.memory_min) unified["memory.min"] = std::to_string(*r.memory_min);
    if (r.memory_high) unified["memory.high"] = *r.memory_high < 0 ? "max" : std::to_string(*r.memory_high);
    if (!unified.empty()) out["unified"] = unified;
  }
  return out;
}

Result<json> make_spec(const SpecInputs& in) {
  ASSIGN_OR_RETURN(std::vector<std::string> caps, capabilities_of(in.config, in.host));
  json spec;
  spec["ociVersion"] = "1.0.2";
  ASSIGN_OR_RETURN(spec["process"], process(in, caps));
  spec["root"] = {{"path", in.rootfs}, {"readonly", in.config.readonly_rootfs}};
  spec["mounts"] = mounts(in);
  json linux;
  linux["namespaces"] = namespaces(in);
  linux["cgroupsPath"] = in.cgroup_path;
  linux["resources"] = resources_json(in.config.resources, in.cgroup_v2, in.host.swap_accounting);
  RETURN_IF_ERROR(add_devices(in, linux));
  if (!in.config.privileged && !in.config.unmasked_proc) {
    linux["maskedPaths"] = masked_paths;
    linux["readonlyPaths"] = readonly_paths;
  }
  RETURN_IF_ERROR(add_seccomp(in, caps, linux));
  bool shared = false, slave = false;
  for (const auto& m : in.mounts) {
    shared |= m.propagation == Propagation::Bidirectional;
    slave |= m.propagation == Propagation::HostToContainer;
  }
  if (shared) linux["rootfsPropagation"] = "rshared";
  else if (slave) linux["rootfsPropagation"] = "rslave";
  spec["linux"] = std::move(linux);
  return spec;
}

json exec_process(const json& container_process, const std::vector<std::string>& command, bool tty) {
  json p = container_process;
  p["args"] = command;
  p["terminal"] = tty;
  p.erase("consoleSize");
  if (!tty) return p;
  bool has_term = false;
  for (const auto& e : p["env"]) has_term |= starts_with(e.get<std::string>(), "TERM=");
  if (!has_term) p["env"].push_back("TERM=xterm");
  return p;
}

std::vector<Device> list_host_devices() {
  std::vector<Device> out;
  std::vector<std::string> folders = {"/dev"};
  static const std::set<std::string> skipped = {"/dev/pts", "/dev/shm", "/dev/fd", "/dev/mqueue", "/dev/console", "/dev/.lxc", "/dev/.lxd-mounts", "/dev/.udev"};
  for (std::size_t i = 0; i < folders.size() && out.size() < 4096; ++i) {
    auto names = list_dir(folders[i]);
    if (!names) continue;
    for (const auto& n : *names) {
      std::string path = folders[i] + "/" + n;
      struct stat st;
      if (skipped.count(path) || ::lstat(path.c_str(), &st) < 0) continue;
      if (S_ISDIR(st.st_mode)) folders.push_back(path);
      else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) out.push_back({path, path, "rwm"});
    }
  }
  return out;
}

}  // namespace onebin::engine
