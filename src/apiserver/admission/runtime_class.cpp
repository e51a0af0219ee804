// RuntimeClass: what a pod's runtime class adds to it: overhead, node selector, tolerations.
#include "apiserver/admission/plugins.hpp"
#include "apiserver/admission/pod_documents.hpp"

#include <onebin/api/document.hpp>
#include <onebin/api/node_v1.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/quantity.hpp>

namespace onebin::apiserver {
namespace {

using apimachinery::array_at;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::object_at;
using apimachinery::string_at;
using Class = api::node::v1::RuntimeClass;

constexpr char kMismatch[] = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

bool same_overhead(const std::map<std::string, apimachinery::Quantity>& a, const Document& b) {
  if (!b.is_object() || a.size() != b.size()) return a.empty() && (!b.is_object() || b.empty());
  for (const auto& [k, v] : a) {
    auto given = apimachinery::Quantity::parse(string_at(b, k));
    if (!given || *given != v) return false;
  }
  return true;
}

// Whether `wide` tolerates all that `t` does. Source: merging of tolerations in Kubernetes' RuntimeClass admission.
bool covers(const Document& wide, const Document& t) {
  if (apimachinery::same_value(wide, t)) return true;
  std::string_view key = string_at(wide, "key"), op = string_at(wide, "operator");
  if (string_at(t, "key") != key && !(key.empty() && op == "Exists")) return false;
  std::string_view effect = string_at(wide, "effect");
  if (string_at(t, "effect") != effect && !effect.empty()) return false;
  if (effect == "NoExecute" || effect.empty()) {
    const Document *limit = find_member(wide, "tolerationSeconds"), *its = find_member(t, "tolerationSeconds");
    if (limit && (!its || its->get<std::int64_t>() > limit->get<std::int64_t>())) return false;
  }
  if (op == "Exists") return true;
  return (op.empty() || op == "Equal") && (string_at(t, "operator").empty() || string_at(t, "operator") == "Equal") &&
         string_at(wide, "value") == string_at(t, "value");
}

Document merged(const Document& first, const Document& second) {
  Document all = first, out = Document::array();
  for (const auto& t : second) all.push_back(t);
  for (std::size_t i = 0; i < all.size(); ++i) {
    bool redundant = false;
    for (const auto& kept : out) redundant = redundant || covers(kept, all[i]);
    for (std::size_t j = i + 1; j < all.size(); ++j) redundant = redundant || (!apimachinery::same_value(all[i], all[j]) && covers(all[j], all[i]));
    if (!redundant) out.push_back(all[i]);
  }
  return out;
}

class RuntimeClassAdmission final : public AdmissionPlugin {
 public:
  explicit RuntimeClassAdmission(const Lister& lister) : lister_(lister) {}
  std::string_view name() const override { return "RuntimeClass"; }
  bool handles(Operation op) const override { return op == Operation::Create; }
  bool concerns(const AdmissionAttributes& a) const override {
    if (!a.is("", "pods") || !a.object) return false;
    const Document& spec = member(*a.object, "spec");
    return find_member(spec, "runtimeClassName") || find_member(spec, "overhead");
  }

  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    Document& spec = object_at(*a.object, "spec");
    std::string wanted(string_at(spec, "runtimeClassName"));
    if (wanted.empty()) co_return Result<void>();
    auto c = lister_.get<Class>("", wanted);
    if (!c) co_return admission_forbidden(a, "pod rejected: RuntimeClass " + apimachinery::go_quote(wanted) + " not found");
    if (c->overhead) {
      const Document& given = member(spec, "overhead");
      if (given.is_object() && !given.empty() && !same_overhead(c->overhead->pod_fixed, given)) co_return admission_forbidden(a, kMismatch);
      Document overhead = Document::object();
      for (const auto& [k, v] : c->overhead->pod_fixed) overhead[k] = v.to_string();
      spec["overhead"] = std::move(overhead);
    }
    if (!c->scheduling) co_return Result<void>();
    for (const auto& [k, v] : c->scheduling->node_selector) {
      Document& selector = object_at(spec, "nodeSelector");
      std::string given(string_at(selector, k));
      if (find_member(selector, k) && given != v)
        co_return admission_forbidden(a, "conflict: runtimeClass.scheduling.nodeSelector[" + k + "] = " + v + "; pod.spec.nodeSelector[" + k + "] = " + given);
      selector[k] = v;
    }
    Document more = Document::array();
    for (const auto& t : c->scheduling->tolerations) more.push_back(api::to_document(t));
    Document tolerations = merged(items(spec, "tolerations"), more);
    if (!tolerations.empty()) spec["tolerations"] = std::move(tolerations);
    co_return Result<void>();
  }

  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    const Document& spec = member(*a.object, "spec");
    std::string wanted(string_at(spec, "runtimeClassName"));
    std::optional<Class> c;
    if (!wanted.empty()) c = lister_.get<Class>("", wanted);
    const Document& given = member(spec, "overhead");
    if (c && c->overhead) {
      if (!same_overhead(c->overhead->pod_fixed, given)) co_return admission_forbidden(a, kMismatch);
    } else if (given.is_object()) {
      co_return admission_forbidden(a, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
    }
    co_return Result<void>();
  }

 private:
  const Lister& lister_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_runtime_class_admission(const Lister& lister) { return std::make_unique<RuntimeClassAdmission>(lister); }

}  // namespace onebin::apiserver
