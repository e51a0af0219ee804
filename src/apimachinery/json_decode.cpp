// JSON text -> Document. The reader follows the schema to name unknown fields in the order in which they come; what the
// values must be is conform's business.
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_error.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>

#include "conform.hpp"
#include "json_path.hpp"
#include "utf8.hpp"

namespace onebin::apimachinery {
namespace {

// What is known of the value that comes next.
struct Expect {
  const TypeSchema* type = nullptr;    // an object of these fields
  const FieldSchema* values = nullptr;  // a list or map of such values
  bool muted = false;                   // inside of what is dropped: nothing is reported
};

class Reader {
 public:
  Reader(std::string_view text, const DecodeOptions& options, Problems& problems)
      : p_(text.data()), end_(p_ + text.size()), options_(options), problems_(problems) {}

  Status read(Document& out, const TypeSchema* type) {
    if (!value(out, expect_type(type), JsonPath{}, 0)) return error_;
    space();
    if (p_ != end_) {
      fail("after top-level value");
      return error_;
    }
    return {};
  }

 private:
  static Expect expect_type(const TypeSchema* type) {
    if (!type) return {};
    if (type->shape == Shape::Object) return {type, nullptr};
    if (type->shape == Shape::Array || type->shape == Shape::Map) return {nullptr, &type->fields[0]};
    return {nullptr, nullptr, true};  // the unions of JSON schema read what is in them by themselves, and not strictly
  }
  static Expect expect_element(const FieldSchema& f) { return f.is_message() ? expect_type(f.message) : Expect{}; }
  static Expect expect_field(const FieldSchema& f) {
    if (f.is_list() || f.is_map()) return {nullptr, &f};
    return expect_element(f);
  }

  // Go's words for a character that may not stand at p_; people know them from kubectl.
  bool fail(std::string_view where) {
    if (!error_) return false;
    if (p_ >= end_) return refuse("unexpected end of JSON input");
    // One byte, as a character of Latin-1.
    auto c = static_cast<unsigned char>(*p_);
    std::string character = c < 0x80 ? std::string(1, *p_) : std::string{static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    std::string in_quotes = go_quote(character);
    std::string quoted = c == '\'' ? "'\\''" : c == '"' ? "'\"'" : "'" + in_quotes.substr(1, in_quotes.size() - 2) + "'";
    return refuse("invalid character " + quoted + " " + std::string(where));
  }
  bool refuse(std::string why) {
    if (error_) error_ = bad_request(std::move(why));
    return false;
  }
  void space() {
    while (p_ != end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\t' || *p_ == '\r')) ++p_;
  }
  bool word(std::string_view w) {
    for (std::size_t i = 0; i < w.size(); ++i, ++p_)
      if (p_ == end_ || *p_ != w[i]) return fail("in literal " + std::string(w) + " (expecting '" + w[i] + "')");
    return true;
  }

  bool value(Document& out, Expect expect, const JsonPath& path, int depth) {
    if (depth > options_.max_depth) return refuse("nested deeper than " + std::to_string(options_.max_depth));
    space();
    if (p_ == end_) return fail("");
    switch (*p_) {
      case '{': return object(out, expect, path, depth);
      case '[': return array(out, expect, path, depth);
      case '"': {
        std::string s;
        if (!string(s)) return false;
        out = std::move(s);
        return true;
      }
      case 't': out = true; return word("true");
      case 'f': out = false; return word("false");
      case 'n': out = nullptr; return word("null");
      default: return number(out);
    }
  }

  bool object(Document& out, Expect expect, const JsonPath& path, int depth) {
    ++p_;
    out = Document::object();
    auto& members = out.get_ref<Document::object_t&>();
    space();
    if (p_ != end_ && *p_ == '}') return ++p_, true;
    for (std::string key;;) {
      space();
      if (p_ == end_ || *p_ != '"') return fail("looking for beginning of object key string");
      key.clear();
      if (!string(key)) return false;
      space();
      if (p_ == end_ || *p_ != ':') return fail("after object key");
      ++p_;
      if (!member(members, key, expect, path, depth)) return false;
      space();
      if (p_ == end_) return fail("");
      if (*p_ == '}') return ++p_, true;
      if (*p_++ != ',') return --p_, fail("after object key:value pair");
    }
  }

  bool member(Document::object_t& members, const std::string& key, Expect expect, const JsonPath& path, int depth) {
    JsonPath at{&path, key};
    Expect inner;
    inner.muted |= expect.muted;
    bool drop = false;
    if (expect.type) {
      if (const FieldSchema* f = expect.type->field(key)) {
        inner = expect_field(*f);
        inner.muted |= expect.muted;
      } else if (!expect.type->preserve_unknown) {
        if (!expect.muted) problems_.unknown(at);
        drop = !options_.keep_unknown;
        inner.muted = inner.muted || drop;
      }
    } else if (expect.values) {
      inner = expect_element(*expect.values);
      inner.muted |= expect.muted;
    }
    if (drop) {
      Document ignored;
      return value(ignored, inner, at, depth + 1);
    }
    auto [slot, fresh] = members.try_emplace(key);
    if (!fresh && !expect.muted) problems_.duplicate(at);
    return value(slot->second, inner, at, depth + 1);
  }

  bool array(Document& out, Expect expect, const JsonPath& path, int depth) {
    ++p_;
    out = Document::array();
    Expect inner = expect.values ? expect_element(*expect.values) : Expect{};
    inner.muted |= expect.muted;
    space();
    if (p_ != end_ && *p_ == ']') return ++p_, true;
    for (std::ptrdiff_t i = 0;; ++i) {
      out.push_back(nullptr);
      JsonPath at{&path, {}, i};
      if (!value(out.back(), inner, at, depth + 1)) return false;
      space();
      if (p_ == end_) return fail("");
      if (*p_ == ']') return ++p_, true;
      if (*p_++ != ',') return --p_, fail("after array element");
    }
  }

  bool string(std::string& out) {
    ++p_;
    for (;;) {
      const char* run = p_;
      while (p_ != end_ && static_cast<unsigned char>(*p_) >= 0x20 && static_cast<unsigned char>(*p_) < 0x80 && *p_ != '"' && *p_ != '\\') ++p_;
      out.append(run, p_);
      if (p_ == end_) return fail("");
      auto c = static_cast<unsigned char>(*p_);
      if (c == '"') return ++p_, true;
      if (c < 0x20) return fail("in string literal");
      if (c == '\\') {
        if (!escape(out)) return false;
        continue;
      }
      std::size_t n = utf8_length({p_, static_cast<std::size_t>(end_ - p_)});
      if (n == 0) out += "\xEF\xBF\xBD";
      else out.append(p_, n);
      p_ += n == 0 ? 1 : n;
    }
  }

  bool hex4(unsigned& out) {
    for (int i = 0; i < 4; ++i, ++p_) {
      if (p_ == end_ || !std::isxdigit(static_cast<unsigned char>(*p_))) return fail("in \\u hexadecimal character escape");
      out = out * 16 + static_cast<unsigned>(*p_ <= '9' ? *p_ - '0' : (*p_ | 0x20) - 'a' + 10);
    }
    return true;
  }

  bool escape(std::string& out) {
    if (++p_ == end_) return fail("");
    switch (*p_++) {
      case '"': out += '"'; return true;
      case '\\': out += '\\'; return true;
      case '/': out += '/'; return true;
      case 'b': out += '\b'; return true;
      case 'f': out += '\f'; return true;
      case 'n': out += '\n'; return true;
      case 'r': out += '\r'; return true;
      case 't': out += '\t'; return true;
      case 'u': break;
      default: return --p_, fail("in string escape code");
    }
    unsigned code = 0;
    if (!hex4(code)) return false;
    if (code >= 0xd800 && code < 0xdc00 && end_ - p_ >= 6 && p_[0] == '\\' && p_[1] == 'u') {
      const char* saved = p_;
      p_ += 2;
      unsigned low = 0;
      if (!hex4(low)) return false;
      if (low >= 0xdc00 && low < 0xe000) code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      else p_ = saved;
    }
    if (code >= 0xd800 && code < 0xe000) code = 0xfffd;
    append_utf8(out, code);
    return true;
  }

  static void append_utf8(std::string& out, unsigned c) {
    auto put = [&](unsigned b) { out.push_back(static_cast<char>(b)); };
    if (c < 0x80) return put(c);
    if (c < 0x800) return put(0xc0 | c >> 6), put(0x80 | (c & 0x3f));
    if (c < 0x10000) return put(0xe0 | c >> 12), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
    put(0xf0 | c >> 18), put(0x80 | (c >> 12 & 0x3f)), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  }

  bool digits() {
    const char* start = p_;
    while (p_ != end_ && *p_ >= '0' && *p_ <= '9') ++p_;
    return p_ != start;
  }

  bool number(Document& out) {
    const char* start = p_;
    if (*p_ == '-') ++p_;
    if (p_ != end_ && *p_ == '0') ++p_;
    else if (!digits()) return fail(p_ == start ? "looking for beginning of value" : "in numeric literal");
    bool whole = true;
    if (p_ != end_ && *p_ == '.') {
      whole = false;
      ++p_;
      if (!digits()) return fail("after decimal point in numeric literal");
    }
    if (p_ != end_ && (*p_ == 'e' || *p_ == 'E')) {
      whole = false;
      ++p_;
      if (p_ != end_ && (*p_ == '+' || *p_ == '-')) ++p_;
      if (!digits()) return fail("in exponent of numeric literal");
    }
    if (whole) {
      std::int64_t n = 0;
      if (std::from_chars(start, p_, n).ec == std::errc()) return out = n, true;
    }
    double d = 0;
    if (std::from_chars(start, p_, d).ec != std::errc()) return refuse("a number out of range");
    out = d;
    return true;
  }

  const char* p_;
  const char* end_;
  const DecodeOptions& options_;
  Problems& problems_;
  Status error_;
};

}  // namespace

Result<Document> decode_json(std::string_view text, const TypeSchema* type, const DecodeOptions& options, DecodeReport* report) {
  if (text.size() > options.max_bytes)
    return Status(Reason::RequestEntityTooLarge, "larger than the limit of " + std::to_string(options.max_bytes) + " bytes");
  Problems problems(options, report);
  Document out;
  RETURN_IF_ERROR(Reader(text, options, problems).read(out, type));
  if (type && options.typed) {
    DecodeOptions quiet = options;
    quiet.validation = FieldValidation::Ignore;
    RETURN_IF_ERROR(conform(out, *type, quiet, nullptr));
  }
  RETURN_IF_ERROR(problems.verdict());
  return out;
}

}  // namespace onebin::apimachinery
