#include <onebin/apimachinery/jsonpath.hpp>

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <charconv>
#include <optional>

namespace onebin::apimachinery {

struct JsonPath::Node {
  enum class Kind : unsigned char { Field, Wildcard, Recursive, Slice, Filter, Union };
  // One side of a filter's comparison: a literal, or a path from the item.
  struct Operand {
    bool is_path = false;
    Document literal;
    std::vector<Node> path;
  };
  Kind kind = Kind::Field;
  std::string name;
  std::optional<long> slice[3];  // begin, end, step
  bool single = false;           // Slice: [n], not [a:b]
  std::string op;                // Filter: "" = the left side exists
  Operand left, right;
  std::vector<std::vector<Node>> branches;  // Union
};

namespace {

using Node = JsonPath::Node;
constexpr int kMaxDepth = 64;

bool name_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '$'; }

std::optional<long> to_long(std::string_view s) {
  long v = 0;
  if (!s.empty() && s.front() == '+') s.remove_prefix(1);
  auto r = std::from_chars(s.data(), s.data() + s.size(), v);
  if (s.empty() || r.ec != std::errc() || r.ptr != s.data() + s.size()) return std::nullopt;
  return v;
}

std::string unquote(std::string_view s) {
  std::string out;
  for (std::size_t i = 1; i + 1 < s.size(); ++i) {
    if (s[i] == '\\' && i + 2 < s.size()) ++i;
    out += s[i];
  }
  return out;
}

bool is_quoted(std::string_view s) { return s.size() >= 2 && (s.front() == '\'' || s.front() == '"') && s.back() == s.front(); }

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<std::vector<Node>> parse(int depth = 0) {
    if (depth > kMaxDepth) return fail("nested too deeply");
    std::vector<Node> out;
    if (pos_ < text_.size() && (text_[pos_] == '$' || text_[pos_] == '@')) ++pos_;
    else if (pos_ < text_.size() && name_char(text_[pos_])) out.push_back(field(name()));
    while (pos_ < text_.size()) {
      char c = text_[pos_];
      if (c == '.') RETURN_IF_ERROR(after_dot(out));
      else if (c == '[') RETURN_IF_ERROR(bracket(out, depth));
      else if (c == ' ') ++pos_;
      else return fail("unexpected character '" + std::string(1, c) + "'");
    }
    return out;
  }

 private:
  Status fail(std::string why) const { return bad_request("invalid JSONPath " + go_quote(text_) + ": " + std::move(why)); }

  static Node field(std::string name) {
    Node n;
    n.name = std::move(name);
    return n;
  }

  std::string name() {
    std::string out;
    while (pos_ < text_.size()) {
      char c = text_[pos_];
      if (c == '\\' && pos_ + 1 < text_.size()) c = text_[++pos_];
      else if (!name_char(c) && static_cast<unsigned char>(c) < 0x80 && c != '/' && c != ':') break;
      out += c;
      ++pos_;
    }
    return out;
  }

  Status after_dot(std::vector<Node>& out) {
    ++pos_;
    if (pos_ < text_.size() && text_[pos_] == '.') {
      ++pos_;
      Node n;
      n.kind = Node::Kind::Recursive;
      out.push_back(std::move(n));
      if (pos_ < text_.size() && text_[pos_] == '[') return {};
    }
    if (pos_ < text_.size() && text_[pos_] == '*') {
      ++pos_;
      Node n;
      n.kind = Node::Kind::Wildcard;
      out.push_back(std::move(n));
      return {};
    }
    if (pos_ == text_.size() || text_[pos_] == '[') return {};
    auto n = name();
    if (n.empty()) return fail("expected a name after '.'");
    out.push_back(field(std::move(n)));
    return {};
  }

  // The text between this bracket and the one that closes it.
  Result<std::string_view> inside() {
    std::size_t begin = ++pos_;
    char quote = 0;
    int open = 1;
    for (; pos_ < text_.size(); ++pos_) {
      char c = text_[pos_];
      if (quote) {
        if (c == '\\') ++pos_;
        else if (c == quote) quote = 0;
      } else if (c == '\'' || c == '"') {
        quote = c;
      } else if (c == '[') {
        ++open;
      } else if (c == ']' && --open == 0) {
        auto out = text_.substr(begin, pos_ - begin);
        ++pos_;
        return out;
      }
    }
    return fail("unterminated '['");
  }

  Status bracket(std::vector<Node>& out, int depth) {
    auto text = inside();
    if (!text) return text.status();
    auto body = trim(*text);
    if (body.size() > 3 && body[0] == '?' && body[1] == '(' && body.back() == ')') return filter(body.substr(2, body.size() - 3), out, depth);
    auto parts = split_unquoted(body);
    if (parts.size() > 1) {
      Node n;
      n.kind = Node::Kind::Union;
      for (auto part : parts) {
        std::vector<Node> branch;
        RETURN_IF_ERROR(element(trim(part), branch));
        n.branches.push_back(std::move(branch));
      }
      out.push_back(std::move(n));
      return {};
    }
    return element(body, out);
  }

  static std::vector<std::string_view> split_unquoted(std::string_view s) {
    std::vector<std::string_view> out;
    std::size_t begin = 0;
    char quote = 0;
    for (std::size_t i = 0; i < s.size(); ++i) {
      if (quote) quote = s[i] == quote ? 0 : quote;
      else if (s[i] == '\'' || s[i] == '"') quote = s[i];
      else if (s[i] == ',') {
        out.push_back(s.substr(begin, i - begin));
        begin = i + 1;
      }
    }
    out.push_back(s.substr(begin));
    return out;
  }

  Status element(std::string_view s, std::vector<Node>& out) {
    Node n;
    if (s == "*") {
      n.kind = Node::Kind::Wildcard;
    } else if (is_quoted(s)) {
      n.name = unquote(s);
    } else if (!s.empty()) {
      n.kind = Node::Kind::Slice;
      auto parts = split(s, ':');
      n.single = parts.size() == 1;
      if (parts.size() > 3) return fail("invalid array index [" + std::string(s) + "]");
      for (std::size_t i = 0; i < parts.size(); ++i) {
        auto part = trim(parts[i]);
        if (part.empty() && !n.single) continue;
        n.slice[i] = to_long(part);
        if (!n.slice[i]) return fail("invalid array index [" + std::string(s) + "]");
      }
      if (n.slice[2] && *n.slice[2] <= 0) return fail("step must be > 0");
    } else {
      return fail("empty brackets");
    }
    out.push_back(std::move(n));
    return {};
  }

  Status filter(std::string_view s, std::vector<Node>& out, int depth) {
    Node n;
    n.kind = Node::Kind::Filter;
    std::size_t at = std::string_view::npos;
    char quote = 0;
    for (std::size_t i = 0; i < s.size() && at == std::string_view::npos; ++i) {
      if (quote) quote = s[i] == quote ? 0 : quote;
      else if (s[i] == '\'' || s[i] == '"') quote = s[i];
      else
        for (std::string_view op : {"==", "!=", "<=", ">=", "<", ">"})
          if (s.substr(i, op.size()) == op) {
            at = i;
            n.op = op;
            break;
          }
    }
    RETURN_IF_ERROR(operand(trim(s.substr(0, at)), n.left, depth));
    if (!n.op.empty()) RETURN_IF_ERROR(operand(trim(s.substr(at + n.op.size())), n.right, depth));
    out.push_back(std::move(n));
    return {};
  }

  Status operand(std::string_view s, Node::Operand& out, int depth) {
    if (is_quoted(s)) {
      out.literal = unquote(s);
    } else if (!s.empty() && (s.front() == '@' || s.front() == '.' || s.front() == '$')) {
      out.is_path = true;
      ASSIGN_OR_RETURN(out.path, Parser(s).parse(depth + 1));
    } else {
      out.literal = Document::parse(s, nullptr, false);
      if (out.literal.is_discarded() || out.literal.is_structured()) return fail("cannot compare with '" + std::string(s) + "'");
    }
    return {};
  }

  std::string_view text_;
  std::size_t pos_ = 0;
};

using Values = std::vector<const Document*>;

// Paths multiply: "..*..*" looks at every pair of levels. What one evaluation may look at is bounded; past it values are left out.
class Evaluation {
 public:
  Values run(const std::vector<Node>& nodes, Values values);

 private:
  bool spend() { return left_ > 0 && --left_ > 0; }
  void step(const Node& n, const Document& v, Values& out);
  void descendants(const Document& v, Values& out, int depth);
  void take_slice(const Node& n, const Document& list, Values& out);
  bool passes(const Node& n, const Document& item);
  long left_ = 1'000'000;
};

void Evaluation::descendants(const Document& v, Values& out, int depth) {
  if (!v.is_structured() || v.empty() || depth > 200 || !spend()) return;
  out.push_back(&v);
  for (const auto& e : v) descendants(e, out, depth + 1);
}

void Evaluation::take_slice(const Node& n, const Document& list, Values& out) {
  if (!list.is_array()) return;
  long size = static_cast<long>(list.size());
  long begin = n.slice[0].value_or(0);
  if (begin < 0) begin += size;
  if (begin < 0 || begin >= size) return;
  long end = n.single ? begin + 1 : n.slice[1].value_or(size);
  if (end < 0) end += size;
  if (end > size) return;
  long stride = std::min(n.slice[2].value_or(1), size);
  for (long i = begin; i < end && spend(); i += stride) out.push_back(&list[static_cast<std::size_t>(i)]);
}

std::optional<int> compare(const Document& a, const Document& b) {
  if (a.is_number() && b.is_number()) {
    double x = a.get<double>(), y = b.get<double>();
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (a.is_string() && b.is_string()) return a.get_ref<const std::string&>().compare(b.get_ref<const std::string&>());
  if (a.type() == b.type() && a.is_boolean()) return a == b ? 0 : 1;
  return std::nullopt;
}

bool Evaluation::passes(const Node& n, const Document& item) {
  auto side = [&](const Node::Operand& o) { return o.is_path ? run(o.path, {&item}) : Values{&o.literal}; };
  auto l = side(n.left);
  if (n.op.empty()) return !l.empty();
  auto r = side(n.right);
  if (l.size() != 1 || r.size() != 1) return false;
  auto c = compare(*l[0], *r[0]);
  if (n.op == "!=") return !c || *c != 0;
  if (!c) return false;
  if (n.op == "==") return *c == 0;
  if (n.op == "<") return *c < 0;
  if (n.op == "<=") return *c <= 0;
  if (n.op == ">") return *c > 0;
  return *c >= 0;
}

void Evaluation::step(const Node& n, const Document& v, Values& out) {
  switch (n.kind) {
    case Node::Kind::Field:
      if (const auto* m = find_member(v, n.name); m && spend()) out.push_back(m);
      break;
    case Node::Kind::Wildcard:
      if (!v.is_structured()) break;
      for (const auto& e : v)
        if (spend()) out.push_back(&e);
        else break;
      break;
    case Node::Kind::Recursive: descendants(v, out, 0); break;
    case Node::Kind::Slice: take_slice(n, v, out); break;
    case Node::Kind::Filter:
      if (!v.is_array()) break;
      for (const auto& e : v) {
        if (!spend()) break;
        if (passes(n, e)) out.push_back(&e);
      }
      break;
    case Node::Kind::Union:
      for (const auto& branch : n.branches)
        for (const auto* found : run(branch, {&v})) out.push_back(found);
      break;
  }
}

Values Evaluation::run(const std::vector<Node>& nodes, Values values) {
  for (const auto& n : nodes) {
    Values next;
    for (const auto* v : values)
      if (spend()) step(n, *v, next);
      else break;
    values = std::move(next);
  }
  return values;
}

}  // namespace

Result<JsonPath> JsonPath::parse(std::string_view text) {
  auto body = trim(text);
  if (body.size() >= 2 && body.front() == '{' && body.back() == '}') body = trim(body.substr(1, body.size() - 2));
  ASSIGN_OR_RETURN(auto nodes, Parser(body).parse());
  JsonPath out;
  out.text_ = std::string(text);
  out.nodes_ = std::make_shared<const std::vector<Node>>(std::move(nodes));
  return out;
}

std::vector<const Document*> JsonPath::find(const Document& document) const { return nodes_ ? Evaluation().run(*nodes_, {&document}) : Values(); }

const Document* JsonPath::first(const Document& document) const {
  auto values = find(document);
  return values.empty() ? nullptr : values[0];
}

namespace {
std::string printed(const Document& v) {
  if (v.is_string()) return v.get<std::string>();
  if (v.is_number_float()) return go_float(v.get<double>());
  if (v.is_null()) return "<nil>";
  return go_json(v);
}
}  // namespace

std::string JsonPath::print(const Document& document) const {
  constexpr std::size_t kMost = 1 << 20;  // of text; a value may hold all that come after it
  std::string out;
  bool first = true;
  for (const auto* v : find(document)) {
    if (out.size() > kMost) break;
    if (!first) out += ' ';
    first = false;
    out += printed(*v);
  }
  return out;
}

std::vector<std::string> simple_json_path(std::string_view text) {
  if (text.size() < 2 || text.front() != '.') return {};
  auto parts = split(text.substr(1), '.');
  for (const auto& p : parts) {
    if (p.empty()) return {};
    for (char c : p)
      if (!name_char(c)) return {};
  }
  return parts;
}

}  // namespace onebin::apimachinery
