#include <onebin/apimachinery/selectors.hpp>

#include <onebin/apimachinery/names.hpp>
#include <onebin/apimachinery/string_list.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <charconv>
#include <set>

namespace onebin::apimachinery {
namespace {

constexpr const char* kOperators[] = {"in", "notin", "=", "==", "!=", "exists", "!", "gt", "lt"};

std::optional<std::int64_t> parse_int(std::string_view s) {
  std::int64_t v = 0;
  if (!s.empty() && s.front() == '+') s.remove_prefix(1);
  auto r = std::from_chars(s.data(), s.data() + s.size(), v);
  if (s.empty() || r.ec != std::errc() || r.ptr != s.data() + s.size()) return std::nullopt;
  return v;
}

Document to_document(const std::vector<std::string>& values) { return Document(values); }

std::optional<FieldError> key_error(std::string_view key, const FieldPath& path) {
  auto problems = is_qualified_name(key);
  if (problems.empty()) return std::nullopt;
  return field_invalid(path, std::string(key), join(problems, "; "));
}

void operator_errors(FieldErrors& out, SelectorOp op, const std::vector<std::string>& values) {
  FieldPath path("values");
  switch (op) {
    case SelectorOp::In: case SelectorOp::NotIn:
      if (values.empty()) out.push_back(field_invalid(path, to_document(values), "for 'in', 'notin' operators, values set can't be empty"));
      break;
    case SelectorOp::Equals: case SelectorOp::DoubleEquals: case SelectorOp::NotEquals:
      if (values.size() != 1)
        out.push_back(field_invalid(path, to_document(values), "exact-match compatibility requires one single value"));
      break;
    case SelectorOp::Exists: case SelectorOp::DoesNotExist:
      if (!values.empty())
        out.push_back(field_invalid(path, to_document(values), "values set must be empty for exists and does not exist"));
      break;
    case SelectorOp::GreaterThan: case SelectorOp::LessThan:
      if (values.size() != 1)
        out.push_back(field_invalid(path, to_document(values), "for 'Gt', 'Lt' operators, exactly one value is required"));
      for (std::size_t i = 0; i < values.size(); ++i)
        if (!parse_int(values[i]))
          out.push_back(field_invalid(path.index(i), values[i], "for 'Gt', 'Lt' operators, the value must be an integer"));
      break;
  }
}

enum class Tok : unsigned char { Error, End, CloseParen, Comma, Not, DoubleEquals, Equals, Greater, Identifier, In, Less, NotEquals, NotIn, OpenParen };
struct Item {
  Tok tok;
  std::string text;
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_special(char c) { return std::string_view("=!(),><").find(c) != std::string_view::npos; }

std::optional<Tok> special_token(std::string_view s) {
  static const std::pair<std::string_view, Tok> kTokens[] = {{")", Tok::CloseParen}, {",", Tok::Comma},   {"!", Tok::Not},
                                                             {"==", Tok::DoubleEquals}, {"=", Tok::Equals}, {">", Tok::Greater},
                                                             {"<", Tok::Less},       {"!=", Tok::NotEquals}, {"(", Tok::OpenParen}};
  for (const auto& [text, tok] : kTokens)
    if (text == s) return tok;
  return std::nullopt;
}

// A NUL byte ends the text, as it does for upstream's scanner.
std::vector<Item> scan(std::string_view s) {
  if (auto nul = s.find('\0'); nul != std::string_view::npos) s = s.substr(0, nul);
  std::vector<Item> out;
  std::size_t i = 0;
  for (;;) {
    while (i < s.size() && is_space(s[i])) ++i;
    if (i == s.size()) break;
    std::size_t begin = i;
    if (!is_special(s[i])) {
      while (i < s.size() && !is_special(s[i]) && !is_space(s[i])) ++i;
      auto word = s.substr(begin, i - begin);
      out.push_back({word == "in" ? Tok::In : word == "notin" ? Tok::NotIn : Tok::Identifier, std::string(word)});
      continue;
    }
    // The longest run of symbols that is still a token.
    Item item{Tok::Error, {}};
    std::size_t end = begin;
    while (end < s.size() && is_special(s[end])) {
      auto tok = special_token(s.substr(begin, end - begin + 1));
      if (tok) item = {*tok, std::string(s.substr(begin, end - begin + 1))};
      else if (item.tok != Tok::Error) break;
      ++end;
    }
    if (item.tok == Tok::Error) item.text = "error expected: keyword found '" + std::string(s.substr(begin, end - begin)) + "'";
    i = end;
    out.push_back(std::move(item));
  }
  out.push_back({Tok::End, ""});
  return out;
}

class SelectorParser {
 public:
  explicit SelectorParser(std::string_view text) : items_(scan(text)) {}

  Result<std::vector<LabelRequirement>> parse() {
    std::vector<LabelRequirement> out;
    for (;;) {
      Tok tok = peek();
      if (tok == Tok::End) return out;
      if (tok != Tok::Identifier && tok != Tok::Not) return found("expected: !, identifier, or 'end of string'");
      auto r = requirement();
      if (!r) return bad_request("unable to parse requirement: " + r.status().message());
      out.push_back(std::move(*r));
      Item next = take();
      if (next.tok == Tok::End) return out;
      if (next.tok != Tok::Comma) return bad_request("found '" + next.text + "', expected: ',' or 'end of string'");
      tok = peek();
      if (tok != Tok::Identifier && tok != Tok::Not) return found("expected: identifier after ','");
    }
  }

 private:
  static Tok as_value(Tok t) { return t == Tok::In || t == Tok::NotIn ? Tok::Identifier : t; }
  // Keywords are identifiers everywhere but where an operator is expected.
  Tok peek() const { return as_value(items_[pos_].tok); }
  Item take_raw() {
    Item item = items_[pos_];
    if (pos_ + 1 < items_.size()) ++pos_;
    return item;
  }
  Item take() {
    Item item = take_raw();
    item.tok = as_value(item.tok);
    return item;
  }
  Status found(std::string_view expected) const { return bad_request("found '" + items_[pos_].text + "', " + std::string(expected)); }

  Result<LabelRequirement> requirement() {
    bool negated = false;
    Item key = take();
    if (key.tok == Tok::Not) {
      negated = true;
      key = take();
    }
    if (key.tok != Tok::Identifier) return bad_request("found '" + key.text + "', expected: identifier");
    if (auto e = key_error(key.text, {})) return bad_request(e->to_string());
    Tok next = peek();
    if (negated) return LabelRequirement::make(key.text, SelectorOp::DoesNotExist, {});
    if (next == Tok::End || next == Tok::Comma) return LabelRequirement::make(key.text, SelectorOp::Exists, {});
    Item op = take_raw();
    SelectorOp o;
    switch (op.tok) {
      case Tok::In: o = SelectorOp::In; break;
      case Tok::NotIn: o = SelectorOp::NotIn; break;
      case Tok::Equals: o = SelectorOp::Equals; break;
      case Tok::DoubleEquals: o = SelectorOp::DoubleEquals; break;
      case Tok::NotEquals: o = SelectorOp::NotEquals; break;
      case Tok::Greater: o = SelectorOp::GreaterThan; break;
      case Tok::Less: o = SelectorOp::LessThan; break;
      default: return bad_request("found '" + op.text + "', expected: in, notin, =, ==, !=, gt, lt");
    }
    std::set<std::string> values;
    Status s = o == SelectorOp::In || o == SelectorOp::NotIn ? value_list(values) : exact_value(values);
    if (!s) return s;
    return LabelRequirement::make(key.text, o, {values.begin(), values.end()});
  }

  Status exact_value(std::set<std::string>& out) {
    Tok tok = peek();
    if (tok == Tok::End || tok == Tok::Comma) {
      out.insert("");
      return {};
    }
    Item item = take();
    if (item.tok != Tok::Identifier) return bad_request("found '" + item.text + "', expected: identifier");
    out.insert(item.text);
    return {};
  }

  Status value_list(std::set<std::string>& out) {
    Item open = take();
    if (open.tok != Tok::OpenParen) return bad_request("found '" + open.text + "' expected: '('");
    Item first = items_[pos_];
    switch (peek()) {
      case Tok::CloseParen:
        take();
        out.insert("");
        return {};
      case Tok::Identifier: case Tok::Comma: {
        RETURN_IF_ERROR(identifiers(out));
        if (take().tok != Tok::CloseParen) return bad_request("found '" + first.text + "', expected: ')'");
        return {};
      }
      default: return found("expected: ',', ')' or identifier");
    }
  }

  // Stops before the closing parenthesis. A missing item between, before or after commas is "".
  Status identifiers(std::set<std::string>& out) {
    for (;;) {
      Item item = take();
      if (item.tok == Tok::Identifier) {
        out.insert(item.text);
        if (peek() == Tok::CloseParen) return {};
        if (peek() != Tok::Comma) return found("expected: ',' or ')'");
      } else if (item.tok == Tok::Comma) {
        if (out.empty()) out.insert("");
        if (peek() == Tok::CloseParen) {
          out.insert("");
          return {};
        }
        if (peek() == Tok::Comma) out.insert("");
      } else {
        return bad_request("found '" + item.text + "', expected: ',', or identifier");
      }
    }
  }

  std::vector<Item> items_;
  std::size_t pos_ = 0;
};

Result<SelectorOp> operator_from_api(std::string_view op) {
  if (op == "In") return SelectorOp::In;
  if (op == "NotIn") return SelectorOp::NotIn;
  if (op == "Exists") return SelectorOp::Exists;
  if (op == "DoesNotExist") return SelectorOp::DoesNotExist;
  return bad_request(go_quote(op) + " is not a valid label selector operator");
}

}  // namespace

Result<LabelRequirement> LabelRequirement::make(std::string key, SelectorOp op, std::vector<std::string> values) {
  FieldErrors errors;
  if (auto e = key_error(key, FieldPath("key"))) errors.push_back(std::move(*e));
  operator_errors(errors, op, values);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (auto problems = is_valid_label_value(values[i]); !problems.empty())
      errors.push_back(field_invalid(FieldPath("values").index(i).key(key), values[i], join(problems, "; ")));
  if (!errors.empty()) return bad_request(aggregate(errors));
  return LabelRequirement{std::move(key), op, std::move(values)};
}

bool LabelRequirement::matches(std::optional<std::string_view> value) const {
  auto has = [&] { return std::find(values.begin(), values.end(), *value) != values.end(); };
  switch (op) {
    case SelectorOp::In: case SelectorOp::Equals: case SelectorOp::DoubleEquals: return value && has();
    case SelectorOp::NotIn: case SelectorOp::NotEquals: return !value || !has();
    case SelectorOp::Exists: return value.has_value();
    case SelectorOp::DoesNotExist: return !value.has_value();
    case SelectorOp::GreaterThan: case SelectorOp::LessThan: {
      if (!value || values.size() != 1) return false;
      auto l = parse_int(*value), r = parse_int(values[0]);
      if (!l || !r) return false;
      return op == SelectorOp::GreaterThan ? *l > *r : *l < *r;
    }
  }
  return false;
}

std::string LabelRequirement::to_string() const {
  if (op == SelectorOp::DoesNotExist) return "!" + key;
  if (op == SelectorOp::Exists) return key;
  auto sorted = values;
  std::sort(sorted.begin(), sorted.end());
  auto text = join(sorted, ",");
  switch (op) {
    case SelectorOp::In: return key + " in (" + text + ")";
    case SelectorOp::NotIn: return key + " notin (" + text + ")";
    case SelectorOp::GreaterThan: return key + ">" + text;
    case SelectorOp::LessThan: return key + "<" + text;
    default: return key + kOperators[static_cast<std::size_t>(op)] + text;
  }
}

LabelSelector LabelSelector::nothing() {
  LabelSelector s;
  s.nothing_ = true;
  return s;
}

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  auto requirements = SelectorParser(text).parse();
  if (!requirements) return requirements.status();
  LabelSelector out;
  for (auto& r : *requirements) out.add(std::move(r));
  return out;
}

LabelSelector LabelSelector::from_map(const std::map<std::string, std::string>& labels) {
  LabelSelector out;
  for (const auto& [k, v] : labels) out.requirements_.push_back({k, SelectorOp::Equals, {v}});
  return out;
}

Result<LabelSelector> LabelSelector::from_document(const Document& selector) {
  if (!selector.is_object()) return nothing();
  LabelSelector out;
  if (const auto& labels = member(selector, "matchLabels"); labels.is_object())
    for (const auto& [k, v] : labels.items()) {
      ASSIGN_OR_RETURN(auto r, LabelRequirement::make(k, SelectorOp::Equals, {v.is_string() ? v.get<std::string>() : ""}));
      out.add(std::move(r));
    }
  if (const auto& expressions = member(selector, "matchExpressions"); expressions.is_array())
    for (const auto& e : expressions) {
      ASSIGN_OR_RETURN(SelectorOp op, operator_from_api(string_at(e, "operator")));
      ASSIGN_OR_RETURN(auto r, LabelRequirement::make(std::string(string_at(e, "key")), op, string_list(member(e, "values"))));
      out.add(std::move(r));
    }
  return out;
}

Result<SelectorOp> LabelSelector::struct_operator(std::string_view op) { return operator_from_api(op); }

bool LabelSelector::matches(const std::map<std::string, std::string>& labels) const {
  return matches_with([&](const std::string& key) -> std::optional<std::string_view> {
    auto it = labels.find(key);
    if (it == labels.end()) return std::nullopt;
    return it->second;
  });
}

bool LabelSelector::matches(const Document& labels) const {
  return matches_with([&](const std::string& key) -> std::optional<std::string_view> {
    if (!labels.is_object()) return std::nullopt;
    auto it = labels.find(key);
    if (it == labels.end() || !it->is_string()) return std::nullopt;
    return it->get_ref<const std::string&>();
  });
}

void LabelSelector::add(LabelRequirement requirement) {
  auto at = std::upper_bound(requirements_.begin(), requirements_.end(), requirement,
                             [](const auto& a, const auto& b) { return a.key < b.key; });
  requirements_.insert(at, std::move(requirement));
}

std::optional<std::string> LabelSelector::requires_exact_match(std::string_view key) const {
  for (const auto& r : requirements_) {
    if (r.key != key) continue;
    bool exact = r.op == SelectorOp::Equals || r.op == SelectorOp::DoubleEquals || r.op == SelectorOp::In;
    if (exact && r.values.size() == 1) return r.values[0];
    return std::nullopt;
  }
  return std::nullopt;
}

std::string LabelSelector::to_string() const {
  std::vector<std::string> parts;
  for (const auto& r : requirements_) parts.push_back(r.to_string());
  return join(parts, ",");
}

Result<Document> parse_to_label_selector(std::string_view text) {
  auto selector = LabelSelector::parse(text);
  if (!selector) return bad_request("couldn't parse the selector string \"" + std::string(text) + "\": " + selector.status().message());
  Document out = {{"matchLabels", Document::object()}, {"matchExpressions", Document::array()}};
  for (const auto& r : selector->requirements()) {
    const char* op = nullptr;
    switch (r.op) {
      case SelectorOp::Equals: case SelectorOp::DoubleEquals: out["matchLabels"][r.key] = r.values[0]; continue;
      case SelectorOp::In: op = "In"; break;
      case SelectorOp::NotIn: op = "NotIn"; break;
      case SelectorOp::Exists: op = "Exists"; break;
      case SelectorOp::DoesNotExist: op = "DoesNotExist"; break;
      case SelectorOp::GreaterThan: case SelectorOp::LessThan:
        return bad_request(go_quote(kOperators[static_cast<std::size_t>(r.op)]) + " isn't supported in label selectors");
      case SelectorOp::NotEquals: return bad_request("\"!=\" is not a valid label selector operator");
    }
    out["matchExpressions"].push_back({{"key", r.key}, {"operator", op}, {"values", r.values}});
  }
  return out;
}

}  // namespace onebin::apimachinery
