#include "apiserver/crd/custom_rules.hpp"

#include <onebin/apimachinery/document.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/cel/program.hpp>

#include <algorithm>
#include <map>
#include <mutex>

namespace onebin::apiserver {
namespace {

using apimachinery::bool_at;
using apimachinery::FieldError;
using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::string_at;

constexpr int kDeepest = 100;
constexpr const char* kNoBudget = "validation failed due to running out of cost budget, no further validation rules will be run";

struct Rule {
  std::string text, message, message_text, reason, field_path;  // message_text: the messageExpression
  bool optional_old_self = false, uses_old_self = false;
  std::shared_ptr<const cel::Program> program, message_program;
  std::string problem;  // of compilation
  std::string described() const { return message.empty() ? text : message; }
};

// The rules of one place of the schema, and of those below it.
struct Node {
  const cel::Schema* schema = nullptr;
  std::string type;  // as the schema names it
  bool map_correlates = true, list_correlates = false;
  std::vector<std::string> list_keys;
  std::vector<Rule> rules;
  std::unique_ptr<Node> items, values;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> properties;
  std::vector<std::unique_ptr<Node>> all_of;
  bool empty() const { return rules.empty() && !items && !values && properties.empty() && all_of.empty(); }
};

bool has_rules(const Document& s, int depth = 0) {
  if (!s.is_object() || depth > kDeepest) return false;
  if (const Document& list = member(s, "x-kubernetes-validations"); list.is_array() && !list.empty()) return true;
  if (has_rules(member(s, "items"), depth + 1) || has_rules(member(s, "additionalProperties"), depth + 1)) return true;
  const Document& properties = member(s, "properties");
  return properties.is_object() && std::any_of(properties.begin(), properties.end(), [&](const Document& p) { return has_rules(p, depth + 1); });
}

cel::Environment environment(const cel::Schema& self, cel::Schemas& pool, bool optional_old) {
  cel::Environment env;
  env.declare("self", self.type, &self);
  env.declare("oldSelf", optional_old ? pool.optional_of(self.type) : self.type, optional_old ? nullptr : &self);
  return env;
}

Rule compile_rule(const Document& source, const cel::Schema& self, cel::Schemas& pool, const Document& schema) {
  Rule r;
  r.text = trim(string_at(source, "rule"));
  r.message = trim(string_at(source, "message"));
  r.message_text = string_at(source, "messageExpression");
  r.reason = string_at(source, "reason");
  r.optional_old_self = bool_at(source, "optionalOldSelf");
  if (r.text.empty()) return r;
  cel::Environment env = environment(self, pool, r.optional_old_self);
  auto program = cel::compile(string_at(source, "rule"), env);
  if (!program) {
    r.problem = (program.reason() == Reason::Invalid ? "compilation failed: " : "program instantiation failed: ") + program.status().message();
    return r;
  }
  if ((*program)->result_type().kind != cel::TypeKind::Bool) return r.problem = "cel expression must evaluate to a bool", r;
  r.program = *program;
  r.uses_old_self = r.program->uses("oldSelf");
  if (!r.message_text.empty())
    if (auto message = cel::compile(r.message_text, env); message && (*message)->result_type().kind == cel::TypeKind::String) r.message_program = *message;
  if (FieldPath path; rule_field_path(string_at(source, "fieldPath"), schema, path)) r.field_path = path.text();
  return r;
}

class Builder {
 public:
  explicit Builder(cel::Schemas& pool) : pool_(pool) {}

  // `rules` states the rules, `schema` the type that they are about: not the same within allOf.
  std::unique_ptr<Node> node(const Document& rules, const Document& schema, const cel::Schema* self, int depth) {
    if (!rules.is_object() || !schema.is_object() || !self || !self->type || depth > kDeepest) return nullptr;
    auto n = std::make_unique<Node>();
    n->schema = self;
    n->type = string_at(schema, "type");
    std::string_view map_type = string_at(schema, "x-kubernetes-map-type");
    n->map_correlates = map_type.empty() || map_type == "granular" || map_type == "atomic";
    n->list_correlates = string_at(schema, "x-kubernetes-list-type") == "map";
    n->list_keys = self->list_keys;
    for (const Document& r : member(rules, "x-kubernetes-validations")) n->rules.push_back(compile_rule(r, *self, pool_, schema));
    n->items = node(member(rules, "items"), member(schema, "items"), self->items, depth + 1);
    n->values = node(member(rules, "additionalProperties"), member(schema, "additionalProperties"), self->items, depth + 1);
    const Document& properties = member(rules, "properties");
    if (properties.is_object())
      for (const auto& [name, p] : properties.items()) {
        const cel::SchemaField* f = self->field(name);
        if (auto child = node(p, member(member(schema, "properties"), name), f ? f->schema : nullptr, depth + 1)) n->properties[name] = std::move(child);
      }
    for (const Document& part : member(rules, "allOf"))
      if (auto child = node(part, schema, self, depth + 1)) n->all_of.push_back(std::move(child));
    return n->empty() ? nullptr : std::move(n);
  }

 private:
  cel::Schemas& pool_;
};

// The old item of a list of x-kubernetes-list-type map that has the same keys; null when there is none.
const Document* same_item(const Document& item, const Document* old_list, const std::vector<std::string>& keys) {
  if (!old_list || !old_list->is_array() || !item.is_object() || keys.empty()) return nullptr;
  for (const Document& old : *old_list) {
    if (!old.is_object()) continue;
    bool same = std::all_of(keys.begin(), keys.end(), [&](const std::string& k) {
      const Document *a = find_member(item, k), *b = find_member(old, k);
      return a && b && a->is_primitive() && !a->is_null() && *a == *b;
    });
    if (same) return &old;
  }
  return nullptr;
}

// Equal as ratcheting sees it: lists of type map by their keys, whatever their order.
bool unchanged(const Document& now, const Document& old, const cel::Schema* s) {
  if (now.is_array() && old.is_array() && s && s->list_kind == cel::Schema::ListKind::Map) {
    if (now.size() != old.size()) return false;
    for (const Document& item : now) {
      const Document* before = same_item(item, &old, s->list_keys);
      if (!before || !unchanged(item, *before, s->items)) return false;
    }
    return true;
  }
  if (now.is_object() && old.is_object()) {
    if (now.size() != old.size()) return false;
    for (const auto& [name, value] : now.items()) {
      const Document* before = find_member(old, name);
      const cel::SchemaField* f = s ? s->field(name) : nullptr;
      if (!before || !unchanged(value, *before, f ? f->schema : s ? s->items : nullptr)) return false;
    }
    return true;
  }
  return now == old;
}

// A value beside the one that it replaces; `old` is null where that is not known.
struct Correlated {
  const Document* now = nullptr;
  const Document* old = nullptr;
  const cel::Schema* schema = nullptr;
  bool known() const { return old != nullptr; }
  bool same() const { return old && unchanged(*now, *old, schema); }
};
struct Ratchet {
  Correlated current, parent;  // the nearest one above whose old value is known
  bool root = true;
  bool forgives() const { return current.known() ? current.same() : parent.same(); }
};

class Checker {
 public:
  Checker(FieldErrors& errors, std::vector<std::string>* warnings) : errors_(errors), warnings_(warnings) {}

  void check(const Node& n, const FieldPath& path, const Document& object, const Document* old, const Ratchet& ratchet) {
    if (object.is_null() || budget_ < 0) return;
    if (old && old->is_null()) old = nullptr;
    expressions(n, path, object, old, ratchet);
    for (const auto& part : n.all_of) {
      if (budget_ < 0) return;
      Ratchet inner;
      inner.parent = ratchet.parent;
      inner.root = false;
      check(*part, path, object, old, inner);
    }
    if (budget_ < 0) return;
    if (object.is_array() && n.items) items(n, path, object, old, ratchet);
    if (object.is_object()) members(n, path, object, old, ratchet);
  }

 private:
  static Ratchet below(const Ratchet& r, std::string_view name, const Document& now, const Document* old, const cel::Schema* schema) {
    if (!r.current.known()) return r;
    Ratchet out;
    out.root = false;
    if (r.root && (name == "apiVersion" || name == "kind")) return out;  // converted: a change is not seen
    out.parent = r.current;
    out.current = {&now, old, schema};
    return out;
  }
  void items(const Node& n, const FieldPath& path, const Document& list, const Document* old, const Ratchet& ratchet) {
    for (std::size_t i = 0; i < list.size() && budget_ >= 0; ++i) {
      const Document* before = n.list_correlates ? same_item(list[i], old, n.list_keys) : nullptr;
      check(*n.items, path.index(i), list[i], before, below(ratchet, "", list[i], before, n.schema->items));
    }
  }
  void members(const Node& n, const FieldPath& path, const Document& object, const Document* old, const Ratchet& ratchet) {
    for (const auto& [name, value] : object.items()) {
      if (budget_ < 0) return;
      const Document* before = old && n.map_correlates ? find_member(*old, name) : nullptr;
      const Document* kept = ratchet.current.known() ? find_member(*ratchet.current.old, name) : nullptr;
      if (n.values) check(*n.values, path.key(name), value, before, below(ratchet, name, value, kept, n.schema->items));
      auto it = n.properties.find(name);
      if (it != n.properties.end()) check(*it->second, path.child(name), value, before, below(ratchet, name, value, kept, it->second->schema));
    }
  }

  void invalid(const FieldPath& path, const Node& n, std::string detail) { errors_.push_back(field_invalid(path, n.type, std::move(detail))); }
  void exhausted(const FieldPath& path, const Node& n) {
    invalid(path, n, kNoBudget);
    budget_ = -1;
  }

  void expressions(const Node& n, const FieldPath& path, const Document& object, const Document* old, const Ratchet& ratchet) {
    if (n.rules.empty()) return;
    if (budget_ == 0) return exhausted(path, n);
    cel::Variables values, optional;
    cel::Value self = cel::Value::of(object, n.schema);
    values.set("self", self);
    optional.set("self", self);
    optional.set("oldSelf", cel::Value::optional_none());
    if (old) {
      cel::Value before = cel::Value::of(*old, n.schema);
      values.set("oldSelf", before);
      optional.set("oldSelf", cel::Value::optional_of(before));
    }
    for (const Rule& r : n.rules) {
      if (budget_ < 0) return;
      if (!r.problem.empty()) invalid(path, n, "rule compile error: " + r.problem);
      if (!r.program || (r.uses_old_self && !old && !r.optional_old_self)) continue;
      one(n, r, path, object, r.optional_old_self ? optional : values, values, ratchet);
    }
  }
  void one(const Node& n, const Rule& r, const FieldPath& path, const Document& object, const cel::Variables& values, const cel::Variables& plain,
           const Ratchet& ratchet) {
    cel::Evaluation result = r.program->evaluate(values);
    if (result.cost > static_cast<std::uint64_t>(budget_)) return exhausted(path, n);
    budget_ -= static_cast<std::int64_t>(result.cost);
    if (result.value.is_error()) {
      std::string problem(result.value.text());
      if (starts_with(problem, "no such overload"))
        return invalid(path, n, "'" + problem + "': call arguments did not match a supported operator, function or macro signature for rule: " + r.described());
      if (!result.cost_exceeded) return invalid(path, n, problem + " evaluating rule: " + r.described());
      invalid(path, n, "'" + problem + "': no further validation rules will be run due to call cost exceeds limit for rule: " + r.described());
      budget_ = -1;
      return;
    }
    if (result.value.is_true()) return;
    FieldPath where = path;
    if (!r.field_path.empty()) where = path.text().empty() ? FieldPath(r.field_path) : FieldPath(path.text() + (r.field_path[0] == '[' ? "" : ".") + r.field_path);
    std::string detail;
    bool done = r.message_program && message(n, r, where, plain, ratchet, detail);
    if (budget_ < 0) return;
    if (!done) detail = r.message.empty() ? "failed rule: " + r.described() : r.message;
    report(r, error_of(r, n, where, object, std::move(detail)), ratchet);
  }
  void report(const Rule& r, FieldError error, const Ratchet& ratchet) {
    if (!r.uses_old_self && ratchet.forgives()) {
      if (warnings_) warnings_->push_back(error.to_string());
    } else {
      errors_.push_back(std::move(error));
    }
  }
  static FieldError error_of(const Rule& r, const Node& n, const FieldPath& path, const Document& object, std::string detail) {
    if (r.reason == "FieldValueForbidden") return field_forbidden(path, std::move(detail));
    if (r.reason == "FieldValueRequired") return field_required(path, std::move(detail));
    bool structure = n.type == "object" || n.type == "array";
    FieldError e = r.reason == "FieldValueDuplicate" ? field_duplicate(path, structure ? Document() : object)
                                                     : field_invalid(path, structure ? Document() : object, std::move(detail));
    e.omit_value = structure;
    return e;
  }
  // The text of a messageExpression; false when the rule's own message stands in for it.
  bool message(const Node& n, const Rule& r, const FieldPath& path, const cel::Variables& values, const Ratchet& ratchet, std::string& out) {
    cel::Evaluation result = r.message_program->evaluate(values);
    auto end = [&](std::string why) {
      report(r, field_invalid(path, n.type, std::move(why)), ratchet);
      budget_ = -1;
      return false;
    };
    if (result.cost > static_cast<std::uint64_t>(budget_)) return end("messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run");
    if (result.cost_exceeded) return end("no further validation rules will be run due to call cost exceeds limit for messageExpression: " + go_quote(r.message_text));
    budget_ -= static_cast<std::int64_t>(result.cost);
    if (!result.value.is(cel::ValueKind::String)) return false;
    out = trim(result.value.text());
    return !out.empty() && out.size() <= cel::kMaxMessageBytes && out.find('\n') == std::string::npos;
  }

  FieldErrors& errors_;
  std::vector<std::string>* warnings_;
  std::int64_t budget_ = cel::kRuntimeBudget;
};

}  // namespace

struct CustomRules::Compiled {
  cel::Schemas pool;
  std::unique_ptr<Node> root;
  const cel::Schema* schema = nullptr;
};
struct CustomRules::Once {
  std::once_flag flag;
};

CustomRules::CustomRules(std::string schema) : schema_(std::move(schema)), once_(std::make_unique<Once>()) {}
CustomRules::~CustomRules() = default;

std::unique_ptr<CustomRules> CustomRules::make(const Document& schema) {
  if (!has_rules(schema)) return nullptr;
  return std::unique_ptr<CustomRules>(new CustomRules(schema.dump(-1, ' ', false, Document::error_handler_t::replace)));
}

void CustomRules::validate(const Document& object, const Document* old, FieldErrors& errors, std::vector<std::string>* warnings) const {
  std::call_once(once_->flag, [this] {
    auto compiled = std::make_unique<Compiled>();
    Document schema = Document::parse(schema_, nullptr, false);
    compiled->schema = compiled->pool.from_openapi(schema, true, "selfType");
    compiled->root = Builder(compiled->pool).node(schema, schema, compiled->schema, 0);
    compiled_ = std::move(compiled);
  });
  if (!compiled_->root) return;
  Ratchet ratchet;
  ratchet.current = {&object, old, compiled_->schema};
  Checker(errors, warnings).check(*compiled_->root, FieldPath(), object, old, ratchet);
}

bool CustomRules::blocked(FieldErrors& errors) {
  using apimachinery::FieldErrorType;
  for (const FieldError& e : errors) {
    if (e.type != FieldErrorType::NotSupported && e.type != FieldErrorType::Required && e.type != FieldErrorType::TooLong &&
        e.type != FieldErrorType::TooMany && e.type != FieldErrorType::TypeInvalid)
      continue;
    errors.push_back(field_invalid(FieldPath(), nullptr,
                                   "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"));
    return true;
  }
  return false;
}

namespace {

bool unescape_quoted(std::string_view t, std::string& out) {
  static constexpr std::string_view kFrom = "abfnrtv'\\", kTo = "\a\b\f\n\r\t\v'\\";
  for (std::size_t i = 0; i < t.size(); ++i) {
    if (t[i] != '\\' || i + 1 == t.size()) {
      out += t[i];
      continue;
    }
    std::size_t k = kFrom.find(t[++i]);
    if (k == std::string_view::npos) return false;
    out += kTo[k];
  }
  return true;
}

// "['name']" or ".name" at the front of a path.
bool next_name(std::string_view& path, std::string& name) {
  name.clear();
  if (path[0] == '.') {
    std::size_t end = std::min(path.find_first_of(".[]", 1), path.size());
    name = path.substr(1, end - 1);
    path.remove_prefix(end);
    return !name.empty();
  }
  if (path.substr(0, 2) != "['") return false;
  std::size_t end = 2;
  while (end < path.size() && !(path[end] == '\'' && path[end - 1] != '\\')) ++end;
  if (end >= path.size() || path.substr(end, 2) != "']" || !unescape_quoted(path.substr(2, end - 2), name)) return false;
  path.remove_prefix(end + 2);
  return true;
}

}  // namespace

bool rule_field_path(std::string_view path, const Document& schema, FieldPath& out) {
  const Document* s = &schema;
  std::string name;
  while (!path.empty()) {
    if (!next_name(path, name)) return false;
    const Document& properties = member(*s, "properties");
    if (properties.is_object() && !properties.empty()) {
      s = find_member(properties, name);
      if (!s) return false;
      out = out.text().empty() ? FieldPath(name) : out.child(name);
    } else {
      s = find_member(*s, "additionalProperties");
      if (!s || !s->is_object()) return false;
      out = out.key(name);
    }
  }
  return true;
}

}  // namespace onebin::apiserver
