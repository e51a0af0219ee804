// PodCertificateRequest (KEP-4317), and what projected volumes and it have in common.
// Source of the rules: certificates.k8s.io/v1's documentation of the fields.
#include "apiserver/registry/pod_certificates.hpp"

#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/keys.hpp>
#include <onebin/base/pki.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {
namespace {

using apimachinery::append;
using apimachinery::FieldError;
using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::string_at;

constexpr std::int64_t kMinSeconds = 3600, kMaxSeconds = 91 * 24 * 3600, kMaxOwnSeconds = 24 * 3600;
constexpr int kMaxStub = 10 * 1024, kMaxChain = 100 * 1024, kMaxUid = 128;
constexpr Duration kClockSkew = 5min, kMargin = 10min, kShortest = 1h;

// The signers of kubernetes.io give certificates for a day at most.
std::int64_t longest(std::string_view signer) {
  std::string_view host = signer.substr(0, signer.find('/'));
  return host == "kubernetes.io" || ends_with(host, ".kubernetes.io") ? kMaxOwnSeconds : kMaxSeconds;
}

void validate_annotation_keys(const Document& annotations, const FieldPath& path, FieldErrors& errors) {
  if (!annotations.is_object()) return;
  for (const auto& [key, value] : annotations.items()) {
    std::size_t slash = key.find('/');
    std::string domain = to_lower(key.substr(0, slash));
    if (slash == std::string::npos || slash == 0 || slash + 1 == key.size()) {
      errors.push_back(field_invalid(path, to_lower(key), "must be a domain-prefixed key (such as \"acme.io/foo\")"));
      continue;
    }
    for (auto& m : apimachinery::is_dns1123_subdomain(domain)) errors.push_back(field_invalid(path, domain, m));
  }
}

// An error that doesn't repeat what is wrong.
FieldError unsaid(const FieldPath& path, std::string why) {
  FieldError e = field_invalid(path, nullptr, std::move(why));
  e.omit_value = true;
  return e;
}

class Base : public Strategy {
 public:
  explicit Base(const KindSchema& k) : Strategy(k) { set_flags(*this); }
};

const char* known_condition(const Document& status) {
  for (const auto& c : each(status, "conditions"))
    for (const char* type : {"Issued", "Denied", "Failed"})
      if (string_at(c, "type") == type) return type;
  return nullptr;
}

class PodCertificateRequestStrategy final : public Base {
 public:
  explicit PodCertificateRequestStrategy(const KindSchema& k) : Base(k) {
    for (const char* f : {"spec.signerName", "spec.podName", "spec.nodeName"}) select(f);
  }

  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& spec = member(o, "spec");
    FieldPath path("spec");
    std::string signer(string_at(spec, "signerName"));
    validate_signer_name(signer, path.child("signerName"), errors);
    validate_annotation_keys(member(spec, "unverifiedUserAnnotations"), path.child("unverifiedUserAnnotations"), errors);
    for (const auto& [name, uid] : {std::pair("podName", "podUID"), std::pair("serviceAccountName", "serviceAccountUID"), std::pair("nodeName", "nodeUID")}) {
      for (auto& m : apimachinery::is_dns1123_subdomain(string_at(spec, name))) errors.push_back(field_invalid(path.child(name), string_at(spec, name), m));
      if (string_at(spec, uid).empty()) errors.push_back(field_invalid(path.child(uid), "", "must not be empty"));
      if (string_at(spec, uid).size() > kMaxUid) errors.push_back(field_too_long(path.child(uid), kMaxUid));
    }
    const Document* seconds = find_member(spec, "maxExpirationSeconds");
    if (!seconds || !seconds->is_number_integer()) {
      errors.push_back(field_required(path.child("maxExpirationSeconds"), "must be set"));
      return;
    }
    std::int64_t n = seconds->get<std::int64_t>(), most = longest(signer);
    if (n < kMinSeconds || n > most)
      errors.push_back(field_invalid(path.child("maxExpirationSeconds"), *seconds, "must be in the range [" + std::to_string(kMinSeconds) + ", " + std::to_string(most) + "]"));
    validate_stub(spec, path, errors);
  }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    append(errors, apimachinery::validate_immutable_field(find_member(o, "spec"), find_member(old, "spec"), FieldPath("spec")));
  }
  void validate_status_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    const Document &now = member(o, "status"), &before = member(old, "status");
    FieldPath path("status");
    validate_status_conditions(now, path, errors);
    if (!errors.empty()) return;
    if (known_condition(before)) {
      if (!apimachinery::semantically_equal(find_member(o, "status"), find_member(old, "status")))
        errors.push_back(unsaid(path, "immutable after PodCertificateRequest is issued, denied, or failed"));
      return;
    }
    const char* verdict = known_condition(now);
    if (!verdict) return;
    if (std::string_view(verdict) == "Issued") {
      validate_issued(c, now, member(old, "spec"), path, errors);
      return;
    }
    for (const auto& [field, value] : now.items())
      if (field != "conditions") {
        errors.push_back(unsaid(path, "non-condition status fields must be empty when denying or failing the PodCertificateRequest"));
        return;
      }
  }

 private:
  static void validate_stub(const Document& spec, const FieldPath& path, FieldErrors& errors) {
    auto der = base64_decode(string_at(spec, "stubPKCS10Request"));
    FieldPath at = path.child("stubPKCS10Request");
    if (!der || der->empty()) {
      errors.push_back(unsaid(path, "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set"));
      return;
    }
    if (der->size() > kMaxStub) {
      errors.push_back(field_too_long(at, kMaxStub));
      return;
    }
    Result<pki::RequestInfo> request = pki::parse_request(*der);
    if (!request) errors.push_back(unsaid(at, request.status().message().find("signature") != std::string::npos ? "invalid signature" : "must be a valid PKCS#10 CSR"));
    else if (pki::key_type_of(request->public_key_pem).empty()) errors.push_back(unsaid(at, "unknown public key type; supported types are Ed25519, ECDSA, and RSA"));
  }

  static void validate_status_conditions(const Document& status, const FieldPath& path, FieldErrors& errors) {
    const std::vector<std::string> kKnown = {"Issued", "Denied", "Failed"};
    std::size_t i = 0;
    int known = 0;
    for (const auto& c : each(status, "conditions")) {
      FieldPath at = path.child("conditions").child("[" + std::to_string(i++) + "]");  // as upstream writes it
      std::string type(string_at(c, "type"));
      if (std::find(kKnown.begin(), kKnown.end(), type) == kKnown.end()) {
        errors.push_back(field_not_supported(at.child("type"), type, kKnown));
        continue;
      }
      if (++known > 1) errors.push_back(field_invalid(at.child("type"), type, "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\""));
      if (string_at(c, "status") != "True") errors.push_back(field_not_supported(at.child("status"), string_at(c, "status"), {"True"}));
    }
    append(errors, apimachinery::validate_conditions(member(status, "conditions"), path.child("conditions")));
  }

  static void validate_issued(WriteContext& c, const Document& status, const Document& spec, const FieldPath& path, FieldErrors& errors) {
    std::string chain(string_at(status, "certificateChain"));
    auto refuse = [&](const char* field, Document value, std::string why) { errors.push_back(field_invalid(path.child(field), std::move(value), std::move(why))); };
    if (chain.size() > kMaxChain) {
      errors.push_back(field_too_long(path.child("certificateChain"), kMaxChain));
      return;
    }
    if (chain.find("-----BEGIN") == std::string::npos) return refuse("certificateChain", chain, "issued certificate chain must contain at least one certificate");
    for (std::size_t at = 0; (at = chain.find("-----BEGIN ", at)) != std::string::npos; ++at)
      if (chain.compare(at, 27, "-----BEGIN CERTIFICATE-----") != 0) return refuse("certificateChain", chain, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks");
    Result<std::vector<std::string>> all = pki::split_chain(chain);
    Result<pki::CertificateInfo> leaf = all && !all->empty() ? pki::parse_certificate(all->front()) : Result<pki::CertificateInfo>(bad_request("none"));
    if (!leaf) return refuse("certificateChain", chain, "leaf certificate does not parse as valid X.509");
    for (const auto& more : *all)
      if (!pki::parse_certificate(more)) return refuse("certificateChain", chain, "intermediate certificate does not parse as valid X.509");
    auto stub = base64_decode(string_at(spec, "stubPKCS10Request"));
    Result<pki::RequestInfo> request = pki::parse_request(stub.value_or(""));
    if (!request || request->public_key_pem != leaf->public_key_pem) return refuse("certificateChain", chain, "leaf certificate was not issued to the requested public key");
    struct Times {
      std::optional<WallTime> from, refresh, until;
    } t{parse_rfc3339(string_at(status, "notBefore")), parse_rfc3339(string_at(status, "beginRefreshAt")), parse_rfc3339(string_at(status, "notAfter"))};
    if (!t.from) errors.push_back(field_required(path.child("notBefore"), "must be present and consistent with the issued certificate"));
    if (!t.until) errors.push_back(field_required(path.child("notAfter"), "must be present and consistent with the issued certificate"));
    if (!t.refresh) errors.push_back(field_required(path.child("beginRefreshAt"), "must be present and in the range [notbefore+10min, notafter-10min]"));
    if (!errors.empty()) return;
    if (*t.from != leaf->not_before) return refuse("notBefore", status["notBefore"], "must be set to the NotBefore time encoded in the leaf certificate");
    if (*t.from < c.now - kClockSkew || *t.from > c.now + kClockSkew) return refuse("notBefore", status["notBefore"], "must be set to within 5 minutes of kube-apiserver's current time");
    if (*t.until != leaf->not_after) return refuse("notAfter", status["notAfter"], "must be set to the NotAfter time encoded in the leaf certificate");
    Duration life = leaf->not_after - leaf->not_before;
    std::int64_t most = apimachinery::int_at(spec, "maxExpirationSeconds");
    std::int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(life).count();
    if (life < kShortest) return refuse("certificateChain", seconds, "leaf certificate lifetime must be >= 1 hour");
    if (seconds > most) return refuse("certificateChain", seconds, "leaf certificate lifetime must be <= spec.maxExpirationSeconds (" + std::to_string(most) + ")");
    if (*t.refresh < *t.from + kMargin) return refuse("beginRefreshAt", status["beginRefreshAt"], "must be at least 10 minutes after status.notBefore");
    if (*t.refresh > *t.until - kMargin) return refuse("beginRefreshAt", status["beginRefreshAt"], "must be at least 10 minutes before status.notAfter");
  }
};

// Paths of a projected volume's files: inside it, and each once.
struct Paths {
  const FieldPath& volume;
  FieldErrors& errors;
  std::set<std::string> seen;
  void add(std::string_view path, const FieldPath& at) {
    std::string text(path);
    auto parts = split(text, '/');
    if (starts_with(text, "/")) errors.push_back(field_invalid(at, text, "must be a relative path"));
    if (std::find(parts.begin(), parts.end(), "..") != parts.end()) errors.push_back(field_invalid(at, text, "must not contain '..'"));
    else if (starts_with(text, "..")) errors.push_back(field_invalid(at, text, "must not start with '..'"));
    once(text, text);
  }
  void once(const std::string& text, std::string_view shown) {
    if (!seen.insert(text).second) errors.push_back(field_invalid(volume, shown, "conflicting duplicate paths"));
  }
};

void validate_trust_bundle(const Document& source, const FieldPath& path, Paths& paths, FieldErrors& errors) {
  const Document *name = find_member(source, "name"), *signer = find_member(source, "signerName"), *selector = find_member(source, "labelSelector");
  if (name && signer) {
    errors.push_back(field_invalid(path, source, "only one of name and signerName may be used"));
  } else if (name) {
    std::string text(string_at(source, "name"));
    if (text.empty()) errors.push_back(field_required(path.child("name"), "must be a valid object name"));
    std::size_t end = text.rfind(':');  // of the signer's part, where there is one
    for (auto& m : apimachinery::is_dns1123_subdomain(end == std::string::npos ? text : text.substr(end + 1)))
      errors.push_back(field_invalid(path.child("name"), text, "not a valid clustertrustbundlename: " + m));
    if (selector) errors.push_back(field_invalid(path.child("labelSelector"), *selector, "labelSelector must be unset if name is specified"));
  } else if (signer) {
    if (string_at(source, "signerName").empty()) errors.push_back(field_required(path.child("signerName"), "must be a valid signer name"));
    validate_signer_name(string_at(source, "signerName"), path.child("signerName"), errors);
    if (selector && selector->is_object()) append(errors, apimachinery::validate_label_selector(*selector, path.child("labelSelector")));
  } else {
    errors.push_back(field_required(path, "either name or signerName must be specified"));
  }
  if (string_at(source, "path").empty()) errors.push_back(field_required(path.child("path")));
  paths.add(string_at(source, "path"), path.child("path"));
}

void validate_pod_certificate(const Document& source, const FieldPath& path, Paths& paths, FieldErrors& errors) {
  const std::vector<std::string> kTypes = {"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"};
  std::string signer(string_at(source, "signerName")), type(string_at(source, "keyType"));
  validate_signer_name(signer, path.child("signerName"), errors);
  validate_annotation_keys(member(source, "userAnnotations"), path.child("userAnnotations"), errors);
  if (std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end()) errors.push_back(field_not_supported(path.child("keyType"), type, kTypes));
  if (const Document* s = find_member(source, "maxExpirationSeconds"); s && s->is_number_integer()) {
    std::int64_t n = s->get<std::int64_t>();
    FieldPath at = path.child("maxExpirationSeconds");
    if (n < kMinSeconds) errors.push_back(field_invalid(at, *s, "if provided, maxExpirationSeconds must be >= 3600"));
    if (n > longest(signer)) errors.push_back(field_invalid(at, *s, "if provided, maxExpirationSeconds must be <= " + std::to_string(longest(signer))));
  }
  int given = 0;
  for (const char* f : {"credentialBundlePath", "keyPath", "certificateChainPath"}) {
    if (string_at(source, f).empty()) continue;
    ++given;
    paths.add(string_at(source, f), path.child(f));
  }
  if (!given) errors.push_back(field_required(path, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"));
}

}  // namespace

void validate_signer_name(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  if (name.empty()) {
    errors.push_back(field_required(path));
    return;
  }
  auto segments = split(name, '/');
  if (segments.size() != 2) {
    errors.push_back(field_invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'"));
    return;
  }
  constexpr std::size_t kDomain = 253, kPath = 253 + 63 + 1;
  if (segments[0].size() > kDomain) errors.push_back(field_too_long(path, kDomain));
  auto labels = split(segments[0], '.');
  auto check = [&](const std::string& segment, const std::string& label, const apimachinery::NameProblems& problems) {
    for (const auto& m : problems) errors.push_back(field_invalid(path, segment, "validating label " + go_quote(label) + ": " + m));
    return problems.empty();
  };
  for (const auto& l : labels)
    if (!check(segments[0], l, apimachinery::is_dns1123_label(l))) break;
  if (labels.size() < 2) errors.push_back(field_invalid(path, segments[0], "should be a domain with at least two segments separated by dots"));
  for (const auto& l : split(segments[1], '.'))
    if (!check(segments[1], l, apimachinery::is_dns1123_subdomain(l))) break;
  if (name.size() > kDomain + kPath + 1) errors.push_back(field_too_long(path, kDomain + kPath + 1));
}

void validate_projected(const Document& projected, const FieldPath& path, FieldErrors& errors) {
  Paths paths{path, errors, {}};
  Check list(member(projected, "sources"), path.child("sources"), errors);
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check source = list[i];
    int kinds = 0;
    for (const char* kind : {"secret", "configMap"}) {
      Check at = source[kind];
      if (!at.value().is_object()) continue;
      ++kinds;
      at["name"].need();
      Check items = at["items"];
      for (std::size_t j = 0; j < items.size(); ++j) {
        check_key_to_path(items[j]);
        if (!items[j]["path"].empty()) paths.once(std::string(items[j]["path"].text()), at["name"].text());
      }
    }
    if (Check at = source["downwardAPI"]; at.value().is_object()) {
      ++kinds;
      Check items = at["items"];
      for (std::size_t j = 0; j < items.size(); ++j) {
        check_downward_file(items[j].as(at.path()));
        if (!items[j]["path"].empty()) paths.once(std::string(items[j]["path"].text()), items[j]["path"].text());
      }
    }
    if (Check at = source["serviceAccountToken"]; at.value().is_object()) {
      ++kinds;
      Check seconds = at["expirationSeconds"], file = at["path"].as(path.child("path"));
      if (seconds.number() < 600) seconds.invalid("may not specify a duration less than 10 minutes");
      if (seconds.number() > (std::int64_t{1} << 32)) seconds.invalid("may not specify a duration larger than 2^32 seconds");
      if (file.need()) check_local_path(file);
      check_volume_user(at["user"]);
    }
    if (Check at = source["clusterTrustBundle"]; at.value().is_object()) {
      ++kinds;
      validate_trust_bundle(at.value(), at.path(), paths, errors);
    }
    if (Check at = source["podCertificate"]; at.value().is_object()) {
      ++kinds;
      validate_pod_certificate(at.value(), at.path(), paths, errors);
    }
    if (kinds > 1) source.forbidden("may not specify more than 1 volume type per source");
  }
}

StrategyPtr make_pod_certificate_request_strategy(const KindSchema& kind) { return std::make_shared<PodCertificateRequestStrategy>(kind); }

}  // namespace onebin::apiserver
