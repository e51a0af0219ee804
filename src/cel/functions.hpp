// The functions that expressions may call: declarations, for the checker, and what they do.
#pragma once
#include <onebin/cel/value.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace re2 {
class RE2;
}

namespace onebin::cel {

struct Function;

struct Overload {
  std::string id;
  bool member = false;
  std::vector<const Type*> args;  // a member's receiver first
  const Type* result = nullptr;
  bool generic = false;           // has type parameters
};

// One call at run time.
struct CallSite {
  std::span<const Value> args;
  const Overload* overload = nullptr;  // the one that applies, where that is checked
  const re2::RE2* regex = nullptr;     // made beforehand from a literal
  const Value& operator[](std::size_t i) const { return args[i]; }
};
using Implementation = Value (*)(const CallSite&);

// How arguments are checked before the implementation sees them. Guarded: by overload. Operand: the first one's kind alone.
// Open: not at all.
enum class Guard : unsigned char { Guarded, Operand, Open };

struct Function {
  std::string name;
  Implementation run = nullptr;
  Guard guard = Guard::Guarded;
  std::uint32_t operands = 0;  // Guard::Operand: bits of ValueKind
  bool patches_only = false;
  std::vector<Overload> overloads;
};

// Null when there is none. "a.b" for one of a namespace.
const Function* find_function(std::string_view name);
// The type that a name stands for ("int"), or null.
const Type* find_type_name(std::string_view name);

// Whether a value may be passed where a type is declared; parameters of types are not looked at.
bool fits(const Type& type, const Value& value);

// A regular expression as Go's regexp reads it; null with Go's words for what is wrong.
std::shared_ptr<const re2::RE2> make_regex(std::string_view pattern, std::string& problem);

}  // namespace onebin::cel
