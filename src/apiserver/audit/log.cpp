#include "apiserver/audit/log.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/metrics.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace onebin::apiserver {
namespace {

constexpr std::uint64_t kMegabyte = 1u << 20;
constexpr Duration kComplainEvery = 60s;

Status failed(const std::string& what) { return internal_error(what + ": " + std::strerror(errno)); }

// audit.log -> {"audit-", ".log"}: its backups have a time between.
std::pair<std::string, std::string> around_time(const std::string& path) {
  std::size_t slash = path.rfind('/') + 1, dot = path.rfind('.');
  if (dot == std::string::npos || dot <= slash) dot = path.size();
  return {path.substr(0, dot) + "-", path.substr(dot)};
}

}  // namespace

Result<std::unique_ptr<AuditLog>> AuditLog::open(const AuditOptions& options, Clock& clock) {
  std::unique_ptr<AuditLog> log(new AuditLog(options, clock));
  if (options.path == "-") log->fd_ = STDOUT_FILENO;
  else RETURN_IF_ERROR(log->reopen().status());
  return log;
}

AuditLog::~AuditLog() {
  if (fd_ > STDOUT_FILENO) ::close(fd_);
}

Result<void> AuditLog::reopen() {
  int fd = ::open(options_.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return failed("open " + options_.path);
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  struct stat st{};
  size_ = ::fstat(fd_, &st) == 0 ? static_cast<std::uint64_t>(st.st_size) : 0;
  return {};
}

Result<void> AuditLog::rotate() {
  // 2026-01-02T03:04:05.006Z -> 2026-01-02T03-04-05.006
  std::string time = format_rfc3339_micro(clock_.wall()).substr(0, 23);
  std::replace(time.begin(), time.end(), ':', '-');
  auto [before, after] = around_time(options_.path);
  if (::rename(options_.path.c_str(), (before + time + after).c_str()) != 0) return failed("rename " + options_.path);
  RETURN_IF_ERROR(reopen().status());
  remove_old();
  return {};
}

void AuditLog::remove_old() const {
  std::size_t slash = options_.path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : options_.path.substr(0, slash);
  auto names = list_dir(folder);
  if (!names) return;
  auto [before, after] = around_time(options_.path);
  std::string prefix = before.substr(slash == std::string::npos ? 0 : slash + 1);
  std::vector<std::string> backups;
  for (const auto& name : *names)
    if (starts_with(name, prefix) && ends_with(name, after) && name.size() == prefix.size() + 23 + after.size()) backups.push_back(name);
  std::sort(backups.rbegin(), backups.rend());  // the newest first: their names are times
  std::string oldest = format_rfc3339_micro(clock_.wall() - 24h * options_.max_age_days).substr(0, 23);
  std::replace(oldest.begin(), oldest.end(), ':', '-');
  for (std::size_t i = 0; i < backups.size(); ++i) {
    bool many = options_.max_backups > 0 && i >= static_cast<std::size_t>(options_.max_backups);
    bool old = options_.max_age_days > 0 && backups[i].substr(prefix.size(), 23) < oldest;
    if (many || old) ::unlink((folder + "/" + backups[i]).c_str());
  }
}

void AuditLog::write(std::string line) {
  line += '\n';
  Result<void> r;
  if (fd_ != STDOUT_FILENO && size_ > 0 && size_ + line.size() > static_cast<std::uint64_t>(options_.max_size_mb) * kMegabyte) r = rotate();
  for (std::size_t done = 0; r && done < line.size();) {
    ssize_t n = ::write(fd_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) r = failed("write " + options_.path);
    else done += static_cast<std::size_t>(n), size_ += static_cast<std::uint64_t>(n);
  }
  metrics::counter("apiserver_audit_event_total", "Events of the audit log.").add();
  if (r) return;
  metrics::counter("apiserver_audit_error_total", "Events of the audit log that were lost.", "plugin=\"log\"").add();
  SteadyTime now = clock_.now();
  if (complained_ != SteadyTime{} && now - complained_ < kComplainEvery) return;
  complained_ = now;
  log_error("an event of the audit log is lost", {{"error", r.status()}});
}

}  // namespace onebin::apiserver
