#include "apiserver/authn/oidc.hpp"
#include "apiserver/rbac/fake_lister.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/keys.hpp>
#include <onebin/base/pki.hpp>

using namespace onebin;
using namespace onebin::apiserver;

namespace {

async::Task<Result<std::string>> answer(std::map<std::string, std::string>* pages, std::vector<std::string>* asked, std::string url) {
  asked->push_back(url);
  auto it = pages->find(url);
  if (it == pages->end()) co_return not_found("page", url);
  co_return it->second;
}

struct Provider : fakes::Sim {
  OidcIssuer issuer;
  std::map<std::string, std::string> pages;
  std::vector<std::string> asked;
  std::string key = *pki::generate_key();
  std::unique_ptr<OidcAuthenticator> authenticator;

  Provider() {
    issuer.url = "https://id.example.com/realm";
    issuer.client_id = "k8s";
    issuer.username_prefix = "oidc:";
    issuer.groups_claim = "groups";
    issuer.groups_prefix = "g:";
    issuer.signing_algorithms = {"ES256"};
    pages[issuer.url + "/.well-known/openid-configuration"] = Document({{"issuer", issuer.url}, {"jwks_uri", "https://id.example.com/keys"}}).dump();
    publish("one");
    authenticator = std::make_unique<OidcAuthenticator>(issuer, loop->clock(), [this](std::string url) { return answer(&pages, &asked, std::move(url)); });
  }
  void publish(const std::string& id) {
    Document k = {{"kid", id}, {"use", "sig"}};
    auto members = pki::jwk_members(*pki::public_key_of(key));
    for (auto& [name, value] : *members) k[name] = value;
    pages["https://id.example.com/keys"] = Document({{"keys", Document::array({k})}}).dump();
  }
  Document claims() {
    return {{"iss", issuer.url}, {"aud", "k8s"}, {"sub", "ann"}, {"groups", {"dev", "ops"}}, {"exp", loop->clock().unix_seconds() + 600}};
  }
  std::string token(const Document& claims, const std::string& id = "one", const std::string& algorithm = "ES256") {
    std::string text = base64url_encode(Document({{"alg", algorithm}, {"kid", id}}).dump()) + "." + base64url_encode(claims.dump());
    return text + "." + base64url_encode(*pki::jws_sign(key, text));
  }
  Result<std::optional<Authenticated>> bearer(std::string text) {
    Credentials c;
    c.bearer_token = std::move(text);
    return await(authenticator->authenticate(c));
  }
  std::string why(const Document& claims) { return bearer(token(claims)).status().message(); }
};

}  // namespace

TEST_CASE_METHOD(Provider, "a token that the provider signed names its user and groups") {
  auto r = bearer(token(claims()));
  INFO(r.status().to_string());
  REQUIRE(r);
  REQUIRE(*r);
  CHECK((*r)->user.name == "oidc:ann");
  CHECK((*r)->user.groups == std::vector<std::string>{"g:dev", "g:ops"});
  CHECK(asked.size() == 2);
  REQUIRE(bearer(token(claims())));
  CHECK(asked.size() == 2);  // the keys are remembered
  Document one = claims();
  one["groups"] = "single";
  CHECK((*bearer(token(one)))->user.groups == std::vector<std::string>{"g:single"});
}

TEST_CASE_METHOD(Provider, "what is not the provider's is not judged; what is and is bad is refused") {
  Document other = claims();
  other["iss"] = "https://other";
  CHECK_FALSE(*bearer(token(other)));
  CHECK_FALSE(*bearer("no-token"));
  Document c = claims();
  c["aud"] = {"a", "b"};
  CHECK(why(c) == "oidc: verify token: oidc: expected audience \"k8s\" got [\"a\" \"b\"]");
  c = claims();
  c["exp"] = loop->clock().unix_seconds() - 1;
  CHECK(why(c).find("token is expired") != std::string::npos);
  c = claims();
  c["nbf"] = loop->clock().unix_seconds() + 1000;
  CHECK(why(c).find("before the nbf") != std::string::npos);
  c = claims();
  c.erase("sub");
  CHECK(why(c).find("parse username claims \"sub\"") != std::string::npos);
  CHECK(bearer(token(claims(), "one", "none")).status().message().find("unsupported algorithm") != std::string::npos);
  std::string forged = token(claims());
  key = *pki::generate_key();
  std::string mine = token(claims());
  forged = forged.substr(0, forged.rfind('.')) + mine.substr(mine.rfind('.'));
  CHECK(bearer(forged).is(Reason::Unauthorized));
  issuer.required_claims = {{"hd", "example.com"}};
}

TEST_CASE_METHOD(Provider, "required claims, and addresses that are verified") {
  issuer.required_claims = {{"hd", "example.com"}};
  CHECK(why(claims()) == "oidc: required claim hd not present in ID token");
  Document c = claims();
  c["hd"] = "other";
  CHECK(why(c) == "oidc: required claim hd value does not match. Got = other, want = example.com");
  c["hd"] = "example.com";
  CHECK(bearer(token(c)));
  issuer.username_claim = "email";
  c["email"] = "ann@example.com";
  c["email_verified"] = false;
  CHECK(why(c) == "oidc: email not verified");
  c["email_verified"] = true;
  CHECK((*bearer(token(c)))->user.name == "oidc:ann@example.com");
}

TEST_CASE_METHOD(Provider, "a key that is not known yet is asked for, but not at every token's whim") {
  REQUIRE(bearer(token(claims())));
  CHECK(bearer(token(claims(), "two")).is(Reason::Unauthorized));
  CHECK(asked.size() == 2);  // asked a moment ago
  loop->run_for(6s);
  key = *pki::generate_key();
  publish("two");
  CHECK(bearer(token(claims(), "two")));
  CHECK(asked.size() == 4);
}

TEST_CASE("JSON Web Keys and signatures of every kind") {
  for (const char* type : {"ECDSAP256", "ECDSAP384", "ECDSAP521", "RSA3072"}) {
    std::string key = *pki::generate_key(type);
    std::string pem = *pki::public_key_of(key);
    CHECK(pki::key_type_of(pem) == type);
    if (std::string(type) != "ECDSAP256" && std::string(type) != "RSA3072") continue;
    std::map<std::string, std::string> members;
    auto made = pki::jwk_members(pem);
    for (auto& [name, value] : *made) members[name] = value;
    CHECK(*pki::public_key_of_jwk(members) == pem);
    std::string algorithm = *pki::jws_algorithm(key), signature = *pki::jws_sign(key, "data");
    CHECK(pki::jws_verify(pem, algorithm, "data", signature));
    CHECK_FALSE(pki::jws_verify(pem, algorithm, "other", signature));
    CHECK_FALSE(pki::jws_verify(pem, algorithm == "RS256" ? "PS256" : "ES384", "data", signature));
  }
  CHECK_FALSE(pki::public_key_of_jwk({{"kty", "EC"}, {"crv", "P-256"}, {"x", "AA"}, {"y", "AA"}}));
  CHECK_FALSE(pki::public_key_of_jwk({{"kty", "oct"}}));
}
