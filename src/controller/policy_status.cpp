// Types in the expressions of validating admission policies: each is checked against the schemas of the kinds that its policy
// matches, as the server publishes them, and what does not fit is told in the policy's status.
#include "policy_status.hpp"

#include <onebin/api/admissionregistration_v1.hpp>
#include <onebin/cel/admission.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

using api::admissionregistration::v1::NamedRuleWithOperations;
using api::admissionregistration::v1::ValidatingAdmissionPolicy;
using Json = nlohmann::json;

constexpr std::size_t kMostTypes = 10;
constexpr int kMostDepth = 64;

struct Kind {
  std::string group, version, kind;
  auto operator<=>(const Kind&) const = default;
  std::string path() const { return (group.empty() ? "/api/" : "/apis/" + group + "/") + version; }
  std::string text() const { return group + "/" + version + ", Kind=" + kind; }
};

const Json& member(const Json& j, const char* name) {
  static const Json kNone;
  auto it = j.is_object() ? j.find(name) : j.end();
  return it == j.end() ? kNone : *it;
}

std::string ref_of(const Json& schema) {
  const Json& ref = member(schema, "$ref");
  if (ref.is_string()) return ref.get<std::string>();
  // A reference with a description or a default of its own is wrapped.
  const Json& all = member(schema, "allOf");
  return all.is_array() && all.size() == 1 ? ref_of(all[0]) : std::string();
}

// The schema with what it refers to in place; a kind within itself is an object of no fields.
Json resolved(const Json& schemas, const Json& schema, std::set<std::string>& within, int depth) {
  std::string ref = ref_of(schema);
  if (!ref.empty()) {
    std::string name = ref.substr(ref.rfind('/') + 1);
    if (depth > kMostDepth || !within.insert(name).second) return Json{{"type", "object"}};
    Json out = resolved(schemas, member(schemas, name.c_str()), within, depth + 1);
    within.erase(name);
    return out;
  }
  Json out = Json::object();
  if (!schema.is_object()) return out;
  for (const auto& [key, value] : schema.items()) {
    if (key == "properties" && value.is_object()) {
      for (const auto& [name, property] : value.items()) out[key][name] = resolved(schemas, property, within, depth + 1);
    } else if (key == "items" || (key == "additionalProperties" && value.is_object())) {
      out[key] = resolved(schemas, value, within, depth + 1);
    } else if (key == "type" || key == "format" || key == "required" || key == "nullable" || key.starts_with("x-kubernetes-")) {
      out[key] = value;
    }
  }
  if (member(out, "format") == "int-or-string") out["x-kubernetes-int-or-string"] = true;
  return out;
}

class PolicyStatus final : public Controller {
 public:
  explicit PolicyStatus(Context& c) : Controller(c, "validatingadmissionpolicy-status-controller"), policies_(c.informers->get<ValidatingAdmissionPolicy>()) {
    needs(policies_);
    policies_.add_handler([this](const std::string& key, const Bytes&, const Bytes& now) {
      if (now) queue_.add(key);
    });
  }

 private:
  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<ValidatingAdmissionPolicy> p = policies_.get(key);
    if (!p || p->metadata.generation <= p->status.observed_generation) co_return ReconcileResult{};
    Json warnings = Json::array();
    Status checked = co_await check(&*p, &warnings);
    if (!checked.is_ok()) co_return ReconcileResult{checked};
    Json patch;
    patch["apiVersion"] = "admissionregistration.k8s.io/v1";
    patch["kind"] = "ValidatingAdmissionPolicy";
    patch["metadata"]["name"] = key;
    patch["status"]["observedGeneration"] = p->metadata.generation;
    patch["status"]["typeChecking"] = Json::object();
    if (!warnings.empty()) patch["status"]["typeChecking"]["expressionWarnings"] = std::move(warnings);
    client::ApiRequest q = client_.patch_request(client::resource_path(api::resource_of<ValidatingAdmissionPolicy>(), "", key, "status"), PatchType::Apply, patch.dump());
    q.query = "fieldManager=validatingadmissionpolicy-status&force=true";
    Result<std::string> r = co_await client_.raw(std::move(q));
    co_return ReconcileResult{r.is(Reason::NotFound) ? Status() : r.status()};
  }

  struct Known {
    Kind kind;
    Json schema;
  };

  async::Task<Status> check(const ValidatingAdmissionPolicy* p, Json* warnings) {
    std::set<Kind> kinds;
    if (p->spec.match_constraints)
      for (const auto& r : p->spec.match_constraints->resource_rules) {
        Status s = co_await add_kinds(&r, &kinds);
        if (!s.is_ok()) co_return s;
        if (kinds.size() >= kMostTypes) break;
      }
    std::vector<Known> known;
    std::map<std::string, Json> documents;
    for (const Kind& k : kinds) {
      Result<Json> schema = co_await schema_of(&k, &documents);
      if (!schema && schema.is(Reason::Cancelled)) co_return schema.status();
      if (schema && !schema->is_null()) known.push_back({k, std::move(*schema)});
    }
    Known params;
    if (p->spec.param_kind) {
      const std::string& v = p->spec.param_kind->api_version;
      std::size_t slash = v.find('/');
      params.kind = {slash == std::string::npos ? "" : v.substr(0, slash), slash == std::string::npos ? v : v.substr(slash + 1), p->spec.param_kind->kind};
      Result<Json> schema = co_await schema_of(&params.kind, &documents);
      if (!schema && schema.is(Reason::Cancelled)) co_return schema.status();
      if (schema) params.schema = std::move(*schema);
    }
    documents.clear();
    compare(*p, known, params, *warnings);
    co_return Status();
  }

  static void compare(const ValidatingAdmissionPolicy& p, const std::vector<Known>& known, const Known& params, Json& warnings) {
    std::vector<std::pair<std::string, std::string>> told;  // of each expression: its place, and what is said
    for (std::size_t i = 0; i < p.spec.validations.size(); ++i) {
      const std::string at = "spec.validations[" + std::to_string(i) + "].";
      told.emplace_back(at + "expression", "");
      told.emplace_back(at + "messageExpression", "");
    }
    for (const Known& k : known) {
      cel::ExpressionCompiler compiler;
      compiler.know_object(k.schema, k.kind.kind);
      if (!params.schema.is_null()) compiler.know_params(params.schema, params.kind.kind);
      cel::ExpressionCompiler::Scope scope;
      scope.params = !params.kind.kind.empty();
      for (const auto& v : p.spec.variables) compiler.add_variable(v.name, v.expression, scope);
      for (std::size_t i = 0; i < told.size(); ++i) {
        const auto& v = p.spec.validations[i / 2];
        const std::string& text = i % 2 ? v.message_expression : v.expression;
        if (text.empty()) continue;
        cel::Expression e = compiler.compile(text, scope, cel::ExpressionResult::Any);
        if (e.problem.empty() || e.internal) continue;
        std::string_view issues = e.problem;
        if (constexpr std::string_view kPrefix = "compilation failed: "; issues.starts_with(kPrefix)) issues.remove_prefix(kPrefix.size());
        told[i].second += (told[i].second.empty() ? "" : "\n") + k.kind.text() + ": " + std::string(issues) + "\n";
      }
    }
    for (auto& [at, text] : told)
      if (!text.empty()) warnings.push_back({{"fieldRef", at}, {"warning", text}});
  }

  // The kinds of a rule's resources; rules for all of something say nothing of types.
  async::Task<Status> add_kinds(const NamedRuleWithOperations* named, std::set<Kind>* kinds) {
    auto sorted = [](std::vector<std::string> list) {
      std::sort(list.begin(), list.end());
      return list;
    };
    for (const auto* list : {&named->api_groups, &named->api_versions})
      for (const std::string& s : *list)
        if (s.find('*') != std::string::npos) co_return Status();
    const std::vector<std::string> groups = sorted(named->api_groups), versions = sorted(named->api_versions), resources = sorted(named->resources);
    for (const std::string& group : groups)
      for (const std::string& version : versions) {
        client::ApiRequest q;
        q.accept = "application/json";
        q.path = Kind{group, version, ""}.path();
        Result<std::string> body = co_await client_.raw(std::move(q));
        if (!body && !body.is(Reason::NotFound)) co_return body.status();
        if (!body) continue;
        const Json list = Json::parse(*body, nullptr, false);
        for (const std::string& resource : resources)
          for (const Json& r : member(list, "resources"))
            if (member(r, "name") == resource && resource.find('/') == std::string::npos && member(r, "kind").is_string() && kinds->size() < kMostTypes)
              kinds->insert({group, version, member(r, "kind").get<std::string>()});
      }
    co_return Status();
  }

  // Null where none is published. The documents of groups are fetched once.
  async::Task<Result<Json>> schema_of(const Kind* k, std::map<std::string, Json>* documents) {
    const std::string path = "/openapi/v3" + k->path();
    auto at = documents->find(path);
    if (at == documents->end()) {
      client::ApiRequest q;
      q.accept = "application/json";
      q.path = path;
      Result<std::string> body = co_await client_.raw(std::move(q));
      if (!body) co_return body.status();
      Json document = Json::parse(*body, nullptr, false);
      at = documents->emplace(path, std::move(document)).first;
    }
    const Json& schemas = member(member(at->second, "components"), "schemas");
    if (schemas.is_object())
      for (const auto& [name, schema] : schemas.items())
        for (const Json& own : member(schema, "x-kubernetes-group-version-kind"))
          if (member(own, "group") == k->group && member(own, "version") == k->version && member(own, "kind") == k->kind) {
            std::set<std::string> within{name};
            co_return resolved(schemas, schema, within, 0);
          }
    co_return Json();
  }

  client::Informer<ValidatingAdmissionPolicy>& policies_;
};

}  // namespace

std::unique_ptr<Controller> make_policy_status_controller(Context& c) { return std::make_unique<PolicyStatus>(c); }

}  // namespace onebin::controller
