// JSON Web Tokens signed by the cluster's service account keys (RFC 7519, compact form; ES256 and RS256).
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/result.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apiserver {

// The keys that sign and verify. Immutable.
class JwtKeys {
 public:
  // PEM, private or public; the first that is private signs.
  static Result<JwtKeys> load(const std::vector<std::string>& pems);

  bool can_sign() const { return !signing_key_.empty(); }
  Result<std::string> sign(const apimachinery::Document& claims) const;
  // The claims, the signature verified by the key that the header names (any key where it names none).
  Result<apimachinery::Document> verify(std::string_view token) const;
  std::string jwks() const;                      // {"keys":[...]}
  std::vector<std::string> algorithms() const;   // each once

 private:
  struct Key {
    std::string id, algorithm, public_pem;
  };
  std::vector<Key> keys_;
  std::string signing_key_, signing_id_, signing_algorithm_;
};

// A token taken apart, nothing verified; none where it is no JWT. `signed_part` is a view into the token.
struct ParsedToken {
  apimachinery::Document header, claims;
  std::string_view signed_part;
  std::string signature;
};
std::optional<ParsedToken> parse_token(std::string_view token);

// The claims without verification; null where `token` is no JWT. Only to see whom a token is from.
apimachinery::Document unverified_claims(std::string_view token);

// A claim that is one text or a list of them, such as `aud`; what is no text is left out.
std::vector<std::string> strings_of(const apimachinery::Document& claim);

}  // namespace onebin::apiserver
