// The rules of a CustomResourceDefinition's spec and status. Texts as k8s.io/apiextensions-apiserver's validation has them.
#include "apiserver/crd/definition_strategy.hpp"
#include "apiserver/crd/definitions.hpp"
#include "apiserver/registry/webhooks.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/names.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {
namespace {

using apimachinery::at_path;
using apimachinery::bool_at;
using apimachinery::find_member;
using apimachinery::is_dns1035_label;
using apimachinery::member;
using apimachinery::string_at;

constexpr std::size_t kMaxSelectableFields = 8;
constexpr const char* kApprovedAnnotation = "api-approved.kubernetes.io";

void one_of(const FieldPath& path, std::string_view value, const std::vector<std::string>& accepted, FieldErrors& errors) {
  if (value.empty()) errors.push_back(field_required(path));
  else if (std::find(accepted.begin(), accepted.end(), value) == accepted.end()) errors.push_back(field_not_supported(path, value, accepted));
}

void check_names(const Document& names, const FieldPath& path, FieldErrors& errors) {
  auto label = [&](const FieldPath& at, const std::string& value, bool mixed) {
    if (value.empty()) return;
    auto problems = is_dns1035_label(mixed ? to_lower(value) : value);
    if (!problems.empty()) errors.push_back(field_invalid(at, value, (mixed ? "may have mixed case, but should otherwise match: " : "") + join(problems, ",")));
  };
  auto text = [&](const char* f) { return std::string(string_at(names, f)); };
  label(path.child("plural"), text("plural"), false);
  label(path.child("singular"), text("singular"), false);
  label(path.child("kind"), text("kind"), true);
  label(path.child("listKind"), text("listKind"), true);
  auto each = [&](const char* f) {
    const Document& list = member(names, f);
    if (!list.is_array()) return;
    for (std::size_t i = 0; i < list.size(); ++i) {
      auto problems = is_dns1035_label(list[i].is_string() ? list[i].get_ref<const std::string&>() : std::string());
      if (!problems.empty()) errors.push_back(field_invalid(path.child(f).index(i), list[i], join(problems, ",")));
    }
  };
  each("shortNames");
  if (!text("kind").empty() && text("kind") == text("listKind")) errors.push_back(field_invalid(path.child("listKind"), text("listKind"), "kind and listKind may not be the same"));
  each("categories");
}

void simple_path(std::string_view p, const FieldPath& path, FieldErrors& errors) {
  if (p.empty()) errors.push_back(field_invalid(path, p, "must not be empty"));
  else if (p[0] != '.') errors.push_back(field_invalid(path, p, "must be a simple json path starting with ."));
}

void check_subresources(const Document& sub, const FieldPath& path, FieldErrors& errors) {
  const Document* scale = find_member(sub, "scale");
  if (!scale || scale->is_null()) return;
  auto below = [&](const char* name, const char* root, const char* why) {
    std::string_view value = string_at(*scale, name);
    FieldPath at = path.child(std::string("scale.") + name);
    std::size_t before = errors.size();
    if (value.empty()) errors.push_back(field_required(at));
    else simple_path(value, at, errors);
    if (errors.size() == before && !starts_with(value, root)) errors.push_back(field_invalid(at, value, why));
  };
  below("specReplicasPath", ".spec.", "should be a json path under .spec");
  below("statusReplicasPath", ".status.", "should be a json path under .status");
  std::string_view selector = string_at(*scale, "labelSelectorPath");
  if (selector.empty()) return;
  FieldPath at = path.child("scale.labelSelectorPath");
  if (selector[0] != '.') simple_path(selector, at, errors);
  else if (!starts_with(selector, ".spec.") && !starts_with(selector, ".status."))
    errors.push_back(field_invalid(at, selector, "should be a json path under either .spec or .status"));
}

void check_columns(const Document& columns, const FieldPath& path, FieldErrors& errors) {
  static const std::set<std::string, std::less<>> kTypes = {"boolean", "date", "integer", "number", "string"};
  static const std::set<std::string, std::less<>> kFormats = {"byte", "date", "date-time", "double", "float", "int32", "int64", "password"};
  if (!columns.is_array()) return;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const Document& c = columns[i];
    FieldPath at = path.index(i);
    if (string_at(c, "name").empty()) errors.push_back(field_required(at.child("name")));
    std::string_view type = string_at(c, "type"), format = string_at(c, "format"), json_path = string_at(c, "jsonPath");
    const char* types = "must be one of boolean,date,integer,number,string";
    if (type.empty()) errors.push_back(field_required(at.child("type"), types));
    else if (!kTypes.count(type)) errors.push_back(field_invalid(at.child("type"), type, types));
    if (!format.empty() && !kFormats.count(format))
      errors.push_back(field_invalid(at.child("format"), format, "must be one of byte,date,date-time,double,float,int32,int64,password"));
    if (json_path.empty()) errors.push_back(field_required(at.child("JSONPath")));
    else simple_path(json_path, at.child("JSONPath"), errors);
  }
}

// The schema that a path of names leads to; null where it leads nowhere.
const Document* schema_at(const Document& schema, std::string_view path, std::string& why) {
  const Document* at = &schema;
  for (const auto& name : split(path, '.')) {
    const Document* properties = find_member(*at, "properties");
    const Document* others = find_member(*at, "additionalProperties");
    const Document* next = properties ? find_member(*properties, name) : others && others->is_object() ? others : nullptr;
    if (!next) {
      why = "does not refer to a valid field";
      return nullptr;
    }
    at = next;
  }
  return at;
}

void check_selectable(const Document& version, const FieldPath& list, FieldErrors& errors) {
  const Document& fields = member(version, "selectableFields");
  if (!fields.is_array() || fields.empty()) return;
  const Document& schema = at_path(version, {"schema", "openAPIV3Schema"});
  if (!schema.is_object()) {
    errors.push_back(field_invalid(list, "", "may only be set when `version.schema.openAPIV3Schema` is not included"));
    return;
  }
  std::set<std::string> seen;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    std::string json_path(string_at(fields[i], "jsonPath"));
    FieldPath at = list.index(i).child("jsonPath");
    if (json_path.empty()) {
      errors.push_back(field_required(at));
      continue;
    }
    std::string why = "expected [ or . but got: " + json_path.substr(0, json_path.find_first_of(".[]"));
    std::string_view names = std::string_view(json_path).substr(1);
    const Document* found = json_path[0] == '.' ? schema_at(schema, names, why) : nullptr;
    if (json_path[0] == '.' && starts_with(names, "metadata")) {
      errors.push_back(field_invalid(at, json_path, "must not point to fields in metadata"));
      continue;
    }
    if (!found) {
      errors.push_back(field_invalid(at, json_path, "is an invalid path: " + why));
      continue;
    }
    std::string_view type = string_at(*found, "type");
    if (type != "string" && type != "boolean" && type != "integer")
      errors.push_back(field_invalid(at, json_path, "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."));
    if (!seen.insert(json_path).second) errors.push_back(field_duplicate(at, json_path));
  }
  if (seen.size() > kMaxSelectableFields) errors.push_back(field_too_many(list, static_cast<int>(seen.size()), static_cast<int>(kMaxSelectableFields)));
}

// What upstream's internal version keeps once when all versions have the same of it, and then tells of there.
constexpr std::string_view kShared[] = {"schema", "subresources", "additionalPrinterColumns", "selectableFields"};

bool is_shared(const Document& versions, std::string_view part) {
  for (const Document& v : versions)
    if (member(v, part) != member(versions[0], part)) return false;
  return true;
}

// One of the parts, where it is to be told of. `status`: whether there is a subresource of that name.
void check_part(const Document& v, std::string_view part, bool status, const FieldPath& path, FieldErrors& errors) {
  const Document& value = member(v, part);
  if (part == "schema") validate_custom_schema(member(value, "openAPIV3Schema"), status, path.child("openAPIV3Schema"), errors);
  else if (part == "subresources") check_subresources(value, path, errors);
  else if (part == "additionalPrinterColumns") check_columns(value, path, errors);
  else check_selectable(v, path, errors);
}

bool has_status(const Document& version) { return find_member(member(version, "subresources"), "status") != nullptr; }

void check_version(const Document& v, const FieldPath& path, const std::set<std::string_view>& shared, FieldErrors& errors) {
  std::string name(string_at(v, "name"));
  if (auto problems = is_dns1035_label(name); !problems.empty()) errors.push_back(field_invalid(path.child("name"), name, join(problems, ",")));
  if (const Document* warning = find_member(v, "deprecationWarning"); warning && warning->is_string()) {
    const auto& text = warning->get_ref<const std::string&>();
    FieldPath at = path.child("deprecationWarning");
    if (!bool_at(v, "deprecated")) errors.push_back(field_invalid(at, text, "can only be set for deprecated versions"));
    else if (text.size() > 256) errors.push_back(field_invalid(at, text, "must be <= 256 characters long"));
    else if (text.empty()) errors.push_back(field_invalid(at, text, "must not be an empty string"));
  }
  for (std::string_view part : kShared)
    if (!shared.count(part)) check_part(v, part, has_status(v), path.child(std::string(part)), errors);
}

void check_conversion(const Document& conversion, const FieldPath& path, FieldErrors& errors) {
  if (!conversion.is_object()) return;
  std::string_view strategy = string_at(conversion, "strategy");
  one_of(path.child("strategy"), strategy, {"None", "Webhook"}, errors);
  const Document& webhook = member(conversion, "webhook");
  const Document& client = member(webhook, "clientConfig");
  const Document& versions = member(webhook, "conversionReviewVersions");
  FieldPath config = path.child("webhookClientConfig"), reviews = path.child("conversionReviewVersions");
  bool any = versions.is_array() && !versions.empty();
  if (strategy != "Webhook") {
    if (client.is_object()) errors.push_back(field_forbidden(config, "should not be set when strategy is not set to Webhook"));
    if (any) errors.push_back(field_forbidden(reviews, "should not be set when strategy is not set to Webhook"));
    return;
  }
  const Document *url = find_member(client, "url"), *service = find_member(client, "service");
  if (!client.is_object()) {
    errors.push_back(field_required(config, "required when strategy is set to Webhook"));
  } else if ((url == nullptr) == (service == nullptr)) {
    errors.push_back(field_required(config, "exactly one of url or service is required"));
  } else if (url) {
    check_webhook_url(Check(*url, config.child("url"), errors));
  } else {
    check_webhook_service(Check(*service, config.child("service"), errors));
  }
  if (!any) {
    errors.push_back(field_required(reviews));
    return;
  }
  std::set<std::string> seen;
  bool known = false;
  for (std::size_t i = 0; i < versions.size(); ++i) {
    std::string v = versions[i].is_string() ? versions[i].get<std::string>() : std::string();
    if (!seen.insert(v).second) {
      errors.push_back(field_invalid(reviews.index(i), v, "duplicate version"));
      continue;
    }
    for (auto& m : is_dns1035_label(v)) errors.push_back(field_invalid(reviews.index(i), v, m));
    known = known || v == "v1" || v == "v1beta1";
  }
  if (!known) errors.push_back(field_invalid(reviews, versions, "must include at least one of v1, v1beta1"));
}

void check_spec(const Document& spec, FieldErrors& errors) {
  FieldPath path("spec");
  std::string group(string_at(spec, "group"));
  if (group.empty()) errors.push_back(field_required(path.child("group")));
  else if (auto problems = apimachinery::is_dns1123_subdomain(group); !problems.empty()) errors.push_back(field_invalid(path.child("group"), group, join(problems, ",")));
  else if (group.find('.') == std::string::npos) errors.push_back(field_invalid(path.child("group"), group, "should be a domain with at least one dot"));
  one_of(path.child("scope"), string_at(spec, "scope"), {"Cluster", "Namespaced"}, errors);
  const Document& versions = member(spec, "versions");
  std::set<std::string> seen;
  int storage = 0;
  bool unique = true;
  std::set<std::string_view> shared;
  bool any_status = false;
  if (versions.is_array() && !versions.empty())
    for (std::string_view part : kShared)
      if (is_shared(versions, part)) shared.insert(part);
  if (versions.is_array()) {
    for (std::size_t i = 0; i < versions.size(); ++i) {
      FieldPath at = path.child("versions").index(i);
      if (!at_path(versions[i], {"schema", "openAPIV3Schema"}).is_object()) errors.push_back(field_required(at.child("schema").child("openAPIV3Schema")));
    }
    for (std::size_t i = 0; i < versions.size(); ++i) {
      storage += bool_at(versions[i], "storage");
      unique = seen.insert(std::string(string_at(versions[i], "name"))).second && unique;
      any_status = any_status || has_status(versions[i]);
      check_version(versions[i], path.child("versions").index(i), shared, errors);
    }
  }
  if (!unique) errors.push_back(field_invalid(path.child("versions"), versions, "must contain unique version names"));
  if (storage != 1) errors.push_back(field_invalid(path.child("versions"), versions, "must have exactly one version marked as storage version"));
  // The first version also is what upstream calls the version.
  if (std::string first(versions.is_array() && !versions.empty() ? string_at(versions[0], "name") : ""); !first.empty())
    if (auto problems = apimachinery::is_dns1035_label(first); !problems.empty()) errors.push_back(field_invalid(path.child("version"), first, join(problems, ",")));
  const Document& names = member(spec, "names");
  for (const char* f : {"plural", "singular", "kind", "listKind"})
    if (string_at(names, f).empty()) errors.push_back(field_required(path.child("names").child(f)));
  check_names(names, path.child("names"), errors);
  for (std::string_view part : kShared)
    if (shared.count(part)) check_part(versions[0], part, any_status, path.child(part == "schema" ? "validation" : std::string(part)), errors);
  check_conversion(member(spec, "conversion"), path.child("conversion"), errors);
}

void check_stored_versions(const Document& definition, FieldErrors& errors) {
  FieldPath path = FieldPath("status").child("storedVersions");
  const Document& stored = at_path(definition, {"status", "storedVersions"});
  if (!stored.is_array() || stored.empty()) {
    errors.push_back(field_invalid(path, stored, "must have at least one stored version"));
    return;
  }
  std::set<std::string> known;
  for (const auto& v : at_path(definition, {"spec", "versions"})) {
    std::string name(string_at(v, "name"));
    known.insert(name);
    if (bool_at(v, "storage") && std::find(stored.begin(), stored.end(), Document(name)) == stored.end())
      errors.push_back(field_invalid(path, stored, "must have the storage version " + name));
  }
  for (std::size_t i = 0; i < stored.size(); ++i) {
    std::string v = stored[i].is_string() ? stored[i].get<std::string>() : std::string();
    if (!known.count(v))
      errors.push_back(field_invalid(path.index(i), v, "missing from spec.versions; " + v + " was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in " + v + " and removes " + v + " from status.storedVersions"));
  }
}

}  // namespace

// Groups of Kubernetes' own need its community's approval.
std::pair<ApprovalState, std::string> approval_of(const Document& definition) {
  std::string value(string_at(apimachinery::annotations_of(definition), kApprovedAnnotation));
  if (value.empty()) return {ApprovalState::Missing, "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111"};
  if (starts_with(value, "unapproved")) return {ApprovalState::Bypassed, "not approved: \"" + value + "\""};
  std::size_t scheme = value.find("://");
  if (scheme != std::string::npos && scheme > 0 && scheme + 3 < value.size()) return {ApprovalState::Approved, "approved in " + value};
  return {ApprovalState::Invalid, "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"};
}

bool is_protected_group(std::string_view group) {
  return group == "k8s.io" || group == "kubernetes.io" || ends_with(group, ".k8s.io") || ends_with(group, ".kubernetes.io");
}

namespace {

void check_approval(const Document& definition, const Document* old, FieldErrors& errors) {
  if (!is_protected_group(string_at(member(definition, "spec"), "group"))) return;
  auto [state, why] = approval_of(definition);
  if (old && approval_of(*old).first == state) return;
  FieldPath at = FieldPath("metadata").child("annotations").key(kApprovedAnnotation);
  if (state == ApprovalState::Missing) errors.push_back(field_required(at, why));
  if (state == ApprovalState::Invalid) errors.push_back(field_invalid(at, string_at(apimachinery::annotations_of(definition), kApprovedAnnotation), why));
}

}  // namespace

void validate_definition(const Document& definition, const Document* old, FieldErrors& errors) {
  const Document& spec = member(definition, "spec");
  if (!old) {
    std::string name(apimachinery::name_of(definition)), wanted = std::string(string_at(member(spec, "names"), "plural")) + "." + std::string(string_at(spec, "group"));
    std::string generate(apimachinery::generate_name_of(definition));
    auto unlike = [&](const char* field, const std::string& text) {
      errors.push_back(field_invalid(FieldPath("metadata").child(field), text, "must be spec.names.plural+\".\"+spec.group"));
    };
    if (!generate.empty() && generate != wanted) unlike("generateName", generate);
    if (name != wanted) unlike("name", name);
  }
  check_spec(spec, errors);
  if (old) {
    const Document& was = member(*old, "spec");
    FieldPath path("spec");
    auto immutable = [&](const Document* now, const Document* before, const FieldPath& at) { apimachinery::append(errors, apimachinery::validate_immutable_field(now, before, at)); };
    if (has_condition(*old, "Established")) {
      immutable(find_member(spec, "scope"), find_member(was, "scope"), path.child("scope"));
      immutable(find_member(member(spec, "names"), "kind"), find_member(member(was, "names"), "kind"), path.child("names").child("kind"));
    }
    immutable(find_member(spec, "group"), find_member(was, "group"), path.child("group"));
    immutable(find_member(member(spec, "names"), "plural"), find_member(member(was, "names"), "plural"), path.child("names").child("plural"));
  }
  check_names(at_path(definition, {"status", "acceptedNames"}), FieldPath("status").child("acceptedNames"), errors);
  check_stored_versions(definition, errors);
  check_approval(definition, old, errors);
  bool was_open = old && bool_at(member(*old, "spec"), "preserveUnknownFields");
  if (bool_at(spec, "preserveUnknownFields") && !was_open)
    errors.push_back(field_invalid(FieldPath("spec").child("preserveUnknownFields"), true, "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"));
}

}  // namespace onebin::apiserver
