#include "apiserver/authn/bootstrap_tokens.hpp"

#include "apiserver/authn/secrets.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

constexpr char kGroup[] = "system:bootstrappers";

bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// id.secret: 6 and 16 of a-z, 0-9.
bool split_token(std::string_view token, std::string& id, std::string& secret) {
  if (token.size() != 23 || token[6] != '.') return false;
  id = token.substr(0, 6);
  secret = token.substr(7);
  return std::all_of(id.begin(), id.end(), lower_or_digit) && std::all_of(secret.begin(), secret.end(), lower_or_digit);
}

// system:bootstrappers:NAME, 1 to 256 characters of a-z, 0-9, ':', '-', the last one no sign.
bool valid_group(std::string_view group) {
  constexpr std::string_view kPrefix = "system:bootstrappers:";
  if (!starts_with(group, kPrefix)) return false;
  group.remove_prefix(kPrefix.size());
  if (group.empty() || group.size() > 256 || !lower_or_digit(group.back())) return false;
  return std::all_of(group.begin(), group.end(), [](char c) { return lower_or_digit(c) || c == ':' || c == '-'; });
}

std::string entry(const std::map<std::string, std::string>& data, const char* key) {
  auto it = data.find(key);
  return it == data.end() ? std::string() : it->second;
}

bool expired(const std::map<std::string, std::string>& data, WallTime now) {
  std::string at = entry(data, "expiration");
  if (at.empty()) return false;
  auto t = parse_rfc3339(at);
  return !t || *t <= now;  // what cannot be read has passed
}

}  // namespace

async::Task<Result<std::optional<Authenticated>>> BootstrapTokenAuthenticator::authenticate(const Credentials& credentials) {
  std::optional<Authenticated> none;
  std::string id, secret;
  if (!split_token(credentials.bearer_token, id, secret)) co_return none;
  auto stored = lister_.get<api::core::v1::Secret>("kube-system", "bootstrap-token-" + id);
  if (!stored || !stored->metadata.deletion_timestamp.is_zero() || stored->type != "bootstrap.kubernetes.io/token") co_return none;
  const auto& data = stored->data;
  if (!same_secret(entry(data, "token-secret"), secret) || entry(data, "token-id") != id) co_return none;
  if (expired(data, clock_.wall()) || entry(data, "usage-bootstrap-authentication") != "true") co_return none;
  Authenticated a;
  a.user.name = "system:bootstrap:" + id;
  for (const auto& g : split(entry(data, "auth-extra-groups"), ',')) {
    if (g.empty()) continue;
    if (!valid_group(g)) {
      log_warn("a bootstrap token names a group that it may not give", {{"token", id}, {"group", g}});
      co_return none;
    }
    if (!a.user.in_group(g)) a.user.groups.push_back(g);
  }
  if (!a.user.in_group(kGroup)) a.user.groups.emplace_back(kGroup);
  std::sort(a.user.groups.begin(), a.user.groups.end());
  co_return std::optional<Authenticated>(std::move(a));
}

}  // namespace onebin::apiserver
