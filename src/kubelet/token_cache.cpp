#include "kubelet/token_cache.hpp"

#include <onebin/api/authentication_v1.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/base/log.hpp>

namespace onebin::kubelet {

namespace authn = ::onebin::api::authentication::v1;

async::Task<Result<std::string>> TokenCache::get(core::Pod pod, TokenSpec spec) {
  const std::string id = key(pod.metadata.uid, spec);
  WallTime now = async::Loop::current().clock().wall();
  if (auto i = entries_.find(id); i != entries_.end() && now < i->second.refresh) co_return i->second.token;

  authn::TokenRequest request;
  if (!spec.audience.empty()) request.spec.audiences.push_back(spec.audience);
  request.spec.expiration_seconds = spec.expiration_seconds;
  authn::BoundObjectReference bound;
  bound.api_version = "v1";
  bound.kind = "Pod";
  bound.name = pod.metadata.name;
  bound.uid = pod.metadata.uid;
  request.spec.bound_object_ref = bound;
  Result<authn::TokenRequest> answer = co_await client_.create_sub<authn::TokenRequest>(
      api::resource_of<core::ServiceAccount>(), spec.ns, spec.service_account, "token", std::move(request));
  now = async::Loop::current().clock().wall();
  if (!answer) {
    auto i = entries_.find(id);
    if (i != entries_.end() && now < i->second.expires) {
      log_warn("could not renew a service account token; the present one is still valid", {{"pod", pod_key(pod)}, {"error", answer.status()}});
      i->second.refresh = now + std::chrono::seconds(30);
      co_return i->second.token;
    }
    co_return answer.status().with_context("failed to fetch token");
  }
  Entry e;
  e.token = answer->status.token;
  e.expires = time_or_zero(answer->status.expiration_timestamp).wall();
  Duration life = e.expires - now;
  Duration wait = std::min<Duration>(life / 5 * 4, std::chrono::hours(24));
  e.refresh = now + wait - std::min<Duration>(std::chrono::seconds(static_cast<std::int64_t>(rng_.below(10))), wait / 10);
  std::string token = e.token;
  entries_[id] = std::move(e);
  co_return token;
}

std::optional<WallTime> TokenCache::next_refresh(const core::Pod& pod) const {
  std::optional<WallTime> next;
  for (const auto& spec : tokens_of(pod)) {
    auto i = entries_.find(key(pod.metadata.uid, spec));
    if (i != entries_.end() && (!next || i->second.refresh < *next)) next = i->second.refresh;
  }
  return next;
}

void TokenCache::forget(const std::string& pod_uid) {
  for (auto i = entries_.lower_bound(pod_uid + "/"); i != entries_.end() && i->first.starts_with(pod_uid + "/");) i = entries_.erase(i);
}

}  // namespace onebin::kubelet
