// Kinds outside core, apps and batch that have rules of their own.
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>

#include <arpa/inet.h>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

StrategyPtr make_event_strategy(const KindSchema& k);
StrategyPtr make_endpoint_slice_strategy(const KindSchema& k);

namespace {

template <class S>
StrategyPtr make(const KindSchema& k) { return std::make_shared<S>(k); }

class Base : public Strategy {
 public:
  explicit Base(const KindSchema& k) : Strategy(k) { set_flags(*this); }
};

class NetworkPolicyStrategy final : public Base {
 public:
  using Base::Base;
  void set_defaults(Document& o) const override {
    Document& spec = apimachinery::object_at(o, "spec");
    if (each(spec, "policyTypes").empty()) {
      spec["policyTypes"] = Document::array({"Ingress"});
      if (!each(spec, "egress").empty()) spec["policyTypes"].push_back("Egress");
    }
    for (const char* side : {"ingress", "egress"})
      if (Document* rules = find_member(spec, side); rules && rules->is_array())
        for (auto& r : *rules)
          if (Document* ports = find_member(r, "ports"); ports && ports->is_array())
            for (auto& p : *ports)
              if (string_at(p, "protocol").empty()) p["protocol"] = "TCP";
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    FieldPath path = FieldPath("spec").child("podSelector");
    if (const Document* s = find_member(member(o, "spec"), "podSelector")) apimachinery::append(errors, apimachinery::validate_label_selector(*s, path));
  }
};

class IngressStrategy final : public Base {
 public:
  using Base::Base;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& spec = member(o, "spec");
    FieldPath path("spec");
    if (each(spec, "rules").empty() && !member(spec, "defaultBackend").is_object())
      errors.push_back(field_invalid(path, each(spec, "rules"), "either `defaultBackend` or `rules` must be specified"));
    std::size_t i = 0;
    for (const auto& r : each(spec, "rules")) {
      FieldPath at = path.child("rules").index(i++);
      std::string host(string_at(r, "host"));
      if (!host.empty()) {
        auto problems = starts_with(host, "*") ? apimachinery::is_wildcard_dns1123_subdomain(host) : apimachinery::is_dns1123_subdomain(host);
        for (auto& m : problems) errors.push_back(field_invalid(at.child("host"), host, m));
      }
      std::size_t j = 0;
      for (const auto& p : each(member(r, "http"), "paths")) {
        FieldPath where = at.child("http").child("paths").index(j++);
        std::string type(string_at(p, "pathType")), text(string_at(p, "path"));
        if (type.empty()) errors.push_back(field_required(where.child("pathType"), "pathType must be specified"));
        else if (type != "Exact" && type != "Prefix" && type != "ImplementationSpecific")
          errors.push_back(field_not_supported(where.child("pathType"), type, {"Exact", "ImplementationSpecific", "Prefix"}));
        else if (type != "ImplementationSpecific" && (text.empty() || text[0] != '/')) errors.push_back(field_invalid(where.child("path"), text, "must be an absolute path"));
      }
    }
  }
};

class RoleBindingStrategy final : public Base {
 public:
  using Base::Base;
  void set_defaults(Document& o) const override {
    if (Document* ref = find_member(o, "roleRef"); ref && ref->is_object() && string_at(*ref, "apiGroup").empty()) (*ref)["apiGroup"] = "rbac.authorization.k8s.io";
    if (Document* subjects = find_member(o, "subjects"); subjects && subjects->is_array())
      for (auto& s : *subjects)
        if (string_at(s, "apiGroup").empty() && (string_at(s, "kind") == "User" || string_at(s, "kind") == "Group")) s["apiGroup"] = "rbac.authorization.k8s.io";
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& ref = member(o, "roleRef");
    FieldPath path("roleRef");
    if (string_at(ref, "apiGroup") != "rbac.authorization.k8s.io") errors.push_back(field_not_supported(path.child("apiGroup"), string_at(ref, "apiGroup"), {"rbac.authorization.k8s.io"}));
    std::string k(string_at(ref, "kind"));
    bool cluster = kind->kind == "ClusterRoleBinding";
    if (k != "ClusterRole" && (cluster || k != "Role"))
      errors.push_back(field_not_supported(path.child("kind"), k, cluster ? std::vector<std::string>{"ClusterRole"} : std::vector<std::string>{"ClusterRole", "Role"}));
    if (string_at(ref, "name").empty()) errors.push_back(field_required(path.child("name")));
    std::size_t i = 0;
    for (const auto& s : each(o, "subjects")) {
      FieldPath at = FieldPath("subjects").index(i++);
      std::string sk(string_at(s, "kind"));
      if (string_at(s, "name").empty()) errors.push_back(field_required(at.child("name")));
      if (sk != "User" && sk != "Group" && sk != "ServiceAccount") errors.push_back(field_not_supported(at.child("kind"), sk, {"Group", "ServiceAccount", "User"}));
      if (sk == "ServiceAccount" && cluster && string_at(s, "namespace").empty()) errors.push_back(field_required(at.child("namespace")));
    }
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate(c, o, errors);
    if (!semantically_equal(find_member(o, "roleRef"), find_member(old, "roleRef"))) errors.push_back(field_invalid(FieldPath("roleRef"), member(o, "roleRef"), "cannot change roleRef"));
  }
};

class RoleStrategy final : public Base {
 public:
  using Base::Base;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    std::size_t i = 0;
    for (const auto& r : each(o, "rules")) {
      FieldPath at = FieldPath("rules").index(i++);
      if (each(r, "verbs").empty()) errors.push_back(field_required(at.child("verbs"), "verbs must contain at least one value"));
      if (!each(r, "nonResourceURLs").empty()) {
        if (kind->namespaced) errors.push_back(field_invalid(at.child("nonResourceURLs"), r["nonResourceURLs"], "namespaced rules cannot apply to non-resource URLs"));
        if (!each(r, "apiGroups").empty() || !each(r, "resources").empty() || !each(r, "resourceNames").empty())
          errors.push_back(field_invalid(at.child("nonResourceURLs"), r["nonResourceURLs"], "rules cannot apply to both regular resources and non-resource URLs"));
        continue;
      }
      if (each(r, "apiGroups").empty()) errors.push_back(field_required(at.child("apiGroups"), "resource rules must supply at least one api group"));
      if (each(r, "resources").empty()) errors.push_back(field_required(at.child("resources"), "resource rules must supply at least one resource"));
    }
  }
};

// The requester of a signing request is who asks, never who is named.
class SigningRequestStrategy final : public Base {
 public:
  explicit SigningRequestStrategy(const KindSchema& k) : Base(k) { select("spec.signerName"); }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Base::prepare_for_create(c, o);
    Document& spec = apimachinery::object_at(o, "spec");
    for (const char* f : {"username", "uid", "groups", "extra"}) spec.erase(f);
    if (!c.user) return;
    if (!c.user->name.empty()) spec["username"] = c.user->name;
    if (!c.user->uid.empty()) spec["uid"] = c.user->uid;
    if (!c.user->groups.empty()) spec["groups"] = c.user->groups;
    if (!c.user->extra.empty()) spec["extra"] = c.user->extra;
  }
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Base::prepare_for_update(c, o, old);
    o["spec"] = member(old, "spec");
  }
  void prepare_for_status_update(WriteContext& c, Document& o, const Document& old) const override {
    Base::prepare_for_status_update(c, o, old);
    // Approval is another subresource's.
    Document& status = apimachinery::object_at(o, "status");
    Document conditions = Document::array();
    for (const auto& e : each(member(old, "status"), "conditions"))
      if (string_at(e, "type") == "Approved" || string_at(e, "type") == "Denied") conditions.push_back(e);
    for (const auto& e : each(status, "conditions"))
      if (string_at(e, "type") != "Approved" && string_at(e, "type") != "Denied") conditions.push_back(e);
    for (auto& e : conditions) {
      if (string_at(e, "lastUpdateTime").empty()) e["lastUpdateTime"] = format_rfc3339(c.now);
      if (string_at(e, "lastTransitionTime").empty()) e["lastTransitionTime"] = format_rfc3339(c.now);
    }
    if (conditions.empty()) status.erase("conditions");
    else status["conditions"] = std::move(conditions);
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& spec = member(o, "spec");
    FieldPath path("spec");
    auto pem = base64_decode(string_at(spec, "request"));
    auto request = pem ? pki::parse_request(*pem) : Result<pki::RequestInfo>(bad_request("not base64"));
    if (!request) errors.push_back(field_invalid(path.child("request"), string_at(spec, "request"), "PEM block type must be CERTIFICATE REQUEST"));
    if (each(spec, "usages").empty()) errors.push_back(field_required(path.child("usages")));
    std::string signer(string_at(spec, "signerName"));
    if (signer.empty()) errors.push_back(field_required(path.child("signerName")));
    else if (signer.find('/') == std::string::npos)
      errors.push_back(field_invalid(path.child("signerName"), signer, "must be a fully qualified domain and path of the form 'example.com/signer-name'"));
    const Document* seconds = find_member(spec, "expirationSeconds");
    if (seconds && seconds->is_number() && seconds->get<std::int64_t>() < 600) errors.push_back(field_invalid(path.child("expirationSeconds"), *seconds, "may not specify a duration less than 600 seconds (10 minutes)"));
  }
  void validate_update(WriteContext&, const Document&, const Document&, FieldErrors&) const override {}
};

class DisruptionBudgetStrategy final : public Base {
 public:
  using Base::Base;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& spec = member(o, "spec");
    FieldPath path("spec");
    if (find_member(spec, "minAvailable") && find_member(spec, "maxUnavailable"))
      errors.push_back(field_invalid(path, spec, "minAvailable and maxUnavailable cannot be both set"));
    for (const char* f : {"minAvailable", "maxUnavailable"}) {
      const Document& v = member(spec, f);
      if (v.is_string())
        for (auto& m : apimachinery::is_valid_percent(v.get<std::string>())) errors.push_back(field_invalid(path.child(f), v, m));
      else if (v.is_number() && v.get<std::int64_t>() < 0)
        errors.push_back(field_invalid(path.child(f), v, "must be greater than or equal to 0"));
      if (v.is_string() && v.get<std::string>().ends_with('%') && std::strtoll(v.get<std::string>().c_str(), nullptr, 10) > 100)
        errors.push_back(field_invalid(path.child(f), v, "must not be greater than 100%"));
    }
    if (const Document* s = find_member(spec, "selector")) apimachinery::append(errors, apimachinery::validate_label_selector(*s, path.child("selector")));
  }
};

class LeaseStrategy final : public Base {
 public:
  using Base::Base;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& spec = member(o, "spec");
    FieldPath path("spec");
    const Document* d = find_member(spec, "leaseDurationSeconds");
    if (d && d->is_number() && d->get<std::int64_t>() <= 0) errors.push_back(field_invalid(path.child("leaseDurationSeconds"), *d, "must be greater than 0"));
    const Document* t = find_member(spec, "leaseTransitions");
    if (t && t->is_number() && t->get<std::int64_t>() < 0) errors.push_back(field_invalid(path.child("leaseTransitions"), *t, "must be greater than or equal to 0"));
  }
};

class PriorityClassStrategy final : public Base {
 public:
  using Base::Base;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    std::string name(apimachinery::name_of(o));
    std::int64_t value = apimachinery::int_at(o, "value");
    bool system = name == "system-cluster-critical" || name == "system-node-critical";
    if (starts_with(name, "system-") && !system)
      errors.push_back(field_forbidden(FieldPath("metadata").child("name"), "priority class names with 'system-' prefix are reserved for system use only. error: " + name + " is not a known system priority class"));
    if (!system && value > 1000000000) errors.push_back(field_forbidden(FieldPath("value"), "maximum allowed value of a user defined priority is 1000000000"));
  }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    if (apimachinery::int_at(o, "value") != apimachinery::int_at(old, "value")) errors.push_back(field_forbidden(FieldPath("value"), "may not be changed in an update."));
    apimachinery::append(errors, apimachinery::validate_immutable_field(find_member(o, "preemptionPolicy"), find_member(old, "preemptionPolicy"), FieldPath("preemptionPolicy")));
  }
};

class StorageClassStrategy final : public Base {
 public:
  using Base::Base;
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    if (!semantically_equal(find_member(o, "parameters"), find_member(old, "parameters"))) errors.push_back(field_forbidden(FieldPath("parameters"), "updates to parameters are forbidden."));
    for (const char* f : {"provisioner", "reclaimPolicy"})
      if (string_at(o, f) != string_at(old, f)) errors.push_back(field_forbidden(FieldPath(f), "updates to " + std::string(f) + " are forbidden."));
    apimachinery::append(errors, apimachinery::validate_immutable_field(find_member(o, "volumeBindingMode"), find_member(old, "volumeBindingMode"), FieldPath("volumeBindingMode")));
  }
};

// An IPAddress is named by its address, in the one form in which that is written.
apimachinery::NameProblems name_is_ip(std::string_view name, bool) {
  std::string text(name);
  unsigned char raw[16];
  char back[INET6_ADDRSTRLEN] = {};
  for (int family : {AF_INET, AF_INET6})
    if (inet_pton(family, text.c_str(), raw) == 1 && inet_ntop(family, raw, back, sizeof back) && text == back) return {};
  return {"must be a valid IP address in canonical form"};
}

// A bundle of a signer carries the signer's name in its own: "example.com:signer:NAME" for example.com/signer.
class TrustBundleStrategy final : public Base {
 public:
  explicit TrustBundleStrategy(const KindSchema& k) : Base(k) {
    name_rule = apimachinery::name_is_path_segment;
    select("spec.signerName");
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    FieldPath path = FieldPath("metadata").child("name");
    std::string prefix(string_at(member(o, "spec"), "signerName"));
    std::string name(apimachinery::name_of(o));
    if (!prefix.empty()) {
      std::replace(prefix.begin(), prefix.end(), '/', ':');
      prefix += ':';
      if (!starts_with(name, prefix)) {
        errors.push_back(field_invalid(path, name, "ClusterTrustBundle for signerName must be named with prefix " + prefix));
        return;
      }
    }
    for (auto& m : apimachinery::is_dns1123_subdomain(std::string_view(name).substr(prefix.size()))) errors.push_back(field_invalid(path, name, m));
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate(c, o, errors);
    apimachinery::append(errors, apimachinery::validate_immutable_field(find_member(member(o, "spec"), "signerName"), find_member(member(old, "spec"), "signerName"),
                                                                        FieldPath("spec").child("signerName")));
  }
};

class SelectableStrategy final : public Base {
 public:
  explicit SelectableStrategy(const KindSchema& k) : Base(k) {
    if (k.kind == "ResourceSlice") {
      select("spec.nodeName");
      select("spec.driver");
    } else if (k.kind == "PodCertificateRequest") {
      select("spec.signerName");
      select("spec.podName");
      select("spec.nodeName");
    } else if (k.kind == "IPAddress") {
      name_rule = name_is_ip;
      select("spec.parentRef.name");
    }
  }
};

}  // namespace

StrategyMaker other_strategy(std::string_view group, std::string_view kind) {
  if (group == "events.k8s.io" && kind == "Event") return make_event_strategy;
  if (kind == "NetworkPolicy") return make<NetworkPolicyStrategy>;
  if (kind == "Ingress") return make<IngressStrategy>;
  if (kind == "RoleBinding" || kind == "ClusterRoleBinding") return make<RoleBindingStrategy>;
  if (kind == "Role" || kind == "ClusterRole") return make<RoleStrategy>;
  if (kind == "CertificateSigningRequest") return make<SigningRequestStrategy>;
  if (kind == "PodDisruptionBudget") return make<DisruptionBudgetStrategy>;
  if (kind == "EndpointSlice") return make_endpoint_slice_strategy;
  if (kind == "Lease") return make<LeaseStrategy>;
  if (kind == "PriorityClass") return make<PriorityClassStrategy>;
  if (kind == "StorageClass") return make<StorageClassStrategy>;
  if (kind == "ClusterTrustBundle") return make<TrustBundleStrategy>;
  if (kind == "ResourceSlice" || kind == "PodCertificateRequest" || kind == "IPAddress") return make<SelectableStrategy>;
  return nullptr;
}

}  // namespace onebin::apiserver
