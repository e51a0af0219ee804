// Node address management: every node gets a range of each family out of the cluster's.
#include "cidr_set.hpp"
#include "controllers.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <arpa/inet.h>
#include <cstring>

namespace onebin::controller {

std::optional<CidrSet> CidrSet::make(const std::string& cidr, int node_mask) {
  auto slash = cidr.find('/');
  if (slash == std::string::npos) return std::nullopt;
  CidrSet s;
  std::string ip = cidr.substr(0, slash);
  int length = std::atoi(cidr.c_str() + slash + 1);
  s.v6_ = ip.find(':') != std::string::npos;
  if (::inet_pton(s.v6_ ? AF_INET6 : AF_INET, ip.c_str(), s.base_.data()) != 1) return std::nullopt;
  if (length < 0 || length > (s.v6_ ? 128 : 32)) return std::nullopt;
  s.node_mask_ = std::max(node_mask, length);
  int bits = s.node_mask_ - length;
  if (bits > 16) bits = 16;  // 65536 nodes are enough
  s.count_ = 1u << bits;
  for (int bit = length; bit < (s.v6_ ? 128 : 32); ++bit) s.base_[static_cast<std::size_t>(bit / 8)] &= static_cast<unsigned char>(~(0x80 >> (bit % 8)));
  return s;
}

std::string CidrSet::at(unsigned index) const {
  auto ip = base_;
  // The index is added at the last bit of the node's mask.
  int bit = node_mask_ - 1;
  for (unsigned i = index; i && bit >= 0; i >>= 1, --bit)
    if (i & 1) ip[static_cast<std::size_t>(bit / 8)] |= static_cast<unsigned char>(0x80 >> (bit % 8));
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(v6_ ? AF_INET6 : AF_INET, ip.data(), text, sizeof text);
  return std::string(text) + "/" + std::to_string(node_mask_);
}

std::optional<std::string> CidrSet::allocate() {
  for (unsigned i = 0; i < count_; ++i) {
    unsigned index = (next_ + i) % count_;
    std::string c = at(index);
    if (used_.insert(c).second) {
      next_ = (index + 1) % count_;
      return c;
    }
  }
  return std::nullopt;
}

namespace {

namespace v1 = api::core::v1;

class NodeIpam final : public Controller {
 public:
  explicit NodeIpam(Context& c) : Controller(c, "node-ipam-controller"), nodes_(c.informers->get<v1::Node>()) {
    for (const auto& cidr : c.options->cluster_cidrs) {
      bool v6 = cidr.find(':') != std::string::npos;
      if (auto set = CidrSet::make(cidr, v6 ? c.options->node_mask_v6 : c.options->node_mask_v4)) sets_.push_back(std::move(*set));
    }
    needs(nodes_);
    nodes_.on_event([this](const std::string& key, const v1::Node* before, const v1::Node* now) {
      const auto& cidrs = now ? now->spec.pod_cidrs : before->spec.pod_cidrs;
      for (const auto& cidr : cidrs)
        for (auto& set : sets_) now ? set.occupy(cidr) : set.release(cidr);
      if (now && cidrs.empty()) queue_.add(key);
    });
  }

 private:
  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<v1::Node> node = nodes_.get(key);
    if (!node || !node->spec.pod_cidrs.empty()) co_return ReconcileResult{};
    nlohmann::json patch;
    std::vector<std::string> got;
    for (auto& set : sets_) {
      std::optional<std::string> cidr = set.allocate();
      if (!cidr) {
        events_.event(client::ref_of(*node), "Warning", "CIDRNotAvailable", "no pod address range is left for node " + key);
        for (std::size_t i = 0; i < got.size(); ++i) sets_[i].release(got[i]);
        co_return ReconcileResult{internal_error("no pod address range is left for node " + key)};
      }
      got.push_back(*cidr);
    }
    if (got.empty()) co_return ReconcileResult{};
    patch["metadata"]["uid"] = node->metadata.uid;
    patch["spec"]["podCIDR"] = got[0];
    patch["spec"]["podCIDRs"] = got;
    auto r = co_await client_.patch<v1::Node>("", key, PatchType::StrategicMerge, patch.dump());
    if (!r) {
      for (std::size_t i = 0; i < got.size(); ++i) sets_[i].release(got[i]);
      // Invalid: the node has its ranges already, and the cache will say so.
      co_return ReconcileResult{r.is(Reason::NotFound) || r.is(Reason::Invalid) ? Status() : r.status()};
    }
    co_return ReconcileResult{};
  }

  client::Informer<v1::Node>& nodes_;
  std::vector<CidrSet> sets_;
};

}  // namespace

std::unique_ptr<Controller> make_node_ipam_controller(Context& c) { return std::make_unique<NodeIpam>(c); }

}  // namespace onebin::controller
