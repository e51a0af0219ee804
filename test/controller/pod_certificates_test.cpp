#include "cluster.hpp"

#include <onebin/base/keys.hpp>
#include <onebin/base/pki.hpp>

using namespace onebin;
using namespace onebin::controller::test;

namespace {
const std::string kBundles = "/apis/certificates.k8s.io/v1/clustertrustbundles";
const std::string kRequests = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests";

const std::set<std::string> kBoth = {"podcertificaterequest-cleaner-controller", "kube-apiserver-serving-clustertrustbundle-publisher-controller"};
std::string roots() {
  static const std::string kPem = pki::create_ca({"roots", {}}, from_unix(1795000000), 24h)->certificate;
  return kPem;
}

struct WithCleaner : Cluster {
  WithCleaner() : Cluster(kBoth) {}
};
struct WithRoots : Cluster {
  WithRoots() : Cluster(kBoth, roots()) {}
};
}  // namespace

TEST_CASE_METHOD(WithCleaner, "requests for pods' certificates go after a quarter of an hour; without roots there is no bundle") {
  std::string stub = pki::der_of_pem(*pki::create_request(*pki::generate_key(), {}));
  Document q = {{"metadata", {{"name", "r"}}},
                {"spec", {{"signerName", "e.x/s"}, {"podName", "p"}, {"podUID", "pu"}, {"serviceAccountName", "default"}, {"serviceAccountUID", "su"}, {"nodeName", "n"}, {"nodeUID", "nu"},
                          {"stubPKCS10Request", base64_encode(stub)}}}};
  create(kRequests, q);
  loop->run_for(14min);
  CHECK(get(kRequests + "/r").code == 200);
  loop->run_for(2min);
  CHECK(get(kRequests + "/r").code == 404);
  CHECK(items(kBundles).empty());
}

TEST_CASE_METHOD(WithRoots, "the API server's roots are a trust bundle of its signer, and come back when they go") {
  auto bundles = names(kBundles);
  REQUIRE(bundles.size() == 1);
  CHECK(starts_with(bundles[0], "kubernetes.io:kube-apiserver-serving:"));
  CHECK(items(kBundles)[0]["spec"]["trustBundle"] == roots());
  remove(kBundles + "/" + bundles[0]);
  CHECK(names(kBundles) == bundles);
  // One of other roots is no longer true.
  Document old = {{"metadata", {{"name", "kubernetes.io:kube-apiserver-serving:old"}}}, {"spec", {{"signerName", "kubernetes.io/kube-apiserver-serving"}, {"trustBundle", roots()}}}};
  create(kBundles, old);
  CHECK(names(kBundles) == bundles);
}
