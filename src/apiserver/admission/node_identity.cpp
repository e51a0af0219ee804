// NodeIdentity: a node's name is given again only to the holder of its identity key. Who joins with a bootstrap token signs
// the certificate request by the node's own key; once a name has been given, only that key may ask for it.
#include "apiserver/admission/plugins.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>
#include <onebin/client/node_identity.hpp>

namespace onebin::apiserver {
namespace {

using apimachinery::get_string;
using apimachinery::string_at;

constexpr std::string_view kNodePrefix = "system:node:";

class NodeIdentity final : public AdmissionPlugin {
 public:
  explicit NodeIdentity(const Lister& lister) : lister_(lister) {}
  std::string_view name() const override { return "NodeIdentity"; }
  bool handles(Operation op) const override { return op == Operation::Create; }
  bool concerns(const AdmissionAttributes& a) const override {
    return a.is("certificates.k8s.io", "certificatesigningrequests") && a.object && a.user->in_group("system:bootstrappers") &&
           get_string(*a.object, {"spec", "signerName"}) == "kubernetes.io/kube-apiserver-client-kubelet";
  }

  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    std::string why = fault(*a.object);
    if (!why.empty()) co_return admission_forbidden(a, why);
    co_return Result<void>();
  }

 private:
  std::string fault(const Document& csr) const {
    auto request = base64_decode(get_string(csr, {"spec", "request"}));
    if (!request) return "spec.request is not base64";
    auto parsed = pki::parse_request(*request);
    if (!parsed) return "unable to parse csr: " + parsed.status().message();
    const std::string& name = parsed->subject.common_name;
    if (!starts_with(name, kNodePrefix) || name.size() == kNodePrefix.size())
      return "the certificate's common name must be system:node:NAME, not \"" + name + "\"";
    std::string node = name.substr(kNodePrefix.size());
    const Document& annotations = apimachinery::annotations_of(csr);
    std::string_view identity = string_at(annotations, client::kIdentityAnnotation), proof = string_at(annotations, client::kProofAnnotation);
    if (identity.empty() || proof.empty()) return "node \"" + node + "\" asks for a certificate without its identity key; join it with 'onebin agent'";
    auto key = base64_decode(identity);
    auto signature = base64url_decode(proof);
    if (!key || !signature || !pki::jws_verify(*key, "ES256", *request, *signature))
      return "the proof that node \"" + node + "\" holds its identity key is wrong";
    return taken(node, sha256_hex(*key));
  }

  std::string taken(const std::string& node, const std::string& hash) const {
    std::string secret = client::identity_secret(node);
    auto kept = lister_.get<api::core::v1::Secret>("kube-system", secret);
    if (!kept) return {};
    auto it = kept->data.find(client::kIdentityHashKey);
    if (it != kept->data.end() && it->second == hash) return {};
    return "the node name \"" + node + "\" belongs to a machine with another identity key; use another --node-name, or, where the old machine is gone, run "
           "'kubectl -n kube-system delete secret " + secret + "' on the server and join again";
  }

  const Lister& lister_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_node_identity(const Lister& lister) { return std::make_unique<NodeIdentity>(lister); }

}  // namespace onebin::apiserver
