// The formats that the tables name for texts (k8s-short-name and so on), by upstream's declarative validation.
#include <onebin/apimachinery/format_errors.hpp>
#include <onebin/apimachinery/names.hpp>

#include <onebin/base/bytes.hpp>

namespace onebin::apimachinery {
namespace {

// Declarative validation tells the limit in bytes.
NameProblems in_bytes(NameProblems problems) {
  for (auto& p : problems)
    for (int limit : {63, 253})
      if (p == max_len_error(limit)) p = "must be no more than " + std::to_string(limit) + " bytes";
  return problems;
}

NameProblems prefixed(std::string_view before, NameProblems problems) {
  for (auto& p : problems) p.insert(0, before);
  return problems;
}

void add(NameProblems& to, NameProblems more) { to.insert(to.end(), more.begin(), more.end()); }

NameProblems long_name_caseless(std::string_view v) {
  if (is_dns1123_subdomain(to_lower(v)).empty()) return {};
  NameProblems out;
  if (v.size() > 253) out.push_back("must be no more than 253 bytes");
  if (!is_dns1123_subdomain(to_lower(v.substr(0, 253))).empty())
    out.push_back(
        regex_error("an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
                    "character",
                    "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", {"Example.com"}));
  return out;
}

NameProblems uuid(std::string_view v) {
  bool ok = v.size() == 36;
  for (std::size_t i = 0; ok && i < v.size(); ++i) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    ok = dash ? v[i] == '-' : (v[i] >= '0' && v[i] <= '9') || (v[i] >= 'a' && v[i] <= 'f');
  }
  if (ok) return {};
  return {"must be a lowercase UUID in 8-4-4-4-12 format"};
}

void add_problems(FieldErrors& out, const FieldPath& path, std::string_view part, NameProblems problems) {
  for (auto& p : problems) out.push_back(field_invalid(path, std::string(part), std::move(p)));
}

FieldErrors pool_name(std::string_view v, const FieldPath& path) {
  FieldErrors out;
  if (v.size() > 253) out.push_back(field_too_long(path, 253));
  auto parts = split(v, '/');
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto segment = "segment " + std::to_string(i) + ": ";
    if (parts[i].empty()) out.push_back(field_invalid(path, std::string(v), segment + "must not be empty"));
    else add_problems(out, path, parts[i], prefixed(segment, in_bytes(is_dns1123_subdomain(parts[i]))));
  }
  return out;
}

NameProblems extended_resource(std::string_view v) {
  NameProblems out;
  auto slash = v.find('/');
  if (slash == std::string_view::npos) out.push_back("a name must be a domain-prefixed path, such as 'example.com/my-prop'");
  else if (v.substr(0, slash) == "kubernetes.io" || ends_with(v.substr(0, slash), ".kubernetes.io")) out.push_back("must not have \"kubernetes.io/\" domain");
  if (starts_with(v, "requests.")) out.push_back("must not have \"requests.\" prefix");
  add(out, is_qualified_name("requests." + std::string(v)));
  return out;
}

void add_identifier(FieldErrors& out, const FieldPath& path, std::string_view id) {
  if (id.size() > 32) out.push_back(field_too_long(path, 32));
  add_problems(out, path, id, is_c_identifier(id));
}

// Of a name with more than one slash upstream checks nothing.
FieldErrors fully_qualified(std::string_view v, const FieldPath& path) {
  FieldErrors out;
  auto parts = split(v, '/');
  if (parts.size() == 1) {
    add_identifier(out, path, v);
    out.push_back(field_invalid(path, std::string(v), "a fully qualified name must be a domain and a name separated by a slash"));
  } else if (parts.size() == 2) {
    if (parts[0].size() > 63) out.push_back(field_too_long(path, 63));
    if (parts[0].empty()) out.push_back(field_invalid(path, "", "prefix must not be empty"));
    else add_problems(out, path, parts[0], prefixed("prefix: ", in_bytes(is_dns1123_subdomain(parts[0]))));
    if (parts[1].empty()) out.push_back(field_invalid(path, "", "name must not be empty"));
    else add_identifier(out, path, parts[1]);
  }
  return out;
}

NameProblems details(FieldErrors errors) {
  NameProblems out;
  for (auto& e : errors) out.push_back(std::move(e.detail));
  return out;
}

}  // namespace

NameProblems check_name_format(std::string_view format, std::string_view value) {
  if (format == "k8s-short-name") return in_bytes(is_dns1123_label(value));
  if (format == "k8s-long-name") return in_bytes(is_dns1123_subdomain(value));
  if (format == "k8s-long-name-caseless") return long_name_caseless(value);
  if (format == "k8s-label-key") return is_qualified_name(value);
  if (format == "k8s-prefixed-label-key") return is_prefixed_label_key(value);
  if (format == "k8s-label-value") return is_valid_label_value(value);
  if (format == "k8s-path-segment-name") return is_valid_path_segment_name(value);
  if (format == "k8s-uuid") return uuid(value);
  if (format == "k8s-resource-pool-name") return details(pool_name(value, {}));
  if (format == "k8s-extended-resource-name") return extended_resource(value);
  if (format == "k8s-resource-fully-qualified-name") return details(fully_qualified(value, {}));
  return {};
}

FieldErrors check_format(std::string_view format, std::string_view value, const FieldPath& path) {
  if (format == "k8s-resource-pool-name") return pool_name(value, path);
  if (format == "k8s-resource-fully-qualified-name") return fully_qualified(value, path);
  FieldErrors out;
  add_problems(out, path, value, check_name_format(format, value));
  return out;
}

}  // namespace onebin::apimachinery
