// The macros: calls that are comprehensions in disguise. Source: the language's specification, "Macros"; cel-go's extension
// "TwoVarComprehensions" and "Lists" (sortBy); optional types (optMap, optFlatMap).
#include "cel/ast.hpp"

namespace onebin::cel {
namespace {

using Kind = Expr::Kind;

// What a copied target may hold: copies of copies grow exponentially.
constexpr std::size_t kNodeLimit = 200'000;

struct Builder {
  Source& source;
  Tree& tree;
  std::int32_t place;

  Expr* literal(Value v) {
    Expr* e = tree.make(Kind::Literal, place);
    e->literal = std::move(v);
    return e;
  }
  Expr* ident(std::string name) {
    Expr* e = tree.make(Kind::Ident, place);
    e->text = std::move(name);
    return e;
  }
  Expr* accumulator() { return ident(kAccumulator); }
  Expr* call(std::string name, std::vector<Expr*> args, Expr* target = nullptr) {
    Expr* e = tree.make(Kind::Call, place);
    e->text = std::move(name);
    e->args = std::move(args);
    e->target = target;
    return e;
  }
  Expr* list(std::vector<Expr*> items) {
    Expr* e = tree.make(Kind::List, place);
    e->args = std::move(items);
    return e;
  }
  Expr* map() { return tree.make(Kind::Map, place); }
  Expr* fold(Expr* range, std::vector<std::string> variables, Expr* init, Expr* condition, Expr* step, Expr* result,
             std::string accumulator = kAccumulator) {
    Expr* e = tree.make(Kind::Comprehension, place);
    e->text = std::move(accumulator);
    e->names = std::move(variables);
    e->args = {range, init, condition, step, result};
    return e;
  }
  Expr* error(const Expr* at, std::string message) {
    source.error(at->place, std::move(message));
    return nullptr;
  }
  // Appending in place: the accumulator is nobody else's.
  Expr* append(Expr* item) {
    Expr* e = call("_+_", {accumulator(), list({item})});
    e->form = Expr::Form::Append;
    return e;
  }
  Expr* guarded(Expr* filter, Expr* step) { return filter ? call("_?_:_", {filter, step, accumulator()}) : step; }
};

bool clashes(const std::string& name) { return name == kAccumulator || name == "__result__"; }

// The variables of the first `count` arguments; false when one of them is none.
bool variables(Builder& b, const std::vector<Expr*>& args, std::size_t count, const char* not_a_name, std::vector<std::string>& out) {
  for (std::size_t i = 0; i < count; ++i) {
    if (args[i]->kind != Kind::Ident) return b.error(args[i], not_a_name), false;
    out.push_back(args[i]->text);
  }
  if (count == 2 && out[0] == out[1]) return b.error(args[1], "duplicate variable name: " + out[0]), false;
  for (std::size_t i = 0; i < count; ++i)
    if (clashes(out[i])) return b.error(args[i], "iteration variable overwrites accumulator variable"), false;
  return true;
}

Expr* quantifier(Builder& b, char kind, Expr* target, std::vector<Expr*>& args) {
  std::vector<std::string> names;
  if (!variables(b, args, args.size() - 1, "argument must be a simple name", names)) return nullptr;
  Expr* predicate = args.back();
  if (kind == 'a')
    return b.fold(target, names, b.literal(Value::boolean(true)), b.call("@not_strictly_false", {b.accumulator()}),
                  b.call("_&&_", {b.accumulator(), predicate}), b.accumulator());
  if (kind == 'e')
    return b.fold(target, names, b.literal(Value::boolean(false)), b.call("@not_strictly_false", {b.call("!_", {b.accumulator()})}),
                  b.call("_||_", {b.accumulator(), predicate}), b.accumulator());
  Expr* step = b.call("_?_:_", {predicate, b.call("_+_", {b.accumulator(), b.literal(Value::integer(1))}), b.accumulator()});
  return b.fold(target, names, b.literal(Value::integer(0)), b.literal(Value::boolean(true)), step,
                b.call("_==_", {b.accumulator(), b.literal(Value::integer(1))}));
}

// map, filter, transformList, transformMap, transformMapEntry.
Expr* transform(Builder& b, char kind, Expr* target, std::vector<Expr*>& args) {
  bool two = kind == 'L' || kind == 'M' || kind == 'E';
  std::size_t count = two ? 2 : 1;
  std::vector<std::string> names;
  if (!variables(b, args, count, two ? "argument must be a simple name" : "argument is not an identifier", names)) return nullptr;
  Expr* filter = kind == 'f' || args.size() == count + 2 ? args[count] : nullptr;
  Expr* value = kind == 'f' ? args[0] : args.back();
  Expr* step = nullptr;
  if (kind == 'M' || kind == 'E') {
    step = b.call("cel.@mapInsert", {b.accumulator()});
    if (kind == 'M') step->args.push_back(b.ident(names[0]));
    step->args.push_back(value);
    step->form = Expr::Form::Insert;
  } else {
    step = b.append(value);
  }
  bool map = kind == 'M' || kind == 'E';
  return b.fold(target, names, map ? b.map() : b.list({}), b.literal(Value::boolean(true)), b.guarded(filter, step), b.accumulator());
}

// A value bound to a name for one expression.
Expr* bind(Builder& b, std::string name, Expr* value, Expr* result) {
  return b.fold(b.list({}), {kUnusedVariable}, value, b.literal(Value::boolean(false)), b.ident(name), result, name);
}

Expr* optional_map(Builder& b, bool flat, Expr* target, std::vector<Expr*>& args) {
  const char* name = flat ? "optFlatMap" : "optMap";
  if (args[0]->kind != Kind::Ident) return b.error(args[0], std::string(name) + "() variable name must be a simple identifier");
  if (b.tree.size() > kNodeLimit) return b.error(args[0], "expression is too large");
  Expr* result = bind(b, args[0]->text, b.call("value", {}, b.tree.copy(*target)), args[1]);
  if (!flat) result = b.call("optional.of", {result});
  return b.call("_?_:_", {b.call("hasValue", {}, target), result, b.call("optional.none", {})});
}

Expr* sort_by(Builder& b, Expr* target, std::vector<Expr*>& args) {
  static constexpr const char* kInput = "@__sortBy_input__";
  if (target->kind == Kind::Literal || target->kind == Kind::Map || target->kind == Kind::Struct)
    return b.error(target, "sortBy can only be applied to a list, identifier, comprehension, call or select expression");
  Expr* keys = transform(b, 'm', b.ident(kInput), args);
  if (!keys) return nullptr;
  return bind(b, kInput, target, b.call("@sortByAssociatedKeys", {keys}, b.ident(kInput)));
}

struct Macro {
  const char* name;
  std::size_t arguments;
  char family, kind;
};
constexpr Macro kMacros[] = {
    {"all", 2, 'q', 'a'}, {"exists", 2, 'q', 'e'}, {"exists_one", 2, 'q', '1'}, {"existsOne", 2, 'q', '1'},
    {"all", 3, 'q', 'a'}, {"exists", 3, 'q', 'e'}, {"exists_one", 3, 'q', '1'}, {"existsOne", 3, 'q', '1'},
    {"map", 2, 't', 'm'}, {"map", 3, 't', 'm'}, {"filter", 2, 't', 'f'},
    {"transformList", 3, 't', 'L'}, {"transformList", 4, 't', 'L'}, {"transformMap", 3, 't', 'M'}, {"transformMap", 4, 't', 'M'},
    {"transformMapEntry", 3, 't', 'E'}, {"transformMapEntry", 4, 't', 'E'},
    {"optMap", 2, 'o', 'm'}, {"optFlatMap", 2, 'o', 'f'}, {"sortBy", 2, 's', 's'}};

}  // namespace

Expr* expand_macro(Source& source, Tree& tree, const std::string& name, Expr* target, std::vector<Expr*>& args, std::int32_t place) {
  Builder b{source, tree, place};
  if (!target) {
    if (name != "has" || args.size() != 1) return nullptr;
    if (args[0]->kind != Kind::Select) return b.error(args[0], "invalid argument to has() macro");
    Expr* e = tree.make(Kind::Select, place);
    e->test_only = true;
    e->text = args[0]->text;
    e->target = args[0]->target;
    return e;
  }
  for (const Macro& m : kMacros) {
    if (name != m.name || args.size() != m.arguments) continue;
    if (m.family == 'q') return quantifier(b, m.kind, target, args);
    if (m.family == 't') return transform(b, m.kind, target, args);
    if (m.family == 'o') return optional_map(b, m.kind == 'f', target, args);
    return sort_by(b, target, args);
  }
  return nullptr;
}

}  // namespace onebin::cel
