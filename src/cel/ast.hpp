// The tree of an expression: what the parser makes (macros already expanded), the checker annotates and the evaluator walks.
#pragma once
#include <onebin/cel/value.hpp>

#include "cel/source.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace onebin::cel {

struct Function;
struct Overload;

struct Expr {
  enum class Kind : std::uint8_t { None, Literal, Ident, Select, Call, List, Map, Struct, Comprehension };
  // What the evaluator treats on its own. Append, Insert: a macro's accumulation, done in place.
  enum class Form : std::uint8_t {
    Plain, And, Or, Conditional, Equal, NotEqual, Index, OptionalIndex, OptionalSelect, NotStrictlyFalse, OptionalOr, OptionalOrValue,
    Append, Insert, InConstants,
  };
  Kind kind = Kind::None;
  Form form = Form::Plain;
  bool test_only = false;  // Select: has()
  bool constant = false;   // its value is `literal`, known beforehand
  bool local = false;      // Ident: a comprehension's variable
  std::uint16_t depth = 0;  // of operators and selections below it
  std::int32_t place = kNoPlace;
  std::string text;        // Ident: name; Select: field; Call: function; Struct: type; Comprehension: the accumulator's name
  Value literal;
  Expr* target = nullptr;  // Select: operand; Call of a member: receiver
  // Call: arguments. List: items. Map: key, value, key, value. Struct: values. Comprehension: see below.
  std::vector<Expr*> args;
  std::vector<bool> optional;       // List, Map, Struct: by item or entry; may be empty
  std::vector<std::int32_t> places;  // Map, Struct: of entries
  std::vector<std::string> names;   // Struct: fields. Comprehension: its one or two variables

  // The checker's.
  const Type* type = nullptr;
  const Function* function = nullptr;
  std::vector<const Overload*> overloads;  // those that may apply; one when it is known
};

// args of a comprehension.
enum : std::size_t { kRange, kInit, kCondition, kStep, kResult };

inline constexpr const char* kAccumulator = "@result";
inline constexpr const char* kUnusedVariable = "#unused";

class Tree {
 public:
  Expr* make(Expr::Kind kind, std::int32_t place) {
    Expr& e = nodes_.emplace_back();
    e.kind = kind;
    e.place = place;
    return &e;
  }
  Expr* copy(const Expr& from);
  std::size_t size() const { return nodes_.size(); }
  std::deque<Expr>& nodes() { return nodes_; }

 private:
  std::deque<Expr> nodes_;
};

// Null when the source has errors; they are the source's then.
Expr* parse(Source& source, Tree& tree);

// The macro that a call is, expanded; null when it is none. A macro that is misused reports an error.
Expr* expand_macro(Source& source, Tree& tree, const std::string& name, Expr* target, std::vector<Expr*>& args, std::int32_t place);

}  // namespace onebin::cel
