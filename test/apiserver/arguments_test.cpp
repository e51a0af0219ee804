#include <onebin/apiserver/apiserver.hpp>
#include <onebin/base/file.hpp>

#include <catch2/catch.hpp>

#include <filesystem>
#include <unistd.h>

using namespace onebin;
using namespace onebin::apiserver;

namespace {

struct Folder {
  std::string path = std::filesystem::temp_directory_path() / ("onebin-arguments-" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directory(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string file(const std::string& name, const std::string& text) const {
    REQUIRE(write_file(path + "/" + name, text, 0600));
    return path + "/" + name;
  }
};

}  // namespace

TEST_CASE("kube-apiserver's flags become options") {
  Folder folder;
  Options o;
  std::string tokens = folder.file("tokens", "# who\nsecret,ann,7,\"dev,ops\"\nother,bob,8\n");
  std::string admission = folder.file("admission.yaml",
                                      "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n- name: PodSecurity\n  path: ps.yaml\n");
  folder.file("ps.yaml", "kind: PodSecurityConfiguration\ndefaults:\n  enforce: baseline\n  enforce-version: latest\nexemptions:\n  namespaces: [kube-system]\n");
  Result<void> r = apply_arguments(o, {"enable-admission-plugins=AlwaysPullImages,DenyServiceExternalIPs", "--disable-admission-plugins=LimitRanger", "anonymous-auth=false",
                                       "token-auth-file=" + tokens, "admission-control-config-file=" + admission, "default-not-ready-toleration-seconds=10",
                                       "service-account-max-token-expiration=2h", "oidc-issuer-url=https://id.example.com/a", "oidc-client-id=k8s", "oidc-groups-claim=roles",
                                       "oidc-required-claim=a=b,c=d", "oidc-signing-algs=RS256,ES384"});
  INFO(r.status().to_string());
  REQUIRE(r);
  CHECK(o.enable_admission_plugins == std::set<std::string>{"AlwaysPullImages", "DenyServiceExternalIPs"});
  CHECK(o.disable_admission_plugins == std::set<std::string>{"LimitRanger"});
  CHECK_FALSE(o.anonymous_auth);
  CHECK(o.not_ready_toleration_seconds == 10);
  CHECK(o.max_token_expiration_seconds == 7200);
  REQUIRE(o.static_tokens.size() == 2);
  CHECK(o.static_tokens[0].user.groups == std::vector<std::string>{"dev", "ops"});
  CHECK(o.static_tokens[1].user.uid == "8");
  CHECK(o.pod_security.labels == std::map<std::string, std::string>{{"enforce", "baseline"}, {"enforce-version", "latest"}});
  CHECK(o.pod_security.exempt_namespaces.count("kube-system"));
  REQUIRE(o.oidc.size() == 1);
  CHECK(o.oidc[0].username_prefix == "https://id.example.com/a#");
  CHECK(o.oidc[0].required_claims == std::map<std::string, std::string>{{"a", "b"}, {"c", "d"}});
  CHECK(o.oidc[0].signing_algorithms == std::vector<std::string>{"RS256", "ES384"});
}

TEST_CASE("a flag that cannot be taken is named with the reason") {
  auto why = [](std::vector<std::string> arguments) {
    Options o;
    return apply_arguments(o, arguments).status().message();
  };
  CHECK(why({"etcd-servers=http://x"}) == "kube-apiserver's flag --etcd-servers is not known here");
  CHECK(why({"oidc-issuer-url=http://x"}) == "--oidc-issuer-url=http://x: URL scheme must be https");
  CHECK(why({"oidc-client-id=x"}) == "--oidc-issuer-url and --oidc-client-id must be specified together");
  CHECK(why({"anonymous-auth=perhaps"}) == "--anonymous-auth=perhaps: want true or false");
  CHECK(why({"token-auth-file=/nonexistent"}).find("/nonexistent") != std::string::npos);
  Options email;
  REQUIRE(apply_arguments(email, {"oidc-issuer-url=https://x", "oidc-client-id=c", "oidc-username-claim=email"}));
  CHECK(email.oidc[0].username_prefix.empty());
}
