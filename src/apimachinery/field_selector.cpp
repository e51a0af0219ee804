#include <onebin/apimachinery/selectors.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apimachinery {
namespace {

// Terms are separated by commas that no backslash escapes.
std::vector<std::string> split_terms(std::string_view s) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  bool escaped = false;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (escaped) escaped = false;
    else if (s[i] == '\\') escaped = true;
    else if (s[i] == ',') {
      out.emplace_back(s.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  out.emplace_back(s.substr(begin));
  return out;
}

Result<std::string> unescape(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '\\') {
      if (i + 1 == s.size()) return bad_request("invalid field selector: invalid escape sequence: \\");
      char c = s[++i];
      if (c != '\\' && c != ',' && c != '=') return bad_request(std::string("invalid field selector: invalid escape sequence: \\") + c);
      out += c;
    } else if (s[i] == ',' || s[i] == '=') {
      return bad_request("invalid field selector: unescaped character in value: " + std::to_string(int(s[i])));
    } else {
      out += s[i];
    }
  }
  return out;
}

}  // namespace

Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  std::vector<FieldRequirement> out;
  if (text.empty()) return FieldSelector();
  auto terms = split_terms(text);
  std::sort(terms.begin(), terms.end());
  for (const auto& term : terms) {
    if (term.empty()) continue;
    auto eq = term.find_first_of("=!");
    while (eq != std::string::npos && term[eq] == '!' && (eq + 1 == term.size() || term[eq + 1] != '=')) eq = term.find_first_of("=!", eq + 1);
    if (eq == std::string::npos) return bad_request("invalid selector: '" + std::string(text) + "'; can't understand '" + term + "'");
    bool equal = term[eq] == '=';
    std::size_t length = !equal || (eq + 1 < term.size() && term[eq + 1] == '=') ? 2 : 1;
    ASSIGN_OR_RETURN(auto value, unescape(std::string_view(term).substr(eq + length)));
    if (eq == 0 && value.empty()) continue;  // "=" asks for nothing
    out.push_back({term.substr(0, eq), std::move(value), equal});
  }
  return FieldSelector(std::move(out));
}

bool FieldSelector::matches(const std::map<std::string, std::string>& fields) const {
  return matches_with([&](std::string_view f) -> std::string_view {
    auto it = fields.find(std::string(f));
    return it == fields.end() ? std::string_view() : std::string_view(it->second);
  });
}

std::optional<std::string> FieldSelector::requires_exact_match(std::string_view field) const {
  for (const auto& r : requirements_)
    if (r.equal && r.field == field) return r.value;
  return std::nullopt;
}

std::string FieldSelector::escape(std::string_view value) {
  std::string out;
  for (char c : value) {
    if (c == '\\' || c == ',' || c == '=') out += '\\';
    out += c;
  }
  return out;
}

std::string FieldSelector::to_string() const {
  std::vector<std::string> parts;
  for (const auto& r : requirements_) parts.push_back(r.field + (r.equal ? "=" : "!=") + escape(r.value));
  return join(parts, ",");
}

}  // namespace onebin::apimachinery
