// MutatingAdmissionWebhook and ValidatingAdmissionWebhook.
#include "apiserver/audit/event.hpp"
#include "apiserver/webhook/webhook_admission.hpp"

#include "apiserver/concat.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/webhook/admission_review.hpp"
#include "apiserver/webhook/hook_source.hpp"
#include "apiserver/webhook/match_conditions.hpp"
#include "apiserver/webhook/object_versions.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/json_patch.hpp>
#include <onebin/async/all.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/metrics.hpp>

namespace onebin::apiserver {
namespace {

using apimachinery::go_quote;

// A request's objects in the version of one kind.
struct Versioned {
  Match match;
  Document object, old_object;  // null where the request has none
};

// What came of asking a webhook. Neither text nor status: it allows.
struct Verdict {
  std::string failed;  // it could not be asked, or gave no answer that is one: its failurePolicy decides
  Status refused;      // the request ends with this
  AdmissionAnswer answer;
};

std::string encoded(const Registry& registry, const Match& m, const Document& object) {
  return object.is_null() ? "null" : apimachinery::encode_json(object, type_of_matched(registry, m));
}

Duration time_left(const Hook& hook, const AdmissionAttributes& a, SteadyTime now) {
  if (!a.deadline) return hook.timeout;
  return std::clamp(*a.deadline - now, Duration::zero(), hook.timeout);
}

bool request_is_over(const AdmissionAttributes& a, SteadyTime now) { return a.deadline && now >= *a.deadline; }

Status request_timed_out() { return Status(Reason::Timeout, "Timeout: request did not complete within requested timeout"); }

async::Task<Verdict> ask(Core* core, const Hook* hook, const AdmissionAttributes* a, const Versioned* v, bool mutating) {
  Verdict out;
  if (a->dry_run && !hook->side_effects_told) {
    out.failed = "Webhook SideEffects is nil";
    co_return out;
  }
  if (a->dry_run && !hook->dry_run) {
    out.refused = bad_request("admission webhook " + go_quote(hook->name) + " does not support dry run");
    co_return out;
  }
  if (hook->review_version.empty()) out.failed = "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
  else if (!hook->target.unusable.empty()) out.failed = "could not get REST client: failed calling webhook " + go_quote(hook->name) + ": " + hook->target.unusable;
  if (!out.failed.empty()) co_return out;
  std::string uid = random_uuid(core->rng());
  ReviewedObjects objects{encoded(core->registry, v->match, v->object), encoded(core->registry, v->match, v->old_object)};
  std::string body = admission_review(hook->review_version, uid, *a, v->match, objects);
  Result<Document> review = co_await call_webhook(core, &hook->target, std::move(body), time_left(*hook, *a, core->clock().now()), true);
  if (!review) {
    if (review.is(Reason::Cancelled)) out.refused = review.status();
    else out.failed = "failed to call webhook: " + review.status().message();
    co_return out;
  }
  Result<AdmissionAnswer> answer = read_admission_answer(hook->review_version, uid, mutating, *review);
  if (!answer) {
    out.failed = "received invalid webhook response: " + answer.status().message();
    co_return out;
  }
  for (const auto& w : answer->warnings) a->warn(w);
  if (a->audit)
    for (const auto& [key, value] : answer->audit_annotations) a->audit->annotate(hook->name + "/" + key, value);
  if (!answer->allowed) out.refused = webhook_refusal(hook->name, answer->result, a->other_reason);
  out.answer = std::move(*answer);
  co_return out;
}

void count(const Hook& hook, const AdmissionAttributes& a, const Verdict& v, bool mutating) {
  std::string_view type = mutating ? "admit" : "validating", operation = to_string(a.operation);
  bool failed = !v.failed.empty(), rejected = !v.refused.is_ok() || (failed && !hook.ignore_failures);
  std::string code = std::to_string(failed ? 500 : v.refused.code());
  metrics::counter("apiserver_admission_webhook_request_total", "Calls of admission webhooks.",
                   concat({"code=\"", code, "\",name=\"", hook.name, "\",operation=\"", operation, "\",rejected=\"", rejected ? "true" : "false", "\",type=\"", type, "\""})).add();
  if (failed && hook.ignore_failures) metrics::counter("apiserver_admission_webhook_fail_open_count", "Failed calls of admission webhooks that were ignored.", concat({"name=\"", hook.name, "\",type=\"", type, "\""})).add();
  if (rejected)
    metrics::counter("apiserver_admission_webhook_rejection_count", "Requests that admission webhooks refused.",
                     concat({"error_type=\"", failed ? "calling_webhook_error" : "no_error", "\",name=\"", hook.name, "\",operation=\"", operation, "\",rejection_code=\"", code, "\",type=\"", type, "\""})).add();
}

// What a verdict means to the request: OK, or how it ends.
Status consequence(const Core& core, const Hook& hook, const AdmissionAttributes& a, const Verdict& v, bool mutating) {
  if (v.refused.is(Reason::Cancelled)) return v.refused;
  count(hook, a, v, mutating);
  if (v.failed.empty()) return v.refused;
  std::string text = concat({"failed calling webhook ", go_quote(hook.name), ": ", v.failed});
  log_warn(hook.ignore_failures ? "failed calling webhook, failing open" : "failed calling webhook, failing closed", {{"webhook", hook.name}, {"error", v.failed}});
  if (!hook.ignore_failures) return internal_error_occurred(text);
  return request_is_over(a, core.clock().now()) ? request_timed_out() : Status::ok();
}

class WebhookAdmission : public AdmissionPlugin {
 public:
  WebhookAdmission(Core& core, bool mutating) : core_(core), matcher_(core.registry, core.cacher), source_(core.cacher, mutating) {}
  bool handles(Operation) const override { return true; }
  bool concerns(const AdmissionAttributes& a) const override { return !source_.empty() && !is_exempt_from_admission_configuration(a); }
  bool shows_object() const override { return true; }

 protected:
  // How the request matches the webhook, its conditions included. None: it is not to be called.
  async::Task<Result<std::optional<Match>>> should_call(const Hook* hook, const AdmissionAttributes* a) const {
    Result<std::optional<Match>> m = matcher_.match(hook->criteria, *a);
    if (!m || !*m || !hook->match_conditions) co_return m;
    Result<Versioned> v = co_await versioned(a, &**m);
    if (!v) co_return v.status();
    Result<bool> holds = co_await match_conditions_hold(&core_, hook, a, &v->match, &v->object, &v->old_object);
    if (!holds) co_return holds.status();
    if (!*holds) co_return std::optional<Match>();
    co_return m;
  }

  async::Task<Result<Versioned>> versioned(const AdmissionAttributes* a, const Match* m) const {
    Versioned out{*m, nullptr, nullptr};
    bool has_old = a->operation == Operation::Update || a->operation == Operation::Delete;
    const Document* old = has_old ? a->old_object() : nullptr;
    for (auto [from, to] : {std::pair(static_cast<const Document*>(a->object), &out.object), std::pair(old, &out.old_object)}) {
      if (!from) continue;
      Result<Document> d = co_await object_as_matched(&core_, a, m, *from);
      if (!d && d.is(Reason::Cancelled)) co_return d.status();
      if (!d) co_return internal_error_occurred(d.status().message());
      *to = std::move(*d);
    }
    co_return Result<Versioned>(std::move(out));
  }

  Core& core_;
  RuleMatcher matcher_;
  mutable HookSource source_;
};

class MutatingAdmissionWebhook final : public WebhookAdmission {
 public:
  explicit MutatingAdmissionWebhook(Core& core) : WebhookAdmission(core, true) {}
  std::string_view name() const override { return "MutatingAdmissionWebhook"; }

  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    std::shared_ptr<const Hooks> hooks = source_.hooks();
    if (a.rounds.second && a.object && a.rounds.after_webhooks != *a.object) a.rounds.call_again();
    bool any = false;
    for (const Hook& hook : *hooks) {
      Result<std::optional<Match>> m = co_await should_call(&hook, &a);
      if (!m) co_return m.status();
      if (!*m || (a.rounds.second && !a.rounds.again.count(hook.uid))) continue;
      any = true;
      Result<void> called = co_await call(&hook, &a, &**m);
      if (!called) co_return called;
    }
    if (any && a.object) a.rounds.after_webhooks = *a.object;
    co_return Result<void>();
  }

 private:
  async::Task<Result<void>> call(const Hook* hook, AdmissionAttributes* a, const Match* m) {
    Result<Versioned> v = co_await versioned(a, m);
    if (!v) co_return v.status();
    Verdict verdict = co_await ask(&core_, hook, a, &*v, true);
    bool changed = false;
    if (verdict.failed.empty() && verdict.refused.is_ok() && verdict.answer.patch) {
      Result<bool> patched = patch(*hook, *v, verdict);
      if (!patched) co_return patched.status();
      changed = *patched;
    }
    if (changed) {
      Result<Document> back = co_await object_as_requested(&core_, a, m, std::move(v->object));
      if (!back) co_return internal_error_occurred(back.status().message());
      *a->object = std::move(*back);
      a->rounds.call_again();
      a->rounds.wanted = true;
    }
    if (hook->reinvoke) a->rounds.invoked.insert(hook->uid);
    co_return consequence(core_, *hook, *a, verdict, true);
  }

  // Whether the answer's patch changed the object; what cannot be read of it goes to the verdict.
  Result<bool> patch(const Hook& hook, Versioned& v, Verdict& verdict) const {
    Result<Document> operations = apimachinery::decode_json(*verdict.answer.patch, nullptr);
    if (!operations || !operations->is_array()) {
      verdict.failed = "received undecodable patch in webhook response: " + (operations ? std::string("the patch is no list of operations") : operations.status().message());
      return false;
    }
    if (operations->empty()) return false;
    if (v.object.is_null()) return internal_error_occurred("admission webhook " + go_quote(hook.name) + " attempted to modify the object, which is not supported for this operation");
    if (verdict.answer.patch_type != "JSONPatch") {
      verdict.failed = "unsupported patch type " + go_quote(verdict.answer.patch_type);
      return false;
    }
    // The patch was made for the object as it was sent, with what an encoding writes of empty fields.
    Document sent = Document::parse(encoded(core_.registry, v.match, v.object), nullptr, false);
    Result<Document> patched = apimachinery::apply_json_patch(sent, *operations);
    if (!patched) return internal_error_occurred(patched.status().message());
    if (!patched->is_object()) return internal_error_occurred("the patched object is no object");
    for (Document* d : {&sent, &*patched})
      if (Status s = conform_matched(core_.registry, v.match, *d); !s) return internal_error_occurred(s.message());
    bool changed = sent != *patched;
    v.object = std::move(*patched);
    default_matched(core_.registry, v.match, v.object);
    return changed;
  }
};

class ValidatingAdmissionWebhook final : public WebhookAdmission {
 public:
  explicit ValidatingAdmissionWebhook(Core& core) : WebhookAdmission(core, false) {}
  std::string_view name() const override { return "ValidatingAdmissionWebhook"; }

  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    std::shared_ptr<const Hooks> hooks = source_.hooks();
    std::vector<std::pair<const Hook*, const Versioned*>> called;
    std::vector<std::unique_ptr<Versioned>> versions;
    for (const Hook& hook : *hooks) {
      Result<std::optional<Match>> m = co_await should_call(&hook, &a);
      if (!m) co_return m.status();
      if (!*m) continue;
      const Versioned* shown = nullptr;
      for (const auto& v : versions)
        if (v->match.kind == (*m)->kind && v->match.resource == (*m)->resource) shown = v.get();
      if (!shown) {
        Result<Versioned> v = co_await versioned(&a, &**m);
        if (!v) co_return v.status();
        versions.push_back(std::make_unique<Versioned>(std::move(*v)));
        shown = versions.back().get();
      }
      called.emplace_back(&hook, shown);
    }
    if (called.empty()) co_return Result<void>();
    if (request_is_over(a, core_.clock().now())) co_return request_timed_out();
    std::vector<async::Task<Result<void>>> tasks;
    for (const auto& [hook, shown] : called) tasks.push_back(call(hook, &a, shown));
    co_return co_await async::all(std::move(tasks));
  }

 private:
  async::Task<Result<void>> call(const Hook* hook, const AdmissionAttributes* a, const Versioned* v) {
    Verdict verdict = co_await ask(&core_, hook, a, v, false);
    co_return consequence(core_, *hook, *a, verdict, false);
  }
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_mutating_webhook(Core& core) { return std::make_unique<MutatingAdmissionWebhook>(core); }
std::unique_ptr<AdmissionPlugin> make_validating_webhook(Core& core) { return std::make_unique<ValidatingAdmissionWebhook>(core); }

}  // namespace onebin::apiserver
