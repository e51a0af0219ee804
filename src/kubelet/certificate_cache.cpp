#include "kubelet/certificate_cache.hpp"

#include <onebin/async/loop.hpp>
#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/keys.hpp>
#include <onebin/base/pki.hpp>

#include <algorithm>

namespace onebin::kubelet {
namespace {

using api::certificates::v1::PodCertificateRequest;

constexpr Duration kGiveUp = std::chrono::minutes(10);
// Pods that got their certificates together do not ask again together.
constexpr std::int64_t kSpreadSeconds = 300;

WallTime now() { return async::Loop::current().clock().wall(); }

Status not_issued() { return Status(Reason::ServiceUnavailable, "credential bundle is not issued yet"); }

Result<std::pair<std::string, std::string>> make_key(const std::string& type) {
  ASSIGN_OR_RETURN(std::string key, pki::generate_key(type));
  ASSIGN_OR_RETURN(std::string request, pki::create_request(key, {}));
  return std::pair(std::move(key), pki::der_of_pem(request));
}

// The certificates alone, without what a signer wrote between them.
std::string clean_chain(const std::string& pem) {
  std::string out;
  if (Result<std::vector<std::string>> chain = pki::split_chain(pem))
    for (const auto& c : *chain) out += c;
  return out;
}

}  // namespace

async::Task<Result<CertificateCache::Request>> CertificateCache::ask(core::Pod pod, CertificateSource source) {
  Result<core::ServiceAccount> account = co_await client_.get<core::ServiceAccount>(pod.metadata.namespace_, pod.spec.service_account_name);
  if (!account) co_return account.status().with_context("while fetching service account");
  Result<core::Node> node = co_await client_.get<core::Node>("", node_);
  if (!node) co_return node.status().with_context("while getting node object");
  std::string type = source.projection.key_type;
  Result<std::pair<std::string, std::string>> made = co_await async::run_blocking([type] { return make_key(type); });
  if (!made) co_return made.status().with_context("while generating keypair");
  PodCertificateRequest q;
  q.metadata.namespace_ = pod.metadata.namespace_;
  q.metadata.generate_name = "req-";
  api::meta::v1::OwnerReference owner;
  owner.api_version = "v1";
  owner.kind = "Pod";
  owner.name = pod.metadata.name;
  owner.uid = pod.metadata.uid;
  q.metadata.owner_references.push_back(std::move(owner));
  q.spec.signer_name = source.projection.signer_name;
  q.spec.pod_name = pod.metadata.name;
  q.spec.pod_uid = pod.metadata.uid;
  q.spec.service_account_name = pod.spec.service_account_name;
  q.spec.service_account_uid = account->metadata.uid;
  q.spec.node_name = node_;
  q.spec.node_uid = node->metadata.uid;
  q.spec.max_expiration_seconds = source.projection.max_expiration_seconds;
  q.spec.stub_pkcs10_request = made->second;
  q.spec.unverified_user_annotations = source.projection.user_annotations;
  Result<PodCertificateRequest> created = co_await client_.create(pod.metadata.namespace_, std::move(q));
  if (!created) co_return created.status().with_context("while creating PodCertificateRequest");
  co_return Request{created->metadata.namespace_, created->metadata.name, made->first, now() + kGiveUp};
}

async::Task<Result<Credential>> CertificateCache::get(core::Pod pod, CertificateSource source, Duration limit) {
  const std::string id = id_of(pod, source);
  Entry& e = entries_[id];
  if (!e.refused) co_return e.refused;
  bool lost = e.pending && now() > e.pending->give_up && requests_ && requests_->synced() && !requests_->get(client::object_key(e.pending->ns, e.pending->name));
  if (lost) e.pending.reset();
  if (!e.pending && (!e.credential || now() >= e.refresh)) {
    watch();
    Result<Request> asked = co_await ask(pod, source);
    auto i = entries_.find(id);
    if (i == entries_.end()) co_return cancelled();
    if (!asked && !i->second.credential) co_return asked.status();
    if (!asked) {
      log_warn("could not ask for a pod's next certificate", {{"pod", pod_key(pod)}, {"error", asked.status()}});
      i->second.refresh = now() + std::chrono::seconds(60);
    } else {
      i->second.pending = std::move(*asked);
      // The answer may have come before this one knew its question's name.
      on_request({}, requests_->get(client::object_key(i->second.pending->ns, i->second.pending->name)));
    }
  }
  SteadyTime until = async::Loop::current().now() + limit;
  for (;;) {
    auto i = entries_.find(id);
    if (i == entries_.end()) co_return cancelled();
    if (!i->second.refused) co_return i->second.refused;
    if (i->second.credential) co_return *i->second.credential;
    Duration left = until - async::Loop::current().now();
    if (left <= Duration::zero()) co_return not_issued();
    Result<void> woken = co_await async::with_timeout(left, news_.wait());
    if (woken.is(Reason::Cancelled)) co_return woken.status();
  }
}

void CertificateCache::watch() {
  if (requests_) return;
  client::RawInformer::Options options;
  options.field_selector = "spec.nodeName=" + node_;
  requests_ = std::make_unique<client::RawInformer>(client_, api::resource_of<PodCertificateRequest>(), std::move(options));
  requests_->add_handler([this](const std::string& key, const Bytes&, const Bytes& object) { on_request(key, object); });
  requests_->start();
}

void CertificateCache::on_request(const std::string&, const Bytes& object) {
  if (!object) return;
  Result<PodCertificateRequest> request = api::from_protobuf<PodCertificateRequest>(*object);
  if (!request) return;
  std::string prefix = request->spec.pod_uid + "/";
  for (auto i = entries_.lower_bound(prefix); i != entries_.end() && i->first.starts_with(prefix); ++i) {
    Entry& e = i->second;
    if (!e.pending || e.pending->name != request->metadata.name || e.pending->ns != request->metadata.namespace_) continue;
    settle(e, *request);
    if (e.pending) return;
    news_.notify();
    if (changed_) changed_(request->spec.pod_uid);
    return;
  }
}

void CertificateCache::settle(Entry& e, const PodCertificateRequest& request) {
  const auto& s = request.status;
  for (const auto& c : s.conditions) {
    std::string why = "reason=" + quote(c.reason) + " message=" + quote(c.message);
    if (c.type == "Denied") e.refused = Status(Reason::Forbidden, "PodCertificateRequest was permanently denied: " + why);
    if (c.type == "Failed") e.refused = Status(Reason::Forbidden, "PodCertificateRequest was permanently failed: " + why);
    if (c.type == "Issued") {
      e.credential = Credential{e.pending->key, clean_chain(s.certificate_chain)};
      WallTime from = s.begin_refresh_at.wall(), until = s.not_after.wall();
      auto room = std::chrono::duration_cast<std::chrono::seconds>(until - from).count() / 2;
      std::int64_t spread = std::clamp<std::int64_t>(room, 1, kSpreadSeconds);
      e.refresh = from + std::chrono::seconds(static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(spread))));
    }
    if (c.type == "Denied" || c.type == "Failed" || c.type == "Issued") e.pending.reset();
    if (!e.pending) return;
  }
}

std::optional<WallTime> CertificateCache::next_refresh(const core::Pod& pod) const {
  std::optional<WallTime> next;
  for (const auto& source : certificates_of(pod)) {
    auto i = entries_.find(id_of(pod, source));
    if (i == entries_.end() || !i->second.credential) continue;
    WallTime at = i->second.pending ? i->second.pending->give_up : i->second.refresh;
    if (!next || at < *next) next = at;
  }
  return next;
}

void CertificateCache::forget(const std::string& pod_uid) {
  for (auto i = entries_.lower_bound(pod_uid + "/"); i != entries_.end() && i->first.starts_with(pod_uid + "/");) i = entries_.erase(i);
}

async::Task<void> CertificateCache::stop() {
  changed_ = nullptr;
  if (requests_) co_await requests_->stop();
  requests_.reset();
}

}  // namespace onebin::kubelet
