#include "cron_plan.hpp"

#include <onebin/apimachinery/field_error.hpp>

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace onebin::controller {
namespace {

using apimachinery::go_quote;
constexpr Duration kPastTheSecond = 100ms;  // a look at the very instant could come too early
constexpr char kScheduledAt[] = "batch.kubernetes.io/cronjob-scheduled-timestamp";

// "Complete", "Failed", or "" of a Job that goes on.
std::string ending(const Job& j) {
  for (const auto& c : j.status.conditions)
    if ((c.type == "Complete" || c.type == "Failed") && c.status == "True") return c.type;
  return {};
}
bool in_active(const CronJobStatus& s, const std::string& uid) {
  return std::any_of(s.active.begin(), s.active.end(), [&](const auto& a) { return a.uid == uid; });
}

struct Latest {
  WallTime earliest;              // from where on times count
  std::optional<WallTime> time;   // the last that has come
  enum class Missed : std::uint8_t { None, Few, Many } missed = Missed::None;
  std::string error;
};
Latest latest_time(const CronJob& c, const CronSchedule& schedule, WallTime now, bool with_deadline) {
  Latest out;
  out.earliest = (c.status.last_schedule_time ? c.status.last_schedule_time : c.metadata.creation_timestamp).wall();
  if (with_deadline && c.spec.starting_deadline_seconds) out.earliest = std::max(out.earliest, now - std::chrono::seconds(*c.spec.starting_deadline_seconds));
  auto t1 = schedule.next(out.earliest);
  if (!t1 || now < *t1) return out;
  auto t2 = schedule.next(*t1);
  if (!t2 || now < *t2) {
    out.time = t1;
    return out;
  }
  auto between = std::chrono::round<std::chrono::seconds>(*t2 - *t1).count();
  if (between < 1) {
    out.error = "time difference between two schedules is less than 1 second";
    return out;
  }
  // Jumps close to the present, then walks.
  auto missed = std::chrono::floor<std::chrono::seconds>(now - *t1).count() / between + 1;
  out.missed = missed > 100 ? Latest::Missed::Many : Latest::Missed::Few;
  for (auto t = schedule.next(*t1 + std::chrono::seconds((missed - 2) * between)); t && *t <= now; t = schedule.next(*t)) out.time = t;
  return out;
}

std::optional<Duration> next_after(const CronJob& c, const CronSchedule& schedule, WallTime now) {
  Latest l = latest_time(c, schedule, now, false);
  WallTime from = l.time ? *l.time : l.error.empty() && l.missed == Latest::Missed::None ? l.earliest : now;
  auto t = schedule.next(from);
  return t ? std::optional<Duration>(std::max<Duration>(*t + kPastTheSecond - now, 1ms)) : std::nullopt;
}

std::string rfc1123(WallTime t) {
  std::time_t s = std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::system_clock::duration>(t));
  std::tm tm{};
  ::gmtime_r(&s, &tm);
  char text[64];
  std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S UTC", &tm);
  return text;
}
// RFC 3339 in the zone, as Go writes it.
std::string in_zone(WallTime t, const TimeZone& zone) {
  std::int64_t u = std::chrono::floor<std::chrono::seconds>(t.time_since_epoch()).count(), off = zone.offset_at(u);
  std::string text = format_rfc3339(from_unix(u + off));
  if (off == 0) return text;
  text.pop_back();
  char tail[16];
  std::int64_t a = off < 0 ? -off : off;
  std::snprintf(tail, sizeof tail, "%c%02d:%02d", off < 0 ? '-' : '+', static_cast<int>(a / 3600), static_cast<int>(a / 60 % 60));
  return text + tail;
}

void notice_ends(const std::vector<Job>& jobs, const std::vector<std::string>& missing, CronPlan& plan) {
  for (const auto& j : jobs) {
    std::string end = ending(j);
    bool active = in_active(plan.status, j.metadata.uid);
    if (end.empty()) {
      if (!active) plan.notes.push_back({"Warning", "UnexpectedJob", "Saw a job that the controller did not create or forgot: " + j.metadata.name});
      continue;
    }
    if (active) {
      std::erase_if(plan.status.active, [&](const auto& a) { return a.uid == j.metadata.uid; });
      plan.notes.push_back({"Normal", "SawCompletedJob", "Saw completed job: " + j.metadata.name + ", condition: " + end});
    }
    if (end == "Complete" && j.status.completion_time > plan.status.last_successful_time) plan.status.last_successful_time = j.status.completion_time;
  }
  for (const auto& name : missing) {
    std::erase_if(plan.status.active, [&](const auto& a) { return a.name == name; });
    plan.notes.push_back({"Normal", "MissingJob", "Active job went missing: " + name});
  }
}

void trim_history(const CronJob& c, const std::vector<Job>& jobs, CronPlan& plan) {
  auto trim = [&](const char* end, const std::optional<std::int32_t>& limit) {
    if (!limit) return;
    std::vector<Job> ended;
    for (const auto& j : jobs)
      if (ending(j) == end && !j.metadata.deletion_timestamp) ended.push_back(j);
    std::sort(ended.begin(), ended.end(), [](const Job& a, const Job& b) {
      bool sa = static_cast<bool>(a.status.start_time), sb = static_cast<bool>(b.status.start_time);
      if (sa != sb) return sa;
      return a.status.start_time != b.status.start_time ? a.status.start_time < b.status.start_time : a.metadata.name < b.metadata.name;
    });
    for (std::size_t i = 0; ended.size() > static_cast<std::size_t>(std::max(0, *limit)) && i < ended.size() - static_cast<std::size_t>(std::max(0, *limit)); ++i)
      plan.remove.push_back(ended[i]);
  };
  trim("Complete", c.spec.successful_jobs_history_limit);
  trim("Failed", c.spec.failed_jobs_history_limit);
}

}  // namespace

bool forgets_a_job(const CronJob& c, const std::vector<Job>& jobs) {
  return std::any_of(jobs.begin(), jobs.end(), [&](const Job& j) { return ending(j).empty() && !in_active(c.status, j.metadata.uid); });
}

std::string job_name(const CronJob& c, WallTime scheduled) {
  return c.metadata.name + "-" + std::to_string(std::chrono::floor<std::chrono::minutes>(scheduled.time_since_epoch()).count());
}

Job job_from_template(const CronJob& c, WallTime scheduled) {
  Job j;
  j.metadata.name = job_name(c, scheduled);
  j.metadata.namespace_ = c.metadata.namespace_;
  j.metadata.labels = c.spec.job_template.metadata.labels;
  j.metadata.annotations = c.spec.job_template.metadata.annotations;
  auto zone = TimeZone::load(c.spec.time_zone.value_or(""));
  j.metadata.annotations[kScheduledAt] = in_zone(scheduled, zone ? *zone : TimeZone());
  j.metadata.owner_references = {controller_ref(c)};
  j.spec = c.spec.job_template.spec;
  return j;
}

std::optional<Duration> next_in(const CronJob& c, WallTime now) {
  auto zone = TimeZone::load(c.spec.time_zone.value_or(""));
  if (!zone) return std::nullopt;
  auto schedule = CronSchedule::parse(c.spec.schedule, std::move(*zone));
  return schedule ? next_after(c, *schedule, now) : std::nullopt;
}

CronPlan plan_cron_job(const CronJob& c, const std::vector<Job>& jobs, const std::vector<std::string>& missing, WallTime now) {
  CronPlan plan;
  plan.status = c.status;
  trim_history(c, jobs, plan);
  notice_ends(jobs, missing, plan);
  if (c.metadata.deletion_timestamp) return plan;
  auto zone = TimeZone::load(c.spec.time_zone.value_or(""));
  if (!zone) {
    plan.notes.push_back({"Warning", "UnknownTimeZone", "invalid timeZone: " + go_quote(*c.spec.time_zone) + ": " + zone.status().message()});
    return plan;
  }
  if (c.spec.suspend.value_or(false)) return plan;
  auto schedule = CronSchedule::parse(c.spec.schedule, std::move(*zone));
  if (!schedule) {
    plan.notes.push_back({"Warning", "UnparseableSchedule", "unparseable schedule: " + go_quote(c.spec.schedule) + " : " + schedule.status().message()});
    return plan;
  }
  Latest latest = latest_time(c, *schedule, now, true);
  if (!latest.error.empty()) {
    plan.notes.push_back({"Warning", "InvalidSchedule", "invalid schedule: " + c.spec.schedule + " : " + latest.error});
    return plan;
  }
  plan.next = next_after(c, *schedule, now);
  if (!latest.time) return plan;
  WallTime time = *latest.time;
  if (latest.missed == Latest::Missed::Many)
    plan.notes.push_back({"Warning", "TooManyMissedTimes", "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"});
  if (c.spec.starting_deadline_seconds && time + std::chrono::seconds(*c.spec.starting_deadline_seconds) < now) {
    plan.notes.push_back({"Warning", "MissSchedule", "Missed scheduled time to start a job: " + rfc1123(time)});
    return plan;
  }
  std::string name = job_name(c, time);
  bool done = c.status.last_schedule_time == apimachinery::Time(time) || std::any_of(plan.status.active.begin(), plan.status.active.end(), [&](const auto& a) { return a.name == name; });
  if (done) return plan;
  if (c.spec.concurrency_policy == "Forbid" && !plan.status.active.empty()) {
    plan.notes.push_back({"Normal", "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid"});
    return plan;
  }
  plan.replace = c.spec.concurrency_policy == "Replace" && !plan.status.active.empty();
  plan.start = time;
  return plan;
}

}  // namespace onebin::controller
