// Old PodCertificateRequests go; the API server's roots are there as a ClusterTrustBundle of its signer.
#include "pod_certificates.hpp"

#include <onebin/api/certificates_v1.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

using api::certificates::v1::ClusterTrustBundle;
using api::certificates::v1::PodCertificateRequest;

// Every exchange of kubelet and signer is over before that.
constexpr Duration kRequestLife = 15min;
constexpr char kServingSigner[] = "kubernetes.io/kube-apiserver-serving";

class RequestCleaner final : public Controller {
 public:
  explicit RequestCleaner(Context& c) : Controller(c, "podcertificaterequestcleaner"), requests_(c.informers->get<PodCertificateRequest>()) {
    needs(requests_);
    requests_.on_event([this](const std::string& key, const PodCertificateRequest* before, const PodCertificateRequest* now) {
      if (now && !before) queue_.add_after(key, std::max<Duration>(left(*now), 1ms));
    });
  }

 private:
  Duration left(const PodCertificateRequest& q) const { return q.metadata.creation_timestamp.wall() + kRequestLife - context_.now(); }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<PodCertificateRequest> q = requests_.get(key);
    if (!q) co_return ReconcileResult{};
    if (Duration more = left(*q); more > Duration::zero()) co_return ReconcileResult{Status(), more};
    client::DeleteOptions options;
    options.uid = q->metadata.uid;
    Result<void> r = co_await client_.remove<PodCertificateRequest>(q->metadata.namespace_, q->metadata.name, options);
    co_return ReconcileResult{r.is(Reason::NotFound) || r.is(Reason::Conflict) ? Status() : r.status()};
  }

  client::Informer<PodCertificateRequest>& requests_;
};

class ServingBundlePublisher final : public Controller {
 public:
  explicit ServingBundlePublisher(Context& c)
      : Controller(c, "kube-apiserver-serving-clustertrustbundle-publisher"), bundles_(c.informers->get<ClusterTrustBundle>()) {
    needs(bundles_);
    name_of_bundle_ = std::string(kServingSigner) + ":" + sha256_hex(c.options->root_ca_pem).substr(0, 24);
    std::replace(name_of_bundle_.begin(), name_of_bundle_.end(), '/', ':');
    bundles_.on_event([this](const std::string&, const ClusterTrustBundle* before, const ClusterTrustBundle* now) {
      if ((now ? now : before)->spec.signer_name == kServingSigner) queue_.add("bundle");
    });
  }

 private:
  void synced() override {
    if (!context_.options->root_ca_pem.empty()) queue_.add("bundle");
  }

  async::Task<ReconcileResult> reconcile(std::string) override {
    const std::string& roots = context_.options->root_ca_pem;
    if (roots.empty()) co_return ReconcileResult{};
    std::optional<ClusterTrustBundle> mine = bundles_.get(name_of_bundle_);
    if (!mine) {
      ClusterTrustBundle b;
      b.metadata.name = name_of_bundle_;
      b.spec.signer_name = kServingSigner;
      b.spec.trust_bundle = roots;
      Result<ClusterTrustBundle> r = co_await client_.create("", std::move(b));
      if (!r && !r.is(Reason::AlreadyExists)) co_return ReconcileResult{r.status()};
    } else if (mine->spec.trust_bundle != roots) {
      mine->spec.trust_bundle = roots;
      Result<ClusterTrustBundle> r = co_await client_.update(std::move(*mine));
      if (!r) co_return ReconcileResult{r.status()};
    }
    // Those of roots that are no longer the API server's.
    std::vector<std::string> old;
    bundles_.for_each([&](const std::string& key, const ClusterTrustBundle& b) {
      if (b.spec.signer_name == kServingSigner && key != name_of_bundle_) old.push_back(key);
    });
    for (const auto& name : old) {
      Result<void> r = co_await client_.remove<ClusterTrustBundle>("", name);
      if (!r && !r.is(Reason::NotFound)) co_return ReconcileResult{r.status()};
    }
    co_return ReconcileResult{};
  }

  client::Informer<ClusterTrustBundle>& bundles_;
  std::string name_of_bundle_;
};

}  // namespace

std::unique_ptr<Controller> make_pod_certificate_request_cleaner(Context& c) { return std::make_unique<RequestCleaner>(c); }
std::unique_ptr<Controller> make_serving_bundle_publisher(Context& c) { return std::make_unique<ServingBundlePublisher>(c); }

}  // namespace onebin::controller
