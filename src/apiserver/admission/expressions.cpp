#include "apiserver/admission/expressions.hpp"

#include "apiserver/user_document.hpp"

#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_error.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::string_at;

// Authorizer.

AuthorizerAnswers::AuthorizerAnswers(Authorizer& authorizer, const UserInfo& user)
    : authorizer_(authorizer), user_(user), hook_([this](const cel::AuthorizerQuery& q) { return answer(q); }) {}

namespace {

std::string key_of(const cel::AuthorizerQuery& q) {
  std::string key;
  for (const std::string* part : {&q.service_account_namespace, &q.service_account, &q.path, &q.verb, &q.group, &q.resource, &q.subresource,
                                  &q.object_namespace, &q.name, &q.field_selector, &q.label_selector})
    key.append(*part).push_back('\0');
  return key;
}

}  // namespace

cel::AuthorizerAnswer AuthorizerAnswers::answer(const cel::AuthorizerQuery& q) {
  auto [it, fresh] = known_.try_emplace(key_of(q));
  if (fresh) pending_.push_back(q);
  return it->second;
}

async::Task<void> AuthorizerAnswers::settle() {
  std::vector<cel::AuthorizerQuery> queries = std::move(pending_);
  pending_.clear();
  for (const cel::AuthorizerQuery& q : queries) {
    UserInfo account;
    if (!q.service_account.empty()) {
      account.name = "system:serviceaccount:" + q.service_account_namespace + ":" + q.service_account;
      account.groups = {"system:serviceaccounts", "system:serviceaccounts:" + q.service_account_namespace, "system:authenticated"};
    }
    Attributes a;
    a.user = q.service_account.empty() ? &user_ : &account;
    a.verb = q.verb;
    a.is_resource = q.is_resource;
    a.path = q.path;
    a.group = q.group;
    a.version = q.is_resource ? "*" : "";
    a.resource = q.resource;
    a.subresource = q.subresource;
    a.ns = q.object_namespace;
    a.name = q.name;
    a.field_selector = q.field_selector;
    a.label_selector = q.label_selector;
    Authorized decided = co_await authorizer_.authorize(a);
    known_[key_of(q)] = {decided.decision == Decision::Allow, decided.reason, ""};
  }
}

// Values.

class ExpressionInput::LazyVariables final : public cel::MapValue {
 public:
  LazyVariables(const ExpressionInput& input, const std::vector<NamedExpression>& variables) : input_(input), variables_(variables) {}
  std::size_t size() const override { return variables_.size(); }
  cel::Values keys() const override {
    cel::Values out;
    for (const auto& v : variables_) out.push_back(cel::Value::string(v.name));
    return out;
  }
  bool find(const cel::Value& key, cel::Value& out) const override {
    auto it = std::find_if(variables_.begin(), variables_.end(), [&](const auto& v) { return key.is(cel::ValueKind::String) && v.name == key.text(); });
    if (it == variables_.end()) return false;
    auto [known, fresh] = known_.try_emplace(it->name);
    if (fresh) known->second = compute(*it);
    out = known->second;
    return true;
  }
  std::int64_t take_cost() const { return std::exchange(cost_, 0); }

 private:
  cel::Value compute(const NamedExpression& v) const {
    const std::string what = "composited variable " + go_quote(v.name) + " fails to ";
    if (!v.expression.program) return cel::Value::error(what + "compile: " + v.expression.problem);
    cel::Evaluation e = v.expression.program->evaluate(input_);
    cost_ += static_cast<std::int64_t>(std::min<std::uint64_t>(e.cost, INT64_MAX / 2));
    return e.value.is_error() ? cel::Value::error(what + "evaluate: " + std::string(e.value.text())) : e.value;
  }
  const ExpressionInput& input_;
  const std::vector<NamedExpression>& variables_;
  mutable std::map<std::string, cel::Value> known_;
  mutable std::int64_t cost_ = 0;
};

ExpressionInput::ExpressionInput(const Values& v) {
  auto value = [](const Document* d) { return d ? cel::Value::of(*d) : cel::Value(); };
  values_.set("object", value(v.object));
  values_.set("oldObject", value(v.old_object));
  values_.set("request", value(v.request));
  values_.set("params", value(v.params));
  values_.set("namespaceObject", value(v.ns));
  if (v.authorizer) {
    values_.set("authorizer", cel::authorizer_value(&v.authorizer->hook()));
    cel::AuthorizerQuery q;
    q.group = v.attributes->resource_group;
    q.resource = v.attributes->resource;
    q.subresource = v.attributes->subresource;
    q.object_namespace = v.attributes->ns;
    q.name = v.attributes->name;
    values_.set("authorizer.requestResource", cel::resource_check_value(&v.authorizer->hook(), q));
  }
  static const std::vector<NamedExpression> kNone;
  variables_ = std::make_shared<LazyVariables>(*this, v.variables ? *v.variables : kNone);
  values_.set("variables", cel::Value::map(std::shared_ptr<const cel::MapValue>(variables_)));
}
ExpressionInput::~ExpressionInput() = default;
const cel::Value* ExpressionInput::find(std::string_view name) const { return values_.find(name); }
std::int64_t ExpressionInput::take_variables_cost() const { return variables_->take_cost(); }

ExpressionOutcome evaluate(const Expression& e, const ExpressionInput& input, std::int64_t& budget) {
  ExpressionOutcome out;
  if (!e.program) {
    out.error = "compilation error: " + e.problem;
    return out;
  }
  cel::Evaluation result = e.program->evaluate(input);
  std::int64_t variables = input.take_variables_cost();
  if (variables > budget || result.cost > static_cast<std::uint64_t>(budget - variables)) {
    out.error = "validation failed due to running out of cost budget, no further validation rules will be run";
    out.out_of_budget = true;
    budget = -1;
    return out;
  }
  budget -= variables + static_cast<std::int64_t>(result.cost);
  if (result.value.is_error()) out.error = "expression '" + e.text + "' resulted in error: " + std::string(result.value.text());
  else out.value = std::move(result.value);
  return out;
}

Document request_for_expressions(const AdmissionAttributes& a, const Match& match) {
  Document d{{"uid", ""}, {"kind", kind_document(match.kind)}, {"resource", resource_document(match.resource)},
             {"requestKind", kind_document(kind_of_request(a))}, {"requestResource", resource_document(resource_of_request(a))},
             {"operation", std::string(to_string(a.operation))}, {"userInfo", a.user ? user_document(*a.user) : Document::object()},
             {"object", nullptr}, {"oldObject", nullptr}, {"dryRun", a.dry_run}, {"options", a.options ? *a.options : Document()}};
  if (!a.subresource.empty()) d["subResource"] = d["requestSubResource"] = a.subresource;
  if (!a.name.empty()) d["name"] = a.name;
  if (!a.ns.empty()) d["namespace"] = a.ns;
  return d;
}

Document namespace_for_expressions(const Document& ns) {
  Document out{{"metadata", Document::object()}, {"spec", member(ns, "spec")}, {"status", member(ns, "status")}};
  for (const char* part : {"spec", "status"})
    if (out[part].is_null()) out[part] = Document::object();
  const Document& meta = member(ns, "metadata");
  for (const char* field : {"name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
                            "deletionGracePeriodSeconds", "labels", "annotations", "finalizers"})
    if (const Document* v = find_member(meta, field)) out["metadata"][field] = *v;
  return out;
}

Matching evaluate_match_conditions(const std::vector<NamedExpression>& conditions, const ExpressionInput& input, bool ignore, std::string& problem) {
  std::int64_t budget = cel::kMatchConditionsBudget;
  std::vector<std::string> errors;
  bool none_false = true;
  for (const NamedExpression& c : conditions) {
    ExpressionOutcome r = evaluate(c.expression, input, budget);
    if (r.out_of_budget) {
      problem = r.error;
      return ignore ? Matching::No : Matching::Failed;
    }
    if (!r.error.empty()) errors.push_back(r.error);
    else if (r.value.is_false()) none_false = false;
  }
  if (!none_false) return Matching::No;
  if (errors.empty()) return Matching::Yes;
  problem = apimachinery::aggregate_messages(errors);
  return ignore ? Matching::No : Matching::Failed;
}

MatchConditions compile_match_conditions(const Document& list) {
  MatchConditions out;
  if (!list.is_array() || list.empty()) return out;
  ExpressionCompiler compiler;
  ExpressionCompiler::Scope scope;
  scope.variables = false;
  for (const Document& c : list)
    out.conditions.push_back({std::string(string_at(c, "name")), compiler.compile(string_at(c, "expression"), scope, ExpressionResult::Bool)});
  out.types = compiler.types();
  return out;
}

}  // namespace onebin::apiserver
