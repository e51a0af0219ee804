// Certificates: approves what nodes may have, signs what is approved, clears away what is over.
#include "controllers.hpp"

#include <onebin/api/authorization_v1.hpp>
#include <onebin/api/certificates_v1.hpp>
#include <onebin/api/core_v1.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>
#include <onebin/client/node_identity.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

using Csr = api::certificates::v1::CertificateSigningRequest;
using CsrCondition = api::certificates::v1::CertificateSigningRequestCondition;

constexpr char kClientKubelet[] = "kubernetes.io/kube-apiserver-client-kubelet", kClient[] = "kubernetes.io/kube-apiserver-client";
constexpr char kServing[] = "kubernetes.io/kubelet-serving", kLegacy[] = "kubernetes.io/legacy-unknown";
constexpr char kNodePrefix[] = "system:node:", kNodesGroup[] = "system:nodes";

bool has(const Csr& csr, std::string_view type) {
  return std::any_of(csr.status.conditions.begin(), csr.status.conditions.end(), [&](const auto& c) { return c.type == type && c.status == "True"; });
}
bool only(const std::vector<std::string>& usages, const std::set<std::string>& required, const std::set<std::string>& allowed) {
  std::set<std::string> have(usages.begin(), usages.end());
  for (const auto& r : required)
    if (!have.count(r)) return false;
  return std::all_of(have.begin(), have.end(), [&](const auto& u) { return required.count(u) || allowed.count(u); });
}
bool is_node(const pki::RequestInfo& r) {
  return starts_with(r.subject.common_name, kNodePrefix) && r.subject.organizations == std::vector<std::string>{kNodesGroup};
}

// What each signer demands of a request, as the API documents it; empty when it is met.
std::string violation(const Csr& csr, const pki::RequestInfo& r) {
  const std::string& signer = csr.spec.signer_name;
  bool names = !r.dns_names.empty() || !r.ip_addresses.empty();
  if (signer == kClientKubelet) {
    if (!is_node(r)) return "the subject must be system:node:NAME in system:nodes";
    if (names || !r.uris.empty() || !r.emails.empty()) return "subject alternative names are not allowed";
    if (!only(csr.spec.usages, {"client auth"}, {"digital signature", "key encipherment"})) return "usages must be client auth, digital signature and, with RSA keys, key encipherment";
  } else if (signer == kServing) {
    if (!is_node(r)) return "the subject must be system:node:NAME in system:nodes";
    if (!names) return "at least one DNS name or IP address is required";
    if (!r.uris.empty() || !r.emails.empty()) return "only DNS names and IP addresses are allowed";
    if (!only(csr.spec.usages, {"server auth"}, {"digital signature", "key encipherment"})) return "usages must be server auth, digital signature and, with RSA keys, key encipherment";
    if (csr.spec.username != r.subject.common_name) return "a node may ask for its own certificate only";
  } else if (signer == kClient) {
    if (!only(csr.spec.usages, {"client auth"}, {"digital signature", "key encipherment"})) return "usages must include client auth and nothing beyond digital signature and key encipherment";
  }
  return {};
}

CsrCondition condition(Context& c, std::string type, std::string reason, std::string message) {
  CsrCondition out;
  out.type = std::move(type);
  out.status = "True";
  out.reason = std::move(reason);
  out.message = std::move(message);
  out.last_update_time = out.last_transition_time = c.now();
  return out;
}

class Approver final : public Controller {
 public:
  explicit Approver(Context& c) : Controller(c, "certificate-approver"), requests_(c.informers->get<Csr>()) {
    needs(requests_);
    requests_.on_event([this](const std::string& key, const Csr*, const Csr* now) {
      if (now && now->status.certificate.empty() && !has(*now, "Approved") && !has(*now, "Denied")) queue_.add(key);
    });
  }

 private:
  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<Csr> csr = requests_.get(key);
    if (!csr || has(*csr, "Approved") || has(*csr, "Denied")) co_return ReconcileResult{};
    Result<pki::RequestInfo> request = pki::parse_request(csr->spec.request);
    if (!request || !violation(*csr, *request).empty()) co_return ReconcileResult{};
    if (csr->spec.signer_name == kServing) co_return ReconcileResult{co_await approve(*csr, "Auto approving kubelet serving certificate of the node itself.")};
    if (csr->spec.signer_name != kClientKubelet) co_return ReconcileResult{};
    bool renewal = csr->spec.username == request->subject.common_name;
    Result<bool> allowed = co_await may(*csr, renewal ? "selfnodeclient" : "nodeclient");
    if (!allowed) co_return ReconcileResult{allowed.status()};
    if (!*allowed) co_return ReconcileResult{};
    if (!renewal) {
      Result<std::string> denied = co_await claim_name(*csr, request->subject.common_name.substr(sizeof kNodePrefix - 1));
      if (!denied) co_return ReconcileResult{denied.status()};
      if (!denied->empty()) co_return ReconcileResult{co_await decide(*csr, condition(context_, "Denied", "NodeNameTaken", *denied))};
    }
    co_return ReconcileResult{co_await approve(*csr, renewal ? "Auto approving self kubelet client certificate after SubjectAccessReview."
                                                              : "Auto approving kubelet client certificate after SubjectAccessReview.")};
  }

  async::Task<Result<bool>> may(Csr csr, std::string subresource) {
    api::authorization::v1::SubjectAccessReview review;
    review.spec.user = csr.spec.username;
    review.spec.uid = csr.spec.uid;
    review.spec.groups = csr.spec.groups;
    auto& a = review.spec.resource_attributes.ensure();
    a.group = "certificates.k8s.io";
    a.resource = "certificatesigningrequests";
    a.verb = "create";
    a.subresource = subresource;
    a.version = "*";
    auto r = co_await client_.create("", std::move(review));
    if (!r) co_return r.status();
    co_return Result<bool>(r->status.allowed);
  }

  // A node's name belongs to the identity key that first asked for it. Empty, or why it is refused.
  async::Task<Result<std::string>> claim_name(Csr csr, std::string node) {
    auto annotation = csr.metadata.annotations.find(client::kIdentityAnnotation);
    auto proof = csr.metadata.annotations.find(client::kProofAnnotation);
    if (annotation == csr.metadata.annotations.end() || proof == csr.metadata.annotations.end())
      co_return Result<std::string>("the request lacks the node's identity key: join with 'onebin agent'");
    std::optional<std::string> key = base64_decode(annotation->second), signature = base64url_decode(proof->second);
    if (!key || !signature || !pki::jws_verify(*key, "ES256", csr.spec.request, *signature))
      co_return Result<std::string>("the proof of the node's identity key is wrong");
    std::string hash = sha256_hex(*key), name = client::identity_secret(node);
    api::core::v1::Secret secret;
    secret.metadata.name = name;
    secret.metadata.namespace_ = "kube-system";
    secret.type = "onebin.io/node-identity";
    secret.data[client::kIdentityHashKey] = hash;
    auto made = co_await client_.create("kube-system", std::move(secret));
    if (made) co_return Result<std::string>("");
    if (!made.is(Reason::AlreadyExists)) co_return made.status();
    auto kept = co_await client_.get<api::core::v1::Secret>("kube-system", name);
    if (!kept) co_return kept.status();
    if (kept->data[client::kIdentityHashKey] == hash) co_return Result<std::string>("");
    co_return Result<std::string>("the node name \"" + node + "\" is taken by another machine: give this one another --node-name, or, if the old one is gone, "
                                  "run 'kubectl -n kube-system delete secret " + name + "'");
  }

  async::Task<Status> approve(Csr csr, std::string why) { return decide(csr, condition(context_, "Approved", "AutoApproved", std::move(why))); }

  async::Task<Status> decide(Csr csr, CsrCondition c) {
    csr.status.conditions.push_back(std::move(c));
    auto r = co_await client_.update(std::move(csr), "approval");
    co_return r.is(Reason::NotFound) ? Status() : r.status();
  }

  client::Informer<Csr>& requests_;
};

class Signer final : public Controller {
 public:
  explicit Signer(Context& c) : Controller(c, "certificate-signer"), requests_(c.informers->get<Csr>()) {
    needs(requests_);
    requests_.on_event([this](const std::string& key, const Csr*, const Csr* now) {
      if (now && now->status.certificate.empty() && has(*now, "Approved") && !has(*now, "Denied") && !has(*now, "Failed")) queue_.add(key);
    });
  }

 private:
  const pki::KeyPair* ca_of(const std::string& signer) const {
    if (signer == kClient || signer == kClientKubelet) return &context_.options->client_ca;
    if (signer == kServing || signer == kLegacy) return &context_.options->kubelet_ca;
    return nullptr;
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<Csr> csr = requests_.get(key);
    if (!csr || !csr->status.certificate.empty() || !has(*csr, "Approved") || has(*csr, "Denied") || has(*csr, "Failed")) co_return ReconcileResult{};
    const pki::KeyPair* ca = ca_of(csr->spec.signer_name);
    if (!ca) co_return ReconcileResult{};
    Result<pki::RequestInfo> request = pki::parse_request(csr->spec.request);
    std::string wrong = request ? violation(*csr, *request) : request.status().message();
    if (!wrong.empty()) {
      csr->status.conditions.push_back(condition(context_, "Failed", "SignerValidationFailure", wrong));
    } else {
      Result<std::string> certificate = sign(*csr, *request, *ca);
      if (!certificate) co_return ReconcileResult{certificate.status()};
      csr->status.certificate = *certificate;
    }
    auto r = co_await client_.update(std::move(*csr), "status");
    co_return ReconcileResult{r.is(Reason::NotFound) ? Status() : r.status()};
  }

  Result<std::string> sign(const Csr& csr, const pki::RequestInfo& request, const pki::KeyPair& ca) const {
    pki::SignOptions o;
    o.subject = request.subject;
    o.dns_names = request.dns_names;
    o.ip_addresses = request.ip_addresses;
    o.uris = request.uris;
    o.emails = request.emails;
    o.public_key_pem = request.public_key_pem;
    o.usages = csr.spec.usages;
    Duration life = context_.options->certificate_validity;
    if (csr.spec.expiration_seconds) life = std::min<Duration>(life, std::chrono::seconds(std::max(600, *csr.spec.expiration_seconds)));
    o.not_before = context_.now() - 1h;
    o.not_after = context_.now() + life;
    return pki::sign_certificate(ca, o);
  }

  client::Informer<Csr>& requests_;
};

// Upstream's ages: pending a day, approved or denied or failed an hour, issued until its certificate has run out.
class Cleaner final : public Controller {
 public:
  explicit Cleaner(Context& c) : Controller(c, "certificate-cleaner"), requests_(c.informers->get<Csr>()) {
    needs(requests_);
    requests_.on_event([this](const std::string& key, const Csr*, const Csr* now) {
      if (now) queue_.add_after(key, std::max<Duration>(expires(*now) - context_.now(), 1s));
    });
  }

 private:
  WallTime expires(const Csr& csr) const {
    WallTime at = csr.metadata.creation_timestamp.wall() + 24h;
    for (const auto& c : csr.status.conditions) {
      WallTime decided = (c.last_update_time ? c.last_update_time.wall() : csr.metadata.creation_timestamp.wall()) + 1h;
      if (c.type == "Denied" || c.type == "Failed" || c.type == "Approved") at = std::min(at, decided);
    }
    return at;
  }
  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<Csr> csr = requests_.get(key);
    if (!csr) co_return ReconcileResult{};
    Duration left = expires(*csr) - context_.now();
    if (left > Duration(0)) co_return ReconcileResult{Status(), left};
    client::DeleteOptions options;
    options.uid = csr->metadata.uid;
    Result<void> r = co_await client_.remove<Csr>("", csr->metadata.name, options);
    co_return ReconcileResult{r.is(Reason::NotFound) || r.is(Reason::Conflict) ? Status() : r.status()};
  }
  client::Informer<Csr>& requests_;
};

}  // namespace

std::unique_ptr<Controller> make_certificate_approver(Context& c) { return std::make_unique<Approver>(c); }
std::unique_ptr<Controller> make_certificate_signer(Context& c) { return std::make_unique<Signer>(c); }
std::unique_ptr<Controller> make_certificate_cleaner(Context& c) { return std::make_unique<Cleaner>(c); }

}  // namespace onebin::controller
