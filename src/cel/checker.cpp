#include "cel/checker.hpp"

#include "cel/functions.hpp"
#include "cel/unify.hpp"

#include <algorithm>
#include <unordered_map>

namespace onebin::cel {
namespace {

using Kind = Expr::Kind;

bool dyn_or_error(const Type& t) { return t.kind == TypeKind::Dyn || t.kind == TypeKind::Error; }

// "(int, string)", or of a member "int.(string)".
std::string signature(const std::vector<const Type*>& args, bool member) {
  std::string out = member ? to_string(*args[0]) + "." : "";
  out += '(';
  for (std::size_t i = member ? 1 : 0; i < args.size(); ++i) out += (i > (member ? 1U : 0U) ? ", " : "") + to_string(*args[i]);
  return out + ")";
}

class Checker {
 public:
  Checker(Source& source, const Environment& environment, Schemas& pool) : s_(source), env_(environment), bindings_(pool) {}

  void run(Expr& root) {
    check(&root);
    finish(root);
  }

 private:
  Schemas& pool() { return bindings_.pool(); }
  void set(Expr* e, const Type* t) { e->type = t; }
  void undeclared(const Expr* e, const std::string& name) { s_.error(e->place, "undeclared reference to '" + name + "' (in container '')"); }
  void mismatch(const Expr* e, const Type* wanted, const Type* found) {
    s_.error(e->place, "expected type '" + to_string(*wanted) + "' but found '" + to_string(*found) + "'");
  }

  void check(Expr* e) {
    switch (e->kind) {
      case Kind::Literal: return set(e, literal_type(e->literal));
      case Kind::Ident: return check_ident(e);
      case Kind::Select: return check_select(e);
      case Kind::Call: return check_call(e);
      case Kind::List: return check_list(e);
      case Kind::Map: return check_map(e);
      case Kind::Struct: return check_struct(e);
      case Kind::Comprehension: return check_fold(e);
      default: set(e, &types::error);
    }
  }
  static const Type* literal_type(const Value& v) { return &v.type_of(); }

  // Names.
  const Type* local(const std::string& name) const {
    for (auto it = scopes_.rbegin(); it != scopes_.rend(); ++it)
      if (it->first == name) return it->second;
    return nullptr;
  }
  // Makes `e` what a declared name stands for; false when it is none.
  bool global(Expr* e, std::string_view name) {
    if (!name.empty() && name[0] == '.') name.remove_prefix(1);
    if (const Environment::Variable* v = env_.find(name)) {
      e->kind = Kind::Ident;
      e->text = std::string(name);
      e->local = false;
      return set(e, v->type), true;
    }
    const Type* t = find_type_name(name);
    if (!t) return false;
    e->kind = Kind::Ident;
    e->text = std::string(name);
    e->constant = true;
    e->literal = Value::type(t);
    return set(e, pool().type_of(t)), true;
  }
  void check_ident(Expr* e) {
    if (const Type* t = local(e->text)) {
      e->local = true;
      return set(e, t);
    }
    if (global(e, e->text)) return;
    undeclared(e, e->text);
    set(e, &types::error);
  }
  // "a.b.c" where all of it are names.
  static bool qualified(const Expr* e, std::string& out) {
    if (e->kind == Kind::Ident) return out = e->text, true;
    if (e->kind != Kind::Select || e->test_only || !qualified(e->target, out)) return false;
    out += "." + e->text;
    return true;
  }

  void check_select(Expr* e) {
    std::string name;
    if (!e->test_only && qualified(e, name) && !local(name.substr(0, name.find('.'))) && global(e, name)) return;
    const Type* t = field_type(e, e->target, e->text, false);
    set(e, e->test_only ? &types::boolean : bindings_.substitute(t, false));
  }
  const Type* field_type(Expr* e, Expr* operand, const std::string& field, bool optional) {
    check(operand);
    const Type* t = bindings_.substitute(operand->type, false);
    bool was_optional = is_optional(*t);
    if (was_optional) t = t->params[0];
    const Type* result = &types::error;
    switch (t->kind) {
      case TypeKind::Map: result = t->params[1]; break;
      case TypeKind::Object: {
        const SchemaField* f = t->schema ? t->schema->escaped_field(field) : nullptr;
        if (!f && t->schema) f = keyword_field(*t->schema, field);
        if (f) result = f->schema->type;
        else s_.error(e->place, "undefined field '" + field + "'");
        break;
      }
      case TypeKind::Param:
        bindings_.assignable(&types::dyn, t);
        result = &types::dyn;
        break;
      default:
        if (!dyn_or_error(*t)) s_.error(e->place, "type '" + to_string(*t) + "' does not support field selection");
        result = &types::dyn;
    }
    return was_optional || optional ? pool().optional_of(result) : result;
  }
  // A field that is a keyword may be written as it is ("self.namespace").
  static const SchemaField* keyword_field(const Schema& schema, const std::string& field) {
    std::string escaped;
    return escape(field, escaped) && escaped == "__" + field + "__" ? schema.escaped_field(escaped) : nullptr;
  }

  // Calls.
  void check_call(Expr* e) {
    if (e->text == "_?._") {
      set(e, bindings_.substitute(field_type(e, e->args[0], std::string(e->args[1]->literal.text()), true), false));
      e->args[1]->type = &types::string;
      e->function = find_function(e->text);
      if (e->function) e->overloads = {&e->function->overloads[0]};
      return;
    }
    for (Expr* a : e->args) check(a);
    std::string name = e->text;
    if (e->target && qualified(e->target, name)) {
      name += "." + e->text;
      if (const Function* f = lookup(name)) {
        e->text = name;
        e->target = nullptr;
        return resolve(e, *f);
      }
    }
    if (e->target) check(e->target);
    if (const Function* f = lookup(e->text)) return resolve(e, *f);
    undeclared(e, e->text);
    set(e, &types::error);
  }
  const Function* lookup(std::string_view name) const {
    if (!name.empty() && name[0] == '.') name.remove_prefix(1);
    const Function* f = find_function(name);
    return f && (!f->patches_only || env_.patches()) ? f : nullptr;
  }
  void resolve(Expr* e, const Function& f) {
    std::vector<const Type*> args;
    if (e->target) args.push_back(e->target->type);
    for (const Expr* a : e->args) args.push_back(a->type);
    e->function = &f;
    if (f.name == "_&&_" || f.name == "_||_") return resolve_logical(e, f);
    const Type* result = nullptr;
    for (const Overload& o : f.overloads) {
      if (o.member != (e->target != nullptr)) continue;
      std::map<std::string, const Type*> fresh;
      std::vector<const Type*> wanted;
      for (const Type* t : o.args) wanted.push_back(o.generic ? bindings_.instantiate(t, fresh) : t);
      if (!bindings_.assignable(args, wanted)) continue;
      e->overloads.push_back(&o);
      const Type* t = bindings_.substitute(o.generic ? bindings_.instantiate(o.result, fresh) : o.result, false);
      if (!result) result = t;
      else if (result->kind != TypeKind::Dyn && !same_type(*t, *result)) result = &types::dyn;
    }
    if (result) return set(e, result);
    for (const Type*& t : args) t = bindings_.substitute(t, true);
    s_.error(e->place, "found no matching overload for '" + f.name + "' applied to '" + signature(args, e->target != nullptr) + "'");
    set(e, &types::error);
  }
  void resolve_logical(Expr* e, const Function& f) {
    bool good = true;
    for (const Expr* a : e->args) {
      if (bindings_.assignable(a->type, &types::boolean)) continue;
      mismatch(a, &types::boolean, a->type);
      good = false;
    }
    e->overloads = {&f.overloads[0]};
    set(e, good ? &types::boolean : &types::error);
  }

  // Literals of lists, maps, messages.
  const Type* item_type(const Expr* e, bool optional) {
    const Type* t = e->type;
    if (!optional) return t;
    if (is_optional(*t)) return t->params[0];
    if (t->kind != TypeKind::Dyn) mismatch(e, pool().optional_of(t), t);
    return t;
  }
  const Type* join(const Type* previous, const Type* current) {
    if (!previous) return current;
    if (bindings_.assignable(previous, current)) return most_general(previous, current);
    return &types::dyn;  // validate_literals has a say in it
  }
  void check_list(Expr* e) {
    const Type* item = nullptr;
    for (std::size_t i = 0; i < e->args.size(); ++i) {
      check(e->args[i]);
      item = join(item, item_type(e->args[i], i < e->optional.size() && e->optional[i]));
    }
    set(e, pool().list_of(item ? item : bindings_.fresh()));
  }
  void check_map(Expr* e) {
    const Type *key = nullptr, *value = nullptr;
    for (std::size_t i = 0; i + 1 < e->args.size(); i += 2) {
      check(e->args[i]);
      key = join(key, e->args[i]->type);
      check(e->args[i + 1]);
      value = join(value, item_type(e->args[i + 1], i / 2 < e->optional.size() && e->optional[i / 2]));
    }
    set(e, pool().map_of(key ? key : bindings_.fresh(), value ? value : bindings_.fresh()));
  }
  void check_struct(Expr* e) {
    // Objects that an expression makes are those of patches. Their fields are checked when the patch is applied, but for those
    // of JSONPatch itself.
    bool patch = env_.patches() && e->text == "JSONPatch";
    bool known = patch || (env_.patches() && (e->text == "Object" || e->text.substr(0, 7) == "Object."));
    for (std::size_t i = 0; i < e->args.size(); ++i) {
      check(e->args[i]);
      if (!patch || e->names[i] == "value") continue;
      const std::string& name = e->names[i];
      const Type* found = item_type(e->args[i], i < e->optional.size() && e->optional[i]);
      bool there = name == "op" || name == "path" || name == "from";
      if (!there || !bindings_.assignable(&types::string, found))
        s_.error(e->places[i], "expected type of field '" + name + "' is '" + (there ? "string" : "") + "' but provided type is '" + to_string(*bindings_.substitute(found, false)) + "'");
    }
    if (known) return set(e, pool().object(e->text, nullptr));
    undeclared(e, e->text);
    set(e, &types::error);
  }

  void check_fold(Expr* e) {
    check(e->args[kRange]);
    check(e->args[kInit]);
    const Type* range = bindings_.substitute(e->args[kRange]->type, false);
    const Type* accumulated = e->args[kInit]->type;
    std::size_t depth = scopes_.size();
    scopes_.emplace_back(e->text, accumulated);
    const Type *first = &types::dyn, *second = &types::dyn;
    switch (range->kind) {
      case TypeKind::List:
        first = e->names.size() == 2 ? &types::integer : range->params[0];
        second = range->params[0];
        break;
      case TypeKind::Map:
        first = range->params[0];
        second = range->params[1];
        break;
      case TypeKind::Dyn:
      case TypeKind::Error:
      case TypeKind::Param: bindings_.assignable(&types::dyn, range); break;
      default:
        s_.error(e->args[kRange]->place,
                 "expression of type '" + to_string(*range) + "' cannot be range of a comprehension (must be list, map, or dynamic)");
        first = second = &types::error;
    }
    scopes_.emplace_back(e->names[0], first);
    if (e->names.size() == 2) scopes_.emplace_back(e->names[1], second);
    check(e->args[kCondition]);
    demand(e->args[kCondition], &types::boolean);
    check(e->args[kStep]);
    demand(e->args[kStep], accumulated);
    scopes_.resize(depth + 1);
    check(e->args[kResult]);
    scopes_.resize(depth);
    set(e, bindings_.substitute(e->args[kResult]->type, false));
  }
  void demand(const Expr* e, const Type* wanted) {
    if (!bindings_.assignable(wanted, e->type)) mismatch(e, wanted, e->type);
  }

  // Parameters become what they are bound to.
  void finish(Expr& e) {
    if (e.type) e.type = bindings_.substitute(e.type, true);
    if (e.target) finish(*e.target);
    for (Expr* a : e.args) finish(*a);
  }

  Source& s_;
  const Environment& env_;
  Bindings bindings_;
  std::vector<std::pair<std::string, const Type*>> scopes_;
};

}  // namespace

void check(Source& source, Expr& root, const Environment& environment, Schemas& pool) { Checker(source, environment, pool).run(root); }

}  // namespace onebin::cel
