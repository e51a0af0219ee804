#include <onebin/network/nft.hpp>

#include <algorithm>

namespace onebin::network::nft {

namespace {

Op op(Op::Kind kind, std::string name) {
  Op o;
  o.kind = kind;
  o.name = std::move(name);
  return o;
}
Op set_op(Op::Kind kind, const std::string& name, const Set& shape) {
  Op o = op(kind, name);
  o.set = shape;
  o.set.elements.clear();
  return o;
}
void add_chain(Transaction& t, const std::string& name, const Chain& c) {
  Op o = op(Op::Kind::AddChain, name);
  o.base = c.base;
  t.push_back(std::move(o));
}
void add_rules(Transaction& t, const std::string& name, const Chain& c) {
  for (const auto& r : c.rules) {
    Op o = op(Op::Kind::AddRule, name);
    o.rule = r;
    t.push_back(std::move(o));
  }
}

// What elements of one set must go and come. A map element whose value changes is deleted and added.
void element_changes(Transaction& removed, Transaction& added, const std::string& name, const Set* from, const Set& to) {
  Op del = set_op(Op::Kind::DeleteElements, name, to);
  Op add = set_op(Op::Kind::AddElements, name, to);
  if (from) {
    auto a = from->elements.begin();
    auto b = to.elements.begin();
    while (a != from->elements.end() || b != to.elements.end()) {
      if (b == to.elements.end() || (a != from->elements.end() && a->first < b->first)) {
        del.set.elements.insert(*a++);
      } else if (a == from->elements.end() || b->first < a->first) {
        add.set.elements.insert(*b++);
      } else {
        if (!(a->second == b->second)) {
          del.set.elements.insert(*a);
          add.set.elements.insert(*b);
        }
        ++a, ++b;
      }
    }
  } else {
    add.set.elements = to.elements;
  }
  if (!del.set.elements.empty()) removed.push_back(std::move(del));
  if (!add.set.elements.empty()) added.push_back(std::move(add));
}

}  // namespace

Difference difference(const Table& from, const Table& to) {
  Transaction chains, sets, removed, rules, added, gone;
  Difference d;
  for (const auto& [name, c] : to.chains) {
    auto old = from.chains.find(name);
    if (old != from.chains.end() && old->second == c) continue;
    if (old == from.chains.end()) {
      add_chain(chains, name, c);
    } else {
      rules.push_back(op(Op::Kind::FlushChain, name));
    }
    add_rules(rules, name, c);
  }
  for (const auto& [name, c] : from.chains) {
    if (to.chains.count(name)) continue;
    gone.push_back(op(Op::Kind::FlushChain, name));
    d.stale.push_back(name);
  }
  for (const auto& [name, s] : to.sets) {
    auto old = from.sets.find(name);
    const Set* before = old == from.sets.end() ? nullptr : &old->second;
    // The shape of a set cannot be changed: callers give a new shape a new name.
    if (!before) sets.push_back(set_op(Op::Kind::AddSet, name, s));
    element_changes(removed, added, name, before, s);
  }
  Transaction gone_sets;
  for (const auto& [name, s] : from.sets)
    if (!to.sets.count(name)) gone_sets.push_back(op(Op::Kind::DeleteSet, name));
  // New chains and sets first, since rules and elements name them; sets go last, when no rule names them any more.
  for (Transaction* t : {&chains, &sets, &removed, &rules, &added, &gone, &gone_sets})
    std::move(t->begin(), t->end(), std::back_inserter(d.ops));
  return d;
}

Transaction removal() {
  // Adding first makes the deletion right whether or not there is a table.
  return {op(Op::Kind::AddTable, {}), op(Op::Kind::DeleteTable, {})};
}

Transaction replacement(const Table& to) {
  Transaction t = removal();
  t.push_back(op(Op::Kind::AddTable, {}));
  Difference d = difference({}, to);
  std::move(d.ops.begin(), d.ops.end(), std::back_inserter(t));
  return t;
}

Result<void> TableKeeper::replace(const Table& to) {
  known_ = false;
  RETURN_IF_ERROR(socket_.commit(name_, replacement(to)));
  stale_.clear();
  known_ = true;
  return {};
}

Result<void> TableKeeper::update(const Table& from, const Table& to) {
  Difference d = difference(from, to);
  if (d.ops.empty()) return {};
  if (auto r = socket_.commit(name_, d.ops); !r) {
    known_ = false;
    return r;
  }
  // A chain that was emptied but not deleted yet may have come back.
  std::erase_if(stale_, [&](const std::string& name) { return to.chains.count(name) > 0; });
  stale_.insert(stale_.end(), d.stale.begin(), d.stale.end());
  return {};
}

bool TableKeeper::collect() {
  if (stale_.empty()) return true;
  Transaction t;
  for (const auto& name : stale_) t.push_back(op(Op::Kind::DeleteChain, name));
  if (!socket_.commit(name_, t)) return false;
  stale_.clear();
  return true;
}

Result<void> TableKeeper::remove() {
  known_ = false;
  stale_.clear();
  return socket_.commit(name_, removal());
}

}  // namespace onebin::network::nft
