// Quantities, versions and named formats.
#include "cel/implementations.hpp"
#include "cel/opaque.hpp"

#include <onebin/apimachinery/names.hpp>
#include <onebin/apimachinery/value_schema.hpp>
#include <onebin/base/time.hpp>

#include <charconv>

namespace onebin::cel {
namespace {

using apimachinery::Quantity;
using Problems = std::vector<std::string>;

Problems formatted(bool good, const char* problem) { return good ? Problems{} : Problems{problem}; }

const FormatBox kFormats[] = {
    {"dns1123Label", "DNS1123Label", 30, [](std::string_view t) { return apimachinery::name_is_dns_label(t, false); }},
    {"dns1123Subdomain", "DNS1123Subdomain", 60, [](std::string_view t) { return apimachinery::name_is_dns_subdomain(t, false); }},
    {"dns1035Label", "DNS1035Label", 30, [](std::string_view t) { return apimachinery::name_is_dns1035_label(t, false); }},
    {"qualifiedName", "QualifiedName", 60, [](std::string_view t) { return apimachinery::is_qualified_name(t); }},
    {"dns1123LabelPrefix", "DNS1123LabelPrefix", 30, [](std::string_view t) { return apimachinery::name_is_dns_label(t, true); }},
    {"dns1123SubdomainPrefix", "DNS1123SubdomainPrefix", 60, [](std::string_view t) { return apimachinery::name_is_dns_subdomain(t, true); }},
    {"dns1035LabelPrefix", "DNS1035LabelPrefix", 30, [](std::string_view t) { return apimachinery::name_is_dns1035_label(t, true); }},
    {"labelValue", "LabelValue", 40, [](std::string_view t) { return apimachinery::is_valid_label_value(t); }},
    {"uri", "URI", 1103,
     [](std::string_view t) {
       std::string problem;
       return parse_url(t, problem) ? Problems{} : Problems{problem};
     }},
    {"uuid", "uuid", 70, [](std::string_view t) { return formatted(apimachinery::matches_format("uuid", t), "does not match the UUID format"); }},
    {"byte", "byte", 84, [](std::string_view t) { return formatted(apimachinery::matches_format("byte", t), "invalid base64"); }},
    {"date", "date", 71, [](std::string_view t) { return formatted(apimachinery::matches_format("date", t), "invalid date"); }},
    {"datetime", "datetime", 71, [](std::string_view t) { return formatted(apimachinery::matches_format("date-time", t), "invalid datetime"); }},
};

bool all_digits(std::string_view t) {
  for (char c : t)
    if (c < '0' || c > '9') return false;
  return true;
}
bool all_words(std::string_view t) {
  for (char c : t)
    if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && c != '-') return false;
  return true;
}
bool zero_led(std::string_view t) { return t.size() > 1 && t[0] == '0'; }
std::string quoted(std::string_view t) { return "\"" + std::string(t) + "\""; }

bool number(std::string_view t, const char* name, std::uint64_t& out, std::string& problem) {
  if (!all_digits(t)) return problem = "Invalid character(s) found in " + std::string(name) + " number " + quoted(t), false;
  if (zero_led(t)) {
    std::string capital = name;
    capital[0] = static_cast<char>(capital[0] - 32);
    return problem = capital + " number must not contain leading zeroes " + quoted(t), false;
  }
  auto r = std::from_chars(t.data(), t.data() + t.size(), out);
  if (r.ec == std::errc()) return true;
  problem = "strconv.ParseUint: parsing " + quoted(t) + ": " + (t.empty() ? "invalid syntax" : "value out of range");
  return false;
}

bool dotted(std::string_view t, bool build, SemverBox& v, std::string& problem) {
  const char* what = build ? "Build meta data" : "Prerelease";
  for (;;) {
    std::size_t dot = std::min(t.find('.'), t.size());
    std::string_view part = t.substr(0, dot);
    if (part.empty()) return problem = std::string(what) + " is empty", false;
    if (!all_words(part)) return problem = build ? "Invalid character(s) found in build meta data " + quoted(part) : "Invalid character(s) found in prerelease " + quoted(part), false;
    if (!build && all_digits(part) && zero_led(part)) return problem = "Numeric PreRelease version must not contain leading zeroes " + quoted(part), false;
    if (!build) v.pre.emplace_back(part);
    if (dot == t.size()) return true;
    t.remove_prefix(dot + 1);
  }
}

std::string normalized(std::string_view t, bool& good) {
  if (!t.empty() && t[0] == 'v') t.remove_prefix(1);
  std::vector<std::string> parts;
  while (parts.size() < 2 && t.find('.') != std::string_view::npos) {
    parts.emplace_back(t.substr(0, t.find('.')));
    t.remove_prefix(t.find('.') + 1);
  }
  parts.emplace_back(t);
  for (std::string& p : parts) {
    if (p.size() <= 1) continue;
    p.erase(0, std::min(p.find_first_not_of('0'), p.size()));
    if (p.empty() || p[0] < '0' || p[0] > '9') p.insert(0, "0");
  }
  good = parts.size() == 3 || parts.back().find_first_of("+-") == std::string::npos;
  while (parts.size() < 3) parts.emplace_back("0");
  return parts[0] + "." + parts[1] + "." + parts[2];
}

}  // namespace

const FormatBox* find_format(std::string_view key) {
  for (const FormatBox& f : kFormats)
    if (key == f.key) return &f;
  return nullptr;
}

std::optional<SemverBox> parse_semver(std::string_view t, std::string& problem) {
  SemverBox v;
  if (t.empty()) return problem = "Version string empty", std::nullopt;
  std::size_t a = t.find('.'), b = a == std::string_view::npos ? a : t.find('.', a + 1);
  if (b == std::string_view::npos) return problem = "No Major.Minor.Patch elements found", std::nullopt;
  if (!number(t.substr(0, a), "major", v.major, problem) || !number(t.substr(a + 1, b - a - 1), "minor", v.minor, problem)) return std::nullopt;
  std::string_view patch = t.substr(b + 1), pre, build;
  bool has_pre = false, has_build = false;
  if (std::size_t plus = patch.find('+'); plus != std::string_view::npos) has_build = true, build = patch.substr(plus + 1), patch = patch.substr(0, plus);
  if (std::size_t dash = patch.find('-'); dash != std::string_view::npos) has_pre = true, pre = patch.substr(dash + 1), patch = patch.substr(0, dash);
  if (!number(patch, "patch", v.patch, problem)) return std::nullopt;
  if (has_pre && !dotted(pre, false, v, problem)) return std::nullopt;
  if (has_build && !dotted(build, true, v, problem)) return std::nullopt;
  v.build = build;
  return v;
}

int compare_semver(const SemverBox& a, const SemverBox& b) {
  auto order = [](auto x, auto y) { return x < y ? -1 : x > y ? 1 : 0; };
  if (int c = order(a.major, b.major)) return c;
  if (int c = order(a.minor, b.minor)) return c;
  if (int c = order(a.patch, b.patch)) return c;
  if (a.pre.empty() || b.pre.empty()) return order(a.pre.empty(), b.pre.empty());
  for (std::size_t i = 0; i < a.pre.size() && i < b.pre.size(); ++i) {
    const std::string &x = a.pre[i], &y = b.pre[i];
    bool m = all_digits(x), n = all_digits(y);
    if (m != n) return m ? -1 : 1;  // numbers come before words
    if (m && x.size() != y.size()) return order(x.size(), y.size());
    if (int c = order(x.compare(y), 0)) return c;
  }
  return order(a.pre.size(), b.pre.size());
}

std::string semver_text(const SemverBox& v) {
  std::string out = std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch);
  for (std::size_t i = 0; i < v.pre.size(); ++i) out += (i ? "." : "-") + v.pre[i];
  return v.build.empty() ? out : out + "+" + v.build;
}

Value opaque_equal(const Value& a, const Value& b) {
  auto flag = [](bool same) { return Value::boolean(same); };
  switch (a.kind()) {
    case ValueKind::Quantity: return flag(box_of<Quantity>(a) == box_of<Quantity>(b));
    case ValueKind::Url: return flag(box_of<UrlBox>(a).text == box_of<UrlBox>(b).text);
    case ValueKind::Ip: return flag(box_of<IpBox>(a) == box_of<IpBox>(b));
    case ValueKind::Cidr: return flag(box_of<CidrBox>(a) == box_of<CidrBox>(b));
    case ValueKind::Format: return flag(std::string_view(box_of<FormatBox>(a).name) == box_of<FormatBox>(b).name);
    case ValueKind::Semver: return flag(compare_semver(box_of<SemverBox>(a), box_of<SemverBox>(b)) == 0);
    default: return Value::error("no such overload");
  }
}

std::string go_duration(std::int64_t ns) { return format_duration(Duration(ns)); }

std::string opaque_text(const Value& v) {
  switch (v.kind()) {
    case ValueKind::Quantity: return box_of<Quantity>(v).to_string();
    case ValueKind::Url: return box_of<UrlBox>(v).text;
    case ValueKind::Ip: return ip_text(box_of<IpBox>(v));
    case ValueKind::Cidr: return cidr_text(box_of<CidrBox>(v));
    case ValueKind::Format: return box_of<FormatBox>(v).name;
    case ValueKind::Semver: return semver_text(box_of<SemverBox>(v));
    default: return v.type_of().name;
  }
}

namespace fn {
namespace {

const Quantity& quantity_of(const Value& v) { return box_of<Quantity>(v); }
const SemverBox& version_of(const CallSite& c) { return box_of<SemverBox>(c[0]); }
int order(const CallSite& c) {
  if (c[0].is(ValueKind::Semver)) return compare_semver(box_of<SemverBox>(c[0]), box_of<SemverBox>(c[1]));
  auto o = quantity_of(c[0]) <=> quantity_of(c[1]);
  return o < 0 ? -1 : o > 0 ? 1 : 0;
}
Quantity amount(const Value& v) {
  return v.is(ValueKind::Int) ? Quantity::from_units(v.as_int(), Quantity::Format::DecimalExponent) : quantity_of(v);
}
constexpr Quantity::Int128 kNano = 1'000'000'000;
bool whole(const Quantity& q) { return q.nano() % kNano == 0 && q.nano() / kNano <= INT64_MAX && q.nano() / kNano >= INT64_MIN; }

std::optional<SemverBox> version(const CallSite& c, std::string& problem) {
  if (c.args.size() < 2 || !c[1].is_true()) return parse_semver(c[0].text(), problem);
  bool good = true;
  std::string t = normalized(c[0].text(), good);
  if (!good) return problem = "short version cannot contain PreRelease/Build meta data", std::nullopt;
  return parse_semver(t, problem);
}

}  // namespace

Value quantity(const CallSite& c) {
  Result<Quantity> q = Quantity::parse(c[0].text());
  return q ? make_quantity(*q) : Value::error(q.status().message());
}
Value is_quantity(const CallSite& c) { return Value::boolean(Quantity::parse(c[0].text()).is_ok()); }
Value sign(const CallSite& c) { return Value::integer(quantity_of(c[0]).sign()); }
Value is_greater_than(const CallSite& c) { return Value::boolean(order(c) > 0); }
Value is_less_than(const CallSite& c) { return Value::boolean(order(c) < 0); }
Value compare_to(const CallSite& c) { return Value::integer(order(c)); }
Value as_float(const CallSite& c) { return Value::real(quantity_of(c[0]).as_double()); }
Value is_integer(const CallSite& c) { return Value::boolean(whole(quantity_of(c[0]))); }
Value as_integer(const CallSite& c) {
  const Quantity& q = quantity_of(c[0]);
  return whole(q) ? Value::integer(q.value()) : Value::error("cannot convert value to integer");
}
Value quantity_add(const CallSite& c) {
  Quantity q = quantity_of(c[0]);
  return make_quantity(q += amount(c[1]));
}
Value quantity_sub(const CallSite& c) {
  Quantity q = quantity_of(c[0]);
  return make_quantity(q -= amount(c[1]));
}

Value semver(const CallSite& c) {
  std::string problem;
  auto v = version(c, problem);
  return v ? make_boxed(ValueKind::Semver, std::move(*v)) : Value::error(problem);
}
Value is_semver(const CallSite& c) {
  std::string problem;
  return Value::boolean(version(c, problem).has_value());
}
Value major(const CallSite& c) { return Value::integer(static_cast<std::int64_t>(version_of(c).major)); }
Value minor(const CallSite& c) { return Value::integer(static_cast<std::int64_t>(version_of(c).minor)); }
Value patch(const CallSite& c) { return Value::integer(static_cast<std::int64_t>(version_of(c).patch)); }

Value validate(const CallSite& c) {
  Values problems;
  for (std::string& p : box_of<FormatBox>(c[0]).check(c[1].text())) problems.push_back(Value::string(std::move(p)));
  return problems.empty() ? Value::optional_none() : Value::optional_of(Value::list(std::move(problems)));
}
Value format_named(const CallSite& c) {
  const FormatBox* f = find_format(c[0].text());
  return f ? Value::optional_of(make_boxed(ValueKind::Format, *f)) : Value::optional_none();
}
Value format_constant(const CallSite& c) {
  const FormatBox* f = c.overload ? find_format(std::string_view(c.overload->id).substr(7)) : nullptr;
  return f ? make_boxed(ValueKind::Format, *f) : no_overload();
}

}  // namespace fn
}  // namespace onebin::cel
