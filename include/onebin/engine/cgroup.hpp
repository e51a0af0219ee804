// Cgroups of QoS classes and pods: v1 (also hybrid) and v2 behind one set of calls. Paths are relative to the cgroup
// file system: "/kubepods/burstable/pod1234". All calls are quick file system calls, fit for the loop thread.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/engine/types.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace onebin::engine {

struct CgroupStats {
  std::uint64_t cpu_usage_ns = 0;
  std::uint64_t memory_usage = 0;
  std::uint64_t memory_working_set = 0;  // usage less inactive file pages, as eviction counts
  std::uint64_t memory_rss = 0;
  std::uint64_t memory_limit = 0;        // 0: none
  std::uint64_t memory_page_faults = 0, memory_major_page_faults = 0;
  std::uint64_t pids = 0;
  std::uint64_t oom_kills = 0;
};

class Cgroups {
 public:
  // Finds what is mounted under `mount_point`.
  static Result<Cgroups> detect(const std::string& mount_point = "/sys/fs/cgroup");

  bool unified() const { return unified_; }  // v2
  bool has(const std::string& controller) const;  // "cpu" "memory" "pids" "cpuset" "hugetlb" …
  // The folder of a path in one controller's hierarchy ("" when there is none); v2: the same for every controller.
  std::string folder(const std::string& controller, const std::string& path) const;

  Result<void> create(const std::string& path) const;  // with parents; controllers enabled on the way (v2)
  // Applies what is set. Unknown or missing controllers are skipped for limits nobody asked for, errors otherwise.
  Result<void> apply(const std::string& path, const Resources& resources) const;
  // Removes it with all below it. Fails (Conflict) while processes are in it.
  Result<void> remove(const std::string& path) const;
  bool exists(const std::string& path) const;
  Result<CgroupStats> stats(const std::string& path) const;
  // Processes in it and below.
  std::vector<std::int32_t> processes(const std::string& path) const;
  Result<void> kill_all(const std::string& path, int signal) const;
  Result<void> add_process(const std::string& path, std::int32_t pid) const;

 private:
  struct Hierarchy {
    std::string folder;
    std::vector<std::string> controllers;
  };
  std::string mount_point_;
  bool unified_ = false;
  std::vector<Hierarchy> hierarchies_;
};

// The conversion of cpu.shares to cpu.weight (KEP-2254, and the newer formula of runc 1.3 and crun 1.23).
std::uint64_t cpu_weight_from_shares(std::uint64_t shares);

}  // namespace onebin::engine
