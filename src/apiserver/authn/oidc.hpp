// OpenID Connect: users whose ID tokens (JWTs) an outside provider signs. Its keys are found by its discovery document, when
// the first of its tokens comes and when one names a key that is not known yet.
// Source: OpenID Connect Core 1.0 and Discovery 1.0; upstream's --oidc-* flags.
#pragma once
#include "apiserver/authenticator.hpp"

#include <onebin/apiserver/apiserver.hpp>
#include <onebin/async/channel.hpp>

#include <functional>
#include <map>

namespace onebin::apiserver {

// The body at a URL.
using Fetch = std::function<async::Task<Result<std::string>>(std::string url)>;
// Over HTTPS; `ca_pem` "": the machine's roots.
Fetch https_fetch(std::string ca_pem);

class OidcAuthenticator final : public Authenticator {
 public:
  // `issuer` and `clock` outlive it.
  OidcAuthenticator(const OidcIssuer& issuer, Clock& clock, Fetch fetch) : issuer_(issuer), clock_(clock), fetch_(std::move(fetch)) {}
  async::Task<Result<std::optional<Authenticated>>> authenticate(const Credentials& credentials) override;

 private:
  async::Task<Status> load_keys();
  async::Task<Status> verify(std::string token);

  const OidcIssuer& issuer_;
  Clock& clock_;
  Fetch fetch_;
  struct Key {
    std::string id, public_pem;
  };
  std::vector<Key> keys_;
  std::optional<SteadyTime> asked_;  // when the provider was asked last
  async::Semaphore one_{1};
};

}  // namespace onebin::apiserver
