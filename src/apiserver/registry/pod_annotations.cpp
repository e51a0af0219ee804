// Annotations of pods that mean something: those that came before a field, and must not say otherwise than it.
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/base/bytes.hpp>

#include <charconv>
#include <functional>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

namespace {

constexpr const char* kMirror = "kubernetes.io/config.mirror";
constexpr const char* kTolerations = "scheduler.alpha.kubernetes.io/tolerations";
constexpr const char* kDeletionCost = "controller.kubernetes.io/pod-deletion-cost";
constexpr const char* kSeccompPod = "seccomp.security.alpha.kubernetes.io/pod";
constexpr const char* kSeccompContainer = "container.seccomp.security.alpha.kubernetes.io/";
constexpr const char* kAppArmor = "container.apparmor.security.beta.kubernetes.io/";
constexpr std::string_view kLocalhost = "localhost/";

bool deletion_cost(std::string_view text) {
  if (text.empty() || (text[0] == '0' && text != "0")) return false;
  std::int32_t n = 0;
  auto r = std::from_chars(text.data(), text.data() + text.size(), n);
  return r.ec == std::errc() && r.ptr == text.data() + text.size();
}

void check_seccomp(const Check& at) {
  std::string_view profile = at.text();
  if (profile == "runtime/default" || profile == "docker/default" || profile == "unconfined") return;
  if (!starts_with(profile, kLocalhost)) return at.invalid("must be a valid seccomp profile");
  std::string path(profile.substr(kLocalhost.size()));
  check_descending_path(Check(Document(path), at.path(), at.errors()));
}

void check_toleration_list(const Check& annotations) {
  Document list = read_json_annotation(annotations, kTolerations, annotations.path(), Document::value_t::array);
  Check tolerations(list, annotations.path().child(kTolerations), annotations.errors());
  check_tolerations(tolerations);
  for (std::size_t i = 0; i < tolerations.size(); ++i)
    if (Check effect = tolerations[i]["effect"]; !effect.empty()) effect.one_of({"NoSchedule", "PreferNoSchedule", "NoExecute"});
}

void each_container(const Document& spec, const FieldPath& path, const std::function<void(const Document&, const FieldPath&)>& fn) {
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    std::size_t i = 0;
    for (const auto& c : each(spec, list)) fn(c, path.child(list).index(i++));
  }
}

bool has_container(const Document& spec, std::string_view name) {
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"})
    for (const auto& c : each(spec, list))
      if (string_at(c, "name") == name) return true;
  return false;
}

// A profile's type and file in the words of the annotation.
struct Words {
  const char* what;
  std::string_view by_default, other_default, unconfined;
};
constexpr Words kSeccompWords{"seccomp", "runtime/default", "docker/default", "unconfined"};
constexpr Words kAppArmorWords{"apparmor", "runtime/default", "runtime/default", "unconfined"};

void check_agreement(std::string_view annotation, const Document& profile, const Words& words, const FieldPath& path, FieldErrors& errors) {
  std::string_view type = string_at(profile, "type");
  bool same = true;
  if (type == "Unconfined") same = annotation == words.unconfined;
  else if (type == "RuntimeDefault") same = annotation == words.by_default || annotation == words.other_default;
  else if (type == "Localhost") same = starts_with(annotation, kLocalhost);
  if (!same) {
    errors.push_back(field_forbidden(path.child("type"), std::string(words.what) + " type in annotation and field must match"));
  } else if (type == "Localhost") {
    const Document* file = find_member(profile, "localhostProfile");
    if (!file || annotation.substr(kLocalhost.size()) != string_at(profile, "localhostProfile"))
      errors.push_back(field_forbidden(path.child("localhostProfile"), std::string(words.what) + " profile in annotation and field must match"));
  }
}

// As a field; null where the annotation is none that a field could say.
Document app_armor_field(std::string_view annotation) {
  if (annotation == kAppArmorWords.unconfined) return {{"type", "Unconfined"}};
  if (annotation == kAppArmorWords.by_default) return {{"type", "RuntimeDefault"}};
  std::string file(starts_with(annotation, kLocalhost) ? annotation.substr(kLocalhost.size()) : std::string_view());
  if (file.empty() || file.size() > 4095 || trim(file).size() != file.size()) return {};
  return {{"type", "Localhost"}, {"localhostProfile", file}};
}

}  // namespace

Document read_json_annotation(const Check& annotations, const char* key, const FieldPath& where, Document::value_t type) {
  std::string text(annotations[key].text());
  if (text.empty()) return {};
  auto parsed = apimachinery::decode_json(text, nullptr);
  Check at = annotations.as(where);
  if (!parsed) at.invalid_as(key, parsed.status().message());
  else if (parsed->type() == type) return std::move(*parsed);
  else if (!parsed->is_null())
    at.invalid_as(key, std::string("json: cannot unmarshal ") + (parsed->is_object() ? "object" : parsed->is_array() ? "array" : parsed->is_string() ? "string" : parsed->is_boolean() ? "bool" : "number") + " into Go value of type " + key);
  return {};
}

void validate_pod_annotations(const Document& annotations, const Document& spec, const FieldPath& path, FieldErrors& errors, const Document& old) {
  if (!annotations.is_object()) return;
  Check at(annotations, path, errors);
  if (annotations.contains(kMirror) && string_at(spec, "nodeName").empty())
    at.key(kMirror).invalid("must set spec.nodeName if mirror pod annotation is set");
  check_toleration_list(at);
  const Document* cost_was = find_member(old, kDeletionCost);
  if (annotations.contains(kDeletionCost) && !deletion_cost(string_at(annotations, kDeletionCost)) && !(cost_was && !deletion_cost(string_at(old, kDeletionCost))))
    at.key(kDeletionCost).invalid("must be a 32bit integer");
  if (annotations.contains(kSeccompPod)) check_seccomp(at[kSeccompPod]);
  for (const auto& [key, value] : annotations.items()) {
    if (starts_with(key, kSeccompContainer)) check_seccomp(at[key]);
    if (!starts_with(key, kAppArmor)) continue;
    std::string name = key.substr(std::string_view(kAppArmor).size()), profile(string_at(annotations, key));
    if (!has_container(spec, name)) at.key(key).invalid_as(name, "container not found");
    if (!profile.empty() && profile != kAppArmorWords.by_default && profile != kAppArmorWords.unconfined && !starts_with(profile, kLocalhost))
      at.key(key).invalid("invalid AppArmor profile name: " + apimachinery::go_quote(profile));
  }
}

void validate_pod_annotation_changes(const Document& now, const Document& was, const FieldPath& path, FieldErrors& errors) {
  auto look = [&](const Document& these, const Document& others, const char* verb) {
    if (!these.is_object()) return;
    for (const auto& [key, value] : these.items()) {
      const Document* other = find_member(others, key);
      if (other && (&these == &now || *other == value)) continue;
      if (starts_with(key, kAppArmor)) errors.push_back(field_forbidden(path.key(key), std::string("may not ") + verb + " AppArmor annotations"));
      if (key == kMirror) errors.push_back(field_forbidden(path.key(key), std::string("may not ") + verb + " mirror pod annotation"));
    }
  };
  look(was, now, "remove or update");
  look(now, was, "add");
}

void validate_profiles_agree(const Document& annotations, const Document& spec, const FieldPath& path, FieldErrors& errors) {
  if (!annotations.is_object() || annotations.empty()) return;
  const Document& security = member(spec, "securityContext");
  if (const Document* profile = find_member(security, "seccompProfile"); profile && annotations.contains(kSeccompPod))
    check_agreement(string_at(annotations, kSeccompPod), *profile, kSeccompWords, path.child("securityContext").child("seccompProfile"), errors);
  bool windows = string_at(member(spec, "os"), "name") == "windows";
  each_container(spec, path, [&](const Document& c, const FieldPath& where) {
    std::string name(string_at(c, "name"));
    const Document& own = member(c, "securityContext");
    FieldPath at = where.child("securityContext");
    const Document* seccomp = find_member(own, "seccompProfile");
    if (seccomp && annotations.contains(kSeccompContainer + name))
      check_agreement(string_at(annotations, kSeccompContainer + name), *seccomp, kSeccompWords, at.child("seccompProfile"), errors);
    const Document* armor = find_member(own, "appArmorProfile");
    if (!armor) armor = find_member(security, "appArmorProfile");
    if (!windows && armor && annotations.contains(kAppArmor + name))
      check_agreement(string_at(annotations, kAppArmor + name), *armor, kAppArmorWords, at.child("appArmorProfile"), errors);
  });
}

void take_app_armor_annotations(const WriteContext& c, Document& pod) {
  Document* spec = find_member(pod, "spec");
  const Document annotations = apimachinery::annotations_of(pod);
  if (!spec || annotations.empty() || string_at(member(*spec, "os"), "name") == "windows") return;
  const Document of_pod = member(member(*spec, "securityContext"), "appArmorProfile");
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    Document* containers = find_member(*spec, list);
    if (!containers || !containers->is_array()) continue;
    for (auto& container : *containers) {
      std::string key = kAppArmor + std::string(string_at(container, "name"));
      if (!annotations.contains(key) || find_member(member(container, "securityContext"), "appArmorProfile")) continue;
      Document field = app_armor_field(string_at(annotations, key));
      bool taken = !field.is_null() && field != of_pod;
      if (taken || field.is_null())
        c.warn(FieldPath("metadata").child("annotations").key(key).text() + ": deprecated since v1.30; use the \"appArmorProfile\" field instead");
      if (taken) apimachinery::object_at(container, "securityContext")["appArmorProfile"] = std::move(field);
    }
  }
}

}  // namespace onebin::apiserver
