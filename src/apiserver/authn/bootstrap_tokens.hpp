// Bootstrap tokens: Secrets bootstrap-token-<id> of kube-system, with which nodes join.
// Source: Kubernetes "Authenticating with Bootstrap Tokens".
#pragma once
#include "apiserver/authenticator.hpp"
#include "apiserver/lister.hpp"

#include <onebin/base/time.hpp>

namespace onebin::apiserver {

class BootstrapTokenAuthenticator final : public Authenticator {
 public:
  BootstrapTokenAuthenticator(const Lister& lister, Clock& clock) : lister_(lister), clock_(clock) {}
  async::Task<Result<std::optional<Authenticated>>> authenticate(const Credentials& credentials) override;

 private:
  const Lister& lister_;
  Clock& clock_;
};

}  // namespace onebin::apiserver
