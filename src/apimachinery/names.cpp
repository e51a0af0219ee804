#include <onebin/apimachinery/names.hpp>

#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <limits>

namespace onebin::apimachinery {
namespace {

constexpr std::string_view kLabelFmt = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
constexpr std::string_view kSubdomainFmt = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
constexpr std::string_view kSubdomainUnderscoreFmt = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
constexpr std::string_view kLabelMsg =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
constexpr std::string_view kSubdomainMsg =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
    "character";
constexpr std::string_view kSubdomainUnderscoreMsg =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an "
    "alphanumeric character";
constexpr std::string_view k1035Fmt = "[a-z]([-a-z0-9]*[a-z0-9])?";
constexpr std::string_view k1035Msg =
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an "
    "alphanumeric character";
constexpr std::string_view kWildcardMsg =
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric "
    "characters, '-' or '.' and end with an alphanumeric character";
constexpr std::string_view kQualifiedFmt = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
constexpr std::string_view kQualifiedMsg =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
constexpr std::string_view kLabelValueFmt = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
constexpr std::string_view kLabelValueMsg =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character";
constexpr int kLabelMax = 63;
constexpr int kSubdomainMax = 253;

bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool low_alnum(char c) { return lower(c) || digit(c); }
bool alpha(char c) { return lower(c) || (c >= 'A' && c <= 'Z'); }
bool alnum(char c) { return alpha(c) || digit(c); }

template <class F>
bool all(std::string_view s, F ok) {
  return std::all_of(s.begin(), s.end(), ok);
}

bool label_ok(std::string_view s) {
  return !s.empty() && low_alnum(s.front()) && low_alnum(s.back()) && all(s, [](char c) { return low_alnum(c) || c == '-'; });
}
bool underscore_label_ok(std::string_view s) {
  if (!s.empty() && s.front() == '_') s.remove_prefix(1);
  return !s.empty() && low_alnum(s.front()) && low_alnum(s.back()) && all(s, [](char c) { return low_alnum(c) || c == '-' || c == '_'; });
}
template <class F>
bool dotted(std::string_view s, F part_ok) {
  for (;;) {
    auto dot = s.find('.');
    if (!part_ok(s.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    s.remove_prefix(dot + 1);
  }
}
bool qualified_ok(std::string_view s) {
  return !s.empty() && alnum(s.front()) && alnum(s.back()) && all(s, [](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; });
}

// Upstream tells the limit of label keys and values in bytes, that of names in characters.
std::string max_bytes_error(int length) { return "must be no more than " + std::to_string(length) + " bytes"; }

void too_long(NameProblems& out, std::string_view value, int max, std::string (*text)(int) = max_len_error) {
  if (value.size() > static_cast<std::size_t>(max)) out.push_back(text(max));
}

NameProblems subdomain_problems(std::string_view v, std::string (*length_text)(int)) {
  NameProblems out;
  too_long(out, v, kSubdomainMax, length_text);
  if (!dotted(v, label_ok)) out.push_back(regex_error(kSubdomainMsg, kSubdomainFmt, {"example.com"}));
  return out;
}

void chdir_problems(NameProblems& out, std::string_view v) {
  if (v == ".") out.push_back("must not be '.'");
  else if (v == "..") out.push_back("must not be '..'");
  else if (starts_with(v, "..")) out.push_back("must not start with '..'");
}

// A generateName may end in a dash, since more follows.
std::string mask_trailing_dash(std::string_view name, bool prefix) {
  if (prefix && name.size() > 1 && name.back() == '-') return std::string(name.substr(0, name.size() - 2)) + "a";
  return std::string(name);
}

}  // namespace

std::string max_len_error(int length) { return "must be no more than " + std::to_string(length) + " characters"; }

std::string regex_error(std::string_view message, std::string_view regex, const std::vector<std::string>& examples) {
  std::string out(message);
  if (examples.empty()) return out.append(" (regex used for validation is '").append(regex).append("')");
  out += " (e.g. ";
  for (std::size_t i = 0; i < examples.size(); ++i) {
    if (i) out += " or ";
    out.append("'").append(examples[i]).append("', ");
  }
  return out.append("regex used for validation is '").append(regex).append("')");
}

std::string inclusive_range_error(long long low, long long high) {
  return "must be between " + std::to_string(low) + " and " + std::to_string(high) + ", inclusive";
}

NameProblems is_dns1123_label(std::string_view v) {
  NameProblems out;
  too_long(out, v, kLabelMax);
  if (!label_ok(v)) {
    if (dotted(v, label_ok)) out.push_back("must not contain dots");
    else out.push_back(regex_error(kLabelMsg, kLabelFmt, {"my-name", "123-abc"}));
  }
  return out;
}

NameProblems is_dns1123_subdomain(std::string_view v) { return subdomain_problems(v, max_len_error); }

NameProblems is_dns1123_subdomain_with_underscore(std::string_view v) {
  NameProblems out;
  too_long(out, v, kSubdomainMax);
  if (!dotted(v, underscore_label_ok)) out.push_back(regex_error(kSubdomainUnderscoreMsg, kSubdomainUnderscoreFmt, {"example.com"}));
  return out;
}

NameProblems is_dns1035_label(std::string_view v) {
  NameProblems out;
  too_long(out, v, kLabelMax);
  if (!label_ok(v) || !lower(v.front())) out.push_back(regex_error(k1035Msg, k1035Fmt, {"my-name", "abc-123"}));
  return out;
}

NameProblems is_wildcard_dns1123_subdomain(std::string_view v) {
  NameProblems out;
  too_long(out, v, kSubdomainMax);
  if (!starts_with(v, "*.") || !dotted(v.substr(2), label_ok))
    out.push_back(regex_error(kWildcardMsg, "\\*\\." + std::string(kSubdomainFmt), {"*.example.com"}));
  return out;
}

NameProblems is_qualified_name(std::string_view v) {
  NameProblems out;
  std::string_view name = v;
  static const std::vector<std::string> kExamples = {"MyName", "my.name", "123-abc"};
  if (auto slash = v.find('/'); slash != std::string_view::npos) {
    if (v.find('/', slash + 1) != std::string_view::npos) {
      out.push_back("a valid label key " + regex_error(kQualifiedMsg, kQualifiedFmt, kExamples) +
                    " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
      return out;
    }
    auto prefix = v.substr(0, slash);
    name = v.substr(slash + 1);
    if (prefix.empty()) out.push_back("prefix part must be non-empty");
    else
      for (auto& m : subdomain_problems(prefix, max_bytes_error)) out.push_back("prefix part " + m);
  }
  if (name.empty()) out.push_back("name part must be non-empty");
  else if (name.size() > static_cast<std::size_t>(kLabelMax)) out.push_back("name part " + max_bytes_error(kLabelMax));
  if (!qualified_ok(name)) out.push_back("name part " + regex_error(kQualifiedMsg, kQualifiedFmt, kExamples));
  return out;
}

NameProblems is_prefixed_label_key(std::string_view v) {
  auto out = is_qualified_name(v);
  if (out.empty() && v.find('/') == std::string_view::npos) out.push_back("must include a prefix (e.g. 'example.com/key')");
  return out;
}

NameProblems is_valid_label_value(std::string_view v) {
  NameProblems out;
  too_long(out, v, kLabelMax, max_bytes_error);
  if (!v.empty() && !qualified_ok(v)) out.push_back(regex_error(kLabelValueMsg, kLabelValueFmt, {"MyValue", "my_value", "12345"}));
  return out;
}

NameProblems is_c_identifier(std::string_view v) {
  if (!v.empty() && (alpha(v.front()) || v.front() == '_') && all(v, [](char c) { return alnum(c) || c == '_'; })) return {};
  return {regex_error("a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
                      "[A-Za-z_][A-Za-z0-9_]*", {"my_name", "MY_NAME", "MyName"})};
}

NameProblems is_in_range(long long value, long long min, long long max) {
  if (value >= min && value <= max) return {};
  return {inclusive_range_error(min, max)};
}
NameProblems is_valid_port_num(long long port) { return is_in_range(port, 1, 65535); }
NameProblems is_valid_group_id(long long gid) { return is_in_range(gid, 0, std::numeric_limits<std::int32_t>::max()); }
NameProblems is_valid_user_id(long long uid) { return is_in_range(uid, 0, std::numeric_limits<std::int32_t>::max()); }

NameProblems is_valid_port_name(std::string_view p) {
  NameProblems out;
  if (p.size() > 15) out.push_back(max_len_error(15));
  if (p.empty() || !all(p, [](char c) { return low_alnum(c) || c == '-'; }))
    out.push_back("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (std::none_of(p.begin(), p.end(), lower)) out.push_back("must contain at least one letter (a-z)");
  if (p.find("--") != std::string_view::npos) out.push_back("must not contain consecutive hyphens");
  if (!p.empty() && (p.front() == '-' || p.back() == '-')) out.push_back("must not begin or end with a hyphen");
  return out;
}

NameProblems is_valid_percent(std::string_view p) {
  if (p.size() > 1 && p.back() == '%' && all(p.substr(0, p.size() - 1), digit)) return {};
  return {regex_error("a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", {"1%", "93%"})};
}

NameProblems is_http_header_name(std::string_view v) {
  if (!v.empty() && all(v, [](char c) { return alnum(c) || c == '-'; })) return {};
  return {regex_error("a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+", {"X-Header-Name"})};
}

NameProblems is_env_var_name(std::string_view v) {
  NameProblems out;
  auto special = [](char c) { return c == '-' || c == '.' || c == '_'; };
  if (v.empty() || digit(v.front()) || !all(v, [&](char c) { return alnum(c) || special(c); }))
    out.push_back(
        regex_error("a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not "
                    "start with a digit",
                    "[-._a-zA-Z][-._a-zA-Z0-9]*", {"my.env-name", "MY_ENV.NAME", "MyEnvName1"}));
  chdir_problems(out, v);
  return out;
}

NameProblems is_relaxed_env_var_name(std::string_view v) {
  NameProblems out;
  if (v.empty()) out.push_back("environment variable name must be non-empty");
  if (!all(v, [](char c) { return c >= 0x20 && c < 0x7F && c != '='; }))
    out.push_back("a valid environment variable name must consist only of printable ASCII characters other than '='");
  return out;
}

NameProblems is_config_map_key(std::string_view v) {
  NameProblems out;
  too_long(out, v, kSubdomainMax);
  if (v.empty() || !all(v, [](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; }))
    out.push_back(regex_error("a valid config key must consist of alphanumeric characters, '-', '_' or '.'", "[-._a-zA-Z0-9]+",
                              {"key.name", "KEY_NAME", "key-name"}));
  chdir_problems(out, v);
  return out;
}

NameProblems is_valid_path_segment_prefix(std::string_view name) {
  NameProblems out;
  for (char c : {'/', '%'})
    if (name.find(c) != std::string_view::npos) out.push_back(std::string("may not contain '") + c + "'");
  return out;
}
NameProblems is_valid_path_segment_name(std::string_view name) {
  if (name == "." || name == "..") return {"may not be '" + std::string(name) + "'"};
  return is_valid_path_segment_prefix(name);
}

NameProblems name_is_dns_subdomain(std::string_view n, bool prefix) { return is_dns1123_subdomain(mask_trailing_dash(n, prefix)); }
NameProblems name_is_dns_label(std::string_view n, bool prefix) { return is_dns1123_label(mask_trailing_dash(n, prefix)); }
NameProblems name_is_dns1035_label(std::string_view n, bool prefix) { return is_dns1035_label(mask_trailing_dash(n, prefix)); }
NameProblems name_is_path_segment(std::string_view n, bool prefix) {
  return prefix ? is_valid_path_segment_prefix(n) : is_valid_path_segment_name(n);
}

}  // namespace onebin::apimachinery
