// ValidatingAdmissionPolicy: each policy that matches a request is evaluated with each of its bindings' parameters; the first
// denial is what the client is told.
#include "apiserver/admission/policies.hpp"
#include "apiserver/admission/policy_plugins.hpp"
#include "apiserver/audit/event.hpp"
#include "apiserver/core.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/webhook/object_versions.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

struct Denial {
  std::string message, reason;
  const AdmissionPolicy* policy = nullptr;
  const PolicyBinding* binding = nullptr;
};
struct PolicyDecision {
  bool deny = false;
  std::string message, reason;
};
struct PolicyResult {
  std::vector<PolicyDecision> decisions;
  std::vector<std::pair<std::string, std::string>> annotations;  // for the audit log
  std::vector<std::string> annotation_errors;  // deny whatever the binding's actions are
};

// What policies say to the audit log of one request.
constexpr std::size_t kLongestAnnotation = 10 * 1024, kMostFailures = 50;
struct AuditNotes {
  Document failures = Document::array();
  std::map<std::string, std::vector<std::string>> values;  // by "policy/key", each value once

  void add(std::string key, std::string value) {
    auto& of_key = values[std::move(key)];
    if (!value.empty() && std::find(of_key.begin(), of_key.end(), value) == of_key.end()) of_key.push_back(std::move(value));
  }
  void publish(AuditEvent& event) const {
    for (const auto& [key, of_key] : values)
      if (!of_key.empty()) event.annotate(key, join(of_key, ", "));
    if (!failures.empty()) event.annotate("validation.policy.admission.k8s.io/validation_failure", apimachinery::encode_json(failures, nullptr));
  }
};

int code_of(std::string_view reason) {
  if (reason == "Forbidden") return 403;
  if (reason == "Unauthorized") return 401;
  return reason == "RequestEntityTooLarge" ? 413 : 422;
}

// The text of a message expression, or "" where the rule's own has to do.
std::string message_text(const ExpressionOutcome& r) {
  if (!r.error.empty() || !r.value.is(cel::ValueKind::String)) return {};
  std::string text(trim(r.value.text()));
  return text.size() > cel::kMaxMessageBytes || text.find('\n') != std::string::npos ? std::string() : text;
}

// `conditions` without the namespace, `messages` without the authorizer.
PolicyResult evaluate_policy(const AdmissionPolicy& p, const ExpressionInput& conditions, const ExpressionInput& input, const ExpressionInput& messages) {
  PolicyResult out;
  auto fail = [&](std::string why) { out.decisions.push_back({!p.ignore, std::move(why), ""}); };
  std::string problem;
  if (!p.conditions.empty()) {
    Matching m = evaluate_match_conditions(p.conditions, conditions, p.ignore, problem);
    if (m == Matching::Failed) return fail(problem), out;
    if (m == Matching::No) return out;
  }
  std::int64_t budget = cel::kRuntimeBudget;
  std::vector<ExpressionOutcome> results, texts;
  for (const PolicyValidation& v : p.validations) {
    results.push_back(evaluate(v.expression, input, budget));
    if (results.back().out_of_budget) return fail(results.back().error), out;
  }
  std::string out_of_budget;
  for (const PolicyValidation& v : p.validations) {
    ExpressionOutcome r;
    if (v.has_message_expression && out_of_budget.empty()) r = evaluate(v.message_expression, messages, budget);
    if (r.out_of_budget) out_of_budget = r.error;
    texts.push_back(std::move(r));
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    const PolicyValidation& v = p.validations[i];
    if (!results[i].error.empty()) {
      fail(results[i].error);
    } else if (!out_of_budget.empty()) {
      fail("failed messageExpression: " + out_of_budget);
    } else if (results[i].value.is_true()) {
      out.decisions.push_back({});
    } else {
      std::string text = v.has_message_expression ? message_text(texts[i]) : std::string();
      if (text.empty()) text = v.message;
      if (text.empty()) text = "failed expression: " + std::string(trim(v.expression.text));
      out.decisions.push_back({true, std::move(text), v.reason.empty() ? "Invalid" : v.reason});
    }
  }
  std::int64_t annotations = cel::kRuntimeBudget;
  for (const PolicyAnnotation& a : p.annotations) {
    ExpressionOutcome r = evaluate(a.value, messages, annotations);
    if (r.out_of_budget) return out.decisions.clear(), fail(r.error), out;
    if (!r.error.empty() && !p.ignore) out.annotation_errors.push_back(r.error);
    if (r.error.empty() && r.value.is(cel::ValueKind::String)) out.annotations.emplace_back(a.key, std::string(trim(r.value.text())).substr(0, kLongestAnnotation));
  }
  return out;
}

class ValidatingAdmissionPolicy final : public AdmissionPlugin {
 public:
  explicit ValidatingAdmissionPolicy(Core& core) : core_(core), matcher_(core.registry, core.cacher), policies_(core.cacher, false) {}
  std::string_view name() const override { return "ValidatingAdmissionPolicy"; }
  bool handles(Operation) const override { return true; }
  bool concerns(const AdmissionAttributes& a) const override { return !policies_.empty() && !is_exempt_from_admission_configuration(a); }
  bool shows_object() const override { return true; }

  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    auto policies = policies_.all();
    std::vector<Denial> denials;
    AuditNotes notes;
    AuthorizerAnswers answers(*core_.security.authorizer, *a.user);
    for (const auto& policy : *policies) {
      Result<std::optional<Match>> match = matcher_.match(policy->match, a);
      if (!match) {
        configuration_error(*policy, nullptr, match.status(), denials);
        continue;
      }
      if (!*match) continue;
      Seen seen{request_for_expressions(a, **match), nullptr, nullptr};
      Result<void> shown = co_await show(&a, &**match, &seen);
      if (!shown) co_return shown;
      for (const auto& binding : policy->bindings) {
        Result<void> r = co_await one_binding(&a, policy.get(), binding.get(), &seen, &answers, &denials, &notes);
        if (!r) co_return r;
      }
    }
    if (a.audit) notes.publish(*a.audit);
    if (denials.empty()) co_return Result<void>();
    co_return refused(a, denials[0]);
  }

 private:
  // A request as a policy sees it: its objects are of the version that matched.
  struct Seen {
    Document request, object, old_object;
  };
  async::Task<Result<void>> show(const AdmissionAttributes* a, const Match* match, Seen* seen) const {
    for (auto [from, to] : {std::pair(static_cast<const Document*>(a->object), &seen->object), std::pair(a->old_object(), &seen->old_object)}) {
      if (!from) continue;
      Result<Document> d = co_await object_as_matched(&core_, a, match, *from);
      if (!d) co_return d.is(Reason::Cancelled) ? d.status() : internal_error_occurred(d.status().message());
      *to = std::move(*d);
    }
    co_return Result<void>();
  }

  static void configuration_error(const AdmissionPolicy& p, const PolicyBinding* b, const Status& why, std::vector<Denial>& denials) {
    if (p.ignore) return;
    denials.push_back({(b ? "failed to configure binding: " : "failed to configure policy: ") + why.message(), "", &p, b});
  }

  async::Task<Result<void>> one_binding(const AdmissionAttributes* a, const AdmissionPolicy* p, const PolicyBinding* b, const Seen* seen,
                                        AuthorizerAnswers* answers, std::vector<Denial>* denials, AuditNotes* notes) {
    if (!b->matches_all) {
      Result<std::optional<Match>> bound = matcher_.match(b->match, *a);
      if (!bound) {
        configuration_error(*p, b, bound.status(), *denials);
        co_return Result<void>();
      }
      if (!*bound) co_return Result<void>();
    }
    auto params = collect_params(core_.registry, core_.cacher, *p, *b, *a);
    if (!params) {
      configuration_error(*p, b, params.status(), *denials);
      co_return Result<void>();
    }
    auto ns = namespace_of_policy_request(core_.registry, core_.cacher, *a);
    if (!ns) co_return ns.status();
    for (const auto& param : *params) {
      ExpressionInput::Values values;
      values.object = &seen->object;
      values.old_object = &seen->old_object;
      values.request = &seen->request;
      values.params = param.get();
      values.ns = ns->get();
      values.variables = &p->variables;
      values.attributes = a;
      PolicyResult result;
      do {
        co_await answers->settle();
        ExpressionInput::Values whole = values, conditions = values;
        whole.authorizer = conditions.authorizer = answers;
        conditions.ns = nullptr;
        result = evaluate_policy(*p, ExpressionInput(conditions), ExpressionInput(whole), ExpressionInput(values));
      } while (answers->pending());
      act(*a, *p, *b, std::move(result), *denials, *notes);
    }
    co_return Result<void>();
  }

  static void act(const AdmissionAttributes& a, const AdmissionPolicy& p, const PolicyBinding& b, PolicyResult result, std::vector<Denial>& denials, AuditNotes& notes) {
    for (std::size_t i = 0; i < result.decisions.size(); ++i) {
      PolicyDecision& d = result.decisions[i];
      if (!d.deny) continue;
      for (const Document& action : b.actions) {
        if (action == "Deny") denials.push_back({d.message, d.reason, &p, &b});
        else if (action == "Warn") a.warn("Validation failed for ValidatingAdmissionPolicy '" + p.name + "' with binding '" + b.name + "': " + d.message);
        else if (action == "Audit" && notes.failures.size() < kMostFailures)
          notes.failures.push_back({{"message", d.message}, {"policy", p.name}, {"binding", b.name}, {"expressionIndex", i}, {"validationActions", b.actions}});
      }
    }
    for (auto& [key, value] : result.annotations) notes.add(p.name + "/" + key, std::move(value));
    for (std::string& error : result.annotation_errors) denials.push_back({std::move(error), "", &p, &b});
  }

  static Status refused(const AdmissionAttributes& a, const Denial& d) {
    std::string text = "ValidatingAdmissionPolicy '" + d.policy->name + "' ";
    if (d.binding) text += "with binding '" + d.binding->name + "' ";
    text += "denied request: " + d.message;
    Status forbidden = admission_forbidden(a, text);
    std::string reason = d.reason.empty() ? "Invalid" : d.reason;
    Status out(reason_from_string(reason), forbidden.message(), forbidden.details());
    out.set_code(code_of(reason));
    out.mutable_details().causes.push_back({"", text, ""});
    return out;
  }

  Core& core_;
  RuleMatcher matcher_;
  AdmissionPolicies policies_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_validating_admission_policy(Core& core) { return std::make_unique<ValidatingAdmissionPolicy>(core); }

}  // namespace onebin::apiserver
