// Security: the parts of the chain that decide who may do what. make_security() builds them all; the server plugs them in.
#pragma once
#include "apiserver/admission.hpp"
#include "apiserver/authenticator.hpp"
#include "apiserver/authorizer.hpp"
#include "apiserver/lister.hpp"

#include <onebin/apiserver/apiserver.hpp>
#include <onebin/base/random.hpp>
#include <onebin/client/transport.hpp>

#include <memory>

namespace onebin::apiserver {

struct SecurityDeps {
  const Options* options = nullptr;  // outlives the parts
  Lister* lister = nullptr;          // likewise; filled before the first request, subscriptions may be made at once
  Rng* rng = nullptr;
  Clock* clock = nullptr;
};

// What goes on beside requests: keeping the rules of aggregated ClusterRoles. Runs until it is cancelled.
class SecurityBackground {
 public:
  virtual ~SecurityBackground() = default;
  // `transport` is one of system:masters and outlives the run.
  virtual async::Task<void> run(client::Transport* transport) = 0;
};

struct Security {
  std::unique_ptr<Authenticator> authenticator;
  std::unique_ptr<Authorizer> authorizer;
  std::unique_ptr<TokenIssuer> token_issuer;  // null: no tokens
  AdmissionChain admission;
  std::unique_ptr<SecurityBackground> background;  // to be run after bootstrap_security()
};
Result<Security> make_security(const SecurityDeps& deps);

// What a cluster must have for access to work: default roles and bindings, the system's priority classes,
// extension-apiserver-authentication. Run at each start with a transport of system:masters, after the system namespaces
// are there; reconciles what `lister` holds.
async::Task<Result<void>> bootstrap_security(client::Transport& transport, const Lister& lister, const Options& options);

}  // namespace onebin::apiserver
