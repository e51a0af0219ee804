// MutatingAdmissionPolicy: what matches a request is found first, then each mutation is made to what the ones before left. A
// second round of the chain calls those again that ask for it.
#include "apiserver/admission/policies.hpp"
#include "apiserver/admission/policy_plugins.hpp"
#include "apiserver/core.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/webhook/object_versions.hpp"

#include <onebin/apimachinery/configuration_merge.hpp>
#include <onebin/apimachinery/json_patch.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/cel/patches.hpp>

namespace onebin::apiserver {
namespace {

using apimachinery::find_member;
using apimachinery::go_quote;

struct Invocation {
  std::shared_ptr<const AdmissionPolicy> policy;
  std::shared_ptr<const PolicyBinding> binding;
  std::shared_ptr<const Document> param;  // null: none
  Match match;

  std::string key() const {  // no webhook's
    std::string out = "policy:" + policy->name + "/" + binding->name;
    if (param) out.append("/").append(apimachinery::namespace_of(*param)).append("/").append(apimachinery::name_of(*param));
    return out;
  }
};

struct PolicyFailure {
  std::string message;  // "policy 'x' with binding 'y' denied request: ..."
  bool invalid = false;
};

Result<Document> no(std::string why) { return Status(Reason::Unknown, std::move(why)); }

// The operations that an expression made, as a JSON Patch.
Result<Document> json_patch_of(const cel::Value& list) {
  Document out = Document::array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    cel::Value operation = list.at(i), v;
    Document& d = out.emplace_back(Document::object());
    for (const char* field : {"op", "path", "from"}) {
      bool there = operation.find(cel::Value::string(field), v) && v.is(cel::ValueKind::String);
      if (there ? *field != 'f' || !v.text().empty() : *field != 'f') d[field] = there ? std::string(v.text()) : std::string();
    }
    if (!operation.find(cel::Value::string("value"), v)) continue;
    if (std::string problem = cel::misplaced_objects(v); !problem.empty()) return no("type mismatch: " + problem);
    std::string problem;
    if (!v.to_document(d["value"], problem)) return no("JSONPath valueExpression evaluated to a type that could not marshal to JSON: " + problem);
  }
  return out;
}

constexpr std::string_view kTestFailed = "testing value ";

// Why an operation cannot be applied, in the words of upstream's library.
std::string why_not(const Document& object, const Document& operation) {
  const std::string op = operation.value("op", ""), path = operation.value("path", "");
  bool from = op == "move" || op == "copy";
  const std::string at = from ? operation.value("from", "") : path;
  std::size_t slash = at.rfind('/');
  const std::string parent = slash == std::string::npos ? "" : at.substr(0, slash), key = slash == std::string::npos ? at : at.substr(slash + 1);
  const Document* container = apimachinery::resolve_json_pointer(object, parent);
  if (!container || !container->is_structured()) {
    const std::string shown = op == "add" || op == "remove" ? "\"" + at + "\"" : at;
    return op + " operation does not apply: " + (op == "test" ? "is" : "doc is") + " missing " + (from ? "from " : "") + "path: " + shown + ": missing value";
  }
  if (op == "test" && (container->is_object() || apimachinery::resolve_json_pointer(object, at))) return std::string(kTestFailed) + path + " failed: test failed";
  if (from && apimachinery::resolve_json_pointer(object, at)) return op + " operation does not apply: doc is missing destination path: " + path + ": missing value";
  const std::string within = "error in " + op + (op == "copy" ? " for from: '" : " for path: '") + (op == "move" ? key : at) + "': ";
  if (container->is_array()) return within + "Unable to access invalid index: " + key + ": invalid index referenced";
  if (op == "remove" || op == "move") return within + "Unable to remove nonexistent key: " + key + ": missing value";
  if (op == "replace") return "replace operation does not apply: doc is missing key: " + at + ": missing value";
  return within + "missing value";
}

// All of the operations, or the object as it was where one tests for what is not so.
Result<Document> with_json_patch(const Document& object, const Document& patch) {
  Document out = object;
  for (const Document& operation : patch) {
    Result<Document> next = apimachinery::apply_json_patch(out, Document::array({operation}));
    if (next) {
      out = std::move(*next);
      continue;
    }
    if (next.is(Reason::RequestEntityTooLarge)) return next;
    std::string why = why_not(out, operation);
    if (why.starts_with(kTestFailed)) return object;
    return no("JSON Patch: " + why);
  }
  return out;
}

Result<Document> patched(const Registry& registry, const Match& m, const PolicyMutation& mutation, const cel::Value& value, const Document& object) {
  if (mutation.json_patch) {
    Result<Document> patch = json_patch_of(value);
    if (!patch) return patch;
    return with_json_patch(object, *patch);
  }
  if (std::string problem = cel::misplaced_objects(value); !problem.empty()) return no("type mismatch: " + problem);
  Document configuration;
  std::string problem;
  if (!value.to_document(configuration, problem)) return no("invalid return type: " + problem);
  configuration["apiVersion"] = m.kind.api_version();
  configuration["kind"] = m.kind.kind;
  Result<Document> out = apimachinery::merge_configuration(type_of_matched(registry, m), object, configuration);
  if (!out) return no("error applying patch: " + out.status().message());
  return out;
}

class MutatingAdmissionPolicy final : public AdmissionPlugin {
 public:
  explicit MutatingAdmissionPolicy(Core& core) : core_(core), matcher_(core.registry, core.cacher), policies_(core.cacher, true) {}
  std::string_view name() const override { return "MutatingAdmissionPolicy"; }
  bool handles(Operation op) const override { return op != Operation::Delete; }
  bool concerns(const AdmissionAttributes& a) const override { return !policies_.empty() && !is_exempt_from_admission_configuration(a); }
  bool shows_object() const override { return true; }

  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    std::vector<PolicyFailure> failures;
    std::vector<Invocation> invocations = select(a, failures);
    if (!invocations.empty()) {
      if (a.rounds.second && a.object && a.rounds.after_webhooks != *a.object) a.rounds.call_again();
      Result<void> r = co_await invoke_all(&a, &invocations, &failures);
      if (a.object) a.rounds.after_webhooks = *a.object;
      if (!r) co_return r;
    }
    if (failures.empty()) co_return Result<void>();
    co_return refused(a, failures);
  }

 private:
  // What of the policies is for this request, before any changes it.
  std::vector<Invocation> select(const AdmissionAttributes& a, std::vector<PolicyFailure>& failures) const {
    std::vector<Invocation> out;
    auto all = policies_.all();
    for (const auto& policy : *all) {
      Result<std::optional<Match>> match = matcher_.match(policy->match, a);
      if (!match) fail(*policy, nullptr, "failed to configure policy: " + match.status().message(), false, failures);
      if (!match || !*match) continue;
      for (const auto& binding : policy->bindings) {
        auto problem = [&](const Status& s) { fail(*policy, binding.get(), "failed to configure binding: " + s.message(), false, failures); };
        if (!binding->matches_all) {
          Result<std::optional<Match>> bound = matcher_.match(binding->match, a);
          if (!bound) problem(bound.status());
          if (!bound || !*bound) continue;
        }
        auto params = collect_params(core_.registry, core_.cacher, *policy, *binding, a);
        if (!params) {
          problem(params.status());
          continue;
        }
        for (auto& param : *params) out.push_back({policy, binding, std::move(param), **match});
      }
    }
    return out;
  }

  static void fail(const AdmissionPolicy& p, const PolicyBinding* b, const std::string& why, bool invalid, std::vector<PolicyFailure>& failures) {
    if (p.ignore) return;
    failures.push_back({b ? "policy '" + p.name + "' with binding '" + b->name + "' denied request: " + why : "policy " + go_quote(p.name) + " denied request: " + why, invalid});
  }

  async::Task<Result<void>> invoke_all(AdmissionAttributes* a, const std::vector<Invocation>* invocations, std::vector<PolicyFailure>* failures) {
    auto ns = namespace_of_policy_request(core_.registry, core_.cacher, *a);
    if (!ns) co_return ns.status();
    AuthorizerAnswers answers(*core_.security.authorizer, *a->user);
    for (const Invocation& i : *invocations) {
      Result<void> r = co_await invoke(a, &i, ns->get(), &answers, failures);
      if (!r) co_return r;
    }
    co_return Result<void>();
  }

  async::Task<Result<void>> invoke(AdmissionAttributes* a, const Invocation* i, const Document* ns, AuthorizerAnswers* answers, std::vector<PolicyFailure>* failures) {
    const AdmissionPolicy& p = *i->policy;
    Document object, old, request = request_for_expressions(*a, i->match);
    for (auto [from, to] : {std::pair(static_cast<const Document*>(a->object), &object), std::pair(a->old_object(), &old)}) {
      if (!from) continue;
      Result<Document> d = co_await object_as_matched(&core_, a, &i->match, *from);
      if (!d) co_return d.is(Reason::Cancelled) ? d.status() : internal_error_occurred(d.status().message());
      *to = std::move(*d);
    }
    ExpressionInput::Values values;
    values.object = a->object ? &object : nullptr;
    values.old_object = a->old_object() ? &old : nullptr;
    values.request = &request;
    values.params = i->param.get();
    values.ns = ns;
    values.authorizer = answers;
    values.variables = &p.variables;
    values.attributes = a;
    if (!p.conditions.empty()) {
      ExpressionInput::Values conditions = values;
      conditions.ns = nullptr;
      Matching holds;
      std::string problem;
      do {
        co_await answers->settle();
        holds = evaluate_match_conditions(p.conditions, ExpressionInput(conditions), p.ignore, problem);
      } while (answers->pending());
      if (holds == Matching::Failed) fail(p, i->binding.get(), problem, true, *failures);
      if (holds != Matching::Yes) co_return Result<void>();
    }
    if ((a->rounds.second && !a->rounds.again.count(i->key())) || !a->object) co_return Result<void>();
    const Document before = object;
    for (const PolicyMutation& m : p.mutations) {
      ExpressionOutcome r;
      do {
        co_await answers->settle();
        std::int64_t budget = cel::kRuntimeBudget;
        r = evaluate(m.expression, ExpressionInput(values), budget);
      } while (answers->pending());
      Result<Document> next = r.error.empty() ? patched(core_.registry, i->match, m, r.value, object) : no(r.error);
      if (next)
        if (Status s = conform_matched(core_.registry, i->match, *next); !s) co_return internal_error_occurred(s.message());
      if (!next) {
        fail(p, i->binding.get(), next.status().message(), true, *failures);
        continue;
      }
      object = std::move(*next);
      default_matched(core_.registry, i->match, object);
    }
    if (object != before) {
      a->rounds.call_again();
      a->rounds.wanted = true;
      Result<Document> back = co_await object_as_requested(&core_, a, &i->match, std::move(object));
      if (!back) co_return back.is(Reason::Cancelled) ? back.status() : internal_error_occurred("failed to convert object: " + back.status().message());
      *a->object = std::move(*back);
    }
    if (p.reinvoke) a->rounds.invoked.insert(i->key());
    co_return Result<void>();
  }

  static Status refused(const AdmissionAttributes& a, const std::vector<PolicyFailure>& failures) {
    Status forbidden = admission_forbidden(a, "admission request denied by policy");
    Status out(failures[0].invalid ? Reason::Invalid : Reason::Forbidden, failures[0].message, forbidden.details());
    out.set_code(403);
    for (const PolicyFailure& f : failures) out.mutable_details().causes.push_back({"", f.message, ""});
    return out;
  }

  Core& core_;
  RuleMatcher matcher_;
  AdmissionPolicies policies_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_mutating_admission_policy(Core& core) { return std::make_unique<MutatingAdmissionPolicy>(core); }

}  // namespace onebin::apiserver
