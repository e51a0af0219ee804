// ServiceAccount: every pod runs as a service account of its namespace, and its containers get that account's token, the
// cluster's CA and the namespace's name in one projected volume.
#include "apiserver/admission/pod_documents.hpp"
#include "apiserver/admission/plugins.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/names.hpp>
#include <onebin/async/channel.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>

#include <set>

namespace onebin::apiserver {
namespace {

using apimachinery::array_at;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::object_at;
using apimachinery::string_at;
using Account = api::core::v1::ServiceAccount;

constexpr char kMountPath[] = "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr char kVolumePrefix[] = "kube-api-access-";
constexpr char kMountable[] = "kubernetes.io/enforce-mountable-secrets";
constexpr std::int64_t kTokenSeconds = 3607;
// How long a pod may wait for its namespace's default account, which a controller is about to make.
constexpr Duration kDefaultAccountWait = 1s;

Document token_volume(std::string volume) {
  Document token = {{"serviceAccountToken", {{"path", "token"}, {"expirationSeconds", kTokenSeconds}}}};
  Document ca_item = {{"key", "ca.crt"}, {"path", "ca.crt"}};
  Document ca = {{"configMap", {{"name", "kube-root-ca.crt"}, {"items", Document::array({std::move(ca_item)})}}}};
  Document ns_item = {{"path", "namespace"}, {"fieldRef", {{"apiVersion", "v1"}, {"fieldPath", "metadata.namespace"}}}};
  Document ns = {{"downwardAPI", {{"items", Document::array({std::move(ns_item)})}}}};
  Document sources = Document::array({std::move(token), std::move(ca), std::move(ns)});
  return {{"name", std::move(volume)}, {"projected", {{"defaultMode", 0644}, {"sources", std::move(sources)}}}};
}

// True when the mount was added: a container that has something else at the path keeps it.
bool add_mount(Document& container, const std::string& volume) {
  Document& mounts = array_at(container, "volumeMounts");
  for (const auto& m : mounts)
    if (string_at(m, "mountPath") == kMountPath) return false;
  mounts.push_back({{"name", volume}, {"readOnly", true}, {"mountPath", kMountPath}});
  return true;
}

void mount_token(Document& spec, Rng& rng) {
  std::string volume;
  for (const auto& v : items(spec, "volumes"))
    if (starts_with(string_at(v, "name"), kVolumePrefix)) volume = string_at(v, "name");
  bool there = !volume.empty(), needed = false;
  if (!there) volume = kVolumePrefix + random_suffix(rng, 5);
  for (const char* field : {"initContainers", "containers"})
    if (Document* list = find_member(spec, field); list && list->is_array())
      for (auto& c : *list) needed = add_mount(c, volume) || needed;
  if (needed && !there) array_at(spec, "volumes").push_back(token_volume(volume));
}

bool automounts(const Account& account, const Document& spec) {
  if (const Document* wish = find_member(spec, "automountServiceAccountToken"); wish && wish->is_boolean()) return wish->get<bool>();
  return account.automount_service_account_token.value_or(true);
}

bool enforces_mountable(const Account& account) {
  auto it = account.metadata.annotations.find(kMountable);
  if (it == account.metadata.annotations.end()) return false;
  for (std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"})
    if (it->second == yes) return true;
  return false;
}

// The first environment variable or source of `container` that names a Secret outside `allowed`; "" when there is none.
std::string forbidden_env(const Document& container, const char* what, const std::set<std::string, std::less<>>& allowed, const std::string& account) {
  std::string head = std::string(what) + " " + std::string(string_at(container, "name")) + " with ";
  std::string tail = "\" is not allowed because service account " + account + " does not reference that secret";
  for (const auto& e : items(container, "env")) {
    const Document& ref = apimachinery::at_path(e, {"valueFrom", "secretKeyRef"});
    if (ref.is_object() && !allowed.count(string_at(ref, "name")))
      return head + "envVar " + std::string(string_at(e, "name")) + " referencing secret.secretName=\"" + std::string(string_at(ref, "name")) + tail;
  }
  for (const auto& e : items(container, "envFrom")) {
    const Document& ref = member(e, "secretRef");
    if (ref.is_object() && !allowed.count(string_at(ref, "name")))
      return head + "envFrom referencing secret.secretName=\"" + std::string(string_at(ref, "name")) + tail;
  }
  return {};
}

class ServiceAccountAdmission final : public AdmissionPlugin {
 public:
  ServiceAccountAdmission(Lister& lister, Rng& rng) : lister_(lister), rng_(rng) {
    lister.subscribe("", "serviceaccounts", [this](std::string_view, std::string_view name, const Bytes&, const Bytes& now) {
      if (now && name == "default") default_made_.notify();
    });
  }
  std::string_view name() const override { return "ServiceAccount"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override {
    if (!a.object) return false;
    return a.operation == Operation::Create ? a.is("", "pods") : a.is("", "pods", "ephemeralcontainers");
  }

  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    if (a.operation != Operation::Create || is_mirror_pod(*a.object)) co_return Result<void>();
    Document& spec = object_at(*a.object, "spec");
    if (string_at(spec, "serviceAccountName").empty()) spec["serviceAccountName"] = "default";
    spec["serviceAccount"] = spec["serviceAccountName"];
    std::string account_name(string_at(spec, "serviceAccountName"));
    Result<Account> account = co_await find_account(a.ns, account_name);
    if (account.is(Reason::Cancelled)) co_return account.status();
    if (!account) co_return admission_forbidden(a, missing(a.ns, account_name));
    if (automounts(*account, spec)) mount_token(spec, rng_);
    if (items(spec, "imagePullSecrets").empty())
      for (const auto& s : account->image_pull_secrets) array_at(spec, "imagePullSecrets").push_back({{"name", s.name}});
    co_return Result<void>();
  }

  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    if (a.operation == Operation::Create && is_mirror_pod(*a.object)) {
      std::string why = mirror_pod_fault(*a.object);
      if (!why.empty()) co_return admission_forbidden(a, why);
      co_return Result<void>();
    }
    const Document& spec = member(*a.object, "spec");
    std::string account_name(string_at(spec, "serviceAccountName"));
    if (account_name.empty())
      co_return admission_forbidden(a, "no service account specified for pod " + a.ns + "/" + std::string(apimachinery::name_of(*a.object)));
    auto account = lister_.get<Account>(a.ns, account_name);
    if (!account) co_return admission_forbidden(a, missing(a.ns, account_name));
    if (!enforces_mountable(*account)) co_return Result<void>();
    std::string why = a.operation == Operation::Create ? secrets_fault(spec, *account) : ephemeral_fault(spec, *account);
    if (!why.empty()) co_return admission_forbidden(a, why);
    co_return Result<void>();
  }

 private:
  static std::string missing(const std::string& ns, const std::string& name) {
    std::string why = "error looking up service account " + ns + "/" + name + ": ";
    auto problems = apimachinery::is_valid_path_segment_name(name);  // nothing of such a name can be asked for
    if (problems.empty()) return why + "serviceaccount \"" + name + "\" not found";
    return why + "invalid resource name " + apimachinery::go_quote(name) + ": [" + join(problems, " ") + "]";
  }

  async::Task<Result<Account>> find_account(std::string ns, std::string name) {
    SteadyTime until = async::Loop::current().now() + kDefaultAccountWait;
    for (;;) {
      auto account = lister_.get<Account>(ns, name);
      if (account) co_return Result<Account>(std::move(*account));
      Duration left = until - async::Loop::current().now();
      if (name != "default" || left <= Duration::zero()) co_return not_found("serviceaccount", name);
      Result<void> woken = co_await async::with_timeout(left, default_made_.wait());
      if (woken.is(Reason::Cancelled)) co_return woken.status();
    }
  }

  static std::string mirror_pod_fault(const Document& pod) {
    const Document& spec = member(pod, "spec");
    if (!string_at(spec, "serviceAccountName").empty()) return "a mirror pod may not reference service accounts";
    if (!referenced_secrets(pod).empty()) return "a mirror pod may not reference secrets";
    for (const auto& v : items(spec, "volumes"))
      for (const auto& s : items(member(v, "projected"), "sources"))
        if (find_member(s, "serviceAccountToken")) return "a mirror pod may not use ServiceAccountToken volume projections";
    return {};
  }

  static std::set<std::string, std::less<>> mountable(const Account& account) {
    std::set<std::string, std::less<>> out;
    for (const auto& s : account.secrets) out.insert(s.name);
    return out;
  }

  static std::string ephemeral_fault(const Document& spec, const Account& account) {
    auto allowed = mountable(account);
    for (const auto& c : items(spec, "ephemeralContainers"))
      if (std::string why = forbidden_env(c, "ephemeral container", allowed, account.metadata.name); !why.empty()) return why;
    return {};
  }

  static std::string secrets_fault(const Document& spec, const Account& account) {
    const std::string& me = account.metadata.name;
    auto allowed = mountable(account);
    for (const auto& v : items(spec, "volumes")) {
      const Document& s = member(v, "secret");
      if (s.is_object() && !allowed.count(string_at(s, "secretName")))
        return "volume with secret.secretName=\"" + std::string(string_at(s, "secretName")) + "\" is not allowed because service account " + me +
               " does not reference that secret";
    }
    for (const auto& c : items(spec, "initContainers"))
      if (std::string why = forbidden_env(c, "init container", allowed, me); !why.empty()) return why;
    for (const auto& c : items(spec, "containers"))
      if (std::string why = forbidden_env(c, "container", allowed, me); !why.empty()) return why;
    std::set<std::string, std::less<>> pull;
    for (const auto& s : account.image_pull_secrets) pull.insert(s.name);
    std::size_t i = 0;
    for (const auto& s : items(spec, "imagePullSecrets")) {
      if (!pull.count(string_at(s, "name")))
        return "imagePullSecrets[" + std::to_string(i) + "].name=\"" + std::string(string_at(s, "name")) + "\" is not allowed because service account " + me +
               " does not reference that imagePullSecret";
      ++i;
    }
    return {};
  }

  const Lister& lister_;
  Rng& rng_;
  async::Notify default_made_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_service_account_admission(Lister& lister, Rng& rng) {
  return std::make_unique<ServiceAccountAdmission>(lister, rng);
}

}  // namespace onebin::apiserver
