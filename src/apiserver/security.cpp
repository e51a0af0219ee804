#include "apiserver/security.hpp"

#include "apiserver/errors.hpp"

#include <onebin/net/tls.hpp>

namespace onebin::apiserver {
namespace {

// Client certificates (common name and organizations) and static tokens.
class BasicAuthenticator final : public Authenticator {
 public:
  explicit BasicAuthenticator(const Options& options) : options_(options) {}
  async::Task<Result<std::optional<Authenticated>>> authenticate(const Credentials& credentials) override {
    std::optional<Authenticated> none;
    if (!credentials.client_certificate_der.empty()) {
      auto certificate = net::parse_certificate_der(credentials.client_certificate_der);
      if (!certificate) co_return Status(Reason::Unauthorized, "Unauthorized");
      Authenticated a;
      a.user.name = certificate->common_name;
      a.user.groups = certificate->organizations;
      a.user.groups.emplace_back(kAuthenticatedGroup);
      co_return std::optional<Authenticated>(std::move(a));
    }
    if (credentials.bearer_token.empty()) co_return none;
    for (const auto& t : options_.static_tokens) {
      if (t.token != credentials.bearer_token) continue;
      Authenticated a;
      a.user = t.user;
      if (!a.user.in_group(kAuthenticatedGroup)) a.user.groups.emplace_back(kAuthenticatedGroup);
      co_return std::optional<Authenticated>(std::move(a));
    }
    co_return none;
  }

 private:
  const Options& options_;
};

}  // namespace

Result<Security> make_security(const SecurityDeps& deps) {
  Security s;
  s.authenticator = std::make_unique<BasicAuthenticator>(*deps.options);
  std::vector<std::unique_ptr<Authorizer>> authorizers;
  authorizers.push_back(std::make_unique<MastersAuthorizer>());
  s.authorizer = std::make_unique<UnionAuthorizer>(std::move(authorizers));
  return Result<Security>(std::move(s));
}

async::Task<Result<void>> bootstrap_security(client::Transport&, const Options&) { co_return Result<void>(); }

}  // namespace onebin::apiserver
