#include "apiserver/admission/pod_security_checks.hpp"

#include "apiserver/admission/pod_documents.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <optional>
#include <set>

namespace onebin::apiserver {
namespace {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;
using Names = std::vector<std::string>;
using Values = std::set<std::string>;
using Fault = std::optional<PodSecurityFault>;

// The newest version that changed a check; later ones are the same.
constexpr int kNewest = 37;

struct Pod {
  const Document& metadata;
  const Document& spec;
  int minor;
  const Document& context() const { return member(spec, "securityContext"); }
  bool windows() const { return string_at(member(spec, "os"), "name") == "windows"; }
  bool user_namespace() const {
    const Document* d = find_member(spec, "hostUsers");
    return d && d->is_boolean() && !d->get<bool>();
  }
};

bool one_of(std::string_view text, std::initializer_list<std::string_view> set) { return std::find(set.begin(), set.end(), text) != set.end(); }
std::string quoted(const Names& names) { return names.empty() ? "" : "\"" + join(names, "\", \"") + "\""; }
std::string quoted(const Values& values) { return quoted(Names(values.begin(), values.end())); }
std::string plural(const char* word, std::size_t n) { return n == 1 ? word : std::string(word) + "s"; }
std::string containers(const Names& names) { return plural("container", names.size()) + " " + quoted(names); }
std::string uses(std::size_t n) { return n == 1 ? "uses" : "use"; }

// fn(container) for all kinds of containers; its name is kept where fn says that it is bad.
template <class Fn>
Names bad_containers(const Pod& pod, Fn fn) {
  Names out;
  for_each_container(pod.spec, [&](const Document& c, const char*, std::size_t) {
    if (fn(c)) out.emplace_back(string_at(c, "name"));
  });
  return out;
}

bool is_true(const Document& object, std::string_view field) { return apimachinery::bool_at(object, field, false); }
std::optional<bool> flag(const Document& object, std::string_view field) {
  const Document* d = find_member(object, field);
  return d && d->is_boolean() ? std::optional<bool>(d->get<bool>()) : std::nullopt;
}

// "pod and containers ...": who sets what must not be set. Empty when nobody does.
std::string setters(bool by_pod, const Names& by_containers) {
  Names out;
  if (by_pod) out.emplace_back("pod");
  if (!by_containers.empty()) out.push_back(containers(by_containers));
  return join(out, " and ");
}

Fault app_armor(const Pod& pod) {
  Values values;
  auto bad = [&](const Document& context) {
    const Document& profile = member(context, "appArmorProfile");
    if (!profile.is_object() || one_of(string_at(profile, "type"), {"RuntimeDefault", "Localhost"})) return false;
    values.emplace(string_at(profile, "type"));
    return true;
  };
  bool by_pod = bad(pod.context());
  Names names = bad_containers(pod, [&](const Document& c) { return bad(member(c, "securityContext")); });
  std::string who = setters(by_pod, names);
  Names listed(values.begin(), values.end()), annotations;
  for (const auto& [k, v] : apimachinery::string_map(member(pod.metadata, "annotations"))) {
    if (!starts_with(k, "container.apparmor.security.beta.kubernetes.io/")) continue;
    if (!v.empty() && v != "runtime/default" && !starts_with(v, "localhost/")) annotations.push_back(k + "=" + apimachinery::go_quote(v));
  }
  if (!annotations.empty()) {
    listed.insert(listed.end(), annotations.begin(), annotations.end());
    who += (who.empty() ? "" : " and ") + plural("annotation", annotations.size());
  }
  if (who.empty()) return std::nullopt;
  return PodSecurityFault{plural("forbidden AppArmor profile", listed.size()), who + " must not set AppArmor profile type to " + quoted(listed)};
}

Fault capabilities_baseline(const Pod& pod) {
  Values values;
  Names names = bad_containers(pod, [&](const Document& c) {
    bool bad = false;
    for (const auto& cap : items(at_path(c, {"securityContext", "capabilities"}), "add")) {
      std::string name = cap.is_string() ? cap.get<std::string>() : "";
      if (one_of(name, {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
                        "SETUID", "SYS_CHROOT"}))
        continue;
      bad = true;
      values.insert(name);
    }
    return bad;
  });
  if (names.empty()) return std::nullopt;
  return PodSecurityFault{"non-default capabilities", containers(names) + " must not include " + quoted(values) + " in securityContext.capabilities.add"};
}

Fault host_namespaces(const Pod& pod) {
  Names set;
  for (const char* f : {"hostNetwork", "hostPID", "hostIPC"})
    if (is_true(pod.spec, f)) set.push_back(std::string(f) + "=true");
  if (set.empty()) return std::nullopt;
  return PodSecurityFault{"host namespaces", join(set, ", ")};
}

Fault host_paths(const Pod& pod) {
  Names names;
  for (const auto& v : items(pod.spec, "volumes"))
    if (member(v, "hostPath").is_object()) names.emplace_back(string_at(v, "name"));
  if (names.empty()) return std::nullopt;
  return PodSecurityFault{"hostPath volumes", plural("volume", names.size()) + " " + quoted(names)};
}

Fault host_ports(const Pod& pod) {
  Values ports;
  Names names = bad_containers(pod, [&](const Document& c) {
    bool bad = false;
    for (const auto& p : items(c, "ports"))
      if (std::int64_t n = apimachinery::int_at(p, "hostPort"); n != 0) {
        ports.insert(std::to_string(n));
        bad = true;
      }
    return bad;
  });
  if (names.empty()) return std::nullopt;
  return PodSecurityFault{
      "hostPort", containers(names) + " " + uses(names.size()) + " " + plural("hostPort", ports.size()) + " " + join({ports.begin(), ports.end()}, ", ")};
}

Fault probe_hosts(const Pod& pod) {
  Values hosts, names;
  for_each_container(pod.spec, [&](const Document& c, const char*, std::size_t) {
    auto look = [&](const Document& handler) {
      for (const char* f : {"httpGet", "tcpSocket"}) {
        std::string_view host = string_at(member(handler, f), "host");
        if (host.empty()) continue;
        hosts.emplace(host);
        names.emplace(string_at(c, "name"));
      }
    };
    for (const char* f : {"livenessProbe", "readinessProbe", "startupProbe"}) look(member(c, f));
    for (const char* f : {"postStart", "preStop"}) look(at_path(c, {"lifecycle", f}));
  });
  if (names.empty()) return std::nullopt;
  return PodSecurityFault{"probe or lifecycle host", containers({names.begin(), names.end()}) + " " + uses(names.size()) + " " +
                                                         plural("probe or lifecycle host", hosts.size()) + " " + quoted(hosts)};
}

Fault privileged(const Pod& pod) {
  Names names = bad_containers(pod, [](const Document& c) { return is_true(member(c, "securityContext"), "privileged"); });
  if (names.empty()) return std::nullopt;
  return PodSecurityFault{"privileged", containers(names) + " must not set securityContext.privileged=true"};
}

Fault proc_mount(const Pod& pod) {
  Values types;
  Names names = bad_containers(pod, [&](const Document& c) {
    std::string_view type = string_at(member(c, "securityContext"), "procMount");
    if (type.empty() || type == "Default") return false;
    types.emplace(type);
    return true;
  });
  if (names.empty()) return std::nullopt;
  return PodSecurityFault{"procMount", containers(names) + " must not set securityContext.procMount to " + quoted(types)};
}

Fault selinux(const Pod& pod) {
  Values types;
  bool user = false, role = false;
  auto bad = [&](const Document& context) {
    const Document& o = member(context, "seLinuxOptions");
    if (!o.is_object()) return false;
    std::string_view type = string_at(o, "type");
    bool wrong = !one_of(type, {"", "container_t", "container_init_t", "container_kvm_t"}) && !(pod.minor >= 31 && type == "container_engine_t");
    if (wrong) types.emplace(type);
    bool its_user = !string_at(o, "user").empty(), its_role = !string_at(o, "role").empty();
    user = user || its_user;
    role = role || its_role;
    return wrong || its_user || its_role;
  };
  bool by_pod = bad(pod.context());
  Names names = bad_containers(pod, [&](const Document& c) { return bad(member(c, "securityContext")); });
  std::string who = setters(by_pod, names);
  if (who.empty()) return std::nullopt;
  Names what;
  if (!types.empty()) what.push_back(plural("type", types.size()) + " " + quoted(types));
  if (user) what.emplace_back("user may not be set");
  if (role) what.emplace_back("role may not be set");
  return PodSecurityFault{"seLinuxOptions", who + " set forbidden securityContext.seLinuxOptions: " + join(what, "; ")};
}

// Before v1.19 profiles were annotations.
Fault seccomp_annotations(const Pod& pod) {
  auto annotations = apimachinery::string_map(member(pod.metadata, "annotations"));
  Values bad;
  auto look = [&](const std::string& key) {
    auto it = annotations.find(key);
    if (it == annotations.end() || it->second == "runtime/default" || it->second == "docker/default" || starts_with(it->second, "localhost/")) return;
    bad.insert(key + "=" + apimachinery::go_quote(it->second));
  };
  look("seccomp.security.alpha.kubernetes.io/pod");
  for_each_container(pod.spec, [&](const Document& c, const char*, std::size_t) {
    look("container.seccomp.security.alpha.kubernetes.io/" + std::string(string_at(c, "name")));
  });
  if (bad.empty()) return std::nullopt;
  return PodSecurityFault{"seccompProfile", "forbidden " + plural("annotation", bad.size()) + " " + join({bad.begin(), bad.end()}, ", ")};
}

// What every container must set unless the pod does: explicit faults go before missing ones.
Fault seccomp(const Pod& pod, bool must_be_set) {
  Values values;
  Names missing;
  auto bad = [&](const Document& profile) {
    if (one_of(string_at(profile, "type"), {"Localhost", "RuntimeDefault"})) return false;
    values.emplace(string_at(profile, "type"));
    return true;
  };
  const Document& of_pod = member(pod.context(), "seccompProfile");
  bool by_pod = of_pod.is_object() && bad(of_pod), set_by_pod = of_pod.is_object() && !by_pod;
  Names names = bad_containers(pod, [&](const Document& c) {
    const Document& profile = at_path(c, {"securityContext", "seccompProfile"});
    if (profile.is_object()) return bad(profile);
    if (!set_by_pod) missing.emplace_back(string_at(c, "name"));
    return false;
  });
  std::string who = setters(by_pod, names);
  if (!who.empty()) return PodSecurityFault{"seccompProfile", who + " must not set securityContext.seccompProfile.type to " + quoted(values)};
  if (!must_be_set || missing.empty()) return std::nullopt;
  return PodSecurityFault{"seccompProfile",
                          "pod or " + containers(missing) + " must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""};
}

Fault sysctls(const Pod& pod) {
  struct Allowed {
    int since;
    const char* name;
  };
  static constexpr Allowed kAllowed[] = {{0, "kernel.shm_rmid_forced"},
                                         {0, "net.ipv4.ip_local_port_range"},
                                         {0, "net.ipv4.tcp_syncookies"},
                                         {0, "net.ipv4.ping_group_range"},
                                         {0, "net.ipv4.ip_unprivileged_port_start"},
                                         {27, "net.ipv4.ip_local_reserved_ports"},
                                         {29, "net.ipv4.tcp_keepalive_time"},
                                         {29, "net.ipv4.tcp_fin_timeout"},
                                         {29, "net.ipv4.tcp_keepalive_intvl"},
                                         {29, "net.ipv4.tcp_keepalive_probes"},
                                         {32, "net.ipv4.tcp_rmem"},
                                         {32, "net.ipv4.tcp_wmem"},
                                         {37, "net.ipv4.tcp_slow_start_after_idle"},
                                         {37, "net.ipv4.tcp_notsent_lowat"}};
  Names bad;
  for (const auto& s : items(pod.context(), "sysctls")) {
    std::string_view name = string_at(s, "name");
    bool fine = std::any_of(std::begin(kAllowed), std::end(kAllowed), [&](const Allowed& a) { return a.since <= pod.minor && name == a.name; });
    if (!fine) bad.emplace_back(name);
  }
  if (bad.empty()) return std::nullopt;
  return PodSecurityFault{"forbidden sysctls", join(bad, ", ")};
}

Fault windows_host_process(const Pod& pod) {
  auto bad = [](const Document& context) { return is_true(member(context, "windowsOptions"), "hostProcess"); };
  Names names = bad_containers(pod, [&](const Document& c) { return bad(member(c, "securityContext")); });
  std::string who = setters(bad(pod.context()), names);
  if (who.empty()) return std::nullopt;
  return PodSecurityFault{"hostProcess", who + " must not set securityContext.windowsOptions.hostProcess=true"};
}

Fault privilege_escalation(const Pod& pod) {
  Names names = bad_containers(pod, [](const Document& c) { return flag(member(c, "securityContext"), "allowPrivilegeEscalation") != false; });
  if (names.empty()) return std::nullopt;
  return PodSecurityFault{"allowPrivilegeEscalation != false", containers(names) + " must set securityContext.allowPrivilegeEscalation=false"};
}

Fault capabilities_restricted(const Pod& pod) {
  Values values;
  Names not_dropped = bad_containers(pod, [](const Document& c) {
    const Document& drop = items(at_path(c, {"securityContext", "capabilities"}), "drop");
    return std::find(drop.begin(), drop.end(), Document("ALL")) == drop.end();
  });
  Names adding = bad_containers(pod, [&](const Document& c) {
    bool bad = false;
    for (const auto& cap : items(at_path(c, {"securityContext", "capabilities"}), "add")) {
      if (cap == "NET_BIND_SERVICE" || !cap.is_string()) continue;
      bad = true;
      values.insert(cap.get<std::string>());
    }
    return bad;
  });
  Names details;
  if (!not_dropped.empty()) details.push_back(containers(not_dropped) + " must set securityContext.capabilities.drop=[\"ALL\"]");
  if (!adding.empty()) details.push_back(containers(adding) + " must not include " + quoted(values) + " in securityContext.capabilities.add");
  if (details.empty()) return std::nullopt;
  return PodSecurityFault{"unrestricted capabilities", join(details, "; ")};
}

Fault restricted_volumes(const Pod& pod) {
  Names names;
  Values types;
  for (const auto& v : items(pod.spec, "volumes")) {
    bool fine = false;
    for (const char* f : {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"})
      fine = fine || member(v, f).is_object();
    if (fine) continue;
    names.emplace_back(string_at(v, "name"));
    std::string type = "unknown";
    for (const char* f : {"storageos",
                          "scaleIO",
                          "portworxVolume",
                          "photonPersistentDisk",
                          "azureDisk",
                          "quobyte",
                          "vsphereVolume",
                          "azureFile",
                          "fc",
                          "flocker",
                          "cephfs",
                          "cinder",
                          "flexVolume",
                          "rbd",
                          "glusterfs",
                          "iscsi",
                          "nfs",
                          "gitRepo",
                          "awsElasticBlockStore",
                          "gcePersistentDisk",
                          "hostPath"})
      if (member(v, f).is_object()) type = f;
    types.insert(std::move(type));
  }
  if (names.empty()) return std::nullopt;
  return PodSecurityFault{"restricted volume types", plural("volume", names.size()) + " " + quoted(names) + " " + uses(names.size()) + " " +
                                                         plural("restricted volume type", types.size()) + " " + quoted(types)};
}

Fault run_as_non_root(const Pod& pod) {
  Names missing;
  std::optional<bool> of_pod = flag(pod.context(), "runAsNonRoot");
  Names names = bad_containers(pod, [&](const Document& c) {
    std::optional<bool> its = flag(member(c, "securityContext"), "runAsNonRoot");
    if (!its && of_pod != true) missing.emplace_back(string_at(c, "name"));
    return its == false;
  });
  std::string who = setters(of_pod == false, names);
  if (!who.empty()) return PodSecurityFault{"runAsNonRoot != true", who + " must not set securityContext.runAsNonRoot=false"};
  if (missing.empty()) return std::nullopt;
  return PodSecurityFault{"runAsNonRoot != true", "pod or " + containers(missing) + " must set securityContext.runAsNonRoot=true"};
}

Fault run_as_user(const Pod& pod) {
  auto root = [](const Document& context) {
    const Document* d = find_member(context, "runAsUser");
    return d && d->is_number_integer() && d->get<std::int64_t>() == 0;
  };
  Names names = bad_containers(pod, [&](const Document& c) { return root(member(c, "securityContext")); });
  std::string who = setters(root(pod.context()), names);
  if (who.empty()) return std::nullopt;
  return PodSecurityFault{"runAsUser=0", who + " must not set runAsUser=0"};
}

}  // namespace

std::string LevelVersion::to_string() const {
  const char* name = level == PodSecurityLevel::Privileged ? "privileged" : level == PodSecurityLevel::Baseline ? "baseline" : "restricted";
  return std::string(name) + ":" + (minor < 0 ? "latest" : "v1." + std::to_string(minor));
}

std::vector<PodSecurityFault> check_pod_security(const LevelVersion& policy, const Document& metadata, const Document& spec) {
  std::vector<PodSecurityFault> out;
  if (policy.level == PodSecurityLevel::Privileged) return out;
  int v = policy.minor < 0 || policy.minor > kNewest ? kNewest : policy.minor;
  Pod pod{metadata, spec, v};
  bool restricted = policy.level == PodSecurityLevel::Restricted;
  auto add = [&](bool applies, Fault (*check)(const Pod&)) {
    if (!applies) return;
    if (Fault f = check(pod)) out.push_back(std::move(*f));
  };
  auto add_fault = [&](Fault f) { if (f) out.push_back(std::move(*f)); };
  // Baseline, but for what a restricted check replaces.
  add(true, app_armor);
  add(!(restricted && v >= 22), capabilities_baseline);
  add(true, host_namespaces);
  add(!restricted, host_paths);
  add(true, host_ports);
  add(v >= 34, probe_hosts);
  add(true, privileged);
  add(!(restricted && v >= 35) && !(v >= 35 && pod.user_namespace()), proc_mount);
  add(true, selinux);
  if (v < 19) add_fault(seccomp_annotations(pod));
  else if (!restricted) add_fault(seccomp(pod, false));
  add(true, sysctls);
  add(true, windows_host_process);
  if (!restricted) return out;
  bool not_windows = v < 25 || !pod.windows();
  add(v >= 8 && not_windows, privilege_escalation);
  add(v >= 22 && not_windows, capabilities_restricted);
  add(v >= 35, proc_mount);
  add(true, restricted_volumes);
  add(v < 35 || !pod.user_namespace(), run_as_non_root);
  add(v >= 23 && (v < 35 || !pod.user_namespace()), run_as_user);
  if (v >= 19 && not_windows) add_fault(seccomp(pod, true));
  return out;
}

std::string describe_faults(const std::vector<PodSecurityFault>& faults, bool with_details) {
  std::string out;
  for (const auto& f : faults) {
    if (!out.empty()) out += ", ";
    out += f.reason;
    if (with_details && !f.detail.empty()) out += " (" + f.detail + ")";
  }
  return out;
}

}  // namespace onebin::apiserver
