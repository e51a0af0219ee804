// The walks of structured merge: field sets, comparison, merge, removal.
#include "member_slots.hpp"
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
  explicit Comparer(bool implied) : implied_(implied) {}
  std::string error;

  // `at`: the nodes of this value in the three sets. Returns whether it was taken as one leaf.
  bool walk(const Type& t, const Document* l, const Document* r, Comparison& at) {
    Atom la = atom_of(t, l), ra = atom_of(t, r);
    bool leaf = false;
    if (!r) leaf = atom(la, t, l, r, at);
    else if (!l || la == ra) leaf = atom(ra, t, l, r, at);
    else {
      atom(la, t, l, r, at);
      leaf = atom(ra, t, l, r, at);
    }
    if (leaf) return true;
    if (!l) at.added.member = true;
    else if (!r) at.removed.member = true;
    return false;
  }

 private:
  bool atom(Atom a, const Type& t, const Document* l, const Document* r, Comparison& at) {
    if (a == Atom::Scalar || is_atomic(t, a)) return leaf(t, l, r, at);
    if (a == Atom::Map) {
      if (implied_ && t.form == Form::Struct) return object(t, l, r, at);
      if (empty_map(l) && empty_map(r)) return leaf(t, l, r, at);
      zip(l, r, [&](const std::string& k, const Document* lv, const Document* rv) {
        bool declared = false;
        auto mt = member_type(t, k, declared);
        descend(mt ? *mt : Type{}, lv, rv, at, [&] { return PathElement::field(k); });
      });
      return false;
    }
    if (empty_list(l) && empty_list(r)) return leaf(t, l, r, at);
    list(t, l, r, at);
    return false;
  }

  // The members of a built-in struct: the table's fields, each as Go holds it on either side.
  bool object(const Type& t, const Document* l, const Document* r, Comparison& at) {
    bool any = false;
    ++depth_;
    MemberSlots<const Document> left(*t.type, l), right(*t.type, r);
    bool has_left = l && l->is_object(), has_right = r && r->is_object();
    for (auto i : t.type->by_name) {
      const FieldSchema& f = t.type->fields[i];
      if (depth_ == 2 && f.json_name == "managedFields") continue;  // of the object's metadata
      const Document* lv = has_left ? go_member(f, left[i]) : nullptr;
      const Document* rv = has_right ? go_member(f, right[i]) : nullptr;
      if (!lv && !rv) continue;
      any = true;
      descend(field_type(f), lv, rv, at, [&] { return PathElement::field(f.json_name); });
    }
    --depth_;
    return any ? false : leaf(t, l, r, at);
  }

  bool leaf(const Type& t, const Document* l, const Document* r, Comparison& at) const {
    if (!l) at.added.member = true;
    else if (!r) at.removed.member = true;
    else if (!equal(*l, *r) && !(implied_ && equal(filled(t, *l), filled(t, *r)))) at.modified.member = true;
    return true;
  }

  // An atomic value with all that Go's structs imply.
  static Document filled(const Type& t, const Document& v) {
    if (t.form == Form::Struct) return structured(*t.type, v);
    if (!t.field || !t.field->is_message() || !v.is_structured()) return v;
    Document out = v;
    for (auto& e : out) e = structured(*t.field->message, e);
    return out;
  }

  // The element is made only where there is something to record.
  template <class Element>
  void descend(const Type& t, const Document* l, const Document* r, Comparison& at, Element&& element) {
    if (l == r || (l && r && *l == *r)) return;  // equal parts, most of any update, need no walk
    if (!l) return added(t, *r, node(at.added, element()));
    Comparison below;
    walk(t, l, r, below);
    if (!below.removed.empty()) node(at.removed, element()).add(std::move(below.removed));
    if (!below.modified.empty()) node(at.modified, element()).add(std::move(below.modified));
    if (!below.added.empty()) node(at.added, element()).add(std::move(below.added));
  }

  // Elements come in their order, mostly.
  static FieldSet& node(FieldSet& at, PathElement e) { return at.children.try_emplace(at.children.end(), std::move(e))->second; }

  // What walk() records of a value that only the right side has: all of it.
  void added(const Type& t, const Document& v, FieldSet& at) {
    at.member = true;
    Atom a = atom_of(t, &v);
    if (a == Atom::Scalar || is_atomic(t, a)) return;
    if (a == Atom::List) return added_items(t, v, at);
    if (!v.is_object()) return;
    if (!implied_ || t.form != Type::Form::Struct) {
      for (const auto& [k, e] : v.get_ref<const Document::object_t&>()) {
        bool declared = false;
        auto mt = member_type(t, k, declared);
        added(mt ? *mt : Type{}, e, node(at, PathElement::field(k)));
      }
      return;
    }
    ++depth_;
    MemberSlots<const Document> members(*t.type, &v);
    for (auto i : t.type->by_name) {
      const FieldSchema& f = t.type->fields[i];
      if (depth_ == 2 && f.json_name == "managedFields") continue;
      if (const Document* e = go_member(f, members[i])) added(field_type(f), *e, node(at, PathElement::field(f.json_name)));
    }
    --depth_;
  }

  void added_items(const Type& t, const Document& v, FieldSet& at) {
    Items items;
    gather(t, &v, false, items);
    Type item = item_type(t);
    for (auto& [e, both] : items) {
      FieldSet& below = node(at, e);
      if (both.second.size() == 1) added(item, *both.second[0], below);
      else below.member = true;
    }
  }

  using Items = std::map<PathElement, std::pair<std::vector<const Document*>, std::vector<const Document*>>>;

  void gather(const Type& t, const Document* list, bool left, Items& items) {
    if (!list || !list->is_array()) return;
    for (std::size_t i = 0; i < list->size(); ++i) {
      std::string why;
      auto e = item_element(t, (*list)[i], why);
      if (!e) {
        if (error.empty()) error = "element " + std::to_string(i) + ": " + why;
        continue;
      }
      auto& both = items[std::move(*e)];
      (left ? both.first : both.second).push_back(&(*list)[i]);
    }
  }

  void list(const Type& t, const Document* l, const Document* r, Comparison& at) {
    Items items;
    gather(t, l, true, items);
    gather(t, r, false, items);
    Type item = item_type(t);
    for (auto& [e, both] : items) {
      auto& [ls, rs] = both;
      auto pair = [&](const Document* lv, const Document* rv) { descend(item, lv, rv, at, [&] { return e; }); };
      if (ls.size() <= 1 && rs.size() <= 1) {
        pair(ls.empty() ? nullptr : ls[0], rs.empty() ? nullptr : rs[0]);
      } else if (ls.size() >= 2 && rs.size() >= 2) {
        bool same = ls.size() == rs.size();
        for (std::size_t i = 0; same && i < ls.size(); ++i) same = equal(*ls[i], *rs[i]);
        if (!same) at.modified.children[e].member = true;
      } else if (ls.size() >= 2) {
        if (!rs.empty()) pair(nullptr, rs[0]);
        at.removed.children[e].member = true;
      } else {
        if (!ls.empty()) pair(ls[0], nullptr);
        at.added.children[e].member = true;
      }
    }
  }

  bool implied_;
  int depth_ = 0;  // of structs within structs
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

Result<Comparison> compare(const Type& type, const Document& before, const Document& after, bool implied) {
  Comparer c(implied);
  Comparison out;
  c.walk(type, &before, &after, out);
  if (!c.error.empty()) return Status(Reason::Unknown, c.error);
  for (auto* set : {&out.removed, &out.modified, &out.added}) set->member = false;
  return out;
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

void reconcile(const Type& type, FieldSet& set) {
  if (set.children.empty() || type.form == Form::Scalar || type.form == Form::Deduced || type.form == Form::Atomic) return;
  if (type.atomic) {
    set.children.clear();
    set.member = true;
    return;
  }
  for (auto& [e, c] : set.children) {
    if (c.children.empty()) continue;
    bool declared = false;
    if (type.form == Form::List) {
      reconcile(item_type(type), c);
    } else if (e.kind == PathElement::Kind::Field) {
      if (auto below = member_type(type, e.text, declared)) reconcile(*below, c);
    }
  }
}

}  // namespace onebin::apimachinery::typed
