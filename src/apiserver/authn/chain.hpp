// The chain of authenticators in upstream's order: front proxy, client certificate, then bearer tokens: static ones,
// service accounts', bootstrap tokens', OpenID Connect providers'.
#pragma once
#include "apiserver/authenticator.hpp"
#include "apiserver/authn/jwt.hpp"
#include "apiserver/lister.hpp"

#include <onebin/apiserver/apiserver.hpp>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace onebin::apiserver {

class AuthenticatorChain final : public Authenticator {
 public:
  // `options`, `lister` and `clock` outlive it. `keys` may be null: no service account tokens.
  AuthenticatorChain(const Options& options, const Lister& lister, Clock& clock, std::shared_ptr<const JwtKeys> keys);
  // The first that knows the credentials. Where none does and one says why they are bad: its error.
  async::Task<Result<std::optional<Authenticated>>> authenticate(const Credentials& credentials) override;

 private:
  std::optional<Authenticated> front_proxy(const Credentials& credentials) const;
  std::optional<Authenticated> certificate(const Credentials& credentials) const;
  std::optional<Authenticated> static_token(const Credentials& credentials) const;

  const Options& options_;
  Clock& clock_;
  std::vector<std::unique_ptr<Authenticator>> tokens_;
  mutable std::unordered_map<std::string, Authenticated> by_certificate_;  // by DER
};

}  // namespace onebin::apiserver
