// The `default` service account and the kube-root-ca.crt ConfigMap of every namespace; and old bootstrap tokens.
#include "controllers.hpp"

#include <onebin/api/core_v1.hpp>

#include <onebin/base/bytes.hpp>

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
constexpr char kDefault[] = "default", kRootCa[] = "kube-root-ca.crt";

class ServiceAccounts final : public Controller {
 public:
  explicit ServiceAccounts(Context& c)
      : Controller(c, "service-account-controller"), namespaces_(c.informers->get<v1::Namespace>()), accounts_(c.informers->get<v1::ServiceAccount>()) {
    needs(namespaces_);
    needs(accounts_);
    namespaces_.on_event([this](const std::string& key, const v1::Namespace*, const v1::Namespace* now) { if (now) queue_.add(key); });
    accounts_.on_event([this](const std::string&, const v1::ServiceAccount* before, const v1::ServiceAccount* now) {
      if (!now && before->metadata.name == kDefault) queue_.add(before->metadata.namespace_);
    });
  }

 private:
  async::Task<ReconcileResult> reconcile(std::string ns) override {
    std::optional<v1::Namespace> n = namespaces_.get(ns);
    if (!n || n->metadata.deletion_timestamp || accounts_.RawInformer::get(client::object_key(ns, kDefault))) co_return ReconcileResult{};
    v1::ServiceAccount a;
    a.metadata.name = kDefault;
    a.metadata.namespace_ = ns;
    auto r = co_await client_.create(ns, std::move(a));
    // A namespace that ends takes nothing new, and needs nothing.
    co_return ReconcileResult{r.is(Reason::AlreadyExists) || r.is(Reason::Forbidden) || r.is(Reason::NotFound) ? Status() : r.status()};
  }
  client::Informer<v1::Namespace>& namespaces_;
  client::Informer<v1::ServiceAccount>& accounts_;
};

class RootCa final : public Controller {
 public:
  explicit RootCa(Context& c)
      : Controller(c, "root-ca-cert-publisher"), namespaces_(c.informers->get<v1::Namespace>()), maps_(c.informers->get<v1::ConfigMap>()) {
    needs(namespaces_);
    needs(maps_);
    namespaces_.on_event([this](const std::string& key, const v1::Namespace*, const v1::Namespace* now) { if (now) queue_.add(key); });
    maps_.add_handler([this](const std::string& key, const Bytes& before, const Bytes&) {
      auto [ns, name] = client::split_key(key);
      if (before && name == kRootCa) queue_.add(ns);
    });
  }

 private:
  async::Task<ReconcileResult> reconcile(std::string ns) override {
    std::optional<v1::Namespace> n = namespaces_.get(ns);
    if (!n || n->metadata.deletion_timestamp) co_return ReconcileResult{};
    std::map<std::string, std::string> data{{"ca.crt", context_.options->root_ca_pem}};
    std::optional<v1::ConfigMap> m = maps_.get(ns, kRootCa);
    if (m && m->data == data) co_return ReconcileResult{};
    Status s;
    if (m) {
      m->data = data;
      auto r = co_await client_.update(std::move(*m));
      s = r.status();
    } else {
      v1::ConfigMap made;
      made.metadata.name = kRootCa;
      made.metadata.namespace_ = ns;
      made.metadata.annotations["kubernetes.io/description"] =
          "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or "
          "kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";
      made.data = data;
      auto r = co_await client_.create(ns, std::move(made));
      s = r.status();
    }
    bool over = s.is(Reason::AlreadyExists) || s.is(Reason::Forbidden) || s.is(Reason::NotFound);
    co_return ReconcileResult{over ? Status() : s};
  }
  client::Informer<v1::Namespace>& namespaces_;
  client::Informer<v1::ConfigMap>& maps_;
};

// Bootstrap tokens whose time is over are deleted.
class TokenCleaner final : public Controller {
 public:
  explicit TokenCleaner(Context& c) : Controller(c, "token-cleaner"), secrets_(c.informers->get<v1::Secret>()) {
    needs(secrets_);
    secrets_.on_event([this](const std::string& key, const v1::Secret*, const v1::Secret* now) {
      if (now && now->type == "bootstrap.kubernetes.io/token" && now->metadata.namespace_ == "kube-system") queue_.add(key);
    });
  }

 private:
  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<v1::Secret> s = secrets_.get(key);
    if (!s) co_return ReconcileResult{};
    auto expiration = s->data.find("expiration");
    if (expiration == s->data.end()) co_return ReconcileResult{};
    std::optional<WallTime> at = parse_rfc3339(expiration->second);
    if (at && *at > context_.now()) co_return ReconcileResult{Status(), *at - context_.now()};
    client::DeleteOptions options;
    options.uid = s->metadata.uid;
    Result<void> r = co_await client_.remove<v1::Secret>(s->metadata.namespace_, s->metadata.name, options);
    co_return ReconcileResult{r.is(Reason::NotFound) ? Status() : r.status()};
  }
  client::Informer<v1::Secret>& secrets_;
};

}  // namespace

std::unique_ptr<Controller> make_serviceaccount_controller(Context& c) { return std::make_unique<ServiceAccounts>(c); }
std::unique_ptr<Controller> make_root_ca_publisher(Context& c) { return std::make_unique<RootCa>(c); }
std::unique_ptr<Controller> make_token_cleaner(Context& c) { return std::make_unique<TokenCleaner>(c); }

}  // namespace onebin::controller
