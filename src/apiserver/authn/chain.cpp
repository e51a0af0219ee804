#include "apiserver/authn/chain.hpp"

#include "apiserver/authn/bootstrap_tokens.hpp"
#include "apiserver/authn/oidc.hpp"
#include "apiserver/authn/secrets.hpp"
#include "apiserver/authn/service_account_tokens.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>
#include <onebin/net/http.hpp>
#include <onebin/net/tls.hpp>
#include <onebin/net/url.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

constexpr std::string_view kExtraHeader = "x-remote-extra-";

// A front proxy's word for who the user is.
UserInfo user_of_headers(const net::Headers& headers) {
  UserInfo u;
  u.name = headers.get("X-Remote-User");
  u.uid = headers.get("X-Remote-Uid");
  for (auto g : headers.all("X-Remote-Group")) u.groups.emplace_back(g);
  for (const auto& [name, value] : headers) {
    std::string key = to_lower(name);
    if (key.size() <= kExtraHeader.size() || !starts_with(key, kExtraHeader)) continue;
    key.erase(0, kExtraHeader.size());
    u.extra[net::percent_decode(key).value_or(key)].push_back(value);
  }
  return u;
}

// Those of the wanted audiences that the API server itself answers to; what knows no audiences is good for these only.
std::vector<std::string> own_audiences(const Options& options, const std::vector<std::string>& wanted) {
  std::vector<std::string> own = api_audiences(options), out;
  if (wanted.empty()) return own;
  for (const auto& w : wanted)
    if (std::find(own.begin(), own.end(), w) != own.end()) out.push_back(w);
  return out;
}

constexpr std::size_t kRememberedCertificates = 4096;

void add_authenticated(UserInfo& user) {
  if (user.name != kAnonymousUser && !user.in_group(kAuthenticatedGroup) && !user.in_group(kUnauthenticatedGroup))
    user.groups.emplace_back(kAuthenticatedGroup);
}

}  // namespace

AuthenticatorChain::AuthenticatorChain(const Options& options, const Lister& lister, Clock& clock, std::shared_ptr<const JwtKeys> keys)
    : options_(options), clock_(clock) {
  if (keys) tokens_.push_back(std::make_unique<ServiceAccountAuthenticator>(std::move(keys), options, lister, clock));
  tokens_.push_back(std::make_unique<BootstrapTokenAuthenticator>(lister, clock));
  for (const OidcIssuer& i : options.oidc) tokens_.push_back(std::make_unique<OidcAuthenticator>(i, clock, https_fetch(i.ca_pem)));
}

std::optional<Authenticated> AuthenticatorChain::front_proxy(const Credentials& c) const {
  if (options_.requestheader_client_ca_pem.empty() || !c.headers || c.presented_certificate_der.empty()) return std::nullopt;
  if (c.headers->get("X-Remote-User").empty()) return std::nullopt;
  auto certificate = pki::parse_certificate(c.presented_certificate_der);
  if (!certificate || !certificate->client_auth) return std::nullopt;
  const auto& names = options_.requestheader_allowed_names;
  if (!names.empty() && std::find(names.begin(), names.end(), certificate->subject.common_name) == names.end()) return std::nullopt;
  std::string pem = "-----BEGIN CERTIFICATE-----\n" + base64_encode(c.presented_certificate_der) + "\n-----END CERTIFICATE-----\n";
  if (!pki::verify_chain(pem, options_.requestheader_client_ca_pem, clock_.wall())) return std::nullopt;
  return Authenticated{user_of_headers(*c.headers), {}};
}

std::optional<Authenticated> AuthenticatorChain::certificate(const Credentials& c) const {
  if (c.client_certificate_der.empty()) return std::nullopt;
  // Reading a certificate costs more than most requests: who it names is remembered. That it still holds is TLS's to say.
  if (auto known = by_certificate_.find(c.client_certificate_der); known != by_certificate_.end()) return known->second;
  auto certificate = net::parse_certificate_der(c.client_certificate_der);
  if (!certificate || certificate->common_name.empty()) return std::nullopt;
  Authenticated a;
  a.user.name = certificate->common_name;
  a.user.groups = certificate->organizations;
  a.user.extra["authentication.kubernetes.io/credential-id"] = {"X509SHA256=" + sha256_hex(c.client_certificate_der)};
  if (by_certificate_.size() >= kRememberedCertificates) by_certificate_.clear();
  by_certificate_.emplace(c.client_certificate_der, a);
  return a;
}

std::optional<Authenticated> AuthenticatorChain::static_token(const Credentials& c) const {
  for (const auto& t : options_.static_tokens)
    if (same_secret(t.token, c.bearer_token)) return Authenticated{t.user, {}};
  return std::nullopt;
}

async::Task<Result<std::optional<Authenticated>>> AuthenticatorChain::authenticate(const Credentials& c) {
  std::optional<Authenticated> found = front_proxy(c);
  if (!found) found = certificate(c);
  Status error;
  if (!found && !c.bearer_token.empty()) {
    std::vector<std::string> audiences = own_audiences(options_, c.audiences);
    if (!audiences.empty()) found = static_token(c);
    for (const auto& t : tokens_) {
      if (found) break;
      Result<std::optional<Authenticated>> r = co_await t->authenticate(c);
      if (!r && r.is(Reason::Cancelled)) co_return r.status();
      if (!r && error) error = r.status();
      // A token that knows no audiences is good for the API server's own only.
      if (r && *r && !((*r)->audiences.empty() && audiences.empty())) found = std::move(*r);
    }
    if (found && found->audiences.empty()) found->audiences = std::move(audiences);
  }
  if (found) {
    add_authenticated(found->user);
    co_return found;
  }
  if (!error) co_return error;
  co_return std::optional<Authenticated>();
}

}  // namespace onebin::apiserver
