// NamespaceLifecycle: no object in a namespace that is not there or is going, and no deletion of the namespaces that the
// system needs.
#include "apiserver/admission/plugins.hpp"
#include "apiserver/cache/object_view.hpp"
#include "apiserver/errors.hpp"

namespace onebin::apiserver {
namespace {

// Namespace.status.phase in the protobuf message: of each create this alone is read.
constexpr std::uint32_t kStatus = 3, kPhase = 1;

class NamespaceLifecycle final : public AdmissionPlugin {
 public:
  explicit NamespaceLifecycle(const Lister& lister) : lister_(lister) {}
  std::string_view name() const override { return "NamespaceLifecycle"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Delete; }
  bool concerns(const AdmissionAttributes& a) const override {
    bool is_namespace = a.group.empty() && a.kind == "Namespace";
    if (a.operation == Operation::Delete) return is_namespace && !a.name.empty();
    return !is_namespace && !a.ns.empty() && !a.is("authorization.k8s.io", "localsubjectaccessreviews");
  }

  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    if (a.operation == Operation::Delete) {
      for (std::string_view kept : {"default", "kube-system", "kube-public"})
        if (a.name == kept) co_return forbidden(a.resource_group, a.resource, a.name, "this namespace may not be deleted");
      co_return Result<void>();
    }
    // A create in a namespace that the caller has just made: the watch cache shows what was acknowledged.
    Bytes ns = lister_.get("", "namespaces", "", a.ns);
    if (!ns) co_return not_found("namespaces", a.ns);
    if (message_string(ObjectView(*ns).message(), {kStatus, kPhase}) != "Terminating") co_return Result<void>();
    Status s = admission_forbidden(a, "unable to create new content in namespace " + a.ns + " because it is being terminated");
    s.mutable_details().causes.push_back({"NamespaceTerminating", "namespace " + a.ns + " is being terminated", "metadata.namespace"});
    co_return s;
  }

 private:
  const Lister& lister_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_namespace_lifecycle(const Lister& lister) { return std::make_unique<NamespaceLifecycle>(lister); }

}  // namespace onebin::apiserver
