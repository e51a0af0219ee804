#include "kubelet/maintenance.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <set>
#include <sys/stat.h>

namespace onebin::kubelet {
namespace {

constexpr Duration kPeriod = std::chrono::seconds(10);
constexpr Duration kDiskEvery = std::chrono::minutes(5), kPressureFor = std::chrono::minutes(5);
constexpr Duration kMinImageAge = std::chrono::minutes(2);

// "20261124-171600"
std::string log_stamp(Clock& clock) {
  std::time_t now = clock.unix_seconds();
  std::tm tm{};
  ::gmtime_r(&now, &tm);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &tm);
  return text;
}

// The oldest rotated files of `path` beyond `keep`.
void drop_old_logs(const std::string& path, int keep) {
  auto slash = path.rfind('/');
  std::string folder = path.substr(0, slash), base = path.substr(slash + 1) + ".";
  std::vector<std::string> rotated;
  for (const auto& name : list_dir(folder).value_or(std::vector<std::string>()))
    if (name.starts_with(base)) rotated.push_back(folder + "/" + name);
  while (static_cast<int>(rotated.size()) > keep) {
    ::unlink(rotated.front().c_str());
    rotated.erase(rotated.begin());
  }
}

std::int64_t disk_usage(const std::string& path) {
  namespace fs = std::filesystem;
  std::int64_t total = 0;
  std::error_code ec;
  for (fs::recursive_directory_iterator i(path, fs::directory_options::skip_permission_denied, ec), end; !ec && i != end; i.increment(ec)) {
    struct stat st {};
    if (::lstat(i->path().c_str(), &st) == 0) total += static_cast<std::int64_t>(st.st_blocks) * 512;
  }
  return total;
}

}  // namespace

std::vector<std::string> rank_for_memory(std::vector<EvictionCandidate> c) {
  std::erase_if(c, [](const auto& x) { return x.critical; });
  std::sort(c.begin(), c.end(), [](const EvictionCandidate& a, const EvictionCandidate& b) {
    bool ea = a.usage > a.request, eb = b.usage > b.request;
    if (ea != eb) return ea;
    if (a.priority != b.priority) return a.priority < b.priority;
    return a.usage - a.request > b.usage - b.request;
  });
  std::vector<std::string> out;
  for (auto& x : c) out.push_back(std::move(x.uid));
  return out;
}

Maintenance::Maintenance(const Options& options, engine::Engine& engine, PodCgroups& cgroups, NodeManager& node,
                         std::function<std::vector<PodWorker*>()> workers)
    : options_(options), engine_(engine), cgroups_(cgroups), node_(node), workers_(std::move(workers)), group_("maintenance") {}

void Maintenance::start() { group_.spawn(run()); }
async::Task<void> Maintenance::stop() {
  group_.cancel();
  co_await group_.join();
}

async::Task<void> Maintenance::run() {
  SteadyTime disk_next = async::Loop::current().now();
  for (;;) {
    Status s = co_await async::sleep_for(kPeriod);
    if (!s) co_return;
    if (workers_().empty()) continue;
    co_await rotate_logs();
    check_memory();
    check_ephemeral_limits();
    if (async::Loop::current().now() >= disk_next || disk_pressure_) {
      disk_next = async::Loop::current().now() + kDiskEvery;
      co_await check_disk();
    }
  }
}

async::Task<Result<void>> Maintenance::rotate(std::string id, std::string path) {
  std::string to = path + "." + log_stamp(async::Loop::current().clock());
  if (::rename(path.c_str(), to.c_str()) != 0) co_return from_errno("rename of " + path, errno);
  Result<void> r = co_await engine_.reopen_log(id);
  if (!r) {
    (void)::rename(to.c_str(), path.c_str());
    co_return r;
  }
  drop_old_logs(path, options_.container_log_max_files - 1);
  co_return Result<void>();
}

async::Task<void> Maintenance::rotate_logs() {
  for (const auto& c : engine_.list_containers({})) {
    if (c.state != engine::ContainerState::Running || c.log_path.empty()) continue;
    struct stat st {};
    if (::stat(c.log_path.c_str(), &st) != 0 || st.st_size < options_.container_log_max_size) continue;
    Result<void> r = co_await rotate(c.id, c.log_path);
    if (r.is(Reason::Cancelled)) co_return;
    if (!r) log_warn("could not rotate a container's log", {{"log", c.log_path}, {"error", r.status()}});
  }
}

void Maintenance::check_memory() {
  MachineInfo now = read_machine(options_.root_dir);
  bool low = now.memory_available > 0 && now.memory_available < options_.eviction_memory_available;
  SteadyTime at = async::Loop::current().now();
  if (low) {
    pressure_since_ = at;
    memory_pressure_ = true;
    std::vector<EvictionCandidate> candidates;
    for (PodWorker* w : workers_()) {
      if (w->stage() != PodWorker::Stage::Syncing) continue;
      EvictionCandidate c;
      c.uid = w->uid();
      c.priority = w->pod().spec.priority.value_or(0);
      c.request = pod_request(w->pod(), "memory").value();
      c.critical = is_critical(w->pod());
      if (auto s = cgroups_.stats(w->uid())) c.usage = static_cast<std::int64_t>(s->memory_working_set);
      candidates.push_back(std::move(c));
    }
    std::vector<std::string> order = rank_for_memory(std::move(candidates));
    for (PodWorker* w : workers_())
      if (!order.empty() && w->uid() == order.front())
        w->evict({"Evicted", "The node was low on resource: memory. ", true, "TerminationByKubelet"}, 0);
  } else if (memory_pressure_ && at - pressure_since_ > kPressureFor) {
    memory_pressure_ = false;
  }
  node_.set_pressure(memory_pressure_, disk_pressure_, false);
}

// Pods above their own limits of local storage: emptyDir's sizeLimit, and the sum of a pod's ephemeral-storage limits.
void Maintenance::check_ephemeral_limits() {
  for (PodWorker* w : workers_()) {
    if (w->stage() != PodWorker::Stage::Syncing) continue;
    for (const auto& v : w->pod().spec.volumes) {
      if (!v.empty_dir || !v.empty_dir->size_limit || v.empty_dir->medium == "Memory") continue;
      Quantity limit = *v.empty_dir->size_limit;
      if (limit.is_zero()) continue;
      std::string path = options_.root_dir + "/pods/" + w->uid() + "/volumes/kubernetes.io~empty-dir/" + v.name;
      if (disk_usage(path) <= limit.value()) continue;
      w->evict({"Evicted", "Usage of EmptyDir volume " + quote(v.name) + " exceeds the limit " + quote(limit.to_string()) + ". ", true, "TerminationByKubelet"}, 0);
      break;
    }
  }
}

async::Task<void> Maintenance::check_disk() {
  Result<engine::ImageFsUsage> fs = co_await engine_.image_fs_usage();
  if (!fs || fs->capacity_bytes == 0) co_return;
  double used = 1.0 - static_cast<double>(fs->available_bytes) / static_cast<double>(fs->capacity_bytes);
  if (used > options_.image_gc_high_threshold) {
    auto target = static_cast<std::int64_t>((used - options_.image_gc_low_threshold) * static_cast<double>(fs->capacity_bytes));
    co_await collect_images(target);
  }
  MachineInfo m = read_machine(options_.root_dir);
  disk_pressure_ = m.storage_bytes > 0 &&
                   static_cast<double>(m.storage_available) < options_.eviction_nodefs_available * static_cast<double>(m.storage_bytes);
  node_.set_pressure(memory_pressure_, disk_pressure_, false);
}

// Images that no container uses, the longest unused first.
async::Task<void> Maintenance::collect_images(std::int64_t bytes) {
  std::set<std::string> used;
  for (const auto& c : engine_.list_containers({})) used.insert(c.image_id);
  std::vector<engine::ImageInfo> images = engine_.list_images();
  WallTime now = async::Loop::current().clock().wall();
  std::erase_if(images, [&](const auto& i) { return i.pinned || used.contains(i.id) || now - std::max(i.last_used, i.imported_at) < kMinImageAge; });
  std::sort(images.begin(), images.end(), [](const auto& a, const auto& b) { return a.last_used < b.last_used; });
  for (const auto& i : images) {
    if (bytes <= 0) co_return;
    Result<void> r = co_await engine_.remove_image(i.id);
    if (r.is(Reason::Cancelled)) co_return;
    if (!r) continue;
    log_info("removed an unused image", {{"image", i.repo_tags.empty() ? i.id : i.repo_tags.front()}, {"bytes", i.size}});
    bytes -= static_cast<std::int64_t>(i.size);
  }
}

}  // namespace onebin::kubelet
