#include "apiserver/authn/chain.hpp"
#include "apiserver/authn/service_account_tokens.hpp"
#include "apiserver/rbac/fake_lister.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>
#include <onebin/net/http.hpp>

using namespace onebin;
using namespace onebin::apiserver;
namespace core = onebin::api::core::v1;

namespace {

template <class T>
T object(std::string ns, std::string name, std::string uid) {
  T o;
  o.metadata.namespace_ = std::move(ns);
  o.metadata.name = std::move(name);
  o.metadata.uid = std::move(uid);
  return o;
}

struct Fixture : fakes::Sim {
  Options options;
  fakes::FakeLister lister;
  std::shared_ptr<const JwtKeys> keys;
  std::unique_ptr<ServiceAccountIssuer> issuer;
  std::unique_ptr<AuthenticatorChain> chain;
  SeededRng rng{1};

  Fixture() {
    options.service_account_keys_pem = {*pki::generate_key()};
    keys = std::make_shared<const JwtKeys>(*JwtKeys::load(options.service_account_keys_pem));
    issuer = std::make_unique<ServiceAccountIssuer>(keys, options, rng, loop->clock());
    chain = std::make_unique<AuthenticatorChain>(options, lister, loop->clock(), keys);
    lister.put(object<core::ServiceAccount>("default", "app", "sa-1"));
    core::Pod pod = object<core::Pod>("default", "p", "pod-1");
    pod.spec.node_name = "n1";
    lister.put(pod);
  }
  TokenIssuer::Request request(std::int64_t seconds = 3600) {
    TokenIssuer::Request q;
    q.ns = "default";
    q.service_account = "app";
    q.service_account_uid = "sa-1";
    q.expiration_seconds = seconds;
    return q;
  }
  TokenIssuer::Request pod_request(std::int64_t seconds = 3600) {
    TokenIssuer::Request q = request(seconds);
    q.bound_kind = "Pod";
    q.bound_name = "p";
    q.bound_uid = "pod-1";
    q.node_name = "n1";
    q.node_uid = "node-1";
    return q;
  }
  Result<std::optional<Authenticated>> bearer(std::string token, std::vector<std::string> audiences = {}) {
    Credentials c;
    c.bearer_token = std::move(token);
    c.audiences = std::move(audiences);
    return await(chain->authenticate(c));
  }
  std::string refusal(std::string token, std::vector<std::string> audiences = {}) {
    auto r = bearer(std::move(token), std::move(audiences));
    return r ? "" : r.status().message();
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a token's claims are upstream's") {
  auto token = *issuer->issue(pod_request());
  CHECK(token.expiration_unix_seconds == 1800000000 + 3600);
  Document claims = *keys->verify(token.token);
  std::string id = claims["jti"];
  Document expected = Document::parse(R"({"aud":["https://kubernetes.default.svc.cluster.local"],"exp":1800003600,"iat":1800000000,
    "iss":"https://kubernetes.default.svc.cluster.local","nbf":1800000000,"sub":"system:serviceaccount:default:app",
    "kubernetes.io":{"namespace":"default","node":{"name":"n1","uid":"node-1"},"pod":{"name":"p","uid":"pod-1"},"serviceaccount":{"name":"app","uid":"sa-1"}}})");
  expected["jti"] = id;
  CHECK(claims == expected);
  // A pod's default token lives a year and says when it should have been renewed.
  auto extended = *issuer->issue(pod_request(3607));
  claims = *keys->verify(extended.token);
  CHECK(extended.expiration_unix_seconds == 1800000000 + 3607);
  CHECK(claims["exp"] == 1800000000 + 31536000);
  CHECK(claims["kubernetes.io"]["warnafter"] == 1800000000 + 3607);
  Document header = Document::parse(*base64url_decode(split(token.token, '.')[0]));
  CHECK(header["alg"] == "ES256");
  CHECK(Document::parse(issuer->jwks())["keys"][0]["kid"] == header["kid"]);
  CHECK(Document::parse(issuer->discovery_document())["id_token_signing_alg_values_supported"] == Document({"ES256"}));
}

TEST_CASE_METHOD(Fixture, "a service account's token tells who it is") {
  auto token = issuer->issue(pod_request())->token;
  auto r = bearer(token);
  REQUIRE(r);
  REQUIRE(*r);
  const UserInfo& u = (*r)->user;
  CHECK(u.name == "system:serviceaccount:default:app");
  CHECK(u.uid == "sa-1");
  CHECK(u.groups == std::vector<std::string>{"system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"});
  CHECK(u.extra.at("authentication.kubernetes.io/pod-name") == std::vector<std::string>{"p"});
  CHECK(u.extra.at("authentication.kubernetes.io/pod-uid") == std::vector<std::string>{"pod-1"});
  CHECK(u.extra.at("authentication.kubernetes.io/node-name") == std::vector<std::string>{"n1"});
  CHECK(u.extra.at("authentication.kubernetes.io/node-uid") == std::vector<std::string>{"node-1"});
  CHECK(starts_with(u.extra.at("authentication.kubernetes.io/credential-id")[0], "JTI="));
  CHECK((*r)->audiences == std::vector<std::string>{"https://kubernetes.default.svc.cluster.local"});
}

TEST_CASE_METHOD(Fixture, "a token ends with its time, its account and what it is bound to") {
  std::string token = issuer->issue(pod_request())->token, plain = issuer->issue(request())->token;
  CHECK(refusal(token).empty());
  SECTION("time") {
    loop->run_for(3600s + 59s);
    CHECK(refusal(plain).empty());
    loop->run_for(2s);
    CHECK(refusal(plain) == "service account token has expired");
  }
  SECTION("another account of the same name") {
    lister.put(object<core::ServiceAccount>("default", "app", "sa-2"));
    CHECK(refusal(plain) == "service account UID (sa-2) does not match claim (sa-1)");
  }
  SECTION("the pod is gone") {
    lister.remove<core::Pod>("default", "p");
    CHECK(refusal(token) == "service account token has been invalidated");
    CHECK(refusal(plain).empty());
  }
  SECTION("another pod of the same name") {
    lister.put(object<core::Pod>("default", "p", "pod-2"));
    CHECK(refusal(token) == "pod UID (pod-2) does not match service account pod ref claim (pod-1)");
  }
  SECTION("a pod that goes has a minute") {
    core::Pod pod = object<core::Pod>("default", "p", "pod-1");
    pod.metadata.deletion_timestamp = loop->clock().wall();
    lister.put(pod);
    CHECK(refusal(token).empty());
    loop->run_for(62s);
    CHECK(refusal(token) == "service account token has been invalidated");
  }
  SECTION("audience") {
    CHECK(refusal(plain, {"vault"}) ==
          "token audiences [\"https://kubernetes.default.svc.cluster.local\"] is invalid for the target audiences [\"vault\"]");
    auto q = request();
    q.audiences = {"vault", "other"};
    auto r = bearer(issuer->issue(q)->token, {"vault"});
    REQUIRE((r && *r));
    CHECK((*r)->audiences == std::vector<std::string>{"vault"});
    CHECK_FALSE(refusal(issuer->issue(q)->token).empty());
  }
}

TEST_CASE_METHOD(Fixture, "forged and broken tokens are refused") {
  std::string token = issuer->issue(request())->token;
  auto parts = split(token, '.');
  Document claims = Document::parse(*base64url_decode(parts[1]));
  claims["sub"] = "system:serviceaccount:kube-system:admin";
  std::string forged = parts[0] + "." + base64url_encode(claims.dump()) + "." + parts[2];
  CHECK(refusal(forged) == "invalid signature");
  std::string none = base64url_encode(R"({"alg":"none"})") + "." + parts[1] + ".";
  CHECK(refusal(none) == "invalid signature");
  Options other;
  other.service_account_keys_pem = {*pki::generate_key()};
  auto keys2 = std::make_shared<const JwtKeys>(*JwtKeys::load(other.service_account_keys_pem));
  ServiceAccountIssuer stranger(keys2, other, rng, loop->clock());
  CHECK(refusal(stranger.issue(request())->token) == "invalid signature, no keys found");
  for (const std::string& bad : std::vector<std::string>{"", "a", "a.b.c", "....", "..", parts[0] + "." + parts[1], std::string(100000, 'x')}) {
    auto r = bearer(bad);
    CHECK((!r || !*r));
  }
  std::string deep = parts[0] + "." + base64url_encode(std::string(5000, '[')) + "." + parts[2];
  CHECK(bearer(deep).is_ok());
}

TEST_CASE_METHOD(Fixture, "bootstrap tokens") {
  core::Secret s = object<core::Secret>("kube-system", "bootstrap-token-abcdef", "u");
  s.type = "bootstrap.kubernetes.io/token";
  s.data = {{"token-id", "abcdef"}, {"token-secret", "0123456789abcdef"}, {"usage-bootstrap-authentication", "true"},
            {"auth-extra-groups", "system:bootstrappers:onebin:default-node-token"}};
  lister.put(s);
  auto known = [&] {
    auto r = bearer("abcdef.0123456789abcdef");
    REQUIRE(r);
    return *r;
  };
  REQUIRE(known());
  CHECK(known()->user.name == "system:bootstrap:abcdef");
  CHECK(known()->user.groups == std::vector<std::string>{"system:bootstrappers", "system:bootstrappers:onebin:default-node-token", "system:authenticated"});
  auto wrong = bearer("abcdef.0123456789abcdee");
  CHECK((wrong && !*wrong));
  SECTION("expired") {
    s.data["expiration"] = format_rfc3339(loop->clock().wall() - 1s);
    lister.put(s);
    CHECK_FALSE(known());
  }
  SECTION("not yet expired") {
    s.data["expiration"] = format_rfc3339(loop->clock().wall() + 100s);
    lister.put(s);
    CHECK(known());
  }
  SECTION("for signing only") {
    s.data["usage-bootstrap-authentication"] = "false";
    lister.put(s);
    CHECK_FALSE(known());
  }
  SECTION("a group beyond its right") {
    s.data["auth-extra-groups"] = "system:masters";
    lister.put(s);
    CHECK_FALSE(known());
  }
}

TEST_CASE_METHOD(Fixture, "client certificates, static tokens and a front proxy's word") {
  WallTime now = loop->clock().wall();
  auto ca = *pki::create_ca({"front-ca", {}}, now, 24h);
  pki::SignOptions o;
  o.subject = {"jane", {"dev", "ops"}};
  o.not_before = now - 1h;
  o.not_after = now + 1h;
  auto cert = *pki::issue(ca, o);
  std::string body;
  for (const auto& l : split(cert.certificate, '\n'))
    if (!starts_with(l, "-----")) body += l;
  std::string der = *base64_decode(body);
  Credentials c;
  c.client_certificate_der = der;
  auto r = await(chain->authenticate(c));
  REQUIRE((r && *r));
  CHECK((*r)->user.name == "jane");
  CHECK((*r)->user.groups == std::vector<std::string>{"dev", "ops", "system:authenticated"});
  CHECK((*r)->user.extra.at("authentication.kubernetes.io/credential-id")[0] == "X509SHA256=" + sha256_hex(der));

  options.static_tokens.push_back({"s3cret", fakes::user("robot", {"robots"})});
  auto t = bearer("s3cret");
  REQUIRE((t && *t));
  CHECK((*t)->user.groups == std::vector<std::string>{"robots", "system:authenticated"});
  auto bad = bearer("s3cre");
  CHECK((bad && !*bad));
  auto elsewhere = bearer("s3cret", {"vault"});
  CHECK((elsewhere && !*elsewhere));

  net::Headers headers;
  headers.add("X-Remote-User", "carol");
  headers.add("X-Remote-Group", "a");
  headers.add("X-Remote-Extra-Scopes%2fx", "1");
  Credentials front;
  front.headers = &headers;
  front.presented_certificate_der = der;
  auto none = await(chain->authenticate(front));
  CHECK((none && !*none));  // no front proxy CA is configured
  options.requestheader_client_ca_pem = ca.certificate;
  options.requestheader_allowed_names = {"jane"};
  auto word = await(chain->authenticate(front));
  REQUIRE((word && *word));
  CHECK((*word)->user.name == "carol");
  CHECK((*word)->user.groups == std::vector<std::string>{"a", "system:authenticated"});
  CHECK((*word)->user.extra.at("scopes/x") == std::vector<std::string>{"1"});
  options.requestheader_allowed_names = {"front"};
  auto other = await(chain->authenticate(front));
  CHECK((other && !*other));
}
