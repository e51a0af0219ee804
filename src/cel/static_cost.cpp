// The most that an expression can cost, from what schemas and literals say of sizes. A change here changes which
// CustomResourceDefinitions are accepted. Source: cel-go's checker.Cost, k8s.io/apiserver/pkg/cel/library's CostEstimator.
#include "cel/cost.hpp"
#include "cel/functions.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>

namespace onebin::cel {
namespace {

using Kind = Expr::Kind;
using Path = std::vector<std::string>;

std::uint64_t plus(std::uint64_t a, std::uint64_t b) { return a > kMostCost - b ? kMostCost : a + b; }
std::uint64_t times(std::uint64_t a, std::uint64_t b) { return b && a > kMostCost / b ? kMostCost : a * b; }
std::uint64_t scaled(std::uint64_t a, double factor) {
  double d = static_cast<double>(a);
  if (d > 0 && factor > 0 && d > 0x1p64 / factor) return kMostCost;
  d = std::ceil(d * factor);
  return d >= 0x1p64 ? kMostCost : static_cast<std::uint64_t>(d);
}

// A cost or a size, at least and at most.
struct Range {
  std::uint64_t min = 0, max = 0;
  Range operator+(Range o) const { return {plus(min, o.min), plus(max, o.max)}; }
  Range operator*(Range o) const { return {times(min, o.min), times(max, o.max)}; }
  Range operator*(double f) const { return {scaled(min, f), scaled(max, f)}; }
  Range either(Range o) const { return {std::min(min, o.min), std::max(max, o.max)}; }
};
constexpr Range fixed(std::uint64_t n) { return {n, n}; }
constexpr Range kUnknown{0, kMostCost};
using Size = std::optional<Range>;

// Of what a list or map holds.
struct Entries {
  TypeKind container = TypeKind::List;
  Range key, value;
};
using EntrySize = std::optional<Entries>;
EntrySize either(const EntrySize& a, const EntrySize& b) {
  if (!a || !b) return std::nullopt;
  return Entries{a->container, a->key.either(b->key), a->value.either(b->value)};
}

struct Estimate {
  Range cost;
  Size size;
};
struct Node {
  Path path;
  const Type* type = nullptr;
  const Expr* expr = nullptr;
  Size size;
};

bool scalar(const Type& t) {
  switch (t.kind) {
    case TypeKind::Bool: case TypeKind::Double: case TypeKind::Duration: case TypeKind::Int: case TypeKind::Timestamp: case TypeKind::Uint: return true;
    default: return is_optional(t) && scalar(*t.params[0]);
  }
}

std::uint64_t literal_int(const Node& n, std::uint64_t otherwise) {
  if (!n.expr || n.expr->kind != Kind::Literal || !n.expr->literal.is(ValueKind::Int)) return otherwise;
  return n.expr->literal.as_int() < 0 ? 0 : n.expr->literal.as_uint();
}

class Estimator {
 public:
  explicit Estimator(const Environment& environment) {
    for (const Environment::Variable& v : environment.variables())
      if (v.schema && !root_) root_ = v.schema;
  }

  Range cost(const Expr& e) {
    switch (e.kind) {
      case Kind::Ident: {
        const Local* l = local(e.text);
        paths_[&e] = l ? l->path : Path{e.text};
        return fixed(1);
      }
      case Kind::Select: return select(e);
      case Kind::Call: return call(e);
      case Kind::List: return list(e);
      case Kind::Map: return map(e);
      case Kind::Struct: {
        Range sum;
        for (const Expr* a : e.args) sum = sum + cost(*a);
        return sum + fixed(kObjectCost);
      }
      case Kind::Comprehension: return is_bind(e) ? bind(e) : fold(e);
      default: return {};
    }
  }

 private:
  struct Local {
    const std::string* name;
    Path path;
    Size size;
    EntrySize entries;
  };
  const Local* local(const std::string& name) const {
    for (auto it = locals_.rbegin(); it != locals_.rend(); ++it)
      if (*it->name == name) return &*it;
    return nullptr;
  }

  // Sizes.
  Size by_schema(const Path& path) const {
    if (path.empty() || !root_) return std::nullopt;
    const Schema* s = root_;
    for (std::size_t i = 1; i < path.size(); ++i) {
      if (path[i] == "@items" || path[i] == "@values") s = s->items && s->items->type ? s->items : nullptr;
      else if (path[i] == "@keys") {
        if (s->kind != Schema::Kind::Map) return std::nullopt;
        return Range{0, 0};  // a key's size is not bounded by a schema
      } else {
        const SchemaField* f = s->escaped_field(path[i]);
        s = f ? f->schema : nullptr;
      }
      if (!s) return std::nullopt;
    }
    return Range{0, static_cast<std::uint64_t>(s->max_elements)};
  }
  Path path_of(const Expr& e) const {
    if (e.kind == Kind::Ident)
      if (const Local* l = local(e.text)) return l->path;
    auto it = paths_.find(&e);
    return it == paths_.end() ? Path{} : it->second;
  }
  static Size literal_size(const Expr& e) {
    if (e.kind == Kind::List) return fixed(e.args.size());
    if (e.kind == Kind::Map) return fixed(e.args.size() / 2);
    if (e.kind != Kind::Literal) return std::nullopt;
    bool text = e.literal.is(ValueKind::String) || e.literal.is(ValueKind::Bytes);
    return fixed(text ? e.literal.size() : 1);
  }
  Size size_of(const Expr& e) {
    if (auto it = sizes_.find(&e); it != sizes_.end()) return it->second;
    if (Size s = literal_size(e)) return s;
    if (Size s = by_schema(path_of(e))) return sizes_[&e] = *s, s;
    if (e.type && scalar(*e.type)) return fixed(1);
    if (e.kind == Kind::Ident)
      if (const Local* l = local(e.text)) return l->size;
    return std::nullopt;
  }
  void set_size(const Expr& e, const Size& s) {
    if (s) sizes_[&e] = *s;
  }
  EntrySize entries_of(const Expr& e) const {
    if (auto it = entries_.find(&e); it != entries_.end()) return it->second;
    if (e.kind == Kind::Ident)
      if (const Local* l = local(e.text)) return l->entries;
    return std::nullopt;
  }
  Range or_unknown(const Expr& e) { return size_of(e).value_or(kUnknown); }
  Range size(const Node& n) const {
    if (n.size) return *n.size;
    return by_schema(n.path).value_or(kUnknown);
  }
  static Range known(const Node& n) { return n.size.value_or(kUnknown); }
  Node node(const Expr& e) {
    Node n{path_of(e), e.type, &e, size_of(e)};
    if (!n.path.empty() && (n.path[0] == kAccumulator || n.path[0] == "__result__")) n.path.clear();
    return n;
  }

  // Parts.
  Range select(const Expr& e) {
    if (e.test_only) return cost(*e.target);
    Range sum = cost(*e.target);
    TypeKind k = e.target->type->kind;
    if (k == TypeKind::Map || k == TypeKind::Object || k == TypeKind::Param) sum = sum + fixed(1);
    Path path = path_of(*e.target);
    path.push_back(e.text);
    paths_[&e] = std::move(path);
    return sum;
  }
  Range list(const Expr& e) {
    Range sum, item{e.args.empty() ? 0 : kMostCost, 0};
    for (const Expr* a : e.args) {
      sum = sum + cost(*a);
      item = item.either(or_unknown(*a));
    }
    entries_[&e] = Entries{TypeKind::List, fixed(1), item};
    return sum + fixed(kListCost);
  }
  Range map(const Expr& e) {
    Range sum, key{e.args.empty() ? 0 : kMostCost, 0}, value = key;
    for (std::size_t i = 0; i + 1 < e.args.size(); i += 2) {
      sum = sum + cost(*e.args[i]) + cost(*e.args[i + 1]);
      key = key.either(or_unknown(*e.args[i]));
      value = value.either(or_unknown(*e.args[i + 1]));
    }
    entries_[&e] = Entries{TypeKind::Map, key, value};
    return sum + fixed(kMapCost);
  }
  void push_variable(const std::string& name, const Expr& range, bool key, bool single) {
    EntrySize entries = entries_of(range);
    TypeKind container = entries ? entries->container : range.type->kind;
    bool is_list = container == TypeKind::List;
    if (single) key = !is_list;
    Path path = path_of(range);
    path.emplace_back(key ? (is_list ? "@indices" : "@keys") : (is_list ? "@items" : "@values"));
    Size s;
    if (entries) s = key ? entries->key : entries->value;
    locals_.push_back({&name, std::move(path), s, std::nullopt});
  }
  Range fold(const Expr& e) {
    const Expr &range = *e.args[kRange], &init = *e.args[kInit];
    Range sum = cost(range) + cost(init);
    locals_.push_back({&e.text, path_of(init), size_of(init), entries_of(init)});
    std::size_t depth = locals_.size();
    if (e.names.size() == 2) {
      push_variable(e.names[0], range, true, false);
      push_variable(e.names[1], range, false, false);
    } else {
      push_variable(e.names[0], range, false, true);
    }
    Range condition = cost(*e.args[kCondition]), step = cost(*e.args[kStep]);
    locals_.resize(depth);
    sum = sum + cost(*e.args[kResult]);
    locals_.pop_back();
    Range count = or_unknown(range);
    sum = sum + count * (step + condition);
    if (init.kind == Kind::Literal) {
      set_size(e, size_of(init));
    } else if (init.kind == Kind::List || init.kind == Kind::Map) {
      set_size(e, count);
      if (EntrySize s = entries_of(*e.args[kStep])) entries_[&e] = *s;
    }
    return sum;
  }
  static bool is_bind(const Expr& e) {
    return e.args[kRange]->kind == Kind::List && e.args[kRange]->args.empty() && e.args[kCondition]->kind == Kind::Literal &&
           e.args[kCondition]->literal.is_false() && e.text != "__result__";
  }
  Range bind(const Expr& e) {
    const Expr &init = *e.args[kInit], &result = *e.args[kResult];
    Range sum = cost(*e.args[kRange]) + cost(init);
    locals_.push_back({&e.text, path_of(init), size_of(init), entries_of(init)});
    sum = sum + cost(result);
    locals_.pop_back();
    set_size(e, size_of(result));
    if (EntrySize s = entries_of(result)) entries_[&e] = *s;
    return sum;
  }

  // Calls.
  Range call(const Expr& e) {
    if (e.text == "dyn" && e.args.size() == 1) {
      Range c = cost(*e.args[0]);
      set_size(e, size_of(*e.args[0]));
      if (EntrySize s = entries_of(*e.args[0])) entries_[&e] = *s;
      return fixed(1) + c;
    }
    std::vector<Node> args;
    std::vector<Range> costs;
    for (const Expr* a : e.args) {
      costs.push_back(cost(*a));
      args.push_back(node(*a));
    }
    if (e.overloads.empty()) return {};
    Range sum;
    std::optional<Node> target;
    if (e.target) {
      sum = cost(*e.target);
      target = node(*e.target);
    }
    Range total{kMostCost, 0};
    Size result;
    for (const Overload* o : e.overloads) {
      Estimate one = overload_cost(e, *o, target ? &*target : nullptr, args, costs);
      total = total.either(one.cost);
      if (one.size) result = result ? result->either(*one.size) : *one.size;
      if ((o->id == "index_list" || o->id == "index_map") && !args.empty()) {
        EntrySize entries = entries_of(*e.args[0]);
        result = entries ? Size(entries->value) : std::nullopt;
        Path path = path_of(*e.args[0]);
        path.emplace_back(o->id == "index_list" ? "@items" : "@values");
        paths_[&e] = std::move(path);
      }
      if (!result) result = size_of(e);
    }
    set_size(e, result);
    return sum + total;
  }
  static Range sum_of(const std::vector<Range>& costs) {
    Range sum;
    for (Range c : costs) sum = sum + c;
    return sum;
  }
  Estimate overload_cost(const Expr& e, const Overload& o, const Node* target, const std::vector<Node>& args, const std::vector<Range>& costs) {
    Estimate out;
    if (list_function(o, target, args, out) || library_function(e.text, o, target, args, out)) {
      out.cost = out.cost + sum_of(costs);
      return out;
    }
    return standard(e, o, target, args, costs);
  }

  // cel-go's extensions for lists and sets.
  bool list_function(const Overload& o, const Node* target, const std::vector<Node>& args, Estimate& out) {
    const std::string& id = o.id;
    auto allocates = [&](double factor, Range n) {
      out = {n * factor + fixed(1) + fixed(kListCost), n};
      return true;
    };
    auto square = [&](const Node& n, const Type* item) {
      Range s = size(n);
      double factor = item && (item->kind == TypeKind::String || item->kind == TypeKind::Bytes) ? 2.1 : 2;
      return allocates(factor, s * s);
    };
    if (id == "list_slice" && target) {
      std::uint64_t start = literal_int(args[0], 0), end = literal_int(args[1], size(*target).max);
      return allocates(1, fixed(end - start));
    }
    if (id == "lists_range") return allocates(1, fixed(literal_int(args[0], kMostCost)));
    if (id == "list_reverse" && target) return allocates(1, size(*target));
    if ((id == "list_flatten" || id == "list_flatten_int") && target)
      return allocates(args.empty() ? 1.0 : static_cast<double>(literal_int(args[0], kMostCost)), size(*target));
    if (id == "list_distinct" && target) return square(*target, nullptr);
    if (id.ends_with("_sort") && target) return square(*target, o.args[0]->params[0]);
    if (id.ends_with("_sortByAssociatedKeys")) return square(args[0], o.args[1]->params[0]);
    if (id.starts_with("list_sets_")) {
      out = {size(args[0]) * size(args[1]) * (id == "list_sets_equivalent_list" ? 2.0 : 1.0) + fixed(1), std::nullopt};
      return true;
    }
    return false;
  }

  // Kubernetes' libraries, by the function's name.
  bool library_function(const std::string& f, const Overload& o, const Node* target, const std::vector<Node>& args, Estimate& out) {
    enum class Rule { One, Check, Selector, Items, TextOfArgument, TextOfTarget, Replace, Split, Join, Find, Argument, Ip, Canonical, Contains, Validate, Equal };
    static constexpr std::pair<std::string_view, Rule> kRules[] = {
        {"check", Rule::Check}, {"serviceAccount", Rule::One}, {"path", Rule::One}, {"group", Rule::One}, {"resource", Rule::One},
        {"subresource", Rule::One}, {"namespace", Rule::One}, {"name", Rule::One}, {"allowed", Rule::One}, {"reason", Rule::One},
        {"error", Rule::One}, {"errored", Rule::One}, {"fieldSelector", Rule::Selector}, {"labelSelector", Rule::Selector},
        {"isSorted", Rule::Items}, {"sum", Rule::Items}, {"max", Rule::Items}, {"min", Rule::Items}, {"indexOf", Rule::Items},
        {"lastIndexOf", Rule::Items}, {"includes", Rule::Items}, {"url", Rule::TextOfArgument}, {"jsonpatch.escapeKey", Rule::TextOfArgument},
        {"lowerAscii", Rule::TextOfTarget}, {"upperAscii", Rule::TextOfTarget}, {"substring", Rule::TextOfTarget}, {"trim", Rule::TextOfTarget},
        {"replace", Rule::Replace}, {"split", Rule::Split}, {"join", Rule::Join}, {"find", Rule::Find}, {"findAll", Rule::Find},
        {"cidr", Rule::Argument}, {"isIP", Rule::Argument}, {"isCIDR", Rule::Argument}, {"ip", Rule::Ip}, {"ip.isCanonical", Rule::Canonical},
        {"containsIP", Rule::Contains}, {"containsCIDR", Rule::Contains}, {"quantity", Rule::Argument}, {"isQuantity", Rule::Argument},
        {"semver", Rule::Argument}, {"isSemver", Rule::Argument}, {"validate", Rule::Validate}, {"format.named", Rule::One}, {"_==_", Rule::Equal}};
    auto it = std::find_if(std::begin(kRules), std::end(kRules), [&](const auto& r) { return r.first == f; });
    if (it == std::end(kRules)) return false;
    Range argument = args.empty() ? Range{} : size(args[0]);
    switch (it->second) {
      case Rule::One: out = {fixed(1), std::nullopt}; return true;
      case Rule::Check: out = {fixed(350'000), std::nullopt}; return true;
      case Rule::Selector: out = {fixed(kListCost) + argument * 0.1 + argument * 0.5 * static_cast<double>(kListCost + kObjectCost), std::nullopt}; return true;
      case Rule::Items: return target && items(*target, f, out);
      case Rule::TextOfArgument: out = {argument * 0.1, argument}; return args.size() == 1;
      case Rule::TextOfTarget:
        if (target) out = {size(*target) * 0.1, size(*target)};
        return target != nullptr;
      case Rule::Replace: return target && args.size() >= 2 && replace(*target, args, out);
      case Rule::Split: {
        if (!target) return false;
        Range s = size(*target);
        std::uint64_t most = s.max;
        if (args.size() > 1 && args[1].expr->kind == Kind::Literal && args[1].expr->literal.is(ValueKind::Int)) most = args[1].expr->literal.as_uint();
        out = {s * 0.2, Range{0, most}};
        return true;
      }
      case Rule::Join: return target && join(*target, args, out);
      case Rule::Find: {
        if (!target || args.empty()) return false;
        Range s = size(*target);
        out = {((s + fixed(1)) * 0.1) * (argument * 0.25), Range{0, s.max}};
        return true;
      }
      case Rule::Argument: out = {argument * 0.1, std::nullopt}; return !args.empty();
      case Rule::Ip:
        out = {o.id == "cidr_ip" ? fixed(1) : argument * 0.1, std::nullopt};
        return o.id == "cidr_ip" || !args.empty();
      case Rule::Canonical: out = {argument * 0.2, std::nullopt}; return !args.empty();
      case Rule::Contains: {
        Range address{4, 16};
        Range c = (address + address) * 0.1;
        if (f == "containsCIDR") c = c + address * 0.1 + fixed(1);
        if (o.id.ends_with("_string")) c = c + argument * 0.1;
        out = {c, std::nullopt};
        return true;
      }
      case Rule::Validate: out = {argument * 0.1 * (128 * 0.25), std::nullopt}; return !args.empty();
      case Rule::Equal: return own_equality(args, out);
    }
    return false;
  }
  bool own_equality(const std::vector<Node>& args, Estimate& out) const {
    const Type &a = *args[0].type, &b = *args[1].type;
    if (!same_type(a, b)) return false;
    if (a.name == types::format.name) out = {Range{1, 64} * 0.1, std::nullopt};
    else if (a.name == types::url.name) out = {Range{1, args[1].size ? args[1].size->max : 1} * 0.1, std::nullopt};
    else if (a.name.starts_with("kubernetes.") || a.name == types::ip.name || a.name == types::cidr.name) out = {fixed(1), std::nullopt};
    else return false;
    return true;
  }
  std::optional<Node> item_node(const Node& list) const {
    if (list.type->params.empty()) return std::nullopt;
    Node item;
    item.type = list.type->params[0];
    item.path = list.path;
    if (!item.path.empty()) item.path.emplace_back("@items");
    return item;
  }
  bool items(const Node& target, const std::string& f, Estimate& out) const {
    Range each = fixed(1);
    if (auto item = item_node(target)) {
      if (item->type->kind == TypeKind::String || item->type->kind == TypeKind::Bytes) each = each + size(*item) * 0.1;
    } else if (f != "includes") {
      out = {size(target) * 0.1, std::nullopt};  // a text
      return true;
    }
    out = {size(target) * each, std::nullopt};
    return true;
  }
  bool replace(const Node& target, const std::vector<Node>& args, Estimate& out) const {
    Range s = size(target), old = size(args[0]), with = size(args[1]), count, kept;
    auto quotient = [](std::uint64_t a, std::uint64_t b) { return scaled(1, std::ceil(static_cast<double>(a) / static_cast<double>(b))); };
    if (old.min == 0) count.max = plus(s.max, 1), kept.max = s.max;
    else if (with.max <= old.min) kept.max = s.max;
    else count.max = quotient(s.max, old.min);
    if (old.max == 0) count.min = plus(s.min, 1), kept.min = s.min;
    else if (old.max <= with.min) kept.min = s.min;
    else count.min = quotient(s.min, old.max);
    out = {s * 0.2, count * with + kept};
    return true;
  }
  bool join(const Node& target, const std::vector<Node>& args, Estimate& out) const {
    Range n = size(target), s;
    if (auto item = item_node(target)) s = n * size(*item);
    if (!args.empty()) s = s + size(args[0]) * Range{n.min ? n.min - 1 : 0, n.max ? n.max - 1 : 0};
    out = {s * 0.1, s};
    return true;
  }

  // The standard library, by overload.
  Estimate standard(const Expr& e, const Overload& o, const Node* target, const std::vector<Node>& args, const std::vector<Range>& costs) {
    const std::string& id = o.id;
    Range sum = sum_of(costs);
    auto starts = [&](const char* p) { return id.starts_with(p); };
    if (id == "string_format" && target) return {known(*target) * 0.1 + sum, std::nullopt};
    if (id == "string_to_bytes") return {known(args[0]) * 0.1 + sum, Range{known(args[0]).min, known(args[0]).max * 4}};
    if (id == "bytes_to_string") return {known(args[0]) * 0.1 + sum, Range{known(args[0]).min / 4, known(args[0]).max}};
    if (id == "strings_quote") return {known(args[0]) * 0.1 + sum, Range{known(args[0]).min + 2, known(args[0]).max * 2 + 2}};
    if (id == "starts_with_string" || id == "ends_with_string") return {known(args[0]) * 0.1 + sum, std::nullopt};
    if (id == "in_list") return {known(args[1]) + sum, std::nullopt};
    if (id == "matches" || id == "matches_string") {
      const Node &text = target ? *target : args[0], &pattern = target ? args[0] : args[1];
      return {((known(text) + fixed(1)) * 0.1) * (known(pattern) * 0.25) + sum, std::nullopt};
    }
    if (id == "contains_string" && target) return {(known(*target) * 0.1) * (known(args[0]) * 0.1) + sum, std::nullopt};
    if (id == "logical_or" || id == "logical_and") return {Range{costs[0].min, plus(costs[0].max, costs[1].max)}, std::nullopt};
    if (id == "conditional") {
      Range s = known(args[1]).either(known(args[2]));
      if (EntrySize entries = either(entries_of(*e.args[1]), entries_of(*e.args[2]))) entries_[&e] = *entries;
      return {costs[0] + costs[1].either(costs[2]), s};
    }
    if (id == "add_string" || id == "add_bytes" || id == "add_list") {
      Range s = known(args[0]) + known(args[1]);
      if (EntrySize entries = either(entries_of(*e.args[0]), entries_of(*e.args[1]))) entries_[&e] = *entries;
      return {(id == "add_list" ? fixed(1) : s * 0.1) + sum, s};
    }
    bool ordered = (starts("less_") || starts("greater_")) && (id.ends_with("string") || id.ends_with("bytes"));
    if (ordered || id == "equals" || id == "not_equals") {
      std::uint64_t most = std::min(known(args[0]).max, known(args[1]).max);
      return {Range{most > 0 ? 1ULL : 0ULL, most} * 0.1 + sum, std::nullopt};
    }
    return {fixed(1) + sum, std::nullopt};
  }

  const Schema* root_ = nullptr;
  std::vector<Local> locals_;
  std::unordered_map<const Expr*, Path> paths_;
  std::unordered_map<const Expr*, Range> sizes_;
  std::unordered_map<const Expr*, Entries> entries_;
};

}  // namespace

std::uint64_t estimate_cost(const Expr& root, const Environment& environment) { return Estimator(environment).cost(root).max; }

}  // namespace onebin::cel
