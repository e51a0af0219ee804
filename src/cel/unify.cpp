#include "cel/unify.hpp"

namespace onebin::cel {
namespace {

bool dyn_or_error(const Type& t) { return t.kind == TypeKind::Dyn || t.kind == TypeKind::Error; }

// What null may stand for.
bool nullable(const Type& t) {
  return t.kind == TypeKind::Opaque || t.kind == TypeKind::Object || t.kind == TypeKind::Duration || t.kind == TypeKind::Timestamp ||
         t.kind == TypeKind::Null;
}

}  // namespace

bool as_general(const Type& a, const Type& b) {
  if (a.kind == TypeKind::Dyn || a.kind == TypeKind::Param) return true;
  if (b.kind == TypeKind::Dyn || b.kind == TypeKind::Param || a.kind != b.kind) return false;
  if (a.kind == TypeKind::Type) return true;
  if (a.name != b.name || a.params.size() != b.params.size()) return false;
  for (std::size_t i = 0; i < a.params.size(); ++i)
    if (!as_general(*a.params[i], *b.params[i])) return false;
  return true;
}

const Type* Bindings::find(const Map& m, const Type* t) const {
  if (t->kind != TypeKind::Param) return nullptr;
  auto it = m.find(t->name);
  return it == m.end() ? nullptr : it->second;
}

bool Bindings::absent(const Map& m, const Type* t, const Type* within) const {
  if (same_type(*t, *within)) return false;
  if (within->kind == TypeKind::Param) {
    const Type* bound = find(m, within);
    return !bound || absent(m, t, bound);
  }
  for (const Type* p : within->params)
    if (!absent(m, t, p)) return false;
  return true;
}

bool Bindings::bind(Map& m, const Type* a, const Type* b, bool& bound) {
  bound = true;
  if (a->kind == b->kind && same_type(*a, *b)) return true;
  if (const Type* now = find(m, b)) {
    if (a->kind == now->kind && same_type(*a, *now)) return true;
    if (!unify(m, a, now)) return false;
    const Type* general = most_general(a, now);
    if (absent(m, b, general)) m[b->name] = general;
    return true;
  }
  bound = false;
  if (!absent(m, b, a)) return false;
  m[b->name] = a;
  return true;
}

bool Bindings::unify(Map& m, const Type* a, const Type* b) {
  bool bound = false;
  if (b->kind == TypeKind::Param) {
    if (bind(m, a, b, bound)) return true;
    if (bound) return false;
  }
  if (a->kind == TypeKind::Param) return bind(m, b, a, bound);
  if (dyn_or_error(*a) || dyn_or_error(*b)) return true;
  if (a->kind == TypeKind::Null) return nullable(*b);
  if (b->kind == TypeKind::Null) return nullable(*a);
  if (a->kind != b->kind) return false;
  if (a->kind == TypeKind::Type) return true;
  if (a->name != b->name || a->params.size() != b->params.size()) return false;
  for (std::size_t i = 0; i < a->params.size(); ++i)
    if (!unify(m, a->params[i], b->params[i])) return false;
  return true;
}

bool Bindings::assignable(const Type* a, const Type* b) { return assignable({&a, 1}, {&b, 1}); }

bool Bindings::assignable(std::span<const Type* const> a, std::span<const Type* const> b) {
  if (a.size() != b.size()) return false;
  Map m = map_;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!unify(m, a[i], b[i])) return false;
  map_ = std::move(m);
  return true;
}

const Type* Bindings::substitute(const Type* t, bool to_dyn) {
  if (const Type* bound = find(map_, t)) return substitute(bound, to_dyn);
  if (t->kind == TypeKind::Param) return to_dyn ? &types::dyn : t;
  if (t->params.empty()) return t;
  std::vector<const Type*> params;
  bool changed = false;
  for (const Type* p : t->params) {
    params.push_back(substitute(p, to_dyn));
    changed = changed || params.back() != p;
  }
  if (!changed) return t;
  if (t->kind == TypeKind::List) return pool_.list_of(params[0]);
  if (t->kind == TypeKind::Map) return pool_.map_of(params[0], params[1]);
  return t->kind == TypeKind::Type ? pool_.type_of(params[0]) : pool_.optional_of(params[0]);
}

const Type* Bindings::instantiate(const Type* t, std::map<std::string, const Type*>& fresh_ones) {
  if (t->kind == TypeKind::Param) {
    auto [it, is_new] = fresh_ones.try_emplace(t->name, nullptr);
    if (is_new) it->second = fresh();
    return it->second;
  }
  if (t->params.empty()) return t;
  std::vector<const Type*> params;
  for (const Type* p : t->params) params.push_back(instantiate(p, fresh_ones));
  if (t->kind == TypeKind::List) return pool_.list_of(params[0]);
  if (t->kind == TypeKind::Map) return pool_.map_of(params[0], params[1]);
  return t->kind == TypeKind::Type ? pool_.type_of(params[0]) : pool_.optional_of(params[0]);
}

}  // namespace onebin::cel
