// Document -> YAML in block style, keys sorted, as sigs.k8s.io/yaml writes it.
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>

#include <algorithm>

#include "go_number.hpp"
#include "yaml_scalar.hpp"

namespace onebin::apimachinery {
namespace {

class Writer {
 public:
  std::string out;

  // The cursor stands at the start of a line, or behind "- " whose content goes at `indent`.
  void value(const Document& v, int indent, bool inline_first) {
    if (v.is_object() && !v.empty()) return object(v, indent, inline_first);
    if (v.is_array() && !v.empty()) return array(v, indent, inline_first);
    if (!inline_first) pad(indent);
    scalar(v, std::max(indent, 2));  // a block is indented even at the root
    out.push_back('\n');
  }

 private:
  static constexpr std::size_t kLongestSimpleKey = 128;  // of Go's encoder; a reader need not look for the colon further than 1024

  void pad(int indent) { out.append(static_cast<std::size_t>(indent), ' '); }

  void object(const Document& v, int indent, bool inline_first) {
    for (const auto& [key, m] : v.get_ref<const Document::object_t&>()) {
      if (!inline_first) pad(indent);
      inline_first = false;
      if (key.size() > kLongestSimpleKey) {
        out += "? ";
        text(key, indent, true);
        out.push_back('\n');
        pad(indent);
        out += ": ";
        value(m, indent + 2, true);
        continue;
      }
      text(key, indent, true);
      out.push_back(':');
      if (m.is_structured() && !m.empty()) {
        out.push_back('\n');
        value(m, m.is_array() ? indent : indent + 2, false);
      } else {
        out.push_back(' ');
        scalar(m, indent + 2);
        out.push_back('\n');
      }
    }
  }

  void array(const Document& v, int indent, bool inline_first) {
    for (const auto& e : v) {
      if (!inline_first) pad(indent);
      inline_first = false;
      out += "- ";
      value(e, indent + 2, true);
    }
  }

  void scalar(const Document& v, int indent) {
    switch (v.type()) {
      case Document::value_t::string: return text(v.get_ref<const std::string&>(), indent, false);
      case Document::value_t::number_float: out += go_number(v.get<double>()); return;
      case Document::value_t::null: out += "null"; return;
      default: out += v.dump();
    }
  }

  static bool printable(std::string_view s, bool& lines) {
    for (char c : s) {
      auto u = static_cast<unsigned char>(c);
      if (c == '\n') lines = true;
      else if (u < 0x20 || u == 0x7f) return false;
    }
    return true;
  }

  // Whether a plain scalar would be read back as this very text.
  static bool plain(const std::string& s) {
    if (s.empty() || s.front() == ' ' || s.back() == ' ' || s == "<<" || s == "-" || s == "---" || s == "...") return false;
    auto resolved = resolve_plain(s);
    if (!resolved || !resolved->is_string()) return false;
    if (std::string_view("!&*{}[],#|>@`\"'%=").find(s.front()) != std::string_view::npos) return false;
    if ((s.front() == '?' || s.front() == ':' || s.front() == '-') && (s.size() == 1 || s[1] == ' ')) return false;
    if (looks_like_date(s)) return false;
    return s.find(": ") == std::string::npos && s.find(" #") == std::string::npos && s.back() != ':';
  }

  static bool other_than_text(const std::string& s) {
    if (s.empty() || s == "<<" || looks_like_date(s)) return true;
    auto resolved = resolve_plain(s);
    return !resolved || !resolved->is_string();
  }

  static bool looks_like_date(const std::string& s) {
    auto digit = [&](std::size_t i) { return i < s.size() && s[i] >= '0' && s[i] <= '9'; };
    return s.size() >= 8 && digit(0) && digit(1) && digit(2) && digit(3) && s[4] == '-' && digit(5);
  }

  void text(const std::string& s, int indent, bool key) {
    bool lines = false;
    if (!printable(s, lines)) return quoted(s);
    if (!lines) {
      // As Go's encoder: single quotes where the signs need them, double ones where the text would be read as something else.
      if (plain(s)) out += s;
      else if (other_than_text(s)) quoted(s);
      else single(s);
      return;
    }
    bool leading = s.front() == ' ' || s.front() == '\n' || s.front() == '\t';
    if (key || leading || s.find("\n ") == 0) return quoted(s);
    block(s, indent);
  }

  void single(const std::string& s) {
    out.push_back('\'');
    for (char c : s) {
      if (c == '\'') out.push_back('\'');
      out.push_back(c);
    }
    out.push_back('\'');
  }

  void quoted(const std::string& s) { out += Document(s).dump(-1, ' ', false, Document::error_handler_t::replace); }

  void block(const std::string& s, int indent) {
    out.push_back('|');
    bool ends = s.back() == '\n';
    if (!ends) out.push_back('-');
    else if (s.size() > 1 && s[s.size() - 2] == '\n') out.push_back('+');
    std::size_t at = 0, last = ends ? s.size() - 1 : s.size();
    while (at <= last) {
      std::size_t end = std::min(s.find('\n', at), last);
      out.push_back('\n');
      if (end > at) {
        pad(indent);
        out.append(s, at, end - at);
      }
      at = end + 1;
    }
  }
};

}  // namespace

std::string encode_yaml(const Document& object, const TypeSchema* type) {
  Writer writer;
  // Through JSON when typed: what omitempty leaves out and what is null comes from there.
  if (type) {
    DecodeOptions options;
    options.typed = false;
    if (auto v = decode_json(encode_json(object, type), nullptr, options)) {
      writer.value(*v, 0, false);
      return std::move(writer.out);
    }
  }
  writer.value(object, 0, false);
  return std::move(writer.out);
}

}  // namespace onebin::apimachinery
