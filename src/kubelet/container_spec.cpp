#include "kubelet/container_spec.hpp"

#include <onebin/base/bytes.hpp>

namespace onebin::kubelet {
namespace {

template <class Profile>
engine::SecurityProfile profile_of(const Profile& p, const std::string& root) {
  engine::SecurityProfile out;
  if (p.type == "RuntimeDefault") out.type = engine::SecurityProfile::Type::RuntimeDefault;
  if (p.type == "Localhost") {
    out.type = engine::SecurityProfile::Type::Localhost;
    std::string name = p.localhost_profile ? *p.localhost_profile : std::string();
    out.localhost_ref = root.empty() ? name : root + "/" + name;
  }
  return out;
}

template <class Options>
engine::SeLinuxOptions selinux_of(const Options& o) { return {o.user, o.role, o.type, o.level}; }

Result<void> check_non_root(const core::Pod& pod, const core::Container& c, const engine::ImageInfo& image) {
  bool required = pod.spec.security_context && true_in(pod.spec.security_context->run_as_non_root);
  if (c.security_context && c.security_context->run_as_non_root) required = *c.security_context->run_as_non_root;
  if (!required) return {};
  std::string where = " (pod: " + quote(pod.metadata.name + "_" + pod.metadata.namespace_ + "(" + pod.metadata.uid + ")") + ", container: " + c.name + ")";
  if (auto user = effective_user(pod, c)) {
    if (*user == 0) return bad_request("container's runAsUser breaks non-root policy" + where);
    return {};
  }
  if (image.uid ? *image.uid == 0 : image.username.empty()) return bad_request("container has runAsNonRoot and image will run as root" + where);
  if (!image.uid)
    return bad_request("container has runAsNonRoot and image has non-numeric user (" + image.username + "), cannot verify user is non-root" + where);
  return {};
}

void set_users(const core::Pod& pod, const core::Container& c, engine::ContainerConfig& out) {
  out.run_as_user = effective_user(pod, c);
  if (c.security_context && c.security_context->run_as_group) out.run_as_group = *c.security_context->run_as_group;
  if (!pod.spec.security_context) return;
  const auto& p = *pod.spec.security_context;
  if (!out.run_as_group && p.run_as_group) out.run_as_group = *p.run_as_group;
  for (auto g : p.supplemental_groups) out.supplemental_groups.push_back(g);
  if (p.fs_group) out.supplemental_groups.push_back(*p.fs_group);
  out.supplemental_groups_strict = p.supplemental_groups_policy && *p.supplemental_groups_policy == "Strict";
}

void set_security(const core::Pod& pod, const core::Container& c, const ContainerInput& in, engine::ContainerConfig& out) {
  if (pod.spec.security_context) {
    const auto& p = *pod.spec.security_context;
    if (p.seccomp_profile) out.seccomp = profile_of(*p.seccomp_profile, in.seccomp_root);
    if (p.app_armor_profile) out.apparmor = profile_of(*p.app_armor_profile, {});
    if (p.se_linux_options) out.selinux = selinux_of(*p.se_linux_options);
  }
  if (!c.security_context) return;
  const auto& s = *c.security_context;
  out.privileged = true_in(s.privileged);
  out.readonly_rootfs = true_in(s.read_only_root_filesystem);
  out.no_new_privs = s.allow_privilege_escalation && !*s.allow_privilege_escalation;
  out.unmasked_proc = s.proc_mount && *s.proc_mount == "Unmasked";
  if (s.capabilities) {
    for (const auto& cap : s.capabilities->add) out.add_capabilities.push_back(cap);
    for (const auto& cap : s.capabilities->drop) out.drop_capabilities.push_back(cap);
  }
  if (s.seccomp_profile) out.seccomp = profile_of(*s.seccomp_profile, in.seccomp_root);
  if (s.app_armor_profile) out.apparmor = profile_of(*s.app_armor_profile, {});
  if (s.se_linux_options) out.selinux = selinux_of(*s.se_linux_options);
  if (out.privileged) out.seccomp = {};
}

engine::Labels pod_labels(const core::Pod& pod) {
  return {{label::kPodName, pod.metadata.name}, {label::kPodNamespace, pod.metadata.namespace_}, {label::kPodUid, pod.metadata.uid}};
}

}  // namespace

std::optional<std::int64_t> effective_user(const core::Pod& pod, const core::Container& c) {
  if (c.security_context && c.security_context->run_as_user) return *c.security_context->run_as_user;
  if (pod.spec.security_context && pod.spec.security_context->run_as_user) return *pod.spec.security_context->run_as_user;
  return std::nullopt;
}

std::optional<std::int64_t> common_user(const core::Pod& pod) {
  std::optional<std::int64_t> user;
  bool first = true;
  for (const auto* list : {&pod.spec.init_containers, &pod.spec.containers})
    for (const auto& c : *list) {
      auto u = effective_user(pod, c);
      if (!u || (!first && u != user)) return std::nullopt;
      user = u;
      first = false;
    }
  return user;
}

std::string pod_log_directory(const std::string& root, const core::Pod& pod) {
  return root + "/" + pod.metadata.namespace_ + "_" + pod.metadata.name + "_" + pod.metadata.uid;
}

engine::SandboxConfig sandbox_config(const core::Pod& pod, const SandboxInput& in) {
  engine::SandboxConfig out;
  out.name = pod.metadata.name;
  out.namespace_ = pod.metadata.namespace_;
  out.uid = pod.metadata.uid;
  out.attempt = in.attempt;
  out.netns_path = in.netns_path;
  if (!pod.spec.host_network) out.hostname = true_in(pod.spec.set_hostname_as_fqdn) ? in.host.fqdn() : in.host.name;
  if (pod.spec.host_ipc) out.ipc = engine::NamespaceMode::Node;
  if (pod.spec.host_pid) out.pid = engine::NamespaceMode::Node;
  else if (true_in(pod.spec.share_process_namespace)) out.pid = engine::NamespaceMode::Pod;
  if (pod.spec.security_context)
    for (const auto& s : pod.spec.security_context->sysctls) {
      std::string name = s.name;
      for (char& ch : name)
        if (ch == '/') ch = '.';
      out.sysctls[name] = s.value;
    }
  out.cgroup_parent = in.cgroup_parent;
  out.log_directory = in.log_directory;
  out.resolv_conf = in.resolv_conf;
  out.runtime_handler = in.runtime_handler;
  out.labels = pod_labels(pod);
  out.annotations["io.onebin.hostNetwork"] = pod.spec.host_network ? "true" : "false";
  return out;
}

Result<engine::ContainerConfig> container_config(const core::Pod& pod, const core::Container& c, const ContainerInput& in) {
  RETURN_IF_ERROR(check_non_root(pod, c, in.image));
  engine::ContainerConfig out;
  out.name = c.name;
  out.attempt = static_cast<std::uint32_t>(in.restart_count);
  out.image = in.image.id;
  out.image_requested = c.image;
  CommandLine line = expand_command(c, in.env);
  out.command = std::move(line.command);
  out.args = std::move(line.args);
  for (const auto& [k, v] : in.env) out.env.emplace_back(k, v);
  out.working_dir = c.working_dir;
  out.mounts = in.mounts;
  set_users(pod, c, out);
  set_security(pod, c, in, out);
  if (pod.spec.host_pid) out.pid = engine::NamespaceMode::Node;
  else if (true_in(pod.spec.share_process_namespace)) out.pid = engine::NamespaceMode::Pod;
  if (!in.pid_target.empty()) {
    out.pid = engine::NamespaceMode::Target;
    out.pid_target = in.pid_target;
  }
  out.oom_score_adj = oom_score_adj(pod, c, in.memory_capacity);
  out.resources = container_resources(pod, c, in.unified_cgroups);
  out.tty = c.tty;
  out.stdin_open = c.stdin;
  out.stdin_once = c.stdin_once;
  out.log_path = c.name + "/" + std::to_string(in.restart_count) + ".log";
  if (c.lifecycle && c.lifecycle->stop_signal) out.stop_signal = *c.lifecycle->stop_signal;
  out.labels = pod_labels(pod);
  out.labels[label::kContainerName] = c.name;
  out.annotations[label::kHash] = hash_container(c);
  out.annotations[label::kRestartCount] = std::to_string(in.restart_count);
  out.annotations[label::kTerminationFile] = in.termination_file;
  out.annotations[label::kTerminationPolicy] = c.termination_message_policy;
  if (!out.stop_signal.empty()) out.annotations[label::kStopSignal] = out.stop_signal;
  return out;
}

}  // namespace onebin::kubelet
