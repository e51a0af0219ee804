// Bindings of type parameters while an expression is checked.
#pragma once
#include <onebin/cel/schema.hpp>

#include <map>
#include <span>
#include <string>
#include <vector>

namespace onebin::cel {

class Bindings {
 public:
  explicit Bindings(Schemas& pool) : pool_(pool) {}
  // Whether `a` may stand where `b` is wanted; binds what that takes, nothing when it may not.
  bool assignable(const Type* a, const Type* b);
  bool assignable(std::span<const Type* const> a, std::span<const Type* const> b);
  // With parameters replaced by what they are bound to; unbound ones by dyn where that is wanted.
  const Type* substitute(const Type* t, bool to_dyn);
  const Type* fresh() { return pool_.param("_var" + std::to_string(count_++)); }
  // A generic signature's parameters as fresh ones.
  const Type* instantiate(const Type* t, std::map<std::string, const Type*>& fresh_ones);
  Schemas& pool() { return pool_; }

 private:
  using Map = std::map<std::string, const Type*>;
  const Type* find(const Map& m, const Type* t) const;
  bool unify(Map& m, const Type* a, const Type* b);
  // Whether `b`, a parameter, may stand for `a`; `bound`: it stood for something already.
  bool bind(Map& m, const Type* a, const Type* b, bool& bound);
  bool absent(const Map& m, const Type* t, const Type* within) const;

  Schemas& pool_;
  Map map_;
  int count_ = 0;
};

// Whether `a` says less than `b` or as much.
bool as_general(const Type& a, const Type& b);
inline const Type* most_general(const Type* a, const Type* b) { return as_general(*a, *b) ? a : b; }

}  // namespace onebin::cel
