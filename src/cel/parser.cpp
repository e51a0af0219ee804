// Recursive descent over CEL.g4. Syntax errors and what is tried after them are those of the reference parsers' generator:
// a token too many is left out, one that is missing is taken as there, and parsing goes on; otherwise it ends.
#include "cel/ast.hpp"
#include "cel/lexer.hpp"

#include <charconv>
#include <cstdlib>

namespace onebin::cel {
namespace {

constexpr int kDepthLimit = 250;
constexpr std::size_t kSizeLimit = 100'000;  // characters

template <class... T>
constexpr std::uint64_t bits(T... t) {
  return (bit(t) | ...);
}
constexpr std::uint64_t kPrimary = bits(Token::LeftBracket, Token::LeftBrace, Token::LeftParen, Token::Dot, Token::Minus, Token::Not,
                                        Token::True, Token::False, Token::Null, Token::Float, Token::Int, Token::Uint, Token::String,
                                        Token::Bytes, Token::Identifier);
constexpr std::uint64_t kOperators =
    bits(Token::EqualsEquals, Token::NotEquals, Token::In, Token::Less, Token::LessEquals, Token::GreaterEquals, Token::Greater, Token::And,
         Token::Or, Token::LeftBracket, Token::Dot, Token::Minus, Token::Question, Token::Plus, Token::Star, Token::Slash, Token::Percent);

const char* operator_name(Token t) {
  switch (t) {
    case Token::EqualsEquals: return "_==_";
    case Token::NotEquals: return "_!=_";
    case Token::In: return "@in";
    case Token::Less: return "_<_";
    case Token::LessEquals: return "_<=_";
    case Token::GreaterEquals: return "_>=_";
    case Token::Greater: return "_>_";
    case Token::Plus: return "_+_";
    case Token::Minus: return "_-_";
    case Token::Star: return "_*_";
    case Token::Slash: return "_/_";
    case Token::Percent: return "_%_";
    default: return "";
  }
}
// Relations 1, sums 2, products 3; 0 for what is none.
int precedence(Token t) {
  if (t >= Token::EqualsEquals && t <= Token::Greater) return 1;
  if (t == Token::Plus || t == Token::Minus) return 2;
  return t == Token::Star || t == Token::Slash || t == Token::Percent ? 3 : 0;
}

bool reserved(std::string_view word) {
  static constexpr std::string_view kWords[] = {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
                                                "loop", "package", "namespace", "return", "var", "void", "while"};
  for (std::string_view w : kWords)
    if (w == word) return true;
  return false;
}

class Parser {
 public:
  Parser(Source& source, Tree& tree) : s_(source), tree_(tree) {}

  Expr* run() {
    if (s_.size() > kSizeLimit) {
      s_.error(kNoPlace, "expression code point size exceeds limit: size: " + std::to_string(s_.size()) + ", limit " + std::to_string(kSizeLimit));
      return nullptr;
    }
    tokens_ = tokenize(s_);
    follow_.push_back(bit(Token::End));
    Expr* e = expression();
    if (!stopped_ && la() != Token::End) {
      if (la(1) == Token::End) syntax("extraneous input " + shown(here()) + " expecting <EOF>");
      else syntax("mismatched input " + shown(here()) + " expecting <EOF>");
    }
    return s_.has_errors() ? nullptr : e;
  }

 private:
  // The stream.
  const Lexeme& here(std::size_t ahead = 0) const { return tokens_[std::min(i_ + ahead, tokens_.size() - 1)]; }
  Token la(std::size_t ahead = 0) const { return here(ahead).token; }
  bool in(std::uint64_t set, std::size_t ahead = 0) const { return set & bit(la(ahead)); }
  void consume() {
    if (i_ + 1 < tokens_.size()) ++i_;
    recovering_ = false;
  }
  std::string text(const Lexeme& t) const { return s_.text(static_cast<std::size_t>(t.begin), static_cast<std::size_t>(t.end)); }
  std::string shown(const Lexeme& t) const { return t.token == Token::End ? "'<EOF>'" : "'" + text(t) + "'"; }
  static std::string shown(std::uint64_t set) {
    std::string out;
    int count = 0;
    for (unsigned t = 0; t <= static_cast<unsigned>(Token::EscapedIdentifier); ++t) {
      if (!(set & (std::uint64_t{1} << t))) continue;
      out += (count++ ? ", " : "") + std::string(display_name(static_cast<Token>(t)));
    }
    return count > 1 ? "{" + out + "}" : out;
  }

  // Errors.
  void syntax(const std::string& message) {
    if (!recovering_) s_.error(here().begin, "Syntax error: " + message);
    recovering_ = true;
  }
  Expr* stop() {
    stopped_ = true;
    return nullptr;
  }
  Expr* fatal(const char* message) {
    if (!stopped_) s_.error(kNoPlace, message);
    return stop();
  }
  // Whether one of `set` comes next, a token that is too many left out.
  bool expect(std::uint64_t set) {
    if (stopped_) return false;
    if (in(set)) return true;
    if (in(set, 1)) {
      syntax("extraneous input " + shown(here()) + " expecting " + shown(set));
      ++i_;
      return true;
    }
    syntax("mismatched input " + shown(here()) + " expecting " + shown(set));
    stop();
    return false;
  }
  // Takes `t`, or does as if it was there when what comes may follow it.
  bool match(Token t, std::uint64_t after) {
    if (stopped_) return false;
    if (la() != t && la(1) != t && in(after)) {
      syntax("missing " + std::string(display_name(t)) + " at " + shown(here()));
      return true;
    }
    if (!expect(bit(t))) return false;
    consume();
    return true;
  }
  std::uint64_t after_operand() const { return kOperators | follow_.back(); }

  // Nodes.
  Expr* checked(Expr* e, bool counts) {
    std::uint16_t depth = e->target ? e->target->depth : 0;
    for (const Expr* a : e->args) depth = a ? std::max(depth, a->depth) : depth;
    e->depth = static_cast<std::uint16_t>(depth + (counts ? 1 : 0));
    return e->depth > kDepthLimit ? fatal("max recursion depth exceeded") : e;
  }
  Expr* call(std::string name, std::int32_t place, Expr* target, std::vector<Expr*> args, bool counts) {
    if (stopped_) return nullptr;
    std::size_t before = s_.errors();
    if (Expr* m = expand_macro(s_, tree_, name, target, args, place)) return checked(m, counts);
    if (s_.errors() != before) return tree_.make(Expr::Kind::Ident, place);
    Expr* e = tree_.make(Expr::Kind::Call, place);
    e->text = std::move(name);
    e->target = target;
    e->args = std::move(args);
    return checked(e, counts);
  }
  Expr* problem(std::int32_t place, std::string message) {
    s_.error(place, std::move(message));
    return tree_.make(Expr::Kind::Ident, place);
  }

  // Rules.
  Expr* expression() {
    if (nesting_ >= kDepthLimit) return fatal("expression recursion limit exceeded: 250");
    ++nesting_;
    Expr* e = logical(true);
    if (!stopped_ && la() == Token::Question) {
      std::int32_t place = here().begin;
      consume();
      follow_.push_back(bit(Token::Colon));
      Expr* yes = logical(true);
      follow_.pop_back();
      if (match(Token::Colon, kPrimary)) {
        Expr* no = expression();
        if (!stopped_) e = call("_?_:_", place, nullptr, {e, yes, no}, true);
      }
    }
    --nesting_;
    return stopped_ ? nullptr : e;
  }
  // Terms joined by || or &&, as a balanced tree.
  Expr* logical(bool any) {
    Token op = any ? Token::Or : Token::And;
    std::vector<Expr*> terms;
    std::vector<std::int32_t> places;
    for (;;) {
      terms.push_back(any ? logical(false) : binary(1));
      if (stopped_ || la() != op) break;
      places.push_back(here().begin);
      consume();
    }
    if (stopped_) return nullptr;
    return places.empty() ? terms[0] : balance(any ? "_||_" : "_&&_", terms, places, 0, places.size() - 1);
  }
  Expr* balance(const char* name, std::vector<Expr*>& terms, std::vector<std::int32_t>& places, std::size_t low, std::size_t high) {
    std::size_t mid = (low + high + 1) / 2;
    Expr* left = mid == low ? terms[mid] : balance(name, terms, places, low, mid - 1);
    Expr* right = mid == high ? terms[mid + 1] : balance(name, terms, places, mid + 1, high);
    return call(name, places[mid], nullptr, {left, right}, false);
  }
  Expr* binary(int level) {
    if (level > 3) return unary();
    Expr* left = binary(level + 1);
    for (int chain = nesting_; !stopped_ && precedence(la()) == level;) {
      if (++chain > kDepthLimit) return fatal("expression recursion limit exceeded: 250");
      Lexeme op = here();
      consume();
      Expr* right = binary(level + 1);
      if (!stopped_) left = call(operator_name(op.token), op.begin, nullptr, {left, right}, true);
    }
    return stopped_ ? nullptr : left;
  }
  Expr* unary() {
    if (!expect(kPrimary)) return nullptr;
    Token t = la();
    bool literal = t == Token::Minus && (la(1) == Token::Int || la(1) == Token::Float);
    if ((t != Token::Not && t != Token::Minus) || literal) return member();
    std::int32_t place = here().begin;
    int count = 0;
    for (; la() == t && !(t == Token::Minus && (la(1) == Token::Int || la(1) == Token::Float) && count > 0 && !minus_run()); ++count) consume();
    if (!operand_follows(t)) return nullptr;
    Expr* e = member();
    if (stopped_ || count % 2 == 0) return e;
    return call(t == Token::Not ? "!_" : "-_", place, nullptr, {e}, false);
  }
  // Whether this minus belongs to a run of them: "--1" negates twice.
  bool minus_run() const { return i_ > 0 && tokens_[i_ - 1].token == Token::Minus; }
  bool operand_follows(Token sign) {
    bool bad = sign == Token::Minus ? !in(kPrimary & ~bits(Token::Not, Token::Minus))
                                    : la() == Token::Minus && la(1) != Token::Int && la(1) != Token::Float;
    if (bad) {
      if (sign == Token::Not) ++i_;
      std::string after = la() == Token::End ? "" : text(here());
      syntax("no viable alternative at input '-" + after + "'");
      if (sign == Token::Minus && la() == Token::End) recovering_ = false, syntax("mismatched input '<EOF>' expecting " + shown(kPrimary));
      return stop(), false;
    }
    if (in(kPrimary)) return true;
    syntax("extraneous input " + shown(here()) + " expecting " + shown(kPrimary));
    return stop(), false;
  }
  Expr* member() {
    Expr* e = primary();
    for (int chain = nesting_; !stopped_ && (la() == Token::Dot || la() == Token::LeftBracket);) {
      if (++chain > kDepthLimit) return fatal("expression recursion limit exceeded: 250");
      e = la() == Token::Dot ? select(e) : index(e);
    }
    return stopped_ ? nullptr : e;
  }
  Expr* select(Expr* operand) {
    Lexeme dot = here();
    consume();
    bool optional = la() == Token::Question;
    if (optional) consume();
    if (la() != Token::Identifier && la() != Token::EscapedIdentifier) {
      bool word = la() == Token::True || la() == Token::False || la() == Token::Null;
      if (word && !optional) syntax("mismatched input " + shown(here()) + " expecting IDENTIFIER");
      else syntax("no viable alternative at input '." + std::string(optional ? "?" : "") + (la() == Token::End ? "" : text(here())) + "'");
      return stop();
    }
    Lexeme id = here();
    consume();
    std::string name = text(id);
    if (id.token == Token::EscapedIdentifier) name = name.substr(1, name.size() - 2);
    if (optional) {
      Expr* field = tree_.make(Expr::Kind::Literal, id.begin);
      field->literal = Value::string(std::move(name));
      return call("_?._", dot.begin, nullptr, {operand, field}, true);
    }
    if (id.token == Token::Identifier && la() == Token::LeftParen) {
      std::int32_t open = here().begin;
      std::vector<Expr*> args = arguments();
      return stopped_ ? nullptr : call(std::move(name), open, operand, std::move(args), true);
    }
    Expr* e = tree_.make(Expr::Kind::Select, dot.begin);
    e->text = std::move(name);
    e->target = operand;
    return checked(e, true);
  }
  Expr* index(Expr* operand) {
    std::int32_t place = here().begin;
    consume();
    if (!expect(kPrimary | bit(Token::Question))) return nullptr;
    bool optional = la() == Token::Question;
    if (optional) consume();
    follow_.push_back(bit(Token::RightBracket));
    Expr* i = expression();
    follow_.pop_back();
    if (!match(Token::RightBracket, after_operand())) return nullptr;
    return call(optional ? "_[?_]" : "_[_]", place, nullptr, {operand, i}, true);
  }
  std::vector<Expr*> arguments() {
    std::vector<Expr*> out;
    consume();  // the parenthesis
    if (!expect(kPrimary | bit(Token::RightParen))) return out;
    follow_.push_back(bits(Token::RightParen, Token::Comma));
    if (la() != Token::RightParen) {
      for (;;) {
        out.push_back(expression());
        if (stopped_ || la() != Token::Comma) break;
        consume();
      }
    }
    follow_.pop_back();
    match(Token::RightParen, after_operand());
    return out;
  }
  Expr* primary() {
    if (!expect(kPrimary)) return nullptr;
    switch (la()) {
      case Token::Dot:
      case Token::Identifier: return name();
      case Token::LeftParen: return nested();
      case Token::LeftBracket: return list();
      case Token::LeftBrace: return map();
      default: return literal();
    }
  }
  Expr* nested() {
    consume();
    follow_.push_back(bit(Token::RightParen));
    Expr* e = expression();
    follow_.pop_back();
    return match(Token::RightParen, after_operand()) ? e : nullptr;
  }
  Expr* name() {
    bool dot = la() == Token::Dot;
    Lexeme first = here();
    if (dot) consume();
    if (la() != Token::Identifier) {
      bool word = la() == Token::True || la() == Token::False || la() == Token::Null;
      if (word) syntax("mismatched input " + shown(here()) + " expecting IDENTIFIER");
      else syntax("no viable alternative at input '." + (la() == Token::End ? "" : text(here())) + "'");
      return stop();
    }
    if (std::size_t n = message_name()) return message(dot, n);
    Lexeme id = here();
    consume();
    std::string word = text(id);
    bool is_call = la() == Token::LeftParen;
    std::int32_t open = here().begin;
    std::vector<Expr*> args;
    if (is_call) args = arguments();
    if (stopped_) return nullptr;
    if (reserved(word)) return problem(first.begin, "reserved identifier: " + word);
    if (dot) word = "." + word;
    if (is_call) return call(std::move(word), open, nullptr, std::move(args), false);
    Expr* e = tree_.make(Expr::Kind::Ident, id.begin);
    e->text = std::move(word);
    return e;
  }
  // How many tokens "a.b.C" takes when a brace follows it; 0 when none does.
  std::size_t message_name() const {
    std::size_t n = 1;
    while (la(n) == Token::Dot && la(n + 1) == Token::Identifier) n += 2;
    return la(n) == Token::LeftBrace ? n : 0;
  }
  Expr* message(bool dot, std::size_t length) {
    std::string type = dot ? "." : "";
    for (std::size_t k = 0; k < length; ++k, consume()) type += text(here());
    Expr* e = tree_.make(Expr::Kind::Struct, here().begin);
    e->text = std::move(type);
    consume();
    constexpr std::uint64_t kField = bits(Token::Question, Token::Identifier, Token::EscapedIdentifier);
    if (!expect(kField | bits(Token::RightBrace, Token::Comma))) return nullptr;
    return entries(e, kField, Token::RightBrace) ? checked(e, false) : nullptr;
  }
  // Entries of a map or a message up to and with the brace.
  bool entries(Expr* e, std::uint64_t first, Token close) {
    follow_.push_back(bit(close) | bit(Token::Comma));
    while (!stopped_ && in(first)) {
      bool optional = la() == Token::Question;
      if (optional) consume();
      if (e->kind == Expr::Kind::Struct) {
        if (!expect(bits(Token::Identifier, Token::EscapedIdentifier))) break;
        std::string field = text(here());
        if (la() == Token::EscapedIdentifier) field = field.substr(1, field.size() - 2);
        e->names.push_back(std::move(field));
        consume();
      } else {
        follow_.push_back(bit(Token::Colon));
        e->args.push_back(expression());
        follow_.pop_back();
      }
      e->places.push_back(here().begin);
      if (!match(Token::Colon, kPrimary)) break;
      e->args.push_back(expression());
      e->optional.push_back(optional);
      if (stopped_ || la() != Token::Comma) break;
      consume();
      if (!in(first)) {  // a comma at the end
        follow_.pop_back();
        return match(close, after_operand());
      }
    }
    follow_.pop_back();
    return finish(close);
  }
  // `','? close`
  bool finish(Token close) {
    if (!expect(bit(close) | bit(Token::Comma))) return false;
    if (la() == Token::Comma) consume();
    return match(close, after_operand());
  }
  Expr* list() {
    Expr* e = tree_.make(Expr::Kind::List, here().begin);
    consume();
    constexpr std::uint64_t kItem = kPrimary | bit(Token::Question);
    if (!expect(kItem | bits(Token::RightBracket, Token::Comma))) return nullptr;
    follow_.push_back(bits(Token::RightBracket, Token::Comma));
    while (!stopped_ && in(kItem)) {
      e->optional.push_back(la() == Token::Question);
      if (la() == Token::Question) consume();
      e->args.push_back(expression());
      if (stopped_ || la() != Token::Comma) break;
      consume();
      if (!in(kItem)) {
        follow_.pop_back();
        return match(Token::RightBracket, after_operand()) ? checked(e, false) : nullptr;
      }
    }
    follow_.pop_back();
    return finish(Token::RightBracket) ? checked(e, false) : nullptr;
  }
  Expr* map() {
    Expr* e = tree_.make(Expr::Kind::Map, here().begin);
    consume();
    constexpr std::uint64_t kKey = kPrimary | bit(Token::Question);
    if (!expect(kKey | bits(Token::RightBrace, Token::Comma))) return nullptr;
    return entries(e, kKey, Token::RightBrace) ? checked(e, false) : nullptr;
  }
  Expr* literal() {
    Lexeme first = here();
    bool minus = la() == Token::Minus;
    if (minus) consume();
    Lexeme t = here();
    consume();
    Expr* e = tree_.make(Expr::Kind::Literal, first.begin);
    std::string word = (minus ? "-" : "") + text(t), problem_text, contents;
    switch (t.token) {
      case Token::True:
      case Token::False: e->literal = Value::boolean(t.token == Token::True); break;
      case Token::Null: break;
      case Token::Int:
      case Token::Uint: return whole(e, word, t.token == Token::Uint);
      case Token::Float: {
        double d = std::strtod(word.c_str(), nullptr);
        if (d - d != 0) return problem(first.begin, "invalid double literal");
        e->literal = Value::real(d);
        break;
      }
      case Token::String:
      case Token::Bytes:
        if (!unquote(s_, t, contents, problem_text)) return problem(first.begin, problem_text);
        e->literal = t.token == Token::String ? Value::string(std::move(contents)) : Value::bytes(std::move(contents));
        break;
      default:
        --i_;
        syntax("no viable alternative at input '-" + (la() == Token::End ? "" : text(here())) + "'");
        return stop();
    }
    return e;
  }
  Expr* whole(Expr* e, std::string_view word, bool is_unsigned) {
    bool negative = word[0] == '-';
    if (negative) word.remove_prefix(1);
    if (is_unsigned) word.remove_suffix(1);
    int base = 10;
    if (word.size() > 2 && word[1] == 'x') base = 16, word.remove_prefix(2);
    std::string digits = (negative ? "-" : "") + std::string(word);
    const char *b = digits.data(), *end = b + digits.size();
    std::int64_t i = 0;
    std::uint64_t u = 0;
    auto [p, code] = is_unsigned ? std::from_chars(b, end, u, base) : std::from_chars(b, end, i, base);
    if (code != std::errc() || p != end) return problem(e->place, is_unsigned ? "invalid uint literal" : "invalid int literal");
    e->literal = is_unsigned ? Value::uinteger(u) : Value::integer(i);
    return e;
  }

  Source& s_;
  Tree& tree_;
  std::vector<Lexeme> tokens_;
  std::size_t i_ = 0;
  int nesting_ = 0;
  bool stopped_ = false, recovering_ = false;
  std::vector<std::uint64_t> follow_;  // what may end the expression that is being read, by nesting
};

}  // namespace

Expr* parse(Source& source, Tree& tree) { return Parser(source, tree).run(); }

Expr* Tree::copy(const Expr& from) {
  Expr* e = make(from.kind, from.place);
  *e = from;
  if (from.target) e->target = copy(*from.target);
  for (Expr*& a : e->args) a = copy(*a);
  return e;
}

}  // namespace onebin::cel
