// PodSecurity: a namespace's labels pod-security.kubernetes.io/{enforce,warn} and -version say which pods it takes and which
// it warns of; what the mode audit finds is for the audit log.
#include "apiserver/admission/plugins.hpp"
#include "apiserver/admission/pod_documents.hpp"
#include "apiserver/admission/pod_security_checks.hpp"
#include "apiserver/audit/event.hpp"
#include "apiserver/cache/object_view.hpp"
#include "apiserver/errors.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/api/document.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {
namespace {

namespace core = api::core::v1;
using apimachinery::at_path;
using apimachinery::FieldErrors;
using apimachinery::FieldPath;
using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::string_at;
using Level = PodSecurityLevel;
using Labels = std::map<std::string, std::string>;

constexpr char kPrefix[] = "pod-security.kubernetes.io/";
constexpr std::size_t kMaxPodsToCheck = 3000;

struct NamespacePolicy {
  LevelVersion enforce, warn, audit;
  FieldErrors errors;
};

std::optional<Level> parse_level(const std::string& text) {
  if (text == "privileged") return Level::Privileged;
  if (text == "baseline") return Level::Baseline;
  if (text == "restricted") return Level::Restricted;
  return std::nullopt;
}

// The minor number of "v1.N"; -1 for "latest"; none for anything else.
std::optional<int> parse_version(const std::string& text) {
  if (text == "latest") return -1;
  if (!starts_with(text, "v1.") || text.size() < 4 || text.size() > 9) return std::nullopt;
  std::string digits = text.substr(3);
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }) || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
  return std::stoi(digits);
}

// A wrong enforce level counts as restricted, the other modes fail open; a wrong version is the latest.
NamespacePolicy policy_of(const Labels& labels, const Labels& defaults) {
  NamespacePolicy p;
  auto by_default = [&](const std::string& key) {
    auto it = defaults.find(key);
    return it == defaults.end() ? std::string() : it->second;
  };
  bool enforce_given = false, warn_given = false, warn_version_given = false;
  auto read = [&](const char* mode, LevelVersion& out, Level otherwise) {
    bool good = false;
    out.level = parse_level(by_default(mode)).value_or(Level::Privileged);
    out.minor = parse_version(by_default(std::string(mode) + "-version")).value_or(-1);
    auto complain = [&](const std::string& key, const std::string& value, const char* why) {
      p.errors.push_back(apimachinery::field_invalid(FieldPath("metadata").child("labels").key(key), value, why));
    };
    if (auto it = labels.find(kPrefix + std::string(mode)); it != labels.end()) {
      std::optional<Level> level = parse_level(it->second);
      good = level.has_value();
      out.level = level.value_or(otherwise);
      if (!level) complain(it->first, it->second, "must be one of privileged, baseline, restricted");
    }
    if (auto it = labels.find(std::string(kPrefix) + mode + "-version"); it != labels.end()) {
      std::optional<int> version = parse_version(it->second);
      out.minor = version.value_or(-1);
      if (!version) complain(it->first, it->second, "must be \"latest\" or \"v1.x\"");
    }
    return good;
  };
  enforce_given = read("enforce", p.enforce, Level::Restricted);
  read("audit", p.audit, Level::Privileged);
  read("warn", p.warn, Level::Privileged);
  warn_given = labels.count(std::string(kPrefix) + "warn") > 0;
  warn_version_given = labels.count(std::string(kPrefix) + "warn-version") > 0;
  if (!warn_given && enforce_given && p.enforce.level > p.warn.level) {
    p.warn.level = p.enforce.level;
    if (!warn_version_given) p.warn.minor = p.enforce.minor;
  }
  return p;
}

// Metadata and spec of a pod, or of the pods that a controller's object makes; null where there is none.
struct PodParts {
  const Document *metadata = nullptr, *spec = nullptr;
};
PodParts parts_of(const AdmissionAttributes& a) {
  const Document& o = *a.object;
  const Document* holder = nullptr;
  if (a.resource == "pods") holder = &o;
  else if (a.resource == "podtemplates") holder = &member(o, "template");
  else if (a.resource == "cronjobs") holder = &at_path(o, {"spec", "jobTemplate", "spec", "template"});
  else holder = &at_path(o, {"spec", "template"});
  if (!holder->is_object()) return {};
  return {&member(*holder, "metadata"), &member(*holder, "spec")};
}

bool has_pod_spec(const AdmissionAttributes& a) {
  auto in = [&](std::initializer_list<std::string_view> set) { return std::find(set.begin(), set.end(), a.resource) != set.end(); };
  if (a.resource_group.empty()) return in({"pods", "replicationcontrollers", "podtemplates"});
  if (a.resource_group == "apps") return in({"replicasets", "deployments", "statefulsets", "daemonsets"});
  return a.resource_group == "batch" && in({"jobs", "cronjobs"});
}

bool ignored_subresource(std::string_view s) {
  for (std::string_view i : {"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"})
    if (s == i) return true;
  return false;
}

// Whether an update could change a verdict: other images or more containers.
bool significant(const Document& now, const Document& before) {
  for (const char* f : {"containers", "initContainers"}) {
    const Document &a = items(now, f), &b = items(before, f);
    if (a.size() != b.size()) return true;
    for (std::size_t i = 0; i < a.size(); ++i)
      if (string_at(a[i], "image") != string_at(b[i], "image")) return true;
  }
  for (const auto& c : items(now, "ephemeralContainers")) {
    bool same = false;
    for (const auto& o : items(before, "ephemeralContainers"))
      same = same || (string_at(o, "name") == string_at(c, "name") && string_at(o, "image") == string_at(c, "image"));
    if (!same) return true;
  }
  return false;
}

class PodSecurity final : public AdmissionPlugin {
 public:
  PodSecurity(const Lister& lister, const PodSecurityDefaults& defaults) : lister_(lister), defaults_(defaults) {}
  std::string_view name() const override { return "PodSecurity"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override {
    if (!a.object) return false;
    if (a.resource_group.empty() && a.resource == "namespaces") return a.subresource.empty();
    if (!has_pod_spec(a)) return false;
    return a.resource == "pods" ? !ignored_subresource(a.subresource) : a.subresource.empty();
  }

  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    if (a.resource == "namespaces") co_return Result<void>(check_namespace(a));
    if (defaults_.exempt_namespaces.count(a.ns) || defaults_.exempt_users.count(a.user->name)) co_return Result<void>();
    Bytes ns = lister_.get("", "namespaces", "", a.ns);
    bool is_pod = a.resource == "pods";
    if (!ns && is_pod) co_return internal_error("failed to lookup namespace " + go_quote(a.ns));
    if (!ns) co_return Result<void>();
    Labels labels;
    for (const auto& [key, value] : ObjectView(*ns).labels())
      if (starts_with(key, kPrefix)) labels.emplace(key, value);
    NamespacePolicy policy = policy_of(labels, defaults_.labels);
    if (a.audit && is_pod) a.audit->annotate(std::string(kPrefix) + "enforce-policy", policy.enforce.to_string());
    if (policy.enforce.level == Level::Privileged && policy.warn.level == Level::Privileged && (!a.audit || policy.audit.level == Level::Privileged)) co_return Result<void>();
    PodParts parts = parts_of(a);
    if (!parts.spec || exempt_class(std::string(string_at(*parts.spec, "runtimeClassName")))) co_return Result<void>();
    const Document* old = is_pod && a.operation == Operation::Update ? a.old_object() : nullptr;
    if (old && !significant(*parts.spec, member(*old, "spec"))) co_return Result<void>();
    if (is_pod) {
      auto faults = check_pod_security(policy.enforce, *parts.metadata, *parts.spec);
      if (!faults.empty())
        co_return admission_forbidden(a, "violates PodSecurity " + go_quote(policy.enforce.to_string()) + ": " + describe_faults(faults, true));
    }
    auto faults = check_pod_security(policy.audit, *parts.metadata, *parts.spec);
    if (a.audit && !faults.empty())
      a.audit->annotate(std::string(kPrefix) + "audit-violations", "would violate PodSecurity " + go_quote(policy.audit.to_string()) + ": " + describe_faults(faults, true));
    faults = check_pod_security(policy.warn, *parts.metadata, *parts.spec);
    if (!faults.empty()) a.warn("would violate PodSecurity " + go_quote(policy.warn.to_string()) + ": " + describe_faults(faults, true));
    co_return Result<void>();
  }

 private:
  Status check_namespace(const AdmissionAttributes& a) const {
    NamespacePolicy now = policy_of(apimachinery::string_map(apimachinery::labels_of(*a.object)), defaults_.labels);
    const Document* old = a.operation == Operation::Update ? a.old_object() : nullptr;
    std::string name(apimachinery::name_of(*a.object));
    bool exempt = defaults_.exempt_namespaces.count(name) > 0;
    if (!old) {
      if (!now.errors.empty()) return apimachinery::invalid("", "Namespace", name, now.errors);
      if (exempt) warn_exempt(a, name, now);
      return Status::ok();
    }
    NamespacePolicy before = policy_of(apimachinery::string_map(apimachinery::labels_of(*old)), defaults_.labels);
    if (!now.errors.empty() && !same_errors(now.errors, before.errors))
      return apimachinery::invalid("", "Namespace", apimachinery::name_of(*a.object), now.errors);
    if (now.enforce == before.enforce || now.enforce.level == Level::Privileged) return Status::ok();
    if (now.enforce.minor == before.enforce.minor && now.enforce.level <= before.enforce.level) return Status::ok();
    if (exempt) warn_exempt(a, name, now);
    else for (auto& w : existing_pods(name, now.enforce)) a.warn(std::move(w));
    return Status::ok();
  }

  bool exempt_class(const std::string& runtime_class) const { return !runtime_class.empty() && defaults_.exempt_runtime_classes.count(runtime_class); }

  // Labels that are without effect.
  void warn_exempt(const AdmissionAttributes& a, const std::string& name, const NamespacePolicy& policy) const {
    NamespacePolicy usual = policy_of({}, defaults_.labels);
    if (policy.enforce == usual.enforce && policy.audit == usual.audit && policy.warn == usual.warn) return;
    const Document& labels = apimachinery::labels_of(*a.object);
    std::vector<std::string> set;
    for (const auto& [mode, value] : {std::pair("enforce", policy.enforce), std::pair("audit", policy.audit), std::pair("warn", policy.warn)}) {
      std::string key = std::string(kPrefix) + mode;
      if (value.level != Level::Privileged && (labels.contains(key) || labels.contains(key + "-version"))) set.push_back(std::string(mode) + "=" + value.to_string());
    }
    if (!set.empty()) a.warn("namespace " + go_quote(name) + " is exempt from Pod Security, and the policy (" + join(set, ", ") + ") will be ignored");
  }

  static bool same_errors(const FieldErrors& a, const FieldErrors& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) { return x.to_string() == y.to_string(); });
  }

  // Which pods would no longer be taken; of a controller's pods one stands for all, unless there is room for the rest.
  std::vector<std::string> existing_pods(const std::string& ns, const LevelVersion& enforce) const {
    struct Seen {
      std::string first;
      std::size_t count = 0;
    };
    std::vector<core::Pod> pods, rest;
    std::set<std::string> controllers;
    lister_.for_each<core::Pod>(ns, [&](const core::Pod& p) {
      if (exempt_class(p.spec.runtime_class_name.value_or(""))) return true;
      std::string owner;
      for (const auto& o : p.metadata.owner_references)
        if (o.controller.value_or(false)) owner = o.uid;
      bool another = !owner.empty() && !controllers.insert(owner).second;
      if (pods.size() + rest.size() < kMaxPodsToCheck * 2) (another ? rest : pods).push_back(p);
      return true;
    });
    std::size_t total = pods.size() + rest.size();
    std::move(rest.begin(), rest.end(), std::back_inserter(pods));
    if (pods.size() > kMaxPodsToCheck) pods.resize(kMaxPodsToCheck);
    std::map<std::string, Seen> by_reason;
    for (const auto& p : pods) {
      Document d = api::to_document(p);
      auto faults = check_pod_security(enforce, member(d, "metadata"), member(d, "spec"));
      if (faults.empty()) continue;
      Seen& s = by_reason[describe_faults(faults, false)];
      if (!s.count++ || p.metadata.name < s.first) s.first = p.metadata.name;
    }
    std::vector<std::string> lines, out;
    for (const auto& [reason, s] : by_reason) {
      std::string others = s.count == 1 ? "" : s.count == 2 ? " (and 1 other pod)" : " (and " + std::to_string(s.count - 1) + " other pods)";
      lines.push_back(s.first + others + ": " + reason);
    }
    std::sort(lines.begin(), lines.end());
    if (pods.size() < total)
      out.push_back("new PodSecurity enforce level only checked against the first " + std::to_string(pods.size()) + " of " + std::to_string(total) +
                    " existing pods");
    if (!lines.empty())
      out.push_back("existing pods in namespace " + go_quote(ns) + " violate the new PodSecurity enforce level " + go_quote(enforce.to_string()));
    std::move(lines.begin(), lines.end(), std::back_inserter(out));
    return out;
  }

  const Lister& lister_;
  const PodSecurityDefaults& defaults_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_pod_security(const Lister& lister, const PodSecurityDefaults& defaults) {
  return std::make_unique<PodSecurity>(lister, defaults);
}

}  // namespace onebin::apiserver
