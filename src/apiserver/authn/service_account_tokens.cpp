#include "apiserver/authn/service_account_tokens.hpp"

#include "apiserver/cache/object_view.hpp"
#include "apiserver/rbac/rules.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

using apimachinery::Document;
using apimachinery::int_at;
using apimachinery::member;
using apimachinery::string_at;
namespace core = api::core::v1;

// A pod's default token asks for this many seconds; it is given a year, and warnafter says when it should have been renewed.
constexpr std::int64_t kPodTokenSeconds = 3607;
constexpr std::int64_t kExtendedSeconds = 365 * 24 * 3600;
// Clocks that differ, and objects that were deleted a moment ago, are forgiven this much.
constexpr std::int64_t kLeewaySeconds = 60;
constexpr std::size_t kRemembered = 1024;

Document reference(const std::string& name, const std::string& uid) {
  Document d = Document::object();
  if (!name.empty()) d["name"] = name;
  if (!uid.empty()) d["uid"] = uid;
  return d;
}

std::vector<std::string> intersect(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<std::string> out;
  for (const auto& x : a)
    if (std::find(b.begin(), b.end(), x) != b.end()) out.push_back(x);
  return out;
}

Status unauthorized(std::string message) { return Status(Reason::Unauthorized, std::move(message)); }
Status invalidated() { return unauthorized("service account token has been invalidated"); }

std::int64_t seconds_of(const Document& claims, std::string_view name, std::int64_t otherwise) {
  const Document& d = member(claims, name);
  // A float that no integer holds must not be cast.
  if (d.is_number_integer()) return d.get<std::int64_t>();
  if (d.is_number_float() && d.get<double>() > -1e15 && d.get<double>() < 1e15) return static_cast<std::int64_t>(d.get<double>());
  return otherwise;
}

}  // namespace

std::vector<std::string> api_audiences(const Options& options) {
  return options.api_audiences.empty() ? std::vector<std::string>{options.service_account_issuer} : options.api_audiences;
}

std::vector<std::string> ServiceAccountIssuer::default_audiences() const { return api_audiences(options_); }

Result<TokenIssuer::Token> ServiceAccountIssuer::issue(const Request& q) {
  std::int64_t now = clock_.unix_seconds(), lifetime = q.expiration_seconds, warn_after = 0;
  std::vector<std::string> audiences = q.audiences.empty() ? default_audiences() : q.audiences;
  std::vector<std::string> own = default_audiences();
  bool for_api = std::all_of(audiences.begin(), audiences.end(), [&](const std::string& a) { return std::find(own.begin(), own.end(), a) != own.end(); });
  if (options_.extend_token_expiration && q.bound_kind == "Pod" && lifetime == kPodTokenSeconds && for_api) {
    warn_after = now + lifetime;
    lifetime = kExtendedSeconds;
  }
  Document about = {{"namespace", q.ns}, {"serviceaccount", reference(q.service_account, q.service_account_uid)}};
  if (q.bound_kind == "Pod") {
    about["pod"] = reference(q.bound_name, q.bound_uid);
    if (!q.node_name.empty()) about["node"] = reference(q.node_name, q.node_uid);
  } else if (q.bound_kind == "Secret") {
    about["secret"] = reference(q.bound_name, q.bound_uid);
  } else if (q.bound_kind == "Node") {
    about["node"] = reference(q.bound_name, q.bound_uid);
  } else if (!q.bound_kind.empty()) {
    return bad_request("cannot bind token to object of type " + q.bound_kind);
  }
  if (warn_after) about["warnafter"] = warn_after;
  Document claims = {{"iss", issuer()}, {"sub", "system:serviceaccount:" + q.ns + ":" + q.service_account}, {"aud", audiences},
                     {"iat", now}, {"nbf", now}, {"exp", now + lifetime}, {"jti", random_uuid(rng_)}, {"kubernetes.io", std::move(about)}};
  ASSIGN_OR_RETURN(std::string token, keys_->sign(claims));
  return Token{std::move(token), now + q.expiration_seconds};
}

std::string ServiceAccountIssuer::discovery_document() const {
  std::string keys_at = options_.service_account_issuer + "/openid/v1/jwks";
  if (!options_.advertise_address.empty()) {
    bool v6 = options_.advertise_address.find(':') != std::string::npos;
    std::string host = v6 ? "[" + options_.advertise_address + "]" : options_.advertise_address;
    keys_at = "https://" + host + ":" + std::to_string(options_.advertise_port) + "/openid/v1/jwks";
  }
  Document d = {{"issuer", issuer()}, {"jwks_uri", keys_at}, {"response_types_supported", {"id_token"}},
                {"subject_types_supported", {"public"}}, {"id_token_signing_alg_values_supported", keys_->algorithms()}};
  return d.dump();
}

Result<ServiceAccountAuthenticator::Claims> ServiceAccountAuthenticator::verified(const std::string& token) {
  std::string hash = sha256(token);
  if (auto it = verified_.find(hash); it != verified_.end()) return it->second;
  if (string_at(unverified_claims(token), "iss") != options_.service_account_issuer) return Claims();
  ASSIGN_OR_RETURN(Document claims, keys_->verify(token));
  auto kept = std::make_shared<const Document>(std::move(claims));
  if (order_.size() >= kRemembered) {
    verified_.erase(order_.front());
    order_.pop_front();
  }
  order_.push_back(hash);
  verified_.emplace(std::move(hash), kept);
  return Result<Claims>(std::move(kept));
}

namespace {

struct Identity {
  std::string uid;
  std::int64_t deleted_since = INT64_MAX;  // Unix seconds, while it is being deleted
};

// Read from the bytes: this happens at every request.
template <class T>
std::optional<Identity> identity_of(const Lister& lister, const std::string& ns, const std::string& name) {
  const auto& r = api::resource_of<T>();
  Bytes stored = lister.get(r.group, r.plural, ns, name);
  if (!stored) return std::nullopt;
  ObjectView view(*stored);
  Identity out;
  out.uid = view.meta_string(meta_field::kUid);
  if (!view.being_deleted()) return out;
  Result<T> object = api::from_protobuf<T>(*stored);
  out.deleted_since = object ? object->metadata.deletion_timestamp.unix_seconds() : 0;
  return out;
}

// Whether a claim's object is still the one that the token was bound to.
template <class T>
Status check_bound(const Lister& lister, const std::string& ns, const Document& ref, std::string_view kind, std::int64_t now) {
  std::string name(string_at(ref, "name")), uid(string_at(ref, "uid"));
  auto object = identity_of<T>(lister, ns, name);
  if (!object) return invalidated();
  if (object->uid != uid)
    return unauthorized(std::string(kind) + " UID (" + object->uid + ") does not match service account " + to_lower(kind) + " ref claim (" + uid + ")");
  return object->deleted_since < now - kLeewaySeconds ? invalidated() : Status::ok();
}

Status check_times(const Document& claims, std::int64_t now) {
  std::int64_t expires = seconds_of(claims, "exp", INT64_MAX), from = seconds_of(claims, "nbf", 0), issued = seconds_of(claims, "iat", 0);
  if (now - kLeewaySeconds > expires) return unauthorized("service account token has expired");
  if (now + kLeewaySeconds < from) return unauthorized("service account token is not valid yet");
  if (now + kLeewaySeconds < issued) return unauthorized("service account token is issued in the future");
  return Status::ok();
}

}  // namespace

Result<UserInfo> ServiceAccountAuthenticator::validate(const Document& claims) const {
  std::int64_t now = clock_.unix_seconds();
  RETURN_IF_ERROR(check_times(claims, now));
  const Document& about = member(claims, "kubernetes.io");
  std::string ns(string_at(about, "namespace"));
  const Document& account_ref = member(about, "serviceaccount");
  std::string name(string_at(account_ref, "name")), uid(string_at(account_ref, "uid"));
  auto account = identity_of<core::ServiceAccount>(lister_, ns, name);
  if (!account) return unauthorized("serviceaccounts \"" + name + "\" not found");
  if (account->uid != uid) return unauthorized("service account UID (" + account->uid + ") does not match claim (" + uid + ")");
  if (account->deleted_since < now - kLeewaySeconds) return unauthorized("service account " + ns + "/" + name + " has been deleted");

  UserInfo user;
  user.name = "system:serviceaccount:" + ns + ":" + name;
  user.uid = uid;
  user.groups = {"system:serviceaccounts", "system:serviceaccounts:" + ns};
  const Document &secret = member(about, "secret"), &pod = member(about, "pod"), &node = member(about, "node");
  if (secret.is_object()) RETURN_IF_ERROR(check_bound<core::Secret>(lister_, ns, secret, "secret", now));
  if (pod.is_object()) {
    RETURN_IF_ERROR(check_bound<core::Pod>(lister_, ns, pod, "pod", now));
    user.extra["authentication.kubernetes.io/pod-name"] = {std::string(string_at(pod, "name"))};
    user.extra["authentication.kubernetes.io/pod-uid"] = {std::string(string_at(pod, "uid"))};
  }
  if (node.is_object()) {
    // A pod's token only tells its node; a node's token lives with it.
    if (!pod.is_object()) RETURN_IF_ERROR(check_bound<core::Node>(lister_, "", node, "node", now));
    user.extra["authentication.kubernetes.io/node-name"] = {std::string(string_at(node, "name"))};
    if (std::string_view node_uid = string_at(node, "uid"); !node_uid.empty()) user.extra["authentication.kubernetes.io/node-uid"] = {std::string(node_uid)};
  }
  if (std::string_view id = string_at(claims, "jti"); !id.empty()) user.extra["authentication.kubernetes.io/credential-id"] = {"JTI=" + std::string(id)};
  return Result<UserInfo>(std::move(user));
}

async::Task<Result<std::optional<Authenticated>>> ServiceAccountAuthenticator::authenticate(const Credentials& credentials) {
  std::optional<Authenticated> none;
  if (credentials.bearer_token.empty()) co_return none;
  Result<Claims> claims = verified(credentials.bearer_token);
  if (!claims) co_return claims.status();
  if (!*claims) co_return none;
  std::vector<std::string> own = api_audiences(options_);
  std::vector<std::string> of_token = strings_of(member(**claims, "aud"));
  if (of_token.empty()) of_token = own;
  const auto& wanted = credentials.audiences.empty() ? own : credentials.audiences;
  Authenticated a;
  a.audiences = intersect(of_token, wanted);
  if (a.audiences.empty())
    co_return unauthorized("token audiences " + quoted_list(of_token) + " is invalid for the target audiences " + quoted_list(wanted));
  Result<UserInfo> user = validate(**claims);
  if (!user) co_return user.status();
  a.user = std::move(*user);
  co_return std::optional<Authenticated>(std::move(a));
}

}  // namespace onebin::apiserver
