// The audit log's file: a line an event, a new file when it has grown enough, old ones removed.
#pragma once
#include <onebin/apiserver/apiserver.hpp>
#include <onebin/base/time.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace onebin::apiserver {

class AuditLog {
 public:
  // "-" is standard output. An existing file is added to; its folder must be there.
  static Result<std::unique_ptr<AuditLog>> open(const AuditOptions& options, Clock& clock);
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  // Writes the line before it returns. One that cannot be written is lost: the reason is logged, at most once a minute, and counted.
  void write(std::string line);

 private:
  AuditLog(const AuditOptions& options, Clock& clock) : options_(options), clock_(clock) {}
  Result<void> reopen();
  Result<void> rotate();
  void remove_old() const;

  const AuditOptions options_;
  Clock& clock_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  SteadyTime complained_{};
};

}  // namespace onebin::apiserver
