// A CronJob's decisions, pure: which Jobs have ended, which go, whether one starts now and when to look again.
// Source of the behaviour: Kubernetes documentation, "CronJob"; events as upstream's controller words them.
#pragma once
#include "framework.hpp"

#include <onebin/api/batch_v1.hpp>
#include <onebin/base/cron.hpp>

#include <optional>
#include <string>
#include <vector>

namespace onebin::controller {

using api::batch::v1::CronJob;
using api::batch::v1::CronJobStatus;
using api::batch::v1::Job;

struct CronNote {
  std::string type, reason, message;
};
struct CronPlan {
  CronJobStatus status;               // with what has ended taken out of `active`
  std::vector<CronNote> notes;
  std::vector<Job> remove;            // beyond the history limits, oldest first
  bool replace = false;               // the active Jobs go before the new one comes
  std::optional<WallTime> start;      // a Job of this scheduled time is to be made
  std::optional<Duration> next;       // until the next look
};
// `jobs` are those that the CronJob controls, `missing` the names of active ones that are known not to exist.
CronPlan plan_cron_job(const CronJob& c, const std::vector<Job>& jobs, const std::vector<std::string>& missing, WallTime now);

// A child that is neither finished nor in the status: the status in hand may be too old to act on.
bool forgets_a_job(const CronJob& c, const std::vector<Job>& jobs);
std::string job_name(const CronJob& c, WallTime scheduled);
Job job_from_template(const CronJob& c, WallTime scheduled);
// How long until the next scheduled time; none when the schedule is not valid or never comes.
std::optional<Duration> next_in(const CronJob& c, WallTime now);

}  // namespace onebin::controller
