#include "apiserver/authn/oidc.hpp"

#include "apiserver/authn/jwt.hpp"
#include "apiserver/rbac/rules.hpp"

#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/keys.hpp>
#include <onebin/base/pki.hpp>
#include <onebin/net/client.hpp>
#include <onebin/net/url.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

using apimachinery::Document;
using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::string_at;

// A provider is asked for keys again no sooner than this: tokens with made-up key names are anybody's to send.
constexpr Duration kAskAgain = 5s;
constexpr std::size_t kMaxBody = 1u << 20;
// A token may be a little early, as go-oidc has it; it is never late.
constexpr std::int64_t kEarlySeconds = 300;

Status unauthorized(std::string why) { return Status(Reason::Unauthorized, "oidc: " + std::move(why)); }

std::optional<double> number_of(const Document& claims, std::string_view name) {
  const Document& d = member(claims, name);
  return d.is_number() ? std::optional(d.get<double>()) : std::nullopt;
}

Status check_claims(const OidcIssuer& issuer, const Document& claims, WallTime now) {
  std::vector<std::string> audiences = strings_of(member(claims, "aud"));
  if (std::find(audiences.begin(), audiences.end(), issuer.client_id) == audiences.end())
    return unauthorized("verify token: oidc: expected audience " + go_quote(issuer.client_id) + " got " + quoted_list(audiences));
  auto at = static_cast<double>(std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  auto expires = number_of(claims, "exp"), from = number_of(claims, "nbf");
  if (!expires || *expires < at) return unauthorized("verify token: oidc: token is expired");
  if (from && at + kEarlySeconds < *from) return unauthorized("verify token: oidc: current time is before the nbf (not before) time");
  for (const auto& [name, value] : issuer.required_claims) {
    const Document* given = find_member(claims, name);
    if (!given) return unauthorized("required claim " + name + " not present in ID token");
    if (!given->is_string() || given->get<std::string>() != value)
      return unauthorized("required claim " + name + " value does not match. Got = " + (given->is_string() ? given->get<std::string>() : given->dump()) + ", want = " + value);
  }
  return Status::ok();
}

Result<UserInfo> user_of_claims(const OidcIssuer& issuer, const Document& claims) {
  const Document* name = find_member(claims, issuer.username_claim);
  if (!name || !name->is_string()) return unauthorized("parse username claims " + go_quote(issuer.username_claim) + ": claim not present");
  if (issuer.username_claim == "email")
    if (const Document* verified = find_member(claims, "email_verified"); verified && !(verified->is_boolean() && verified->get<bool>()))
      return unauthorized("email not verified");
  UserInfo user;
  user.name = issuer.username_prefix + name->get<std::string>();
  if (user.name.empty()) return unauthorized("the username is empty");
  if (!issuer.groups_claim.empty())
    for (const auto& g : strings_of(member(claims, issuer.groups_claim))) user.groups.push_back(issuer.groups_prefix + g);
  if (std::string_view id = string_at(claims, "jti"); !id.empty()) user.extra["authentication.kubernetes.io/credential-id"] = {"JTI=" + std::string(id)};
  return Result<UserInfo>(std::move(user));
}

async::Task<Result<std::string>> fetch_over_https(std::string ca_pem, std::string url) {
  Result<net::Url> at = net::parse_url(url);
  if (!at) co_return at.status();
  if (at->scheme != "https") co_return bad_request("want an https URL, not " + url);
  net::TlsClientConfig tls;
  tls.ca_pem = ca_pem;
  tls.system_roots = ca_pem.empty();
  Result<std::shared_ptr<const net::TlsClientContext>> context = net::TlsClientContext::create(tls);
  if (!context) co_return context.status();
  net::ClientConfig config;
  config.base_url = at->scheme + "://" + at->authority();
  config.tls = [c = *context] { return c; };
  config.header_timeout = 10s;
  config.body_stall_timeout = 10s;
  Result<std::unique_ptr<net::HttpClient>> client = net::HttpClient::create(std::move(config));
  if (!client) co_return client.status();
  net::ClientRequest q;
  q.target = at->target();
  Result<net::WholeResponse> r = co_await (*client)->fetch(std::move(q), kMaxBody);
  if (!r) co_return r.status();
  if (!r->ok()) co_return Status(Reason::ServiceUnavailable, url + " answers with " + std::to_string(r->status));
  co_return Result<std::string>(std::move(r->body));
}

}  // namespace

Fetch https_fetch(std::string ca_pem) {
  return [ca = std::move(ca_pem)](std::string url) { return fetch_over_https(ca, std::move(url)); };
}

async::Task<Status> OidcAuthenticator::load_keys() {
  asked_ = clock_.now();
  std::string base = issuer_.url;
  while (!base.empty() && base.back() == '/') base.pop_back();
  Result<std::string> text = co_await fetch_(base + "/.well-known/openid-configuration");
  if (!text) co_return text.status();
  Document about = Document::parse(*text, nullptr, false);
  if (!about.is_object()) co_return unauthorized("the provider's discovery document is no JSON object");
  if (string_at(about, "issuer") != issuer_.url)
    co_return unauthorized("issuer did not match the issuer returned by provider, expected " + go_quote(issuer_.url) + " got " + go_quote(string_at(about, "issuer")));
  text = co_await fetch_(std::string(string_at(about, "jwks_uri")));
  if (!text) co_return text.status();
  Document set = Document::parse(*text, nullptr, false);
  const Document& list = set.is_object() ? member(set, "keys") : set;
  if (!list.is_array()) co_return unauthorized("the provider's keys are no JSON Web Key Set");
  std::vector<Key> keys;
  for (const auto& k : list) {
    if (!k.is_object() || (find_member(k, "use") && string_at(k, "use") != "sig")) continue;
    std::map<std::string, std::string> members;
    for (const auto& [name, value] : k.items())
      if (value.is_string()) members[name] = value.get<std::string>();
    if (Result<std::string> pem = pki::public_key_of_jwk(members)) keys.push_back({std::string(string_at(k, "kid")), std::move(*pem)});
  }
  keys_ = std::move(keys);
  co_return Status::ok();
}

// OK when one of the provider's keys signed the token.
async::Task<Status> OidcAuthenticator::verify(std::string token) {
  std::optional<ParsedToken> parsed = parse_token(token);
  if (!parsed) co_return unauthorized("malformed token");
  std::string id(string_at(parsed->header, "kid")), algorithm(string_at(parsed->header, "alg"));
  const auto& accepted = issuer_.signing_algorithms;
  if (std::find(accepted.begin(), accepted.end(), algorithm) == accepted.end())
    co_return unauthorized("verify token: oidc: id token signed with unsupported algorithm, expected " + quoted_list(accepted) + " got " + go_quote(algorithm));
  for (bool fresh = false;; fresh = true) {
    for (const Key& k : keys_)
      if ((id.empty() || k.id == id) && pki::jws_verify(k.public_pem, algorithm, parsed->signed_part, parsed->signature)) co_return Status::ok();
    if (fresh) co_return unauthorized("verify token: failed to verify signature: failed to verify id token signature");
    Result<void> turn = co_await one_.acquire();
    if (!turn) co_return turn.status();
    Status loaded;
    if (!asked_ || clock_.now() - *asked_ >= kAskAgain) loaded = co_await load_keys();
    one_.release();
    if (!loaded && loaded.is(Reason::Cancelled)) co_return loaded;
    if (!loaded) co_return unauthorized("verify token: fetching keys " + loaded.message());
  }
}

async::Task<Result<std::optional<Authenticated>>> OidcAuthenticator::authenticate(const Credentials& credentials) {
  std::optional<Authenticated> none;
  if (credentials.bearer_token.empty()) co_return none;
  Document claims = unverified_claims(credentials.bearer_token);
  if (!claims.is_object() || string_at(claims, "iss") != issuer_.url) co_return none;
  Status verified = co_await verify(credentials.bearer_token);
  if (!verified) co_return verified;
  Status good = check_claims(issuer_, claims, clock_.wall());
  if (!good) co_return good;
  Result<UserInfo> user = user_of_claims(issuer_, claims);
  if (!user) co_return user.status();
  Authenticated a;
  a.user = std::move(*user);
  co_return std::optional<Authenticated>(std::move(a));
}

}  // namespace onebin::apiserver
