// What is looked at once an expression is sound.
#include "cel/checker.hpp"
#include "cel/format_clause.hpp"
#include "cel/functions.hpp"

namespace onebin::cel {
namespace {

using Kind = Expr::Kind;

bool equivalent(const Type& a, const Type& b) {
  if (a.kind != b.kind || a.params.size() != b.params.size() || (a.kind != TypeKind::Param && a.name != b.name)) return false;
  for (std::size_t i = 0; i < a.params.size(); ++i)
    if (!equivalent(*a.params[i], *b.params[i])) return false;
  return true;
}

class Validator {
 public:
  explicit Validator(Source& s) : s_(s) {}

  void visit(const Expr& e) {
    if (e.kind == Kind::Call) call(e);
    if (formats_ == 0 && e.kind == Kind::List) list(e);
    if (formats_ == 0 && e.kind == Kind::Map) map(e);
    bool format = e.kind == Kind::Call && e.text == "format";
    formats_ += format;
    if (e.target) visit(*e.target);
    for (const Expr* a : e.args) visit(*a);
    formats_ -= format;
  }

 private:
  void call(const Expr& e) {
    if (e.args.empty() || e.args[0]->kind != Kind::Literal) return format_call(e);
    const Expr& a = *e.args[0];
    std::string problem;
    bool bad = false;
    if (e.text == "matches") bad = !make_regex(a.literal.text(), problem);
    else if (e.text == "duration" || e.text == "timestamp") bad = e.function && e.function->run({{&a.literal, 1}, nullptr, nullptr}).is_error();
    if (bad) s_.error(a.place, "invalid " + e.text + " argument");
  }

  void mismatch(const Expr& at, const Type& wanted, const Type& found) {
    s_.error(at.place, "expected type '" + to_string(wanted) + "' but found '" + to_string(found) + "'");
  }
  static const Type* item(const Expr& owner, std::size_t i, const Expr& e) {
    bool optional = i < owner.optional.size() && owner.optional[i];
    return optional && !e.type->params.empty() ? e.type->params[0] : e.type;
  }
  void list(const Expr& e) {
    const Type* first = nullptr;
    for (std::size_t i = 0; i < e.args.size(); ++i) {
      const Type* t = item(e, i, *e.args[i]);
      if (!first) first = t;
      else if (!equivalent(*first, *t)) return mismatch(*e.args[i], *first, *t);
    }
  }
  void map(const Expr& e) {
    const Type *key = nullptr, *value = nullptr;
    for (std::size_t i = 0; i + 1 < e.args.size(); i += 2) {
      const Type *k = e.args[i]->type, *v = item(e, i / 2, *e.args[i + 1]);
      if (!key) {
        key = k, value = v;
        continue;
      }
      if (!equivalent(*key, *k)) mismatch(*e.args[i], *key, *k);
      if (!equivalent(*value, *v)) mismatch(*e.args[i + 1], *value, *v);
    }
  }

  // A literal text with a literal list is checked clause by clause.
  void format_call(const Expr& e) {
    if (e.text != "format" || !e.target || e.target->kind != Kind::Literal || !e.target->literal.is(ValueKind::String) || e.args.size() != 1 ||
        e.args[0]->kind != Kind::List)
      return;
    const std::vector<Expr*>& args = e.args[0]->args;
    FormatReader reader(e.target->literal.text());
    std::string plain, problem;
    std::size_t n = 0;
    for (; reader.more(plain); ++n) {
      FormatClause clause;
      if (!reader.clause(clause, problem)) return s_.error(e.place, problem);
      if (n >= args.size()) return s_.error(e.place, "index " + std::to_string(n) + " out of range");
      if (const Expr* bad = misfit(clause.verb, *args[n])) return s_.error(bad->place, wrong_type(clause.verb, bad->type->name));
    }
    if (args.size() > n)
      s_.error(e.place, "too many arguments supplied to string.format (expected " + std::to_string(n) + ", got " + std::to_string(args.size()) + ")");
  }
  static bool one_of(TypeKind kind, std::initializer_list<TypeKind> kinds) {
    for (TypeKind k : kinds)
      if (k == kind) return true;
    return false;
  }
  // The part of an argument that a clause does not take.
  static const Expr* misfit(char verb, const Expr& e) {
    using enum TypeKind;
    TypeKind k = e.type->kind;
    if (k == Dyn) return nullptr;
    bool good = verb == 's'   ? one_of(k, {List, Map, Int, Uint, Double, Bool, String, Timestamp, Bytes, Duration, Type, Null})
                : verb == 'b' ? one_of(k, {Int, Uint, Bool})
                : verb == 'f' || verb == 'e' ? one_of(k, {Double, String})
                : verb == 'x' || verb == 'X' ? one_of(k, {Int, Uint, String, Bytes})
                                             : one_of(k, {Int, Uint});
    if (!good) return &e;
    if (verb == 's' && (e.kind == Kind::List || e.kind == Kind::Map))
      for (const Expr* a : e.args)
        if (const Expr* bad = misfit(verb, *a)) return bad;
    return nullptr;
  }

  Source& s_;
  int formats_ = 0;
};

}  // namespace

void validate_literals(Source& source, const Expr& root) { Validator(source).visit(root); }

}  // namespace onebin::cel
