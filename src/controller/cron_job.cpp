// CronJob: makes a Job at each scheduled time. It sleeps until the next one.
#include "controllers.hpp"
#include "cron_plan.hpp"

#include <algorithm>

namespace onebin::controller {
namespace {

class CronJobs final : public Controller {
 public:
  explicit CronJobs(Context& c) : Controller(c, "cronjob-controller"), crons_(c.informers->get<CronJob>()), jobs_(c.informers->get<Job>()), owned_(jobs_) {
    needs(crons_);
    needs(jobs_);
    crons_.on_event([this](const std::string& key, const CronJob* before, const CronJob* now) {
      if (!now) return;
      bool other_times = before && (before->spec.schedule != now->spec.schedule || before->spec.time_zone != now->spec.time_zone);
      if (!other_times) {
        queue_.add(key);
        return;
      }
      // A new schedule begins now: what it would have asked for earlier is not made up for.
      if (auto in = next_in(*now, context_.now())) queue_.add_after(key, *in);
      else queue_.add(key);
    });
    jobs_.on_event([this](const std::string&, const Job* before, const Job* now) {
      for (const Job* j : {before, now})
        if (const auto* o = j ? controller_of(*j) : nullptr; o && o->kind == "CronJob") queue_.add(client::object_key(j->metadata.namespace_, o->name));
    });
  }

 private:
  int workers() const override { return 5; }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<CronJob> c = crons_.get(key);
    if (!c) co_return ReconcileResult{};
    std::vector<Job> jobs = owned_.owned_by(c->metadata.uid);
    if (forgets_a_job(*c, jobs)) {
      Result<CronJob> fresh = co_await client_.get<CronJob>(c->metadata.namespace_, c->metadata.name);
      if (!fresh) co_return ReconcileResult{fresh.is(Reason::NotFound) ? Status() : fresh.status()};
      c = std::move(*fresh);
    }
    std::vector<std::string> missing;
    for (const auto& a : c->status.active) {
      if (std::any_of(jobs.begin(), jobs.end(), [&](const Job& j) { return j.metadata.uid == a.uid; })) continue;
      Result<Job> j = co_await client_.get<Job>(a.namespace_, a.name);
      if (j.is(Reason::NotFound)) missing.push_back(a.name);
      else if (!j) co_return ReconcileResult{j.status()};
    }
    CronPlan plan = plan_cron_job(*c, jobs, missing, context_.now());
    for (auto& n : plan.notes) events_.event(client::ref_of(*c), n.type, n.reason, n.message);
    for (const auto& j : plan.remove) (void)co_await remove(*c, j.metadata.namespace_, j.metadata.name, &plan.status);
    Status failure = co_await start_job(*c, &plan);
    Status written = co_await write_status(*c, plan.status);
    ReconcileResult result{!failure ? failure : written};
    if (plan.next) result.requeue_after = *plan.next;
    co_return result;
  }

  async::Task<Status> remove(CronJob c, std::string ns, std::string name, CronJobStatus* status) {
    client::DeleteOptions options;
    options.propagation_policy = "Background";
    Result<void> r = co_await client_.remove<Job>(ns, name, options);
    if (!r && !r.is(Reason::NotFound)) {
      events_.event(client::ref_of(c), "Warning", "FailedDelete", "Deleted job: " + r.status().message());
      co_return r.status();
    }
    std::erase_if(status->active, [&](const auto& a) { return a.name == name; });
    events_.event(client::ref_of(c), "Normal", "SuccessfulDelete", "Deleted job " + name);
    co_return Status();
  }

  async::Task<Status> start_job(CronJob c, CronPlan* plan) {
    if (!plan->start) co_return Status();
    auto active = plan->replace ? plan->status.active : decltype(plan->status.active)();
    for (const auto& a : active) {
      Status s = co_await remove(c, a.namespace_, a.name, &plan->status);
      if (!s) co_return s;
    }
    Job job = job_from_template(c, *plan->start);
    std::string name = job.metadata.name;
    Result<Job> made = co_await client_.create(c.metadata.namespace_, std::move(job));
    if (made.is(Reason::AlreadyExists)) {
      made = co_await client_.get<Job>(c.metadata.namespace_, name);
      if (!made) co_return made.status();
      const auto* o = controller_of(*made);
      if (!o || o->uid != c.metadata.uid) co_return Status();
    } else if (!made) {
      if (ends_with_namespace(made.status())) co_return Status();
      events_.event(client::ref_of(c), "Warning", "FailedCreate", "Error creating job: " + made.status().message());
      co_return made.status();
    } else {
      events_.event(client::ref_of(c), "Normal", "SuccessfulCreate", "Created job " + name);
    }
    auto& ref = plan->status.active.emplace_back();
    ref.kind = "Job";
    ref.api_version = "batch/v1";
    ref.namespace_ = c.metadata.namespace_;
    ref.name = name;
    ref.uid = made->metadata.uid;
    ref.resource_version = made->metadata.resource_version;
    plan->status.last_schedule_time = *plan->start;
    co_return Status();
  }

  async::Task<Status> write_status(CronJob c, CronJobStatus status) {
    if (status == c.status) co_return Status();
    c.status = std::move(status);
    Result<CronJob> r = co_await client_.update(std::move(c), "status");
    co_return r.is(Reason::NotFound) ? Status() : r.status();
  }

  client::Informer<CronJob>& crons_;
  client::Informer<Job>& jobs_;
  OwnerIndex<Job> owned_;
};

}  // namespace

std::unique_ptr<Controller> make_cronjob_controller(Context& c) { return std::make_unique<CronJobs>(c); }

}  // namespace onebin::controller
