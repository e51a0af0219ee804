// certificates.k8s.io: CertificateSigningRequest, ClusterTrustBundle.
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_certificates.hpp"
#include "apiserver/registry/pod_spec.hpp"
#include "apiserver/user_document.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

namespace {

// The PEM blocks of a text: kind, and the block itself.
std::vector<std::pair<std::string, std::string>> pem_blocks(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> out;
  constexpr std::string_view kBegin = "-----BEGIN ", kDashes = "-----";
  for (std::size_t at = 0; (at = text.find(kBegin, at)) != std::string_view::npos;) {
    std::size_t name = at + kBegin.size(), name_end = text.find(kDashes, name);
    if (name_end == std::string_view::npos) break;
    std::string kind(text.substr(name, name_end - name)), end = "-----END " + kind + "-----";
    std::size_t stop = text.find(end, name_end);
    if (stop == std::string_view::npos) break;
    out.emplace_back(kind, std::string(text.substr(at, stop + end.size() - at)) + "\n");
    at = stop + end.size();
  }
  return out;
}

bool has_headers(const std::string& block) {
  std::size_t line = block.find('\n'), end = block.find("-----END");
  return block.find(':', line) < end;
}

// ---- CertificateSigningRequest

bool is_approval(std::string_view type) { return type == "Approved" || type == "Denied"; }

std::vector<Document> conditions_of(const Document& o, std::string_view type) {
  std::vector<Document> out;
  for (const auto& c : each(member(o, "status"), "conditions"))
    if (string_at(c, "type") == type) out.push_back(c);
  return out;
}

// Conditions without times have them from now; a condition that was in the same state has been since then.
void stamp_conditions(Document& o, const Document& old, WallTime now) {
  Document* list = find_member(apimachinery::object_at(o, "status"), "conditions");
  if (!list || !list->is_array()) return;
  for (auto& e : *list) {
    if (!e.is_object()) continue;
    if (string_at(e, "lastUpdateTime").empty()) e["lastUpdateTime"] = format_rfc3339(now);
    if (!string_at(e, "lastTransitionTime").empty()) continue;
    std::string since = format_rfc3339(now);
    for (const auto& was : conditions_of(old, string_at(e, "type")))
      if (string_at(was, "status") == string_at(e, "status") && !string_at(was, "lastTransitionTime").empty()) {
        since = string_at(was, "lastTransitionTime");
        break;
      }
    e["lastTransitionTime"] = since;
  }
}

void check_issued_certificate(const Check& certificate) {
  auto pem = base64_decode(certificate.text());
  auto blocks = pem_blocks(pem ? *pem : std::string());
  std::string problem = blocks.empty() ? "must contain at least one CERTIFICATE PEM block" : "";
  for (const auto& [kind, block] : blocks) {
    if (kind != "CERTIFICATE") problem = "only CERTIFICATE PEM blocks are allowed, found \"" + kind + "\"";
    else if (has_headers(block)) problem = "no PEM block headers are permitted";
    else if (auto parsed = pki::parse_certificate(block); !parsed) problem = parsed.status().message();
    if (!problem.empty()) break;
  }
  if (!problem.empty()) certificate.invalid_as("<certificate data>", problem);
}

// The requester of a signing request is who asks, never who is named.
class SigningRequestStrategy final : public Strategy {
 public:
  explicit SigningRequestStrategy(const KindSchema& k) : Strategy(k) {
    set_flags(*this);
    name_rule = apimachinery::name_is_path_segment;
    select("spec.signerName");
  }

  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    Document& spec = apimachinery::object_at(o, "spec");
    for (const char* f : {"username", "uid", "groups", "extra"}) spec.erase(f);
    if (c.user) write_user(spec, *c.user);
  }
  // Approval writes the conditions alone.
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    bool approval = c.subresource == "approval";
    if (approval) stamp_conditions(o, old, c.now);
    Document conditions = member(member(o, "status"), "conditions");
    Strategy::prepare_for_update(c, o, old);
    o["spec"] = member(old, "spec");
    if (!approval) return;
    Document& status = apimachinery::object_at(o, "status");
    if (conditions.is_null()) status.erase("conditions");
    else status["conditions"] = std::move(conditions);
  }
  void prepare_for_status_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_status_update(c, o, old);
    // Approval is another subresource's: its conditions stay as they are, and more or fewer of them are told of.
    Document* list = find_member(apimachinery::object_at(o, "status"), "conditions");
    if (!list || !list->is_array()) return;
    for (const char* type : {"Approved", "Denied"}) {
      auto before = conditions_of(old, type);
      if (conditions_of(o, type).size() != before.size()) continue;
      auto next = before.begin();
      for (auto& e : *list)
        if (string_at(e, "type") == type) e = *next++;
    }
    stamp_conditions(o, old, c.now);
  }

  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override { check(o, nullptr, errors); }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    check(o, &old, errors);
    check_change(o, old, c.subresource == "approval", false, errors);
  }
  void validate_status_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    check(o, &old, errors);
    check_change(o, old, false, true, errors);
  }

 private:
  static void check(const Document& o, const Document* old, FieldErrors& errors) {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check request = spec["request"], usages = spec["usages"], signer = spec["signerName"], seconds = spec["expirationSeconds"];
    auto pem = base64_decode(request.text());
    auto parsed = pem ? pki::parse_request(*pem) : Result<pki::RequestInfo>(bad_request("not base64"));
    if (!parsed) request.invalid_as(request.set() ? Document(request.text()) : Document(), "PEM block type must be CERTIFICATE REQUEST");
    usages.need();
    if (!old) check_usages(usages);
    if (signer.is("kubernetes.io/legacy-unknown") && !old) signer.invalid("the legacy signerName is not allowed via this API version");
    else validate_signer_name(signer.text(), signer.path(), errors);
    if (seconds.set() && seconds.number() < 600) seconds.invalid("may not specify a duration less than 600 seconds (10 minutes)");
    Check status(member(o, "status"), FieldPath("status"), errors);
    check_conditions(status["conditions"]);
    Check certificate = status["certificate"];
    if (!certificate.empty() && (!old || string_at(member(*old, "status"), "certificate") != certificate.text())) check_issued_certificate(certificate);
  }

  static void check_usages(const Check& usages) {
    std::set<std::string_view> seen;
    for (std::size_t i = 0; i < usages.size(); ++i)
      usages[i].one_of({"any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only",
                        "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement",
                        "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping"});
    for (std::size_t i = 0; i < usages.size(); ++i)
      if (!seen.insert(usages[i].text()).second) usages[i].duplicate();
  }

  static void check_conditions(const Check& list) {
    std::set<std::string_view> seen;
    for (std::size_t i = 0; i < list.size(); ++i) {
      Check type = list[i]["type"], status = list[i]["status"];
      type.need();
      if (status.need()) {
        if (is_approval(type.text()) || type.is("Failed")) status.one_of({"True"});
        else status.one_of({"False", "True", "Unknown"});
      }
      if (!seen.insert(type.text()).second) type.duplicate();
    }
    if (seen.count("Approved") && seen.count("Denied"))
      list.invalid(R"(must specify at most one of: `conditions[{"type": "Approved"}]`, `conditions[{"type": "Denied"}]`)");
  }

  static void check_change(const Document& o, const Document& old, bool approval, bool certificate, FieldErrors& errors) {
    FieldPath conditions = FieldPath("status").child("conditions"), path = FieldPath("status").child("certificate");
    for (const char* type : {"Approved", "Denied", "Failed"}) {
      auto now = conditions_of(o, type), before = conditions_of(old, type);
      std::string quoted = "\"" + std::string(type) + "\"";
      if (now.size() < before.size()) errors.push_back(field_forbidden(conditions, "updates may not remove a condition of type " + quoted));
      if (!is_approval(type) || approval) continue;
      if (now.size() > before.size()) errors.push_back(field_forbidden(conditions, "updates may not add a condition of type " + quoted));
      else if (now.size() == before.size() && now != before) errors.push_back(field_forbidden(conditions, "updates may not modify a condition of type " + quoted));
    }
    std::string_view now = string_at(member(o, "status"), "certificate"), before = string_at(member(old, "status"), "certificate");
    if (now == before) return;
    if (!certificate) errors.push_back(field_forbidden(path, "updates may not set certificate content"));
    else if (!before.empty()) errors.push_back(field_forbidden(path, "updates may not modify existing certificate content"));
  }
};

// ---- ClusterTrustBundle

void check_trust_bundle(const Check& bundle) {
  if (bundle.text().size() > 1024 * 1024) return bundle.too_long(1024 * 1024);
  std::size_t before = bundle.errors().size(), i = 0;
  auto wrong = [&](const std::string& what) { bundle.invalid_as("<value omitted>", what); };
  std::map<std::string, std::vector<std::size_t>> seen;
  for (const auto& [kind, block] : pem_blocks(bundle.text())) {
    std::string entry = "entry " + std::to_string(i++);
    if (kind != "CERTIFICATE") {
      wrong(entry + " has bad block type: " + kind);
      continue;
    }
    if (has_headers(block)) {
      wrong(entry + " has PEM block headers");
      continue;
    }
    auto certificate = pki::parse_certificate(block);
    if (!certificate) wrong(entry + " does not parse as X.509");
    else if (!certificate->is_ca) wrong(entry + " does not have the CA bit set");
    else seen[pki::certificate_hash(block)].push_back(i - 1);
  }
  if (bundle.errors().size() != before) return;
  if (seen.empty()) wrong("at least one trust anchor must be provided");
  for (const auto& [hash, places] : seen) {
    if (places.size() < 2) continue;
    std::string list;
    for (auto p : places) list += (list.empty() ? "" : " ") + std::to_string(p);
    wrong("duplicate trust anchor (indices [" + list + "])");
  }
}

// A bundle of a signer carries the signer's name in its own: "example.com:signer:NAME" for example.com/signer.
class TrustBundleStrategy final : public Strategy {
 public:
  explicit TrustBundleStrategy(const KindSchema& k) : Strategy(k) {
    set_flags(*this);
    name_rule = [](std::string_view, bool) { return apimachinery::NameProblems(); };  // which hangs on the signer
    select("spec.signerName");
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override { check(o, true, errors); }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    check(o, string_at(member(o, "spec"), "trustBundle") != string_at(member(old, "spec"), "trustBundle"), errors);
    Check now(member(o, "spec"), FieldPath("spec"), errors), before(member(old, "spec"), FieldPath("spec"), errors);
    now["signerName"].unchanged(before["signerName"]);
  }

 private:
  static void check(const Document& o, bool parse, FieldErrors& errors) {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    std::string signer(spec["signerName"].text()), prefix = signer;
    std::replace(prefix.begin(), prefix.end(), '/', ':');
    if (!prefix.empty()) prefix += ':';
    for (const char* field : {"name", "generateName"}) {
      std::string name(string_at(member(o, "metadata"), field));
      FieldPath path = FieldPath("metadata").child(field);
      bool generates = std::string_view(field) != "name";
      if (name.empty()) continue;
      if (prefix.empty() && name.find(':') != std::string::npos)
        errors.push_back(field_invalid(path, name, "ClusterTrustBundle without signer name must not have \":\" in its name"));
      else if (!starts_with(name, prefix))
        errors.push_back(field_invalid(path, name, "ClusterTrustBundle for signerName " + signer + " must be named with prefix " + prefix));
      else
        for (auto& m : apimachinery::name_is_dns_subdomain(std::string_view(name).substr(prefix.size()), generates)) errors.push_back(field_invalid(path, name, m));
    }
    if (!signer.empty()) validate_signer_name(spec["signerName"].text(), spec["signerName"].path(), errors);
    if (parse) check_trust_bundle(spec["trustBundle"]);
  }
};

}  // namespace

StrategyMaker certificates_strategy(std::string_view kind) {
  if (kind == "CertificateSigningRequest") return make<SigningRequestStrategy>;
  if (kind == "ClusterTrustBundle") return make<TrustBundleStrategy>;
  if (kind == "PodCertificateRequest") return make_pod_certificate_request_strategy;
  return nullptr;
}

}  // namespace onebin::apiserver
