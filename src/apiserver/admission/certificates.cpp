// CertificateApproval and CertificateSigning: who approves or signs a request needs the right for its signer.
// CertificateSubjectRestriction: nobody asks for a client certificate of system:masters.
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
std::unique_ptr<AdmissionPlugin> make_certificate_subject_restriction() { return std::make_unique<SubjectRestriction>(); }

}  // namespace onebin::apiserver
