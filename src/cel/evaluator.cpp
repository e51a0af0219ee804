// Names, selections and indices are resolved as one chain: what a chain costs, and how an optional within it spreads to its end,
// is a matter of the whole. Source: cel-go's interpreter ("attributes").
#include "cel/evaluator.hpp"

#include "cel/cost.hpp"
#include "cel/functions.hpp"
#include "cel/map_value.hpp"
#include "cel/work.hpp"

#include <array>
#include <cmath>

namespace onebin::cel {
namespace {

using Kind = Expr::Kind;
using Form = Expr::Form;

constexpr std::int64_t kWorkLimit = 50'000'000;
constexpr const char* kCancelled = "operation cancelled: actual cost limit exceeded";

Value no_overload() { return Value::error("no such overload"); }

// Go's name of a value's type.
const char* go_type(const Value& v) {
  static constexpr const char* kNames[] = {"*types.Err", "types.Null", "types.Bool", "types.Int", "types.Uint", "types.Double", "types.String",
                                           "types.Bytes", "types.Timestamp", "types.Duration", "traits.Lister", "traits.Mapper", "*types.Type",
                                           "*types.Optional"};
  auto k = static_cast<std::size_t>(v.kind());
  return k < std::size(kNames) ? kNames[k] : "ref.Val";
}

class Evaluator {
 public:
  Evaluator(const Patterns& patterns, const Activation& values, std::uint64_t limit) : patterns_(patterns), values_(values), limit_(limit) {}

  Evaluation run(const Expr& root) {
    WorkLimit work(kWorkLimit);
    Evaluation out;
    out.value = eval(root);
    out.cost_exceeded = stopped();
    if (out.cost_exceeded) out.value = Value::error(kCancelled);
    out.cost = cost_;
    return out;
  }

 private:
  struct Local {
    const std::string* name;
    Value value;
    const Expr* init = nullptr;  // not yet evaluated
  };

  bool stopped() const { return exceeded_ || exhausted(); }
  void charge(std::uint64_t cost) {
    cost_ = cost > kMostCost - cost_ ? kMostCost : cost_ + cost;
    if (cost_ > limit_) exceeded_ = true;
  }

  Value eval(const Expr& e) {
    if (stopped()) return Value::error(kCancelled);
    if (e.constant) return e.literal;
    switch (e.kind) {
      case Kind::Literal: return e.literal;
      case Kind::Ident:
      case Kind::Select: return attribute(e);
      case Kind::Call: return call(e);
      case Kind::List: return list(e);
      case Kind::Map: return map(e);
      case Kind::Struct: return object(e);
      case Kind::Comprehension: return fold(e);
      default: return no_overload();
    }
  }

  // Chains.
  static bool is_step(const Expr& e) {
    return !e.constant && (e.kind == Kind::Select || (e.kind == Kind::Call && (e.form == Form::Index || e.form == Form::OptionalIndex || e.form == Form::OptionalSelect)));
  }
  static bool is_attribute(const Expr& e) {
    return !e.constant && (e.kind == Kind::Ident || is_step(e) || (e.kind == Kind::Call && e.form == Form::Conditional));
  }
  static const Expr& operand(const Expr& step) { return step.kind == Kind::Select ? *step.target : *step.args[0]; }

  Value attribute(const Expr& e) {
    std::vector<const Expr*> steps;
    Value v = resolve(e, steps);
    const Expr* base = &e;
    while (is_step(*base)) base = &operand(*base);
    bool conditional = !base->constant && base->kind == Kind::Call && base->form == Form::Conditional;
    bool test = e.kind == Kind::Select && e.test_only;
    if (!conditional && !test) charge(1);
    if (test && v.is(ValueKind::Optional)) return Value::boolean(v.has_optional());
    return v;
  }
  // The value of a chain with `after`, innermost last, still to be applied to it.
  Value resolve(const Expr& e, std::vector<const Expr*>& after) {
    const Expr* base = &e;
    while (is_step(*base)) {
      after.push_back(base);
      base = &operand(*base);
    }
    Value v;
    if (!base->constant && base->kind == Kind::Ident) {
      v = variable(*base);
    } else if (!base->constant && base->kind == Kind::Call && base->form == Form::Conditional) {
      Value condition = eval(*base->args[0]);
      if (!condition.is(ValueKind::Bool)) return condition.is_error() ? condition : no_overload();
      const Expr& branch = *base->args[condition.is_true() ? 1 : 2];
      if (is_attribute(branch)) return resolve(branch, after);
      v = eval(branch);
    } else {
      v = eval(*base);
    }
    return v.is_error() ? v : apply(std::move(v), after);
  }
  Value apply(Value v, const std::vector<const Expr*>& steps) {
    bool optional = v.is(ValueKind::Optional);
    if (optional) {
      if (!v.has_optional()) return v;
      v = Value(v.optional_value());
    }
    for (auto it = steps.rbegin(); it != steps.rend(); ++it) {
      const Expr& step = **it;
      optional = optional || step.form == Form::OptionalIndex || step.form == Form::OptionalSelect;
      Value key = key_of(step);
      if (key.is_error()) {
        charge(1);
        return key;
      }
      bool test = step.kind == Kind::Select && step.test_only;
      bool present = true;
      Value next = qualify(v, key, optional || test, present);
      if (present || test || !optional) charge(1);
      if (next.is_error()) return next;
      if (test && !optional) next = Value::boolean(present);
      else if (!present) return Value::optional_none();
      v = std::move(next);
    }
    return optional ? Value::optional_of(std::move(v)) : v;
  }
  Value key_of(const Expr& step) {
    if (step.kind == Kind::Select) return Value::string(step.text);
    const Expr& key = *step.args[1];
    if (key.constant || key.kind == Kind::Literal) return key.literal;
    Value v;
    if (is_attribute(key)) {
      std::vector<const Expr*> steps;
      v = resolve(key, steps);
    } else {
      v = eval(key);
    }
    switch (v.kind()) {
      case ValueKind::Error: case ValueKind::String: case ValueKind::Int: case ValueKind::Uint: case ValueKind::Bool: case ValueKind::Double:
        return v;
      default: return Value::error(std::string("invalid qualifier type: ") + go_type(v));
    }
  }
  // A member of a value. `lenient`: what is not there is no error, but not present.
  static Value qualify(const Value& v, const Value& key, bool lenient, bool& present) {
    if (v.is_error()) return v;
    Value out;
    if (v.is(ValueKind::Map)) {
      present = v.find(key, out);
      if (present || lenient) return out;
      return Value::error("no such key: " + display(key));
    }
    if (v.is(ValueKind::List)) {
      std::int64_t i = 0;
      if (Value problem = index(key, i); problem.is_error()) return problem;
      present = i >= 0 && static_cast<std::uint64_t>(i) < v.size();
      if (present) return v.at(static_cast<std::size_t>(i));
      return lenient ? out : Value::error("index out of bounds: " + display(key));
    }
    present = false;
    return lenient ? out : Value::error("no such key: " + display(key));
  }
  static Value index(const Value& key, std::int64_t& i) {
    auto unsupported = [&] { return Value::error("unsupported index value " + display(key) + " in list"); };
    switch (key.kind()) {
      case ValueKind::Int: i = key.as_int(); return {};
      case ValueKind::Uint:
        if (key.as_uint() > INT64_MAX) return unsupported();
        i = key.as_int();
        return {};
      case ValueKind::Double: {
        double d = key.as_double();
        if (d != std::floor(d) || d < -0x1p63 || d >= 0x1p63) return unsupported();
        i = static_cast<std::int64_t>(d);
        return {};
      }
      default: return Value::error("unsupported index type '" + key.type_of().name + "' in list");
    }
  }

  // Variables.
  Value variable(const Expr& e) {
    if (e.local) return local(e.text);
    const Value* v = values_.find(e.text);
    return v ? *v : Value::error("no such attribute(s): " + e.text);
  }
  Value local(const std::string& name) {
    for (std::size_t i = visible_; i-- > 0;) {
      if (*locals_[i].name != name) continue;
      settle(i);
      return locals_[i].value;
    }
    return Value::error("no such attribute(s): " + name);
  }
  // An accumulator begins with what its expression says outside of the comprehension, once somebody asks.
  void settle(std::size_t i) {
    const Expr* init = locals_[i].init;
    if (!init) return;
    locals_[i].init = nullptr;
    std::size_t before = visible_;
    std::vector<Local> above(std::make_move_iterator(locals_.begin() + static_cast<std::ptrdiff_t>(i) + 1), std::make_move_iterator(locals_.end()));
    locals_.resize(i + 1);
    visible_ = i;
    Value v = eval(*init);
    visible_ = before;
    locals_[i].value = std::move(v);
    std::move(above.begin(), above.end(), std::back_inserter(locals_));
  }
  void push(const std::string& name, Value value, const Expr* init = nullptr) {
    locals_.resize(visible_);
    locals_.push_back({&name, std::move(value), init});
    visible_ = locals_.size();
  }
  void pop(std::size_t to) {
    locals_.resize(to);
    visible_ = to;
  }

  // Calls.
  Value call(const Expr& e) {
    switch (e.form) {
      case Form::And:
      case Form::Or: return logical(e);
      case Form::Conditional:
      case Form::Index:
      case Form::OptionalIndex:
      case Form::OptionalSelect: return attribute(e);
      case Form::OptionalOr:
      case Form::OptionalOrValue: {
        Value v = eval(*e.target);
        if (v.is_error()) return v;
        if (!v.is(ValueKind::Optional)) return no_overload();
        if (!v.has_optional()) return eval(*e.args[0]);
        return e.form == Form::OptionalOr ? v : v.optional_value();
      }
      case Form::NotStrictlyFalse: {
        Value v = eval(*e.args[0]);
        charge(1);
        return v.is(ValueKind::Bool) ? v : Value::boolean(true);
      }
      case Form::InConstants: {
        Value v = eval(*e.args[0]);
        if (v.is_error()) return v;
        Value there;
        return Value::boolean(e.literal.find(v, there));
      }
      case Form::Append:
      case Form::Insert: return accumulate(e);
      default: return plain(e);
    }
  }
  Value logical(const Expr& e) {
    bool any = e.form == Form::Or;
    Value problem;
    bool failed = false;
    for (const Expr* a : e.args) {
      Value v = eval(*a);
      if (any ? v.is_true() : v.is_false()) return v;
      if (v.is(ValueKind::Bool) || failed) continue;
      problem = v.is_error() ? std::move(v) : no_overload();
      failed = true;
    }
    return failed ? problem : Value::boolean(!any);
  }
  Value plain(const Expr& e) {
    std::array<Value, 5> args;
    std::size_t n = 0, total = e.args.size() + (e.target ? 1 : 0);
    Value failed;
    bool error = false;
    for (std::size_t i = 0; i < total && n < args.size(); ++i) {
      args[n] = eval(e.target ? (i == 0 ? *e.target : *e.args[i - 1]) : *e.args[i]);
      if (args[n].is_error() && !error) failed = args[n], error = true;
      ++n;
      if (error && total > 2) return failed;  // what comes after is not evaluated, and the call costs nothing
    }
    std::span<const Value> given(args.data(), n);
    const Overload* known = e.overloads.size() == 1 ? e.overloads[0] : nullptr;
    if (std::uint64_t least = cost_beforehand(e, given); !error && least > limit_ - std::min(cost_, limit_)) {
      charge(least);
      return Value::error(kCancelled);
    }
    Value result = error ? failed : invoke(e, given);
    charge(call_cost(e, known, given, result));
    return result;
  }
  Value invoke(const Expr& e, std::span<const Value> args) {
    if (e.form == Form::Equal) return equal(args[0], args[1]);
    if (e.form == Form::NotEqual) return Value::boolean(!equal(args[0], args[1]).is_true());
    const Function& f = *e.function;
    if (!f.run) return no_overload();
    CallSite site{args, nullptr, nullptr};
    if (auto it = patterns_.find(&e); it != patterns_.end()) site.regex = it->second.get();
    if (f.guard == Guard::Operand && !(f.operands & (1U << static_cast<unsigned>(args[0].kind())))) {
      // Values that have members of their own, and patterns made beforehand, say less.
      bool brief = site.regex || args[0].is(ValueKind::String) || args[0].is(ValueKind::Timestamp) || args[0].is(ValueKind::Duration);
      return brief ? no_overload() : Value::error("no such overload: " + f.name);
    }
    if (f.guard != Guard::Guarded) return f.run(site);
    for (const Overload* o : e.overloads) {
      bool good = o->args.size() == args.size();
      for (std::size_t i = 0; good && i < args.size(); ++i) good = fits(*o->args[i], args[i]);
      if (!good) continue;
      site.overload = o;
      return f.run(site);
    }
    std::string types;
    for (const Value& a : args) types += (types.empty() ? "" : ", ") + a.type_of().name;
    return Value::error("no such overload: " + f.name + "(" + types + ")");
  }
  // A macro's step: the accumulator, which is the innermost one, grows in place.
  Value accumulate(const Expr& e) {
    std::size_t at = visible_;
    while (at > 0 && *locals_[at - 1].name != e.args[0]->text) --at;
    if (at-- == 0) return no_overload();
    settle(at);
    charge(1);
    bool list = e.form == Form::Append;
    std::array<Value, 3> args;
    std::size_t n = 1;
    if (list) {
      args[n++] = eval(*e.args[1]);
    } else {
      for (; n < e.args.size() && n < args.size(); ++n) args[n] = eval(*e.args[n]);
    }
    args[0] = std::move(locals_[at].value);
    locals_[at].value = Value();
    Value result;
    for (std::size_t i = 0; i < n && !result.is_error(); ++i)
      if (args[i].is_error()) result = args[i];
    if (!result.is_error()) {
      if (list && args[0].is(ValueKind::List) && args[1].is(ValueKind::List) && args[1].size() == 1) {
        result = Value::appended(std::move(args[0]), args[1].at(0));
      } else if (!list && n == 3 && args[0].is(ValueKind::Map)) {
        result = Value::inserted(std::move(args[0]), args[1], args[2]);
      } else {
        Value given[] = {std::move(args[0]), args[1]};
        result = invoke(e, given);
      }
    }
    charge(1);
    return result;
  }

  // Makers.
  Value list(const Expr& e) {
    Values out;
    for (std::size_t i = 0; i < e.args.size(); ++i) {
      Value v = eval(*e.args[i]);
      if (v.is_error()) return charge(kListCost), v;
      if (i < e.optional.size() && e.optional[i]) {
        if (!v.is(ValueKind::Optional)) return charge(kListCost), Value::error("cannot initialize optional list element from non-optional value " + display(v));
        if (!v.has_optional()) continue;
        v = Value(v.optional_value());
      }
      out.push_back(std::move(v));
    }
    charge(kListCost);
    return Value::list(std::move(out));
  }
  Value map(const Expr& e) {
    auto out = std::make_shared<HashMap>();
    for (std::size_t i = 0; i + 1 < e.args.size(); i += 2) {
      Value key = eval(*e.args[i]);
      Value v = key.is_error() ? key : eval(*e.args[i + 1]);
      if (v.is_error()) return charge(kMapCost), v;
      if (i / 2 < e.optional.size() && e.optional[i / 2]) {
        if (!v.is(ValueKind::Optional))
          return charge(kMapCost), Value::error("cannot initialize optional entry '" + display(key) + "' from non-optional value " + display(v));
        if (!v.has_optional()) continue;
        v = Value(v.optional_value());
      }
      out->put(std::move(key), std::move(v));
    }
    charge(kMapCost);
    return Value::map(std::shared_ptr<const MapValue>(std::move(out)));
  }
  // An object of a patch: a map of its fields.
  Value object(const Expr& e) {
    auto out = std::make_shared<HashMap>();
    out->object_type = e.text;
    for (std::size_t i = 0; i < e.args.size(); ++i) {
      Value v = eval(*e.args[i]);
      if (v.is_error()) return charge(kObjectCost), v;
      if (i < e.optional.size() && e.optional[i]) {
        if (!v.is(ValueKind::Optional))
          return charge(kObjectCost), Value::error("cannot initialize optional entry '" + e.names[i] + "' from non-optional value " + display(v));
        if (!v.has_optional()) continue;
        v = Value(v.optional_value());
      }
      std::string name;
      out->put(Value::string(unescape(e.names[i], name) ? name : e.names[i]), std::move(v));
    }
    charge(kObjectCost);
    return Value::map(std::shared_ptr<const MapValue>(std::move(out)));
  }

  Value fold(const Expr& e) {
    Value range = eval(*e.args[kRange]);
    if (range.is_error()) return range;
    bool two = e.names.size() == 2, map = range.is(ValueKind::Map);
    if (!map && !range.is(ValueKind::List))
      return Value::error(two ? std::string("unsupported comprehension range type: ") + go_type(range)
                              : std::string("got '") + go_type(range) + "', expected iterable type");
    std::size_t base = visible_;
    push(e.text, Value(), e.args[kInit]);
    Values keys;
    if (map) keys = range.keys();
    std::size_t n = map ? keys.size() : range.size();
    for (std::size_t i = 0; i < n && !stopped(); ++i) {
      if (two) {
        Value item;
        if (map) range.find(keys[i], item);
        else item = range.at(i);
        push(e.names[0], map ? keys[i] : Value::integer(static_cast<std::int64_t>(i)));
        push(e.names[1], std::move(item));
      } else {
        push(e.names[0], map ? keys[i] : range.at(i));
      }
      Value go_on = eval(*e.args[kCondition]);
      if (go_on.is_false()) {
        pop(base + 1);
        break;
      }
      Value step = eval(*e.args[kStep]);
      pop(base + 1);
      locals_[base].value = std::move(step);
      locals_[base].init = nullptr;
    }
    Value result = eval(*e.args[kResult]);
    pop(base);
    return result;
  }

  const Patterns& patterns_;
  const Activation& values_;
  std::uint64_t limit_, cost_ = 0;
  bool exceeded_ = false;
  std::vector<Local> locals_;
  std::size_t visible_ = 0;
};

}  // namespace

Evaluation evaluate(const Expr& root, const Patterns& patterns, const Activation& values, std::uint64_t limit) {
  return Evaluator(patterns, values, limit).run(root);
}

}  // namespace onebin::cel
