// PodCertificateRequests and the volumes that cause them, in a server over the memory store.
#include "apiserver/support.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/keys.hpp>
#include <onebin/base/pki.hpp>

using namespace onebin;
using namespace onebin::apiserver::test;

namespace {

const std::string kRequests = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests";

struct Requests : Fixture {
  std::string key = *pki::generate_key("ED25519");
  Document request() {
    return {{"metadata", {{"name", "r"}}},
            {"spec", {{"signerName", "e.x/s"}, {"podName", "p"}, {"podUID", "pu"}, {"serviceAccountName", "default"}, {"serviceAccountUID", "su"}, {"nodeName", "n"}, {"nodeUID", "nu"},
                      {"stubPKCS10Request", base64_encode(pki::der_of_pem(*pki::create_request(key, {})))}}}};
  }
  std::string fault(const Answer& a) { return a.body.value("message", ""); }
  std::string create_fault(const Document& d) { return fault(post(kRequests + "?dryRun=All", d)); }
  Document with_source(Document source) {
    Document p = pod("p");
    Document volume = {{"name", "v"}, {"projected", {{"sources", Document::array({std::move(source)})}}}};
    p["spec"]["volumes"] = Document::array({volume});
    return p;
  }
  std::string pod_fault(Document source) { return fault(post("/api/v1/namespaces/default/pods?dryRun=All", with_source(std::move(source)))); }
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE_METHOD(Requests, "a request states whose certificate it wants, for how long, and proves the key") {
  Answer made = post(kRequests, request());
  INFO(made.text);
  REQUIRE(made.code == 201);
  CHECK(made.body["spec"]["maxExpirationSeconds"] == 86400);
  Document d = request();
  d["spec"]["maxExpirationSeconds"] = 3599;
  CHECK(has(create_fault(d), "spec.maxExpirationSeconds: Invalid value: 3599: must be in the range [3600, 7862400]"));
  d["spec"]["signerName"] = "kubernetes.io/own";
  d["spec"]["maxExpirationSeconds"] = 86401;
  CHECK(has(create_fault(d), "must be in the range [3600, 86400]"));
  d = request();
  d["spec"]["signerName"] = "nowhere";
  CHECK(has(create_fault(d), "spec.signerName: Invalid value: \"nowhere\": must be a fully qualified domain and path of the form 'example.com/signer-name'"));
  d = request();
  d["spec"]["stubPKCS10Request"] = "AAAA";
  CHECK(has(create_fault(d), "must be a valid PKCS#10 CSR"));
  d = made.body;
  d["spec"]["podName"] = "other";
  CHECK(has(fault(send("PUT", kRequests + "/r", d)), "field is immutable"));
  CHECK(get(kRequests + "?fieldSelector=spec.nodeName%3Dn").body["items"].size() == 1);
  CHECK(get(kRequests + "?fieldSelector=spec.nodeName%3Dother").body["items"].empty());
}

TEST_CASE_METHOD(Requests, "a signer's answer fits the request, and is final") {
  Document r = post(kRequests, request()).body;
  WallTime now = loop->clock().wall();
  pki::KeyPair ca = *pki::create_ca({"ca", {}}, now, 24h);
  auto issue = [&](Duration life) {
    pki::SignOptions o;
    o.public_key_pem = *pki::public_key_of(key);
    o.not_before = now;
    o.not_after = now + life;
    Document status = {{"certificateChain", *pki::sign_certificate(ca, o)}, {"notBefore", format_rfc3339(now)}, {"notAfter", format_rfc3339(now + life)},
                       {"beginRefreshAt", format_rfc3339(now + life / 2)},
                       {"conditions", Document::array({{{"type", "Issued"}, {"status", "True"}, {"reason", "Done"}, {"message", "m"}, {"lastTransitionTime", format_rfc3339(now)}}})}};
    return status;
  };
  auto answer = [&](Document status) {
    Document d = r;
    d["status"] = std::move(status);
    return send("PUT", kRequests + "/r/status", d);
  };
  CHECK(has(fault(answer(issue(30min))), "leaf certificate lifetime must be >= 1 hour"));
  CHECK(has(fault(answer(issue(25h))), "leaf certificate lifetime must be <= spec.maxExpirationSeconds (86400)"));
  Document early = issue(2h);
  early["beginRefreshAt"] = format_rfc3339(now + 1min);
  CHECK(has(fault(answer(early)), "must be at least 10 minutes after status.notBefore"));
  Document two = issue(2h);
  two["conditions"][0]["type"] = "Perhaps";
  CHECK(has(fault(answer(two)), "Unsupported value: \"Perhaps\""));
  std::string mine = key;
  key = *pki::generate_key("ED25519");
  CHECK(has(fault(answer(issue(2h))), "leaf certificate was not issued to the requested public key"));
  key = mine;
  Answer done = answer(issue(2h));
  INFO(done.text);
  REQUIRE(done.code == 200);
  r = done.body;
  CHECK(has(fault(answer(issue(3h))), "immutable after PodCertificateRequest is issued, denied, or failed"));
}

TEST_CASE_METHOD(Requests, "projected volumes say what they want") {
  Document good = {{"podCertificate", {{"signerName", "e.x/s"}, {"keyType", "ED25519"}, {"credentialBundlePath", "c.pem"}}}};
  Answer taken = post("/api/v1/namespaces/default/pods?dryRun=All", with_source(good));
  INFO(taken.text);
  CHECK(taken.code == 201);
  Document d = good;
  d["podCertificate"]["maxExpirationSeconds"] = 3599;
  CHECK(has(pod_fault(d), "spec.volumes[0].projected.sources[0].podCertificate.maxExpirationSeconds: Invalid value: 3599: if provided, maxExpirationSeconds must be >= 3600"));
  d["podCertificate"]["maxExpirationSeconds"] = 7862401;
  CHECK(has(pod_fault(d), "if provided, maxExpirationSeconds must be <= 7862400"));
  d = good;
  d["podCertificate"]["keyType"] = "DSA";
  CHECK(has(pod_fault(d), "podCertificate.keyType: Unsupported value: \"DSA\""));
  d = good;
  d["podCertificate"].erase("credentialBundlePath");
  CHECK(has(pod_fault(d), "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"));
  d["podCertificate"]["keyPath"] = "../k";
  CHECK(has(pod_fault(d), "podCertificate.keyPath: Invalid value: \"../k\": must not contain '..'"));
  Document bundle = {{"clusterTrustBundle", {{"path", "ca.pem"}}}};
  CHECK(has(pod_fault(bundle), "clusterTrustBundle: Required value: either name or signerName must be specified"));
  bundle["clusterTrustBundle"]["name"] = "b";
  CHECK(post("/api/v1/namespaces/default/pods?dryRun=All", with_source(bundle)).code == 201);
  bundle["clusterTrustBundle"]["signerName"] = "e.x/s";
  CHECK(has(pod_fault(bundle), "only one of name and signerName may be used"));
}
