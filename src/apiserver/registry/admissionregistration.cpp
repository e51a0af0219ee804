// admissionregistration.k8s.io: webhook configurations, admission policies and their bindings. Expressions must be there and
// compile with the variables that they will see.
#include "apiserver/admission/expressions.hpp"
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/empty_lists.hpp"
#include "apiserver/registry/webhooks.hpp"
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {

using apimachinery::member;
using apimachinery::string_at;

namespace {

bool blank(std::string_view text) { return text.find_first_not_of(" \t\n\r\v\f") == std::string_view::npos; }

bool has(const Check& list, std::string_view text) {
  for (std::size_t i = 0; i < list.size(); ++i)
    if (list[i].is(text)) return true;
  return false;
}

void check_wildcard(const Check& list, const char* others) {
  if (list.need() && list.size() > 1 && has(list, "*")) list.invalid(std::string("if '*' is present, must not specify other ") + others);
}

// ---- rules

// "pods", "pods/log", "*", "*/status", "pods/*", "*/*".
void check_resources(const Check& list) {
  list.need();
  std::set<std::string> all_of, everywhere;  // x/*, */x
  bool everything = false, all = false, plain = false;
  for (std::size_t i = 0; i < list.size(); ++i) {
    std::string text(list[i].text());
    if (!list[i].need()) continue;
    everything = everything || text == "*/*";
    all = all || text == "*";
    std::size_t slash = text.find('/');
    if (slash == std::string::npos) {
      plain = text != "*";
      continue;
    }
    std::string resource = text.substr(0, slash), sub = text.substr(slash + 1);
    if (all_of.count(resource)) list[i].invalid("if '" + resource + "/*' is present, must not specify " + text);
    if (everywhere.count(sub)) list[i].invalid("if '*/" + sub + "' is present, must not specify " + text);
    if (sub == "*") all_of.insert(resource);
    if (resource == "*") everywhere.insert(sub);
  }
  if (list.size() > 1 && everything) list.invalid("if '*/*' is present, must not specify other resources");
  if (all && plain) list.invalid("if '*' is present, must not specify other resources without subresources");
}

void check_rule(const Check& r) {
  check_wildcard(r["operations"], "operations");
  check_wildcard(r["apiGroups"], "API groups");
  check_wildcard(r["apiVersions"], "API versions");
  for (std::size_t i = 0; i < r["apiVersions"].size(); ++i) r["apiVersions"][i].need();
  check_resources(r["resources"]);
}

void check_selector(const Check& s) {
  if (s.set()) s.add(apimachinery::validate_label_selector(s.value(), s.path()));
}

// ---- expressions

void tell(const Check& at, const Expression& e) {
  if (e.problem.empty()) return;
  if (e.internal) at.internal(e.problem);
  else at.invalid_as(e.text, e.problem);
}

// Those of one policy or webhook.
struct Expressions {
  ExpressionCompiler compiler;
  ExpressionCompiler::Scope scope;
  void check(const Check& at, std::string_view text, ExpressionResult result) const { tell(at, compiler.compile(text, scope, result)); }
  void check_without_authorizer(const Check& at, ExpressionResult result) const {
    ExpressionCompiler::Scope s = scope;
    s.authorizer = false;
    tell(at, compiler.compile(at.text(), s, result));
  }
  void check_mutation(const Check& at, bool json_patch) const {
    ExpressionCompiler::Scope s = scope;
    s.patches = true;
    tell(at, compiler.compile(trim(at.text()), s, json_patch ? ExpressionResult::JsonPatches : ExpressionResult::Configuration));
  }
};

void check_match_conditions(const Check& list, bool params) {
  if (list.size() > 64) list.too_many(64);
  if (list.empty()) return;
  Expressions expressions;
  expressions.scope.params = params;
  expressions.scope.variables = false;
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check name = list[i]["name"], expression = list[i]["expression"];
    if (blank(expression.text())) expression.required();
    else expressions.check(expression, trim(expression.text()), ExpressionResult::Bool);
    if (name.need()) name.format(apimachinery::is_qualified_name);
    if (!name.empty() && !names.insert(name.text()).second) name.duplicate();
  }
}

// ---- webhooks

}  // namespace

void check_webhook_url(const Check& at) {
  constexpr const char* kForm = "; desired format: https://host[/path]";
  std::string url(at.text());
  std::size_t colon = url.find("://");
  std::string scheme = colon == std::string::npos ? "" : url.substr(0, colon), rest = colon == std::string::npos ? url : url.substr(colon + 3);
  std::string fragment, query;
  if (std::size_t hash = rest.find('#'); hash != std::string::npos) {
    fragment = rest.substr(hash + 1);
    rest.resize(hash);
  }
  if (std::size_t mark = rest.find('?'); mark != std::string::npos) {
    query = rest.substr(mark + 1);
    rest.resize(mark);
  }
  std::string host = colon == std::string::npos ? "" : rest.substr(0, rest.find('/')), user;
  if (std::size_t sign = host.rfind('@'); sign != std::string::npos) {
    user = host.substr(0, sign);
    host.erase(0, sign + 1);
  }
  if (scheme != "https") at.invalid_as(scheme, std::string("'https' is the only allowed URL scheme") + kForm);
  if (host.empty()) at.invalid_as(host, std::string("host must be specified") + kForm);
  if (!user.empty()) at.invalid_as(user, "user information is not permitted in the URL");
  if (!fragment.empty()) at.invalid_as(fragment, "fragments are not permitted in the URL");
  if (!query.empty()) at.invalid_as(query, "query parameters are not permitted in the URL");
}

void check_webhook_service(const Check& s) {
  // Upstream tells of a missing name at namespace, and the other way round.
  if (s["namespace"].empty()) s["name"].required();
  if (s["name"].empty()) s["namespace"].required();
  if (auto problems = apimachinery::is_valid_port_num(s["port"].number()); !problems.empty()) s["port"].invalid("port is not valid: " + join(problems, ", "));
  Check path = s["path"];
  std::string text(path.text());
  if (text.empty() || text == "/") return;
  if (text == "//") return path.invalid("segment[0] may not be empty");
  if (text[0] != '/') path.invalid("must start with a '/'");
  text.erase(0, 1);
  if (!text.empty() && text.back() == '/') text.pop_back();
  auto steps = split(text, '/');
  for (std::size_t i = 0; i < steps.size(); ++i) {
    std::string segment = "segment[" + std::to_string(i) + "]";
    if (steps[i].empty()) path.invalid(segment + " may not be empty");
    else
      for (const auto& m : apimachinery::is_dns1123_subdomain(steps[i])) path.invalid(segment + ": " + m);
  }
}

namespace {

void check_webhook(const Check& w) {
  Check name = w["name"], effects = w["sideEffects"], client = w["clientConfig"], versions = w["admissionReviewVersions"];
  if (name.need()) {
    auto problems = apimachinery::is_dns1123_subdomain(name.text());
    if (!problems.empty()) name.invalid(join(problems, ","));
    else if (split(name.text(), '.').size() < 3) name.invalid("should be a domain with at least three segments separated by dots");
  }
  for (std::size_t i = 0; i < w["rules"].size(); ++i) check_rule(w["rules"][i]);
  if (!effects.set()) effects.required("must specify one of None, NoneOnDryRun");
  else effects.one_of({"None", "NoneOnDryRun"});
  Check timeout = w["timeoutSeconds"];
  if (timeout.set() && (timeout.number() < 1 || timeout.number() > 30)) timeout.invalid("the timeout value must be between 1 and 30 seconds");
  check_selector(w["namespaceSelector"]);
  check_selector(w["objectSelector"]);
  if (client["url"].set() == client["service"].set()) client.required("exactly one of url or service is required");
  else if (client["url"].set()) check_webhook_url(client["url"]);
  else check_webhook_service(client["service"]);
  check_match_conditions(w["matchConditions"], false);
  if (!versions.need("must specify one of v1, v1beta1")) return;
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < versions.size(); ++i) {
    if (!seen.insert(versions[i].text()).second) versions[i].invalid("duplicate version");
    else versions[i].format(apimachinery::is_dns1035_label);
  }
  if (!seen.count("v1") && !seen.count("v1beta1")) versions.invalid("must include at least one of v1, v1beta1");
}

constexpr const char* kStatic = ".static.k8s.io";

std::string static_name() { return "names ending with \"" + std::string(kStatic) + "\" are reserved for static manifest-based configurations and cannot be managed via the API"; }

class Registration : public Strategy {
 public:
  explicit Registration(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    std::string name(apimachinery::name_of(o));
    if (name.ends_with(kStatic)) errors.push_back(field_invalid(FieldPath("metadata").child("name"), name, static_name()));
    check(o, errors);
  }
  void validate_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override { check(o, errors); }
  void warnings_on_update(WriteContext& c, const Document& o, const Document&) const override {
    if (apimachinery::name_of(o).ends_with(kStatic)) c.warn("metadata.name: " + static_name());
  }

 protected:
  virtual void check(const Document& o, FieldErrors& errors) const = 0;
};

// Reviews are asked past webhooks: a rule that names one does nothing.
void warn_of_reviews(WriteContext& c, const Document& rule, const FieldPath& path) {
  const Document &groups = each(rule, "apiGroups"), &resources = each(rule, "resources");
  for (const Document* list : {&groups, &resources})
    if (std::find(list->begin(), list->end(), "*") != list->end()) return;
  std::set<std::string> told;
  for (const auto& g : groups)
    for (const auto& r : resources) {
      if (!g.is_string() || !r.is_string()) continue;
      std::string resource = r.get<std::string>() + "." + g.get<std::string>();
      for (const char* review : {"selfsubjectreviews.authentication.k8s.io", "tokenreviews.authentication.k8s.io", "localsubjectaccessreviews.authorization.k8s.io",
                                 "selfsubjectaccessreviews.authorization.k8s.io", "selfsubjectrulesreviews.authorization.k8s.io", "subjectaccessreviews.authorization.k8s.io"})
        if (resource == review && told.insert(resource).second) c.warn(path.text() + ": " + resource + " is excluded from admission webhooks; this rule will have no effect");
    }
}

class WebhookStrategy final : public Registration {
 public:
  using Registration::Registration;
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_update(c, o, old);
    if (has_empty_list(member(o, "webhooks"))) apimachinery::set_meta(o, "generation", apimachinery::generation_of(old) + 1);
  }
  void warnings_on_create(WriteContext& c, const Document& o) const override {
    std::size_t i = 0;
    for (const auto& w : each(o, "webhooks")) {
      FieldPath path = FieldPath("webhooks").index(i++).child("rules");
      std::size_t j = 0;
      for (const auto& r : each(w, "rules")) warn_of_reviews(c, r, path.index(j++));
    }
  }
  void warnings_on_update(WriteContext& c, const Document& o, const Document& old) const override {
    Registration::warnings_on_update(c, o, old);
    warnings_on_create(c, o);
  }

 protected:
  void check(const Document& o, FieldErrors& errors) const override {
    Check list = Check(o, FieldPath(), errors)["webhooks"].as(FieldPath("webhooks"));
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < list.size(); ++i) {
      check_webhook(list[i]);
      if (!list[i]["name"].empty() && !names.insert(list[i]["name"].text()).second) list[i]["name"].duplicate();
    }
  }
};

// ---- policies

void check_match_resources(const Check& m) {
  if (!m.set()) return;
  for (const char* f : {"namespaceSelector", "objectSelector"}) {
    if (m[f].set()) check_selector(m[f]);
    else m[f].required();
  }
  for (const char* f : {"resourceRules", "excludeResourceRules"})
    for (std::size_t i = 0; i < m[f].size(); ++i) {
      Check names = m[f][i]["resourceNames"];
      std::set<std::string_view> seen;
      for (std::size_t j = 0; j < names.size(); ++j) {
        names[j].format(path_segment);
        if (!seen.insert(names[j].text()).second) names[j].duplicate();
      }
      check_rule(m[f][i]);
    }
}

void check_param_kind(const Check& p) {
  if (!p.set()) return;
  Check version = p["apiVersion"], kind = p["kind"];
  if (version.need()) {
    auto gv = apimachinery::parse_group_version(version.text());
    if (!gv) {
      version.invalid("unexpected GroupVersion string: " + std::string(version.text()));
    } else {
      auto joined = [&](const std::string& part, const apimachinery::NameProblems& problems) {
        if (!problems.empty()) version.invalid_as(part, join(problems, ","));
      };
      if (!gv->group.empty()) joined(gv->group, apimachinery::is_dns1123_subdomain(gv->group));
      if (gv->version.empty()) version.invalid("version must be specified");
      else joined(gv->version, apimachinery::is_dns1035_label(gv->version));
    }
  }
  if (!kind.need()) return;
  if (auto problems = apimachinery::is_dns1035_label(to_lower(kind.text())); !problems.empty())
    kind.invalid("may have mixed case, but should otherwise match: " + join(problems, ","));
}

bool is_identifier(std::string_view name) {
  static constexpr std::string_view kReserved[] = {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
                                                   "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while"};
  return apimachinery::is_c_identifier(name).empty() && std::find(std::begin(kReserved), std::end(kReserved), name) == std::end(kReserved);
}

// Deletions are not changed.
void check_mutable(const Check& match) {
  Check rules = match["resourceRules"];
  for (std::size_t i = 0; i < rules.size(); ++i)
    for (std::size_t j = 0; j < rules[i]["operations"].size(); ++j) rules[i]["operations"][j].as(rules.path().child("operations")).one_of({"*", "CONNECT", "CREATE", "UPDATE"});
}

// What policies of both kinds have.
void check_policy(const Check& spec, Expressions& expressions) {
  check_param_kind(spec["paramKind"]);
  Check match = spec["matchConstraints"], variables = spec["variables"];
  if (!match.set()) match.required();
  else check_match_resources(match);
  if (match.set() && match["resourceRules"].empty()) match["resourceRules"].required();
  check_match_conditions(spec["matchConditions"], spec["paramKind"].set());
  for (std::size_t i = 0; i < variables.size(); ++i) {
    Check name = variables[i]["name"], expression = variables[i]["expression"];
    if (blank(name.text())) name.required("name is not specified");
    else if (!is_identifier(name.text())) name.invalid("must be a valid CEL identifier");
    if (blank(expression.text())) expression.required("expression is not specified");
    else tell(expression, expressions.compiler.add_variable(name.text(), expression.text(), expressions.scope));
  }
}

class PolicyStrategy final : public Registration {
 public:
  using Registration::Registration;
  void validate_status_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override {
    Check status(member(o, "status"), FieldPath("status"), errors);
    Check warnings = status["typeChecking"]["expressionWarnings"], conditions = status["conditions"];
    for (std::size_t i = 0; i < warnings.size(); ++i) {
      warnings[i]["warning"].need();
      if (blank(warnings[i]["fieldRef"].text())) warnings[i]["fieldRef"].required();
    }
    conditions.add(apimachinery::validate_conditions(conditions.value(), conditions.path()));
  }

 protected:
  void check(const Document& o, FieldErrors& errors) const override {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    bool mutating = kind->kind == "MutatingAdmissionPolicy";
    Expressions expressions;
    expressions.scope.params = spec["paramKind"].set();
    expressions.scope.variables = mutating || !spec["variables"].empty();
    check_policy(spec, expressions);
    if (mutating) return check_mutations(spec, expressions);
    Check validations = spec["validations"], audit = spec["auditAnnotations"];
    if (validations.empty() && audit.empty()) {
      validations.required("validations or auditAnnotations must contain at least one item");
      audit.required("validations or auditAnnotations must contain at least one item");
      return;
    }
    for (std::size_t i = 0; i < validations.size(); ++i) check_validation(validations[i], expressions);
    if (audit.size() > 20) audit.invalid("must not have more than 20 auditAnnotations");
    std::set<std::string_view> keys;
    for (std::size_t i = 0; i < audit.size(); ++i) {
      Check key = audit[i]["key"], value = audit[i]["valueExpression"];
      std::string whole = std::string(apimachinery::name_of(o)) + "/" + std::string(key.text());
      if (whole.front() == '/') key.invalid("requires metadata.name be non-empty");
      else
        for (const auto& m : apimachinery::is_qualified_name(whole)) key.invalid_as(whole, m);
      if (blank(value.text())) value.required("valueExpression is not specified");
      else if (trim(value.text()).size() > 5 * 1024) value.required("must not exceed 5120 bytes in length");
      else if (Expression e = expressions.compiler.compile(trim(value.text()), expressions.scope, ExpressionResult::TextOrNull); !e.problem.empty()) {
        e.text = value.text();
        tell(value, e);
      }
      if (!keys.insert(key.text()).second) key.duplicate();
    }
  }

 private:
  static void check_mutations(const Check& spec, const Expressions& expressions) {
    check_mutable(spec["matchConstraints"]);
    Check list = spec["mutations"];
    list.need("mutations must contain at least one item");
    spec["reinvocationPolicy"].need();
    for (std::size_t i = 0; i < list.size(); ++i) {
      Check apply = list[i]["applyConfiguration"], patch = list[i]["jsonPatch"], type = list[i]["patchType"];
      if (type.empty()) {
        type.required();
        continue;
      }
      bool applies = type.is("ApplyConfiguration");
      if (!applies && !type.is("JSONPatch")) continue;
      const Check &wanted = applies ? apply : patch, &other = applies ? patch : apply;
      std::string when(type.text());
      if (!wanted.set()) wanted.required("must be specified when patchType is " + when);
      else if (blank(wanted["expression"].text())) wanted["expression"].required();
      else expressions.check_mutation(wanted["expression"], !applies);
      if (other.set()) other.invalid_as(applies ? "{jsonPatch}" : "{applyConfiguration}", "must not be specified when patchType is " + when);
    }
  }

  static void check_validation(const Check& v, const Expressions& expressions) {
    Check expression = v["expression"], message = v["message"], from = v["messageExpression"], reason = v["reason"];
    std::string_view text = expression.text();
    if (blank(text)) expression.required("expression is not specified");
    else expressions.check(expression, text, ExpressionResult::Bool);
    if (!from.empty() && blank(from.text())) from.invalid("must be non-empty if specified");
    else if (!from.empty()) expressions.check_without_authorizer(from, ExpressionResult::Text);
    if (!message.empty() && blank(message.text())) message.invalid("must be non-empty if specified");
    else if (trim(message.text()).find_first_of("\n\r") != std::string_view::npos) message.invalid("must not contain line breaks");
    if (reason.set()) reason.one_of({"Forbidden", "Invalid", "RequestEntityTooLarge"});
  }
};

class BindingStrategy final : public Registration {
 public:
  using Registration::Registration;

 protected:
  void check(const Document& o, FieldErrors& errors) const override {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check name = spec["policyName"], param = spec["paramRef"], actions = spec["validationActions"];
    if (name.need()) name.named(apimachinery::name_is_dns_subdomain);
    if (param.set()) check_param(param);
    check_match_resources(spec["matchResources"]);
    if (kind->kind != "ValidatingAdmissionPolicyBinding") return check_mutable(spec["matchResources"]);
    actions.need();
    std::set<std::string_view> seen;
    for (std::size_t i = 0; i < actions.size(); ++i)
      if (!seen.insert(actions[i].text()).second) actions[i].duplicate();
    if (seen.count("Deny") && seen.count("Warn"))
      actions.invalid("must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)");
  }

 private:
  static void check_param(const Check& p) {
    Check name = p["name"], selector = p["selector"], missing = p["parameterNotFoundAction"];
    if (!name.empty() && selector.set()) {
      name.forbidden("name and selector are mutually exclusive");
      selector.forbidden("name and selector are mutually exclusive");
    } else if (name.empty() && !selector.set()) {
      p.required("one of name or selector must be specified");
    }
    if (!name.empty()) name.format(path_segment);
    check_selector(selector);
    if (missing.empty()) missing.required();
    else missing.one_of({"Allow", "Deny"});
  }
};

}  // namespace

StrategyMaker admissionregistration_strategy(std::string_view kind) {
  if (kind.ends_with("WebhookConfiguration")) return make<WebhookStrategy>;
  if (kind.ends_with("AdmissionPolicy")) return make<PolicyStrategy>;
  if (kind.ends_with("AdmissionPolicyBinding")) return make<BindingStrategy>;
  return nullptr;
}

}  // namespace onebin::apiserver
