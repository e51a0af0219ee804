// TaintNodesByCondition: a new Node is not ready until the node controller says so. DefaultTolerationSeconds: a pod stays
// five minutes (or as configured) on a node that is not ready or cannot be reached, unless it says otherwise.
#include "apiserver/admission/plugins.hpp"
#include "apiserver/admission/pod_documents.hpp"

namespace onebin::apiserver {
namespace {

using apimachinery::array_at;
using apimachinery::object_at;
using apimachinery::string_at;

constexpr char kNotReady[] = "node.kubernetes.io/not-ready";
constexpr char kUnreachable[] = "node.kubernetes.io/unreachable";

class TaintNodesByCondition final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "TaintNodesByCondition"; }
  bool handles(Operation op) const override { return op == Operation::Create; }
  bool concerns(const AdmissionAttributes& a) const override { return a.is("", "nodes") && a.object; }
  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    Document& taints = array_at(object_at(*a.object, "spec"), "taints");
    for (const auto& t : taints)
      if (string_at(t, "key") == kNotReady && string_at(t, "effect") == "NoSchedule") co_return Result<void>();
    taints.push_back({{"key", kNotReady}, {"effect", "NoSchedule"}});
    co_return Result<void>();
  }
};

class DefaultTolerationSeconds final : public AdmissionPlugin {
 public:
  DefaultTolerationSeconds(int not_ready, int unreachable) : seconds_{{kNotReady, not_ready}, {kUnreachable, unreachable}} {}
  std::string_view name() const override { return "DefaultTolerationSeconds"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override { return a.is("", "pods") && a.object; }
  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    Document& spec = object_at(*a.object, "spec");
    for (const auto& [key, seconds] : seconds_)
      if (!tolerates(spec, key))
        array_at(spec, "tolerations").push_back({{"key", key}, {"operator", "Exists"}, {"effect", "NoExecute"}, {"tolerationSeconds", seconds}});
    co_return Result<void>();
  }

 private:
  static bool tolerates(const Document& spec, std::string_view key) {
    for (const auto& t : items(spec, "tolerations")) {
      std::string_view its_key = string_at(t, "key"), effect = string_at(t, "effect");
      if ((its_key == key || its_key.empty()) && (effect == "NoExecute" || effect.empty())) return true;
    }
    return false;
  }
  std::pair<const char*, int> seconds_[2];
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_taint_nodes_by_condition() { return std::make_unique<TaintNodesByCondition>(); }
std::unique_ptr<AdmissionPlugin> make_default_toleration_seconds(int not_ready, int unreachable) {
  return std::make_unique<DefaultTolerationSeconds>(not_ready, unreachable);
}

}  // namespace onebin::apiserver
