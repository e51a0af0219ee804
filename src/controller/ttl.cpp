// How long kubelets may trust a cached Secret or ConfigMap, by the size of the cluster: an annotation of each Node.
#include "controllers.hpp"

#include <onebin/api/core_v1.hpp>

#include <nlohmann/json.hpp>

#include <limits>

namespace onebin::controller {
namespace {

using api::core::v1::Node;
constexpr char kTtl[] = "node.alpha.kubernetes.io/ttl";

// Steps overlap, so that a cluster at an edge does not write to all its nodes each time that one comes or goes.
constexpr struct {
  std::size_t fewest, most;
  int seconds;
} kSteps[] = {{0, 100, 0}, {90, 500, 15}, {450, 1000, 30}, {900, 2000, 60}, {1800, std::numeric_limits<std::size_t>::max(), 300}};

class Ttl final : public Controller {
 public:
  explicit Ttl(Context& c) : Controller(c, "ttl-controller"), nodes_(c.informers->get<Node>()) {
    needs(nodes_);
    nodes_.add_handler([this](const std::string& key, const Bytes&, const Bytes& now) {
      if (step()) {
        for (const auto& [name, item] : nodes_.items()) queue_.add(name);
      } else if (now) {
        queue_.add(key);
      }
    });
  }

 private:
  // True when another step applies now.
  bool step() {
    std::size_t n = nodes_.items().size(), before = step_;
    while (step_ > 0 && n < kSteps[step_].fewest) --step_;
    while (n > kSteps[step_].most) ++step_;
    return step_ != before;
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<Node> n = nodes_.get(key);
    if (!n) co_return ReconcileResult{};
    std::string want = std::to_string(kSteps[step_].seconds);
    auto have = n->metadata.annotations.find(kTtl);
    if (have != n->metadata.annotations.end() && have->second == want) co_return ReconcileResult{};
    nlohmann::json patch;
    patch["metadata"]["annotations"][kTtl] = want;
    Result<Node> r = co_await client_.patch<Node>("", key, PatchType::StrategicMerge, patch.dump());
    co_return ReconcileResult{r.is(Reason::NotFound) ? Status() : r.status()};
  }

  client::Informer<Node>& nodes_;
  std::size_t step_ = 0;
};

}  // namespace

std::unique_ptr<Controller> make_ttl_controller(Context& c) { return std::make_unique<Ttl>(c); }

}  // namespace onebin::controller
