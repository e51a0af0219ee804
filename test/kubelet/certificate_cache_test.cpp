#include "fakes/fake_api.hpp"
#include "kubelet/certificate_cache.hpp"

#include <onebin/async/group.hpp>
#include <onebin/async/pool.hpp>
#include <onebin/base/keys.hpp>
#include <onebin/base/pki.hpp>

#include <catch2/catch.hpp>

#include <thread>

using namespace onebin;
using namespace onebin::kubelet;
using api::certificates::v1::PodCertificateRequest;

namespace {

async::Task<void> keep(async::Task<Result<Credential>> task, std::optional<Result<Credential>>* out) { *out = co_await std::move(task); }
async::Task<void> end(CertificateCache* cache, bool* done) {
  co_await cache->stop();
  *done = true;
}

struct World {
  std::unique_ptr<async::SimLoop> loop = async::SimLoop::create(from_unix(1800000000));
  fakes::FakeApi api;
  client::Client client{api, "kubelet"};
  SeededRng rng{3};
  CertificateCache cache{client, rng, "n1"};
  async::TaskGroup group{"test"};
  core::Pod pod;
  CertificateSource source;
  std::vector<std::string> changed;

  World() {
    core::Node node;
    node.metadata.name = "n1";
    node.metadata.uid = "node-uid";
    api.put(node);
    core::ServiceAccount account;
    account.metadata.namespace_ = "default";
    account.metadata.name = "sa";
    account.metadata.uid = "sa-uid";
    api.put(account);
    pod.metadata.namespace_ = "default";
    pod.metadata.name = "p";
    pod.metadata.uid = "pod-uid";
    pod.spec.service_account_name = "sa";
    core::Volume v;
    v.name = "cert";
    v.projected.ensure().sources.resize(1);
    auto& c = v.projected->sources[0].pod_certificate.ensure();
    c.signer_name = "e.x/s";
    c.key_type = "ED25519";
    c.max_expiration_seconds = 3600;
    c.user_annotations = {{"e.x/path", "a"}};
    pod.spec.volumes = {v};
    source = certificates_of(pod).front();
    cache.on_change([this](const std::string& uid) { changed.push_back(uid); });
  }
  ~World() {
    bool done = false;
    group.spawn(end(&cache, &done));
    settle();
    CHECK(done);
  }
  void settle() {
    while (loop->run_ready() || !async::BlockingPool::shared().idle())
      if (!async::BlockingPool::shared().idle()) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  void begin(std::optional<Result<Credential>>* out) {
    group.spawn(keep(cache.get(pod, source, 10s), out));
    settle();
  }
  std::vector<PodCertificateRequest> requests() { return api.all<PodCertificateRequest>(); }
  void answer(PodCertificateRequest q, const char* type, std::string chain = {}) {
    api::meta::v1::Condition c;
    c.type = type;
    c.status = "True";
    c.reason = "Why";
    c.message = "because";
    q.status.conditions = {c};
    q.status.certificate_chain = std::move(chain);
    q.status.begin_refresh_at = loop->clock().wall() + 30min;
    q.status.not_after = loop->clock().wall() + 1h;
    api.put(q);
    settle();
  }
};

}  // namespace

TEST_CASE_METHOD(World, "a pod's certificate is asked for, given and renewed") {
  std::optional<Result<Credential>> first;
  begin(&first);
  REQUIRE(requests().size() == 1);
  CHECK_FALSE(first);
  PodCertificateRequest q = requests()[0];
  CHECK(q.spec.signer_name == "e.x/s");
  CHECK(q.spec.pod_uid == "pod-uid");
  CHECK(q.spec.service_account_uid == "sa-uid");
  CHECK(q.spec.node_uid == "node-uid");
  CHECK(q.spec.max_expiration_seconds == 3600);
  CHECK(q.spec.unverified_user_annotations.at("e.x/path") == "a");
  Result<pki::RequestInfo> stub = pki::parse_request(q.spec.stub_pkcs10_request);
  REQUIRE(stub);
  CHECK(pki::key_type_of(stub->public_key_pem) == "ED25519");
  auto ca = pki::create_ca({"ca", {}}, loop->clock().wall(), 24h);
  answer(q, "Issued", "said the signer\n" + ca->certificate);
  REQUIRE(first);
  REQUIRE(*first);
  CHECK((*first)->chain == ca->certificate);
  CHECK(*pki::public_key_of((*first)->key) == stub->public_key_pem);
  CHECK(changed == std::vector<std::string>{"pod-uid"});
  // While it is fresh nothing is asked.
  std::optional<Result<Credential>> again;
  begin(&again);
  CHECK((*again)->key == (*first)->key);
  CHECK(requests().size() == 1);
  auto refresh = cache.next_refresh(pod);
  REQUIRE(refresh);
  CHECK(*refresh >= loop->clock().wall() + 29min);
  CHECK(*refresh < loop->clock().wall() + 36min);
  // Its time comes: the old one serves until the new one is there.
  loop->run_for(36min);
  std::optional<Result<Credential>> old, fresh;
  begin(&old);
  REQUIRE(requests().size() == 2);
  CHECK((*old)->key == (*first)->key);
  PodCertificateRequest second = requests()[0].metadata.name == q.metadata.name ? requests()[1] : requests()[0];
  answer(second, "Issued", ca->certificate);
  begin(&fresh);
  CHECK((*fresh)->key != (*first)->key);
  CHECK(changed.size() == 2);
}

TEST_CASE_METHOD(World, "a refusal is final, silence is not") {
  std::optional<Result<Credential>> waiting;
  begin(&waiting);
  loop->run_for(11s);
  REQUIRE(waiting);
  CHECK(waiting->status().message() == "credential bundle is not issued yet");
  std::optional<Result<Credential>> asked_again;
  begin(&asked_again);
  CHECK(requests().size() == 1);  // the same request is waited for
  answer(requests()[0], "Denied");
  REQUIRE(asked_again);
  CHECK(asked_again->status().message() == "PodCertificateRequest was permanently denied: reason=\"Why\" message=\"because\"");
  std::optional<Result<Credential>> later;
  begin(&later);
  CHECK(later->is(Reason::Forbidden));
  CHECK(requests().size() == 1);
}
