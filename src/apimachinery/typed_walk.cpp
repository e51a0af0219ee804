// The walks of structured merge: field sets, comparison, merge, removal.
#include "typed_value.hpp"

#include <map>

namespace onebin::apimachinery::typed {
namespace {

using Form = Type::Form;

// The members of two objects side by side, in order of names.
template <class F>
void zip(const Document* l, const Document* r, F&& f) {
  static const Document kEmpty = Document::object();
  const auto& a = (l && l->is_object() ? *l : kEmpty).get_ref<const Document::object_t&>();
  const auto& b = (r && r->is_object() ? *r : kEmpty).get_ref<const Document::object_t&>();
  auto i = a.begin();
  auto k = b.begin();
  while (i != a.end() || k != b.end()) {
    int c = i == a.end() ? 1 : k == b.end() ? -1 : i->first.compare(k->first);
    if (c < 0) f(i->first, &i->second, nullptr), ++i;
    else if (c > 0) f(k->first, nullptr, &k->second), ++k;
    else f(i->first, &i->second, &k->second), ++i, ++k;
  }
}

bool empty_list(const Document* v) { return !v || !v->is_array() || v->empty(); }
bool empty_map(const Document* v) { return !v || !v->is_object() || v->empty(); }

// --- field set ---

class SetBuilder {
 public:
  // `at`: the node of this value. Children that turn out to hold nothing are taken out again.
  void walk(const Type& t, const Document& v, FieldSet& at) {
    auto atom = atom_of(t, &v);
    if (atom == Atom::Scalar || is_atomic(t, atom)) {
      at.member = true;
      return;
    }
    if (atom == Atom::Map && v.is_object()) map(t, v, at);
    else if (atom == Atom::List && v.is_array()) list(t, v, at);
  }

 private:
  void map(const Type& t, const Document& v, FieldSet& at) {
    for (const auto& [k, e] : v.get_ref<const Document::object_t&>()) {
      bool declared = false;
      auto mt = member_type(t, k, declared);
      if (!mt) continue;
      FieldSet child;
      walk(*mt, e, child);
      if (!declared || e.is_null() || (e.is_object() && e.empty())) child.member = true;
      if (!child.empty()) at.children.insert_or_assign(PathElement::field(k), std::move(child));
    }
  }

  void list(const Type& t, const Document& v, FieldSet& at) {
    std::map<PathElement, int> count;
    std::vector<std::optional<PathElement>> elements;
    std::string error;
    for (const auto& e : v) {
      elements.push_back(item_element(t, e, error));
      if (elements.back()) ++count[*elements.back()];
    }
    Type item = item_type(t);
    for (std::size_t i = 0; i < v.size(); ++i) {
      if (!elements[i]) continue;
      FieldSet child;
      if (count[*elements[i]] == 1) walk(item, v[i], child);
      child.member = true;
      at.children.insert_or_assign(*elements[i], std::move(child));
    }
  }
};

// --- comparison ---

class Comparer {
 public:
  Comparison result;
  std::string error;

  void walk(const Type& t, const Document* l, const Document* r, bool in_leaf = false) {
    Atom la = atom_of(t, l), ra = atom_of(t, r);
    bool leaf = in_leaf;
    if (!r) leaf = atom(la, t, l, r, in_leaf);
    else if (!l || la == ra) leaf = atom(ra, t, l, r, in_leaf);
    else {
      atom(la, t, l, r, in_leaf);
      leaf = atom(ra, t, l, r, in_leaf);
    }
    if (leaf) return;
    if (!l) result.added.insert(path_);
    else if (!r) result.removed.insert(path_);
  }

 private:
  // Returns whether this value was taken as one leaf.
  bool atom(Atom a, const Type& t, const Document* l, const Document* r, bool in_leaf) {
    bool nothing = a == Atom::Map ? empty_map(l) && empty_map(r) : a == Atom::List && empty_list(l) && empty_list(r);
    if (a == Atom::Scalar || is_atomic(t, a) || nothing) {
      if (!in_leaf) leaf(l, r);
      return true;
    }
    if (a == Atom::Map) {
      zip(l, r, [&](const std::string& k, const Document* lv, const Document* rv) {
        bool declared = false;
        auto mt = member_type(t, k, declared);
        descend(PathElement::field(k), mt ? *mt : Type{}, lv, rv, in_leaf);
      });
    } else {
      list(t, l, r, in_leaf);
    }
    return in_leaf;
  }

  void leaf(const Document* l, const Document* r) {
    if (!l) result.added.insert(path_);
    else if (!r) result.removed.insert(path_);
    else if (!equal(*l, *r)) result.modified.insert(path_);
  }

  void descend(PathElement e, const Type& t, const Document* l, const Document* r, bool in_leaf) {
    path_.push_back(std::move(e));
    // Equal parts, most of any update, need no walk.
    if (!(l && r && *l == *r)) walk(t, l, r, in_leaf);
    path_.pop_back();
  }

  using Items = std::map<PathElement, std::pair<std::vector<const Document*>, std::vector<const Document*>>>;

  void gather(const Type& t, const Document* list, bool left, Items& items) {
    if (!list || !list->is_array()) return;
    for (std::size_t i = 0; i < list->size(); ++i) {
      std::string why;
      auto e = item_element(t, (*list)[i], why);
      if (!e) {
        if (error.empty()) error = to_string(path_) + ": element " + std::to_string(i) + ": " + why;
        continue;
      }
      auto& both = items[*e];
      (left ? both.first : both.second).push_back(&(*list)[i]);
    }
  }

  void list(const Type& t, const Document* l, const Document* r, bool in_leaf) {
    Items items;
    gather(t, l, true, items);
    gather(t, r, false, items);
    Type item = item_type(t);
    auto mark = [&](FieldSet& set, const PathElement& e) {
      path_.push_back(e);
      set.insert(path_);
      path_.pop_back();
    };
    for (auto& [e, both] : items) {
      auto& [ls, rs] = both;
      if (ls.size() <= 1 && rs.size() <= 1) {
        descend(e, item, ls.empty() ? nullptr : ls[0], rs.empty() ? nullptr : rs[0], in_leaf);
      } else if (ls.size() >= 2 && rs.size() >= 2) {
        bool same = ls.size() == rs.size();
        for (std::size_t i = 0; same && i < ls.size(); ++i) same = equal(*ls[i], *rs[i]);
        if (!same) mark(result.modified, e);
      } else if (ls.size() >= 2) {
        if (!rs.empty()) descend(e, item, nullptr, rs[0], in_leaf);
        mark(result.removed, e);
      } else {
        if (!ls.empty()) descend(e, item, ls[0], nullptr, in_leaf);
        mark(result.added, e);
      }
    }
  }

  FieldPathElements path_;
};

// --- merge ---

class Merger {
 public:
  std::string error;

  // None: nothing is left.
  std::optional<Document> walk(const Type& t, const Document* l, const Document* r) {
    Atom a = r ? atom_of(t, r) : atom_of(t, l);
    bool nothing = a == Atom::Map ? empty_map(l) && empty_map(r) : a == Atom::List && empty_list(l) && empty_list(r);
    if (a == Atom::Scalar || is_atomic(t, a) || nothing) return r ? *r : *l;
    if (a == Atom::List) return list(t, l, r);
    Document out = Document::object();
    zip(l, r, [&](const std::string& k, const Document* lv, const Document* rv) {
      bool declared = false;
      auto mt = member_type(t, k, declared);
      if (auto v = walk(mt ? *mt : Type{}, lv, rv)) out[k] = std::move(*v);
    });
    if (out.empty()) return std::nullopt;
    return out;
  }

 private:
  struct Indexed {
    std::vector<PathElement> order;
    std::map<PathElement, const Document*> items;  // null document: the element occurs more than once
    bool has(const PathElement& e) const { return items.count(e) != 0; }
    const Document* at(const PathElement& e) const {
      auto it = items.find(e);
      return it == items.end() ? nullptr : it->second;
    }
  };

  Indexed index(const Type& t, const Document* list, bool allow_duplicates) {
    static const Document kNull;
    Indexed out;
    if (!list || !list->is_array()) return out;
    for (std::size_t i = 0; i < list->size(); ++i) {
      std::string why;
      auto e = item_element(t, (*list)[i], why);
      if (!e) {
        fail("element " + std::to_string(i) + ": " + why);
        continue;
      }
      auto [it, fresh] = out.items.try_emplace(*e, &(*list)[i]);
      if (!fresh) {
        if (!allow_duplicates) {
          fail("duplicate entries for key " + e->to_string());
          continue;
        }
        it->second = &kNull;  // duplicates are not merged into
      }
      out.order.push_back(*e);
    }
    return out;
  }

  // The items of the right side come in their order; those that only the left has stay where they are relative to it.
  std::optional<Document> list(const Type& t, const Document* l, const Document* r) {
    Indexed right = index(t, r, false), left = index(t, l, true);
    if (!error.empty()) return std::nullopt;
    std::vector<const PathElement*> shared;
    for (const auto& e : right.order)
      if (left.has(e)) shared.push_back(&e);
    std::size_t next = 0;
    auto next_shared = [&]() -> const PathElement* { return next < shared.size() ? shared[next] : nullptr; };
    std::map<PathElement, bool> merged;
    Document out = Document::array();
    Type item = item_type(t);
    auto take = [&](const Document* lv, const Document* rv) {
      if (!lv && !rv) return;
      if (auto v = walk(item, lv, rv)) out.push_back(std::move(*v));
    };
    std::size_t i = 0, k = 0, n = left.order.size(), m = right.order.size();
    while (i < n || k < m) {
      if (i < n && k < m) {
        const auto& e = left.order[i];
        if (e == right.order[k]) {
          merged[e] = true;
          take(left.at(e), right.at(e));
          ++i, ++k, ++next;
          continue;
        }
        if (right.has(e) && next_shared() && !(*next_shared() == e)) {
          ++i;  // shared, but not the one whose turn it is
          continue;
        }
      }
      if (i < n) {
        const auto& e = left.order[i];
        if (!right.has(e)) {
          take(&(*l)[i], nullptr);
          ++i;
          continue;
        }
        if (merged.count(e)) ++i;
      }
      if (k < m) {
        const auto& e = right.order[k];
        merged[e] = true;
        take(left.at(e), right.at(e));
        ++k;
        if (next_shared() && *next_shared() == e) ++next;
      }
    }
    if (out.empty()) return std::nullopt;
    return out;
  }

  void fail(std::string message) {
    if (error.empty()) error = std::move(message);
  }
};

}  // namespace

FieldSet field_set(const Type& type, const Document& value) {
  FieldSet out;
  SetBuilder().walk(type, value, out);
  out.member = false;
  return out;
}

Result<Comparison> compare(const Type& type, const Document& before, const Document& after) {
  Comparer c;
  c.walk(type, &before, &after);
  if (!c.error.empty()) return Status(Reason::Unknown, c.error);
  return std::move(c.result);
}

Result<Document> merge(const Type& type, const Document& base, const Document& changes) {
  Merger m;
  auto out = m.walk(type, &base, &changes);
  if (!m.error.empty()) return Status(Reason::Unknown, m.error);
  return out ? std::move(*out) : Document();
}

Document remove_items(const Type& type, const Document& value, const FieldSet& items) {
  auto atom = atom_of(type, &value);
  if (atom == Atom::Scalar) return value;
  // An atomic value from which something is taken goes as a whole; upstream leaves null.
  bool usable = atom == Atom::Map ? value.is_object() && !value.empty() : value.is_array() && !value.empty();
  if (!usable || is_atomic(type, atom)) return nullptr;
  if (atom == Atom::List) {
    Document out = Document::array();
    Type item = item_type(type);
    std::string error;
    for (const auto& v : value) {
      auto e = item_element(type, v, error);
      auto it = e ? items.children.find(*e) : items.children.end();
      if (it == items.children.end()) out.push_back(v);
      else if (!it->second.member) out.push_back(it->second.children.empty() ? v : remove_items(item, v, it->second));
    }
    return out.empty() ? Document() : out;
  }
  Document out = Document::object();
  for (const auto& [k, v] : value.items()) {
    auto it = items.children.find(PathElement::field(k));
    if (it == items.children.end()) {
      out[k] = v;
      continue;
    }
    if (it->second.member) continue;
    bool declared = false;
    auto mt = member_type(type, k, declared);
    out[k] = it->second.children.empty() ? v : remove_items(mt ? *mt : Type{}, v, it->second);
  }
  return out.empty() ? Document() : out;
}

FieldSet with_named_fields(const Type& type, const FieldSet& set) {
  FieldSet out;
  out.member = set.member;
  for (const auto& [e, c] : set.children) {
    Type below;
    bool declared = false;
    if (e.kind == PathElement::Kind::Field && (type.form == Form::Struct || type.form == Form::Map || type.form == Form::Deduced)) {
      auto mt = member_type(type, e.text, declared);
      if (mt) below = *mt;
    } else if (e.kind == PathElement::Kind::Key && type.form == Form::List) {
      below = item_type(type);
    }
    FieldSet child = with_named_fields(below, c);
    if (declared && !c.children.empty()) child.member = true;
    out.children.emplace_hint(out.children.end(), e, std::move(child));
  }
  return out;
}

FieldSet reconcile(const Type& type, const FieldSet& set) {
  if (set.children.empty()) return set;
  bool granular_only = type.form == Form::Scalar || type.form == Form::Deduced || type.form == Form::Atomic;
  if (granular_only) return set;
  if (type.atomic) {
    FieldSet whole;
    whole.member = true;
    return whole;
  }
  FieldSet out;
  out.member = set.member;
  for (const auto& [e, c] : set.children) {
    std::optional<Type> below;
    bool declared = false;
    if (e.kind == PathElement::Kind::Field && type.form != Form::List) below = member_type(type, e.text, declared);
    else if (type.form == Form::List) below = item_type(type);
    out.children.emplace_hint(out.children.end(), e, below ? reconcile(*below, c) : c);
  }
  return out;
}

}  // namespace onebin::apimachinery::typed
