// Priority: a pod's priority class becomes its priority, and no second class may be the default.
#include "apiserver/admission/plugins.hpp"
#include "apiserver/errors.hpp"

#include <onebin/api/scheduling_v1.hpp>
#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {
namespace {

using apimachinery::find_member;
using apimachinery::object_at;
using apimachinery::string_at;
using Class = api::scheduling::v1::PriorityClass;

class PriorityAdmission final : public AdmissionPlugin {
 public:
  explicit PriorityAdmission(Lister& lister) : lister_(lister) {
    lister.subscribe("scheduling.k8s.io", "priorityclasses", [this](std::string_view, std::string_view name, const Bytes&, const Bytes& now) {
      defaults_.erase(std::string(name));
      auto c = now ? api::from_protobuf<Class>(*now) : Result<Class>(not_found("priorityclasses", name));
      if (c && c->global_default) defaults_.emplace(name, std::move(*c));
    });
  }
  std::string_view name() const override { return "Priority"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override {
    return a.object && (a.is("", "pods") || a.is("", "pods", "resize") || a.is("scheduling.k8s.io", "priorityclasses"));
  }

  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    if (a.resource != "pods") co_return Result<void>();
    Document& spec = object_at(*a.object, "spec");
    if (a.operation == Operation::Update) {
      // A client that does not know the fields leaves them out.
      const Document* old = a.old_object();
      for (const char* f : {"priority", "preemptionPolicy"})
        if (old && !find_member(spec, f))
          if (const Document* kept = find_member(apimachinery::member(*old, "spec"), f)) spec[f] = *kept;
      co_return Result<void>();
    }
    co_return Result<void>(set_priority(a, spec));
  }

  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    if (a.resource != "priorityclasses" || !apimachinery::bool_at(*a.object, "globalDefault")) co_return Result<void>();
    auto kept = default_class();
    if (kept && (a.operation == Operation::Create || kept->metadata.name != apimachinery::name_of(*a.object)))
      co_return admission_forbidden(a, "PriorityClass " + kept->metadata.name + " is already marked as default. Only one default can exist");
    co_return Result<void>();
  }

 private:
  std::optional<Class> default_class() const {
    std::optional<Class> out;
    for (const auto& [name, c] : defaults_)
      if (!out || out->value > c.value) out = c;
    return out;
  }

  Status set_priority(const AdmissionAttributes& a, Document& spec) const {
    std::string wanted(string_at(spec, "priorityClassName"));
    std::optional<Class> found = wanted.empty() ? default_class() : lister_.get<Class>("", wanted);
    if (!found && !wanted.empty()) return admission_forbidden(a, "no PriorityClass with name " + wanted + " was found");
    std::int64_t priority = found ? found->value : 0;
    std::string policy = found && found->preemption_policy ? *found->preemption_policy : found ? "" : "PreemptLowerPriority";
    if (found) spec["priorityClassName"] = found->metadata.name;
    if (const Document* given = find_member(spec, "priority"); given && given->is_number_integer() && given->get<std::int64_t>() != priority)
      return admission_forbidden(a, "the integer value of priority (" + std::to_string(given->get<std::int64_t>()) +
                                        ") must not be provided in pod spec; priority admission controller computed " + std::to_string(priority) +
                                        " from the given PriorityClass name");
    spec["priority"] = priority;
    if (policy.empty()) return Status::ok();
    if (std::string_view given = string_at(spec, "preemptionPolicy"); !given.empty() && given != policy)
      return admission_forbidden(a, "the string value of PreemptionPolicy (" + std::string(given) +
                                        ") must not be provided in pod spec; priority admission controller computed " + policy +
                                        " from the given PriorityClass name");
    spec["preemptionPolicy"] = policy;
    return Status::ok();
  }

  const Lister& lister_;
  std::map<std::string, Class, std::less<>> defaults_;  // those that say so, by name
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_priority_admission(Lister& lister) { return std::make_unique<PriorityAdmission>(lister); }

}  // namespace onebin::apiserver
