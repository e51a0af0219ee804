#include "apiserver/registry/check.hpp"

#include "apiserver/registry/addresses.hpp"

#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::NameProblems;

namespace {
const Check::Document kNull;
}

Check Check::operator[](std::string_view name) const {
  const Document* v = value_->is_object() ? find_member(*value_, name) : nullptr;
  return Check(v ? *v : kNull, path_.child(name), *errors_);
}
Check Check::operator[](std::size_t i) const { return Check(value_->is_array() && i < value_->size() ? (*value_)[i] : kNull, path_.index(i), *errors_); }
Check Check::key(const std::string& name) const {
  const Document* v = value_->is_object() ? find_member(*value_, name) : nullptr;
  return Check(v ? *v : kNull, path_.key(name), *errors_);
}

bool Check::empty() const { return value_->is_null() || (value_->is_structured() && value_->empty()) || (value_->is_string() && text().empty()); }
std::string_view Check::text() const { return value_->is_string() ? std::string_view(value_->get_ref<const std::string&>()) : std::string_view(); }
std::int64_t Check::number(std::int64_t otherwise) const { return value_->is_number() ? value_->get<std::int64_t>() : otherwise; }

void Check::required(std::string detail) const { errors_->push_back(field_required(path_, std::move(detail))); }
void Check::invalid(std::string detail) const { invalid_as(set() ? *value_ : Document(""), std::move(detail)); }
void Check::invalid_as(Document shown, std::string detail) const { errors_->push_back(field_invalid(path_, std::move(shown), std::move(detail))); }
void Check::forbidden(std::string detail) const { errors_->push_back(field_forbidden(path_, std::move(detail))); }
void Check::unsupported(std::initializer_list<const char*> supported) const {
  errors_->push_back(field_not_supported(path_, set() ? *value_ : Document(""), std::vector<std::string>(supported.begin(), supported.end())));
}
void Check::internal(std::string detail) const { errors_->push_back(apimachinery::field_internal(path_, std::move(detail))); }
void Check::duplicate() const { duplicate_of(set() ? *value_ : Document("")); }
void Check::duplicate_of(Document shown) const { errors_->push_back(field_duplicate(path_, std::move(shown))); }
void Check::too_long(int max) const { errors_->push_back(field_too_long(path_, max)); }
void Check::too_many(int max) const { errors_->push_back(field_too_many(path_, static_cast<int>(size()), max)); }
void Check::each_problem(const NameProblems& problems) const {
  for (const auto& p : problems) invalid(p);
}

bool Check::need(std::string detail) const {
  if (!empty()) return true;
  required(std::move(detail));
  return false;
}

bool Check::one_of(std::initializer_list<const char*> supported) const {
  for (const char* s : supported)
    if (is(s)) return true;
  unsupported(supported);
  return false;
}

bool Check::nonnegative() const {
  if (number() >= 0) return true;
  invalid("must be greater than or equal to 0");
  return false;
}

bool Check::range(std::int64_t min, std::int64_t max) const {
  if (number() >= min && number() <= max) return true;
  invalid(apimachinery::inclusive_range_error(min, max));
  return false;
}

bool Check::at_most_bytes(int max) const {
  if (text().size() <= static_cast<std::size_t>(max)) return true;
  too_long(max);
  return false;
}

bool Check::named(apimachinery::NameRule rule) const {
  auto problems = rule(text(), false);
  each_problem(problems);
  return problems.empty();
}

bool Check::format(NameProblems (*rule)(std::string_view)) const {
  auto problems = rule(text());
  each_problem(problems);
  return problems.empty();
}

bool Check::unchanged(const Check& old) const {
  if (apimachinery::semantically_equal(*value_, *old.value_)) return true;
  errors_->push_back(field_invalid(path_, *value_, "field is immutable"));
  return false;
}

NameProblems path_segment(std::string_view value) { return apimachinery::is_valid_path_segment_name(value); }

// ---- addresses

namespace {

// Go's parser of old read 010.0.0.1 as 10.0.0.1; others read octal.
std::string without_leading_zeros(std::string_view text) {
  if (text.find(':') != std::string_view::npos) return std::string(text);
  std::string out;
  for (auto part : split(text, '.')) {
    std::size_t zeros = 0;
    while (zeros + 1 < part.size() && part[zeros] == '0') ++zeros;
    out.append(out.empty() ? "" : ".").append(part.substr(zeros));
  }
  return out;
}

bool mapped(const IpAddress& ip) {
  static constexpr unsigned char kPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  return ip.v6 && std::equal(std::begin(kPrefix), std::end(kPrefix), ip.bytes.begin());
}

}  // namespace

IpAddress Network::masked() const {
  IpAddress out = base;
  for (int i = prefix; i < width(); ++i) out.bytes[static_cast<std::size_t>(i / 8)] &= static_cast<unsigned char>(~(0x80 >> (i % 8)));
  return out;
}

bool Network::strict_subset_of(const Network& other) const {
  if (base.v6 != other.base.v6 || prefix <= other.prefix) return false;
  Network wide = *this;
  wide.prefix = other.prefix;
  return wide.masked().bytes == other.masked().bytes;
}

std::string Network::to_string() const { return masked().to_string() + "/" + std::to_string(prefix); }

std::optional<IpAddress> parse_address(std::string_view text) {
  auto ip = IpAddress::parse(without_leading_zeros(text));
  if (ip && mapped(*ip)) {
    std::copy(ip->bytes.begin() + 12, ip->bytes.end(), ip->bytes.begin());
    ip->v6 = false;
  }
  return ip;
}

std::optional<Network> parse_network(std::string_view text) {
  std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  std::string_view address = text.substr(0, slash), bits = text.substr(slash + 1);
  auto ip = IpAddress::parse(without_leading_zeros(address));
  if (!ip || bits.empty() || bits.size() > 4 || bits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  Network n{*ip, std::atoi(std::string(bits).c_str())};
  if (n.prefix > n.width()) return std::nullopt;
  return n;
}

bool is_standard_network(std::string_view cidr) {
  std::size_t slash = cidr.find('/');
  auto ip = IpAddress::parse(cidr.substr(0, slash));
  return ip && !mapped(*ip) && (cidr[slash + 1] != '0' || slash + 2 == cidr.size());
}

void check_address(const Check& at, bool canonical) {
  std::string_view text = at.text();
  auto ip = parse_address(text), exact = IpAddress::parse(text);
  if (!ip) return at.invalid("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
  if (!exact) return at.invalid("must not have leading 0s");
  if (exact->v6 != ip->v6) return at.invalid("must not be an IPv4-mapped IPv6 address");
  if (canonical && ip->to_string() != text) at.invalid("must be in canonical form (\"" + ip->to_string() + "\")");
}

void check_network(const Check& at, bool canonical) {
  std::string_view text = at.text();
  auto n = parse_network(text);
  if (!n) return at.invalid("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
  if (!is_standard_network(text)) return at.invalid(mapped(n->base) ? "must not have an IPv4-mapped IPv6 address" : "must not have leading 0s in IP or prefix length");
  if (n->masked().bytes != n->base.bytes) return at.invalid("must not have bits set beyond the prefix length");
  if (canonical && n->to_string() != text) at.invalid("must be in canonical form (\"" + n->to_string() + "\")");
}

void check_domain_prefixed_path(const Check& at) {
  std::string_view text = at.text();
  if (!at.need()) return;
  std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == text.size()) return at.invalid("must be a domain-prefixed path (such as \"acme.io/foo\")");
  std::string host(text.substr(0, slash)), path(text.substr(slash + 1));
  for (const auto& p : apimachinery::is_dns1123_subdomain(host)) at.invalid_as(host, p);
  constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-._~%!$&'()*+,;=:";
  if (path.find_first_not_of(kAllowed) != std::string::npos) at.invalid_as(path, apimachinery::regex_error("Invalid path", "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+"));
}

void check_qualified_name(const Check& at) { at.format(apimachinery::is_qualified_name); }

void check_csi_driver_name(const Check& at) {
  if (!at.need()) return;
  at.at_most_bytes(63);
  for (const auto& p : apimachinery::is_dns1123_subdomain(to_lower(at.text()))) at.invalid(p);
}

void check_quantity_nonnegative(const Check& at) {
  auto q = apimachinery::Quantity::parse(at.text());
  if (q && q->sign() < 0) at.invalid("must be greater than or equal to 0");
}

}  // namespace onebin::apiserver
