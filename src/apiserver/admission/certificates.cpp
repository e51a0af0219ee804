// CertificateApproval and CertificateSigning: who approves or signs a request needs the right for its signer.
// ClusterTrustBundleAttest: who speaks for a signer's roots needs its right too. CertificateSubjectRestriction: nobody asks for a client certificate of system:masters.
#include "apiserver/admission/gc_fields.hpp"
#include "apiserver/admission/plugins.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>

namespace onebin::apiserver {
namespace {

using apimachinery::at_path;
using apimachinery::get_string;

constexpr char kGroup[] = "certificates.k8s.io";
constexpr char kRequests[] = "certificatesigningrequests";

// The right on the signer itself, or on all signers of its domain ("example.com/*").
async::Task<bool> may(Authorizer* authorizer, const UserInfo* user, std::string verb, std::string signer) {
  Attributes q;
  q.user = user;
  q.verb = std::move(verb);
  q.group = kGroup;
  q.version = "*";
  q.resource = "signers";
  q.name = signer;
  q.is_resource = true;
  Authorized d = co_await authorizer->authorize(q);
  if (d.decision == Decision::Allow) co_return true;
  q.name = signer.substr(0, signer.find('/')) + "/*";
  d = co_await authorizer->authorize(q);
  co_return d.decision == Decision::Allow;
}

class SignerRight final : public AdmissionPlugin {
 public:
  SignerRight(Authorizer& authorizer, bool approval) : authorizer_(authorizer), approval_(approval) {}
  std::string_view name() const override { return approval_ ? "CertificateApproval" : "CertificateSigning"; }
  bool handles(Operation op) const override { return op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override { return a.is(kGroup, kRequests, approval_ ? "approval" : "status") && a.object; }

  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    const Document* old = a.old_object();
    if (!old) co_return admission_forbidden(a, "there is no request to decide on");
    if (!approval_) {
      bool same = apimachinery::same_value(at_path(*old, {"status", "certificate"}), at_path(*a.object, {"status", "certificate"})) &&
                  apimachinery::same_value(at_path(*old, {"status", "conditions"}), at_path(*a.object, {"status", "conditions"}));
      if (same) co_return Result<void>();
    }
    // The stored signer counts: an approver must not change it on the way.
    std::string signer(get_string(*old, {"spec", "signerName"}));
    bool allowed = co_await may(&authorizer_, a.user, approval_ ? "approve" : "sign", signer);
    if (allowed) co_return Result<void>();
    co_return admission_forbidden(
        a, std::string("user not permitted to ") + (approval_ ? "approve" : "sign") + " requests with signerName " + apimachinery::go_quote(signer));
  }

 private:
  Authorizer& authorizer_;
  bool approval_;
};

// Who answers a pod's request needs the right to sign for its signer. Upstream checks this where it validates, hence the form
// of the refusal.
class PodCertificateSigning final : public AdmissionPlugin {
 public:
  explicit PodCertificateSigning(Authorizer& authorizer) : authorizer_(authorizer) {}
  std::string_view name() const override { return "PodCertificateSigning"; }
  bool handles(Operation op) const override { return op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override { return a.object && a.is(kGroup, "podcertificaterequests", "status"); }
  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    const Document* old = a.old_object();
    if (!old || apimachinery::same_value(apimachinery::member(*old, "status"), apimachinery::member(*a.object, "status"))) co_return Result<void>();
    std::string signer(get_string(*old, {"spec", "signerName"}));
    bool allowed = co_await may(&authorizer_, a.user, "sign", signer);
    if (allowed) co_return Result<void>();
    apimachinery::FieldErrors errors{apimachinery::field_forbidden(apimachinery::FieldPath("spec").child("signerName"),
        "User " + apimachinery::go_quote(a.user->name) + " is not permitted to \"sign\" for signer " + apimachinery::go_quote(signer))};
    co_return apimachinery::invalid(kGroup, "PodCertificateRequest", a.name, errors);
  }

 private:
  Authorizer& authorizer_;
};

class TrustBundleAttest final : public AdmissionPlugin {
 public:
  explicit TrustBundleAttest(Authorizer& authorizer) : authorizer_(authorizer) {}
  std::string_view name() const override { return "ClusterTrustBundleAttest"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override {
    return a.object && a.is(kGroup, "clustertrustbundles") && !get_string(*a.object, {"spec", "signerName"}).empty();
  }
  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    if (only_gc_fields_change(a)) co_return Result<void>();
    // The new object's: validation keeps an update from changing it.
    std::string signer(get_string(*a.object, {"spec", "signerName"}));
    bool allowed = co_await may(&authorizer_, a.user, "attest", signer);
    if (allowed) co_return Result<void>();
    co_return admission_forbidden(a, "user not permitted to attest for signerName " + apimachinery::go_quote(signer));
  }

 private:
  Authorizer& authorizer_;
};

class SubjectRestriction final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "CertificateSubjectRestriction"; }
  bool handles(Operation op) const override { return op == Operation::Create; }
  bool concerns(const AdmissionAttributes& a) const override {
    return a.is(kGroup, kRequests) && a.object && get_string(*a.object, {"spec", "signerName"}) == "kubernetes.io/kube-apiserver-client";
  }
  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    auto request = base64_decode(get_string(*a.object, {"spec", "request"}));
    auto parsed = request ? pki::parse_request(*request) : Result<pki::RequestInfo>(bad_request("spec.request is not base64"));
    if (!parsed) co_return admission_forbidden(a, "failed to parse CSR: " + parsed.status().message());
    for (const auto& o : parsed->subject.organizations)
      if (o == kMastersGroup) co_return admission_forbidden(a, "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed");
    co_return Result<void>();
  }
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_certificate_approval(Authorizer& authorizer) { return std::make_unique<SignerRight>(authorizer, true); }
std::unique_ptr<AdmissionPlugin> make_certificate_signing(Authorizer& authorizer) { return std::make_unique<SignerRight>(authorizer, false); }
std::unique_ptr<AdmissionPlugin> make_pod_certificate_signing(Authorizer& authorizer) { return std::make_unique<PodCertificateSigning>(authorizer); }
std::unique_ptr<AdmissionPlugin> make_cluster_trust_bundle_attest(Authorizer& authorizer) { return std::make_unique<TrustBundleAttest>(authorizer); }
std::unique_ptr<AdmissionPlugin> make_certificate_subject_restriction() { return std::make_unique<SubjectRestriction>(); }

}  // namespace onebin::apiserver
