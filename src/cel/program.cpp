#include <onebin/cel/program.hpp>

#include "cel/checker.hpp"
#include "cel/cost.hpp"
#include "cel/evaluator.hpp"
#include "cel/functions.hpp"
#include "cel/map_value.hpp"

#include <algorithm>

namespace onebin::cel {
namespace {

using Kind = Expr::Kind;
using Form = Expr::Form;

bool is_constant(const Expr& e) { return e.constant || e.kind == Kind::Literal; }

class Planner {
 public:
  Planner(Patterns& patterns, std::string& problem) : patterns_(patterns), problem_(problem) {}

  bool visit(Expr& e) {
    if (e.target && !visit(*e.target)) return false;
    for (Expr* a : e.args)
      if (!visit(*a)) return false;
    if (e.kind == Kind::Call) return call(e);
    if ((e.kind == Kind::List || e.kind == Kind::Map) && std::all_of(e.args.begin(), e.args.end(), [](const Expr* a) { return is_constant(*a); })) literal(e);
    return true;
  }

 private:
  static void literal(Expr& e) {
    if (std::find(e.optional.begin(), e.optional.end(), true) != e.optional.end()) return;
    if (e.kind == Kind::List) {
      Values items;
      for (const Expr* a : e.args) items.push_back(a->literal);
      e.literal = Value::list(std::move(items));
    } else {
      std::vector<std::pair<Value, Value>> entries;
      for (std::size_t i = 0; i + 1 < e.args.size(); i += 2) entries.emplace_back(e.args[i]->literal, e.args[i + 1]->literal);
      e.literal = Value::map(std::move(entries));
    }
    e.constant = true;
  }
  bool call(Expr& e) {
    static constexpr std::pair<std::string_view, Form> kForms[] = {
        {"_&&_", Form::And}, {"_||_", Form::Or}, {"_?_:_", Form::Conditional}, {"_==_", Form::Equal}, {"_!=_", Form::NotEqual},
        {"_[_]", Form::Index}, {"_[?_]", Form::OptionalIndex}, {"_?._", Form::OptionalSelect}, {"@not_strictly_false", Form::NotStrictlyFalse},
        {"or", Form::OptionalOr}, {"orValue", Form::OptionalOrValue}};
    if (e.form == Form::Append || e.form == Form::Insert) return true;
    for (const auto& [name, form] : kForms)
      if (e.text == name) e.form = form;
    if (e.text == "@in" && e.overloads.size() == 1 && e.overloads[0]->id == "in_list" && is_constant(*e.args[1])) membership(e);
    if ((e.text == "matches" || e.text == "find" || e.text == "findAll")) return pattern(e);
    return e.target || e.args.size() != 1 || !is_constant(*e.args[0]) || conversion(e);
  }
  // What is a member of a list of constants is looked up.
  static void membership(Expr& e) {
    const Value& list = e.args[1]->literal;
    if (list.size() == 0) {
      e.literal = Value::boolean(false);
      e.constant = true;
      return;
    }
    std::vector<std::pair<Value, Value>> entries;
    for (std::size_t i = 0; i < list.size(); ++i) {
      Value item = list.at(i);
      switch (item.kind()) {
        case ValueKind::Bool: case ValueKind::Int: case ValueKind::Uint: case ValueKind::Double: case ValueKind::String: break;
        default: return;
      }
      entries.emplace_back(item, Value::boolean(true));
    }
    e.literal = Value::map(std::move(entries));
    e.form = Form::InConstants;
  }
  bool pattern(Expr& e) {
    const Expr* p = e.target ? (e.args.empty() ? nullptr : e.args[0]) : e.args.size() > 1 ? e.args[1] : nullptr;
    if (!p || !is_constant(*p) || !p->literal.is(ValueKind::String)) return true;
    auto re = make_regex(p->literal.text(), problem_);
    if (!re) return false;
    patterns_[&e] = std::move(re);
    return true;
  }
  bool conversion(Expr& e) {
    static constexpr std::string_view kNames[] = {"bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"};
    if (std::find(std::begin(kNames), std::end(kNames), e.text) == std::end(kNames)) return true;
    Evaluation made = evaluate(e, patterns_, Variables(), kMostCost);
    if (made.value.is_error()) {
      problem_ = made.value.text();
      return false;
    }
    e.literal = std::move(made.value);
    e.constant = true;
    return true;
  }

  Patterns& patterns_;
  std::string& problem_;
};

class CompiledProgram : public Program {
 public:
  const Type& result_type() const override { return *root_->type; }
  bool uses(std::string_view variable) const override { return uses(*root_, variable); }
  Evaluation evaluate(const Activation& values, std::uint64_t limit) const override { return cel::evaluate(*root_, patterns_, values, limit); }
  std::uint64_t estimated_cost() const override { return estimate_; }

  Status compile(std::string_view text, const Environment& environment) {
    Source source(text);
    root_ = parse(source, tree_);
    if (root_) check(source, *root_, environment, pool_);
    if (root_ && !source.has_errors()) validate_literals(source, *root_);
    if (source.has_errors() || !root_) return Status(Reason::Invalid, source.display());
    estimate_ = estimate_cost(*root_, environment);
    std::string problem;
    if (!plan(*root_, patterns_, problem)) failure_ = problem;
    return {};
  }
  const std::string& failure() const { return failure_; }

 private:
  static bool uses(const Expr& e, std::string_view variable) {
    if (e.kind == Expr::Kind::Ident && !e.local && !e.constant && e.text == variable) return true;
    if (e.target && uses(*e.target, variable)) return true;
    return std::any_of(e.args.begin(), e.args.end(), [&](const Expr* a) { return uses(*a, variable); });
  }

  Schemas pool_;
  Tree tree_;
  Patterns patterns_;
  Expr* root_ = nullptr;
  std::uint64_t estimate_ = 0;
  std::string failure_;
};

}  // namespace

bool plan(Expr& root, Patterns& patterns, std::string& problem) { return Planner(patterns, problem).visit(root); }

void Environment::declare(std::string name, const Type* type, const Schema* schema) { variables_.push_back({std::move(name), type, schema}); }

const Environment::Variable* Environment::find(std::string_view name) const {
  for (const Variable& v : variables_)
    if (v.name == name) return &v;
  return nullptr;
}

void Variables::set(std::string_view name, Value value) {
  for (auto& [n, v] : values_)
    if (n == name) return void(v = std::move(value));
  values_.emplace_back(name, std::move(value));
}
const Value* Variables::find(std::string_view name) const {
  for (const auto& [n, v] : values_)
    if (n == name) return &v;
  return nullptr;
}

Result<std::shared_ptr<const Program>> compile(std::string_view expression, const Environment& environment) {
  auto program = std::make_shared<CompiledProgram>();
  Status status = program->compile(expression, environment);
  if (!status) return status;
  if (!program->failure().empty()) return Status(Reason::BadRequest, program->failure());
  return std::shared_ptr<const Program>(std::move(program));
}

}  // namespace onebin::cel
