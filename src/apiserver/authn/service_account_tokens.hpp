// Tokens of service accounts: issued for TokenRequest, and recognised in requests. Claims as upstream's, validated against
// the objects that are there now: a deleted account, pod, node or secret ends its tokens.
#pragma once
#include "apiserver/authenticator.hpp"
#include "apiserver/authn/jwt.hpp"
#include "apiserver/lister.hpp"

#include <onebin/apiserver/apiserver.hpp>
#include <onebin/base/random.hpp>

#include <list>
#include <memory>
#include <unordered_map>

namespace onebin::apiserver {

class ServiceAccountIssuer final : public TokenIssuer {
 public:
  // `options`, `rng` and `clock` outlive it.
  ServiceAccountIssuer(std::shared_ptr<const JwtKeys> keys, const Options& options, Rng& rng, Clock& clock)
      : keys_(std::move(keys)), options_(options), rng_(rng), clock_(clock) {}
  Result<Token> issue(const Request& request) override;
  std::string issuer() const override { return options_.service_account_issuer; }
  std::vector<std::string> default_audiences() const override;
  std::string discovery_document() const override;
  std::string jwks() const override { return keys_->jwks(); }

 private:
  std::shared_ptr<const JwtKeys> keys_;
  const Options& options_;
  Rng& rng_;
  Clock& clock_;
};

// The API server's own audiences: those of the options, or else the issuer.
std::vector<std::string> api_audiences(const Options& options);

class ServiceAccountAuthenticator final : public Authenticator {
 public:
  ServiceAccountAuthenticator(std::shared_ptr<const JwtKeys> keys, const Options& options, const Lister& lister, Clock& clock)
      : keys_(std::move(keys)), options_(options), lister_(lister), clock_(clock) {}
  async::Task<Result<std::optional<Authenticated>>> authenticate(const Credentials& credentials) override;

 private:
  using Claims = std::shared_ptr<const apimachinery::Document>;
  Result<Claims> verified(const std::string& token);  // null: the token is not from this issuer
  Result<UserInfo> validate(const apimachinery::Document& claims) const;

  std::shared_ptr<const JwtKeys> keys_;
  const Options& options_;
  const Lister& lister_;
  Clock& clock_;
  // Claims of tokens whose signature was verified, by the token's hash; the oldest go first. Only the signature is
  // remembered: times and objects are looked at each time.
  std::list<std::string> order_;
  std::unordered_map<std::string, Claims> verified_;
};

}  // namespace onebin::apiserver
