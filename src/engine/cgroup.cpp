#include <onebin/engine/cgroup.hpp>

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

namespace onebin::engine {
namespace {

constexpr long cgroup2_magic = 0x63677270;

// Cgroup files take one write each and must exist already.
Result<void> put(const std::string& path, const std::string& value) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return from_errno("open " + path, errno);
  if (::write(fd.get(), value.data(), value.size()) < 0) return from_errno("write \"" + value + "\" to " + path, errno);
  return {};
}

std::uint64_t get_number(const std::string& path) {
  auto text = read_file(path, 4096);
  return text ? std::strtoull(text->c_str(), nullptr, 10) : 0;
}

// "KEY VALUE" lines.
std::uint64_t keyed(const std::string& text, std::string_view key) {
  for (std::size_t at = 0; at < text.size();) {
    auto end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    std::string_view line(text.data() + at, end - at);
    if (starts_with(line, key) && line.size() > key.size() && line[key.size()] == ' ') {
      return std::strtoull(std::string(line.substr(key.size() + 1)).c_str(), nullptr, 10);
    }
    at = end + 1;
  }
  return 0;
}

void collect(const std::string& folder, std::vector<std::int32_t>& out) {
  auto text = read_file(folder + "/cgroup.procs", 16u << 20);
  if (!text) return;
  for (const auto& line : split(*text, '\n')) {
    if (!line.empty()) out.push_back(std::atoi(line.c_str()));
  }
  auto names = list_dir(folder);
  if (!names) return;
  for (const auto& n : *names) {
    struct stat st;
    if (::lstat((folder + "/" + n).c_str(), &st) == 0 && S_ISDIR(st.st_mode)) collect(folder + "/" + n, out);
  }
}

Result<void> remove_tree(const std::string& folder) {
  DIR* d = ::opendir(folder.c_str());
  if (!d) return errno == ENOENT ? Result<void>() : Result<void>(from_errno("open " + folder, errno));
  std::vector<std::string> below;
  while (dirent* e = ::readdir(d)) {
    std::string_view n = e->d_name;
    if (e->d_type == DT_DIR && n != "." && n != "..") below.emplace_back(n);
  }
  ::closedir(d);
  for (const auto& n : below) RETURN_IF_ERROR(remove_tree(folder + "/" + n));
  if (::rmdir(folder.c_str()) == 0 || errno == ENOENT) return {};
  if (errno == EBUSY) return Status(Reason::Conflict, folder + ": processes are in it");
  return from_errno("remove " + folder, errno);
}

bool no_limit(std::uint64_t v) { return v >= (1ull << 62); }

Result<void> apply_v1(const Cgroups& c, const std::string& path, const Resources& r) {
  auto need = [&](const char* controller) -> Result<std::string> {
    std::string f = c.folder(controller, path);
    if (f.empty()) return internal_error(std::string("the ") + controller + " cgroup controller is not there");
    return f;
  };
  if (r.cpu_shares || r.cpu_quota || r.cpu_period) {
    ASSIGN_OR_RETURN(std::string f, need("cpu"));
    if (r.cpu_shares) RETURN_IF_ERROR(put(f + "/cpu.shares", std::to_string(*r.cpu_shares)));
    // A longer period first and a shorter last would each pass the kernel's check in one order only; quota -1 always passes.
    if (r.cpu_period) {
      RETURN_IF_ERROR(put(f + "/cpu.cfs_quota_us", "-1"));
      RETURN_IF_ERROR(put(f + "/cpu.cfs_period_us", std::to_string(*r.cpu_period)));
    }
    if (r.cpu_quota) RETURN_IF_ERROR(put(f + "/cpu.cfs_quota_us", std::to_string(*r.cpu_quota)));
  }
  if (r.memory_limit || r.memory_swap_limit) {
    ASSIGN_OR_RETURN(std::string f, need("memory"));
    std::string limit = f + "/memory.limit_in_bytes", swap = f + "/memory.memsw.limit_in_bytes";
    bool swap_first = false;
    if (r.memory_limit && r.memory_swap_limit && path_exists(swap)) {
      // memory <= memory+swap must hold in between as well.
      swap_first = *r.memory_swap_limit < 0 || static_cast<std::uint64_t>(*r.memory_swap_limit) > get_number(swap);
    }
    auto set_swap = [&]() -> Result<void> {
      return r.memory_swap_limit && path_exists(swap) ? put(swap, std::to_string(*r.memory_swap_limit)) : Result<void>();
    };
    if (swap_first) RETURN_IF_ERROR(set_swap());
    if (r.memory_limit) RETURN_IF_ERROR(put(limit, std::to_string(*r.memory_limit)));
    if (!swap_first) RETURN_IF_ERROR(set_swap());
  }
  if (r.pids_limit) {
    ASSIGN_OR_RETURN(std::string f, need("pids"));
    RETURN_IF_ERROR(put(f + "/pids.max", *r.pids_limit < 0 ? "max" : std::to_string(*r.pids_limit)));
  }
  if (!r.cpuset_cpus.empty() || !r.cpuset_mems.empty()) {
    ASSIGN_OR_RETURN(std::string f, need("cpuset"));
    if (!r.cpuset_cpus.empty()) RETURN_IF_ERROR(put(f + "/cpuset.cpus", r.cpuset_cpus));
    if (!r.cpuset_mems.empty()) RETURN_IF_ERROR(put(f + "/cpuset.mems", r.cpuset_mems));
  }
  for (const auto& h : r.hugepages) {
    std::string f = c.folder("hugetlb", path);
    if (f.empty()) {
      if (h.limit == 0) continue;
      return internal_error("the hugetlb cgroup controller is not there");
    }
    RETURN_IF_ERROR(put(f + "/hugetlb." + h.page_size + ".limit_in_bytes", std::to_string(h.limit)));
  }
  return {};
}

std::string max_or(std::int64_t v) { return v < 0 ? "max" : std::to_string(v); }

Result<void> apply_v2(const std::string& f, const Resources& r) {
  if (r.cpu_shares) RETURN_IF_ERROR(put(f + "/cpu.weight", std::to_string(cpu_weight_from_shares(*r.cpu_shares))));
  if (r.cpu_quota || r.cpu_period) {
    std::string value = max_or(r.cpu_quota.value_or(-1));
    if (r.cpu_period) value += " " + std::to_string(*r.cpu_period);
    RETURN_IF_ERROR(put(f + "/cpu.max", value));
  }
  if (r.memory_limit) RETURN_IF_ERROR(put(f + "/memory.max", max_or(*r.memory_limit)));
  if (r.memory_swap_limit && path_exists(f + "/memory.swap.max")) {
    std::int64_t swap = *r.memory_swap_limit < 0 ? -1 : std::max<std::int64_t>(0, *r.memory_swap_limit - r.memory_limit.value_or(0));
    RETURN_IF_ERROR(put(f + "/memory.swap.max", max_or(swap)));
  }
  if (r.memory_min) RETURN_IF_ERROR(put(f + "/memory.min", std::to_string(*r.memory_min)));
  if (r.memory_high) RETURN_IF_ERROR(put(f + "/memory.high", max_or(*r.memory_high)));
  if (r.pids_limit) RETURN_IF_ERROR(put(f + "/pids.max", max_or(*r.pids_limit)));
  if (!r.cpuset_cpus.empty()) RETURN_IF_ERROR(put(f + "/cpuset.cpus", r.cpuset_cpus));
  if (!r.cpuset_mems.empty()) RETURN_IF_ERROR(put(f + "/cpuset.mems", r.cpuset_mems));
  for (const auto& h : r.hugepages) {
    std::string file = f + "/hugetlb." + h.page_size + ".max";
    if (h.limit == 0 && !path_exists(file)) continue;
    RETURN_IF_ERROR(put(file, std::to_string(h.limit)));
  }
  for (const auto& [k, v] : r.unified) {
    if (k.find('/') != std::string::npos || k.find('.') == std::string::npos) return bad_request("bad cgroup file name \"" + k + "\"");
    RETURN_IF_ERROR(put(f + "/" + k, v));
  }
  return {};
}

}  // namespace

std::uint64_t cpu_weight_from_shares(std::uint64_t shares) {
  // 2 -> 1, 1024 -> 100, 262144 -> 10000, a parabola in log2 between them.
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  double l = std::log2(static_cast<double>(shares));
  return static_cast<std::uint64_t>(std::ceil(std::pow(10.0, (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0)));
}

Result<Cgroups> Cgroups::detect(const std::string& mount_point) {
  Cgroups c;
  c.mount_point_ = mount_point;
  struct statfs fs;
  if (::statfs(mount_point.c_str(), &fs) < 0) return from_errno("stat " + mount_point, errno);
  if (fs.f_type == cgroup2_magic) {
    c.unified_ = true;
    ASSIGN_OR_RETURN(std::string text, read_file(mount_point + "/cgroup.controllers"));
    c.hierarchies_.push_back({mount_point, split(trim(text), ' ')});
    return c;
  }
  // One folder a hierarchy, named by its controllers ("cpu,cpuacct"); links to them are the same hierarchy again.
  ASSIGN_OR_RETURN(std::vector<std::string> names, list_dir(mount_point));
  for (const auto& n : names) {
    std::string folder = mount_point + "/" + n;
    struct stat st;
    if (::lstat(folder.c_str(), &st) < 0 || !S_ISDIR(st.st_mode)) continue;
    if (!path_exists(folder + "/cgroup.procs") || n == "unified") continue;
    c.hierarchies_.push_back({folder, split(n, ',')});
  }
  if (c.hierarchies_.empty()) return internal_error(mount_point + ": no cgroup hierarchy is mounted");
  return c;
}

bool Cgroups::has(const std::string& controller) const { return !folder(controller, "").empty(); }

std::string Cgroups::folder(const std::string& controller, const std::string& path) const {
  for (const auto& h : hierarchies_) {
    if (std::find(h.controllers.begin(), h.controllers.end(), controller) != h.controllers.end()) return h.folder + path;
  }
  return unified_ && controller.empty() ? mount_point_ + path : "";
}

Result<void> Cgroups::create(const std::string& path) const {
  for (const auto& h : hierarchies_) {
    std::string at = h.folder;
    for (const auto& part : split(path, '/')) {
      if (part.empty()) continue;
      if (unified_) {
        for (const auto& c : h.controllers) (void)put(at + "/cgroup.subtree_control", "+" + c);
      }
      std::string parent = at;
      at += "/" + part;
      if (::mkdir(at.c_str(), 0755) < 0) {
        if (errno == EEXIST) continue;
        return from_errno("create cgroup " + at, errno);
      }
      // A new cpuset takes no process before it has CPUs and memory nodes.
      if (!unified_ && std::find(h.controllers.begin(), h.controllers.end(), "cpuset") != h.controllers.end()) {
        for (const char* f : {"/cpuset.cpus", "/cpuset.mems"}) {
          auto v = read_file(parent + f, 4096);
          if (v) (void)put(at + f, std::string(trim(*v)));
        }
      }
    }
  }
  return {};
}

Result<void> Cgroups::apply(const std::string& path, const Resources& resources) const {
  return unified_ ? apply_v2(mount_point_ + path, resources) : apply_v1(*this, path, resources);
}

Result<void> Cgroups::remove(const std::string& path) const {
  if (path.empty() || path == "/") return bad_request("the root cgroup is not to be removed");
  for (const auto& h : hierarchies_) RETURN_IF_ERROR(remove_tree(h.folder + path));
  // The unified part of a hybrid set-up, where runc makes folders too.
  if (!unified_ && path_exists(mount_point_ + "/unified/cgroup.procs")) RETURN_IF_ERROR(remove_tree(mount_point_ + "/unified" + path));
  return {};
}

bool Cgroups::exists(const std::string& path) const {
  for (const auto& h : hierarchies_) {
    if (!path_exists(h.folder + path)) return false;
  }
  return true;
}

Result<CgroupStats> Cgroups::stats(const std::string& path) const {
  CgroupStats s;
  if (unified_) {
    std::string f = mount_point_ + path;
    auto cpu = read_file(f + "/cpu.stat");
    if (!cpu) return not_found("cgroup", path);
    s.cpu_usage_ns = keyed(*cpu, "usage_usec") * 1000;
    auto stat = read_file(f + "/memory.stat").value_or("");
    s.memory_usage = get_number(f + "/memory.current");
    s.memory_rss = keyed(stat, "anon");
    std::uint64_t inactive = keyed(stat, "inactive_file");
    s.memory_working_set = s.memory_usage > inactive ? s.memory_usage - inactive : 0;
    s.memory_page_faults = keyed(stat, "pgfault");
    s.memory_major_page_faults = keyed(stat, "pgmajfault");
    s.memory_limit = get_number(f + "/memory.max");  // "max" reads as 0
    s.pids = get_number(f + "/pids.current");
    s.oom_kills = keyed(read_file(f + "/memory.events").value_or(""), "oom_kill");
    return s;
  }
  std::string memory = folder("memory", path), cpu = folder("cpuacct", path), pids = folder("pids", path);
  if (!path_exists(memory.empty() ? cpu : memory)) return not_found("cgroup", path);
  s.cpu_usage_ns = get_number(cpu + "/cpuacct.usage");
  auto stat = read_file(memory + "/memory.stat").value_or("");
  s.memory_usage = get_number(memory + "/memory.usage_in_bytes");
  std::uint64_t inactive = keyed(stat, "total_inactive_file");
  s.memory_working_set = s.memory_usage > inactive ? s.memory_usage - inactive : 0;
  s.memory_rss = keyed(stat, "total_rss");
  s.memory_page_faults = keyed(stat, "total_pgfault");
  s.memory_major_page_faults = keyed(stat, "total_pgmajfault");
  s.memory_limit = get_number(memory + "/memory.limit_in_bytes");
  if (no_limit(s.memory_limit)) s.memory_limit = 0;
  s.pids = get_number(pids + "/pids.current");
  s.oom_kills = keyed(read_file(memory + "/memory.oom_control").value_or(""), "oom_kill");
  return s;
}

std::vector<std::int32_t> Cgroups::processes(const std::string& path) const {
  std::vector<std::int32_t> out;
  for (const auto& h : hierarchies_) collect(h.folder + path, out);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Result<void> Cgroups::kill_all(const std::string& path, int signal) const {
  if (path.empty() || path == "/") return bad_request("the root cgroup is not to be killed");
  if (unified_ && signal == SIGKILL && put(mount_point_ + path + "/cgroup.kill", "1")) return {};
  for (auto pid : processes(path)) {
    if (pid > 1) ::kill(pid, signal);
  }
  return {};
}

Result<void> Cgroups::add_process(const std::string& path, std::int32_t pid) const {
  for (const auto& h : hierarchies_) RETURN_IF_ERROR(put(h.folder + path + "/cgroup.procs", std::to_string(pid)));
  return {};
}

}  // namespace onebin::engine
