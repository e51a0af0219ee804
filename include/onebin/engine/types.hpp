// What the container engine is told and what it tells: plain values, in the terms of the Container Runtime Interface
// (k8s.io/cri-api/pkg/apis/runtime/v1), whose meaning they keep.
#pragma once
#include <onebin/base/time.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace onebin::engine {

using Labels = std::map<std::string, std::string>;

// ---- images ----

struct ImageInfo {
  std::string id;                         // "sha256:…", the digest of the image's config
  std::vector<std::string> repo_tags;     // "registry.k8s.io/pause:3.10", normalized
  std::vector<std::string> repo_digests;  // "registry.k8s.io/pause@sha256:…"
  std::uint64_t size = 0;                 // bytes on disk, unpacked
  std::string architecture, os;
  std::string user;  // as in the image: "", "1000", "nobody", "1000:1000"
  std::vector<std::string> env, entrypoint, cmd, volumes, exposed_ports;
  std::string working_dir, stop_signal;
  Labels labels;
  bool pinned = false;  // never garbage-collected
  WallTime imported_at{}, last_used{};
  // The numeric user when `user` is one; kubelet's runAsNonRoot check needs it. Else username is set.
  std::optional<std::int64_t> uid;
  std::string username;
};

struct RegistryCredentials {
  std::string username, password;
  std::string identity_token;  // OAuth2 refresh token
  std::string registry_token;  // bearer token, sent as it is
  bool empty() const { return username.empty() && password.empty() && identity_token.empty() && registry_token.empty(); }
};

struct PullProgress {
  std::uint64_t bytes_done = 0, bytes_total = 0;
  unsigned layers_done = 0, layers_total = 0;
};

struct ImageFsUsage {
  std::string mountpoint;  // the engine's root
  std::uint64_t images_bytes = 0, containers_bytes = 0;
  std::uint64_t inodes_used = 0;
  std::uint64_t capacity_bytes = 0, available_bytes = 0, inodes_capacity = 0, inodes_free = 0;
};

// ---- sandboxes ----

enum class NamespaceMode : std::uint8_t {
  Pod,        // shared by the pod's containers
  Container,  // PID only: each container has its own
  Node,       // the host's
  Target,     // PID only: another container's (ephemeral containers); see ContainerConfig::pid_target
};

struct SandboxConfig {
  std::string name, namespace_, uid;
  std::uint32_t attempt = 0;
  std::string hostname;             // "" with NamespaceMode::Node
  std::string netns_path;           // made and owned by the caller; empty: the host's network
  NamespaceMode ipc = NamespaceMode::Pod;
  NamespaceMode pid = NamespaceMode::Container;
  // Applied once, in the pod's namespaces. Net sysctls go to netns_path.
  std::map<std::string, std::string> sysctls;
  std::string cgroup_parent;        // "/kubepods/burstable/pod…"; must exist
  std::string log_directory;        // "/var/log/pods/ns_name_uid"; made when missing
  // When set, mounted read-only-by-convention at /etc/resolv.conf of every container (content, not path).
  std::optional<std::string> resolv_conf;
  std::uint64_t shm_size = 64u << 20;
  std::string runtime_handler;      // "" or "runc"; else a key of EngineOptions::runtimes
  Labels labels, annotations;
};

enum class SandboxState : std::uint8_t { Ready, NotReady };

struct SandboxStatus {
  std::string id;
  SandboxState state = SandboxState::NotReady;
  WallTime created_at{};
  SandboxConfig config;
};

// ---- containers ----

enum class Propagation : std::uint8_t { Private, HostToContainer, Bidirectional };

struct Mount {
  std::string container_path;  // absolute
  std::string host_path;       // must exist. Empty when `image` is set
  bool readonly = false;
  bool recursive_readonly = false;
  Propagation propagation = Propagation::Private;
  // An image as a volume: its id or reference (present already), and a path inside it.
  std::string image, image_sub_path;
};

struct Device {
  std::string host_path, container_path;
  std::string permissions = "rwm";
};

struct Rlimit {
  std::string type;  // "RLIMIT_NOFILE"
  std::uint64_t soft = 0, hard = 0;
};

struct SecurityProfile {
  enum class Type : std::uint8_t { RuntimeDefault, Unconfined, Localhost };
  Type type = Type::Unconfined;
  std::string localhost_ref;  // seccomp: absolute path of the profile; AppArmor: the profile's name
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  std::uint64_t limit = 0;
};

// Unset means: leave as it is.
struct Resources {
  std::optional<std::uint64_t> cpu_shares;   // v1 scale, 2..262144; converted for v2
  std::optional<std::int64_t> cpu_quota;     // microseconds per period; -1 is none
  std::optional<std::uint64_t> cpu_period;
  std::optional<std::int64_t> memory_limit;  // bytes; -1 is none
  std::optional<std::int64_t> memory_swap_limit;  // memory + swap, v1's meaning; converted for v2
  std::optional<std::int64_t> memory_min, memory_high;  // v2 only
  std::optional<std::int64_t> pids_limit;
  std::string cpuset_cpus, cpuset_mems;
  std::vector<HugepageLimit> hugepages;
  std::map<std::string, std::string> unified;  // v2 only: file name -> content
};

struct SeLinuxOptions {
  std::string user, role, type, level;
};

struct ContainerConfig {
  std::string name;  // of the container in its pod
  std::uint32_t attempt = 0;
  std::string image;            // id or reference, present already
  std::string image_requested;  // as the pod wrote it; kept for the status
  std::vector<std::string> command, args;  // command replaces the image's entrypoint, args its cmd
  std::vector<std::pair<std::string, std::string>> env;  // later wins; over the image's
  std::string working_dir;
  std::vector<Mount> mounts;
  std::vector<Device> devices;

  std::optional<std::int64_t> run_as_user, run_as_group;
  std::string run_as_username;                   // used when run_as_user is unset; else the image's user
  std::vector<std::int64_t> supplemental_groups; // fsGroup included by the caller
  bool supplemental_groups_strict = false;       // do not merge the groups of the image's /etc/group

  std::vector<std::string> add_capabilities, drop_capabilities;  // "NET_ADMIN", "ALL"; with or without CAP_
  bool privileged = false;
  bool readonly_rootfs = false;
  bool no_new_privs = false;
  bool unmasked_proc = false;  // procMount: Unmasked
  SecurityProfile seccomp, apparmor;
  std::optional<SeLinuxOptions> selinux;
  NamespaceMode pid = NamespaceMode::Container;  // the sandbox's, or Target
  std::string pid_target;                        // container id
  std::vector<Rlimit> rlimits;
  int oom_score_adj = 0;  // raised to what the kernel lets this process give
  Resources resources;

  bool tty = false, stdin_open = false, stdin_once = false;
  std::string log_path;  // below the sandbox's log_directory: "name/0.log"; empty: no log
  std::string stop_signal;  // "SIGQUIT", "15"; empty: the image's, else SIGTERM
  Labels labels, annotations;
};

enum class ContainerState : std::uint8_t { Created, Running, Exited, Unknown };

struct ContainerStatus {
  std::string id, sandbox_id, name;
  std::uint32_t attempt = 0;
  ContainerState state = ContainerState::Unknown;
  std::int32_t pid = 0;  // host's view; 0 unless Running
  WallTime created_at{}, started_at{}, finished_at{};
  std::int32_t exit_code = 0;
  std::string reason;   // "Completed", "Error", "OOMKilled", "StartError", "ContainerCannotRun", "Unknown"
  std::string message;
  std::string image_id, image_requested, image_ref;  // image_ref: a repo digest when there is one, else the id
  std::string log_path;   // absolute
  std::string cgroup_path;
  std::vector<Mount> mounts;
  Labels labels, annotations;
  Resources resources;
  // Who the first process runs as.
  std::int64_t user_uid = 0, user_gid = 0;
  std::vector<std::int64_t> user_groups;
};

struct ListFilter {  // empty fields match everything
  std::string id, sandbox_id;
  Labels labels;
};

struct ExecRequest {
  std::vector<std::string> command;
  bool tty = false;
  bool stdin_open = false;
  bool want_stdout = true, want_stderr = true;  // with tty, stderr comes merged into stdout
};

struct ExecResult {
  std::string out, err;  // at most 16 MiB each; the rest is dropped
  std::int32_t exit_code = 0;
};

struct ContainerStats {
  std::string id;
  WallTime at{};
  std::uint64_t cpu_usage_ns = 0;
  std::uint64_t memory_usage = 0, memory_working_set = 0, memory_rss = 0, memory_page_faults = 0, memory_major_page_faults = 0;
  std::uint64_t memory_limit = 0;  // 0: none
  std::uint64_t pids = 0;
  std::uint64_t rootfs_bytes = 0, rootfs_inodes = 0;  // the writable layer
};

struct ContainerEvent {
  enum class Type : std::uint8_t { Created, Started, Stopped, Deleted };
  Type type = Type::Started;
  std::string container_id, sandbox_id;
  // Labels of the container, so that the receiver finds the pod without asking.
  Labels labels;
};

}  // namespace onebin::engine
