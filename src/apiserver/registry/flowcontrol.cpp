// flowcontrol.apiserver.k8s.io and apiregistration.k8s.io.
#include "apiserver/default_objects.hpp"
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/kinds.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <cmath>
#include <set>

namespace onebin::apiserver {

using apimachinery::member;
using apimachinery::semantically_equal;

namespace {

void check_conditions(const Document& object, FieldErrors& errors) {
  Check list = Check(member(object, "status"), FieldPath("status"), errors)["conditions"];
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check type = list[i]["type"];
    if (!seen.insert(type.text()).second) type.duplicate();
    type.need();
  }
}

// ---- FlowSchema

bool has_wildcard(const Check& list) {
  for (std::size_t i = 0; i < list.size(); ++i)
    if (list[i].is("*")) return true;
  return false;
}

// "*" stands alone. True where the list has no wildcard, so that its members count.
bool check_wildcard(const Check& list, const char* others) {
  if (!has_wildcard(list)) return true;
  if (list.size() > 1) list.invalid(std::string("if '*' is present, must not specify other ") + others);
  return false;
}

void check_verbs(const Check& verbs) {
  static constexpr std::string_view kVerbs[] = {"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"};
  if (!verbs.need("verbs must contain at least one value") || !check_wildcard(verbs, "verbs")) return;
  for (std::size_t i = 0; i < verbs.size(); ++i) {
    if (std::find(std::begin(kVerbs), std::end(kVerbs), verbs[i].text()) != std::end(kVerbs)) continue;
    verbs.unsupported({"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"});
    return;
  }
}

void check_path(const Check& p) {
  std::string_view t = p.text();
  auto stars = std::count(t.begin(), t.end(), '*');
  if (t.empty()) p.invalid("must not be empty");
  else if (t == "/") return;
  else if (t[0] != '/') p.invalid("must start with slash");
  else if (t.find(' ') != std::string_view::npos) p.invalid("must not contain white-space");
  else if (t.find("//") != std::string_view::npos) p.invalid("must not contain double slash");
  else if (stars > 1 || (stars == 1 && !t.ends_with("/*"))) p.invalid("wildcard can only do suffix matching");
}

void check_resource_rule(const Check& r) {
  check_verbs(r["verbs"]);
  if (r["apiGroups"].need("resource rules must supply at least one api group") && r["apiGroups"].size() > 1) check_wildcard(r["apiGroups"], "api groups");
  if (r["resources"].need("resource rules must supply at least one resource") && r["resources"].size() > 1) check_wildcard(r["resources"], "resources");
  Check ns = r["namespaces"];
  if (ns.empty() && !r["clusterScope"].flag()) return ns.required("resource rules that are not cluster scoped must supply at least one namespace");
  if (!check_wildcard(ns, "namespaces")) return;
  for (std::size_t i = 0; i < ns.size(); ++i)
    for (const auto& m : apimachinery::is_dns1123_label(ns[i].text())) ns[i].invalid("each member of this list must be '*' or a DNS-1123 label; " + m);
}

void check_subject(const Check& s) {
  struct Member {
    const char *name, *kind;
  };
  static constexpr Member kMembers[] = {{"serviceAccount", "ServiceAccount"}, {"user", "User"}, {"group", "Group"}};
  if (!s["kind"].one_of({"Group", "ServiceAccount", "User"})) return;
  for (auto [name, kind] : kMembers) {
    Check m = s[name];
    if (!s["kind"].is(kind)) {
      if (m.set()) m.forbidden(std::string(name) + " is forbidden when subject kind is not '" + kind + "'");
      continue;
    }
    if (!m.set()) {
      m.required(std::string(name) + " is required when subject kind is '" + kind + "'");
      continue;
    }
    bool account = s["kind"].is("ServiceAccount");
    if (m["name"].need() && account && !m["name"].is("*")) m["name"].named(apimachinery::name_is_dns_subdomain);
    if (account && m["namespace"].need("must specify namespace for service account")) m["namespace"].format(apimachinery::is_dns1123_label);
  }
}

class FlowSchemaStrategy final : public Strategy {
 public:
  explicit FlowSchemaStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    std::string name(apimachinery::name_of(o));
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check precedence = spec["matchingPrecedence"], level = spec["priorityLevelConfiguration"]["name"], rules = spec["rules"];
    if (precedence.number() <= 0) precedence.invalid_as(precedence.number(), "must be a positive value");
    if (precedence.number() > 10000) precedence.invalid("must not be greater than 10000");
    if (precedence.number() == 1 && name != "exempt") precedence.invalid("only the schema named 'exempt' may have matchingPrecedence 1");
    if (Check method = spec["distinguisherMethod"]; method.set() && !method["type"].is("ByNamespace") && !method["type"].is("ByUser"))
      method.as(method.path().child("type")).unsupported({"ByNamespace", "ByUser"});
    if (level.need("must reference a priority level")) level.named(apimachinery::name_is_dns_subdomain);
    for (std::size_t i = 0; i < rules.size(); ++i) {
      Check r = rules[i], subjects = r["subjects"], resources = r["resourceRules"], paths = r["nonResourceRules"];
      subjects.need("subjects must contain at least one value");
      for (std::size_t j = 0; j < subjects.size(); ++j) check_subject(subjects[j]);
      if (resources.empty() && paths.empty()) r.required("at least one of resourceRules and nonResourceRules has to be non-empty");
      for (std::size_t j = 0; j < resources.size(); ++j) check_resource_rule(resources[j]);
      for (std::size_t j = 0; j < paths.size(); ++j) {
        check_verbs(paths[j]["verbs"]);
        Check urls = paths[j]["nonResourceURLs"];
        if (!urls.need("nonResourceURLs must contain at least one value") || !check_wildcard(urls, "non-resource URLs")) continue;
        for (std::size_t u = 0; u < urls.size(); ++u) check_path(urls[u]);
      }
    }
    if (const Document* fixed = mandatory_spec("FlowSchema", name); fixed && !semantically_equal(spec.value(), *fixed))
      spec.invalid("spec of '" + name + "' must equal the fixed value");
    check_conditions(o, errors);
  }
  void validate_status_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override { check_conditions(o, errors); }
};

// ---- PriorityLevelConfiguration

// Bits of hash that dealing `hand` of `deck` queues takes.
int entropy_bits(std::int64_t deck, std::int64_t hand) {
  return static_cast<int>(std::ceil(std::log2(static_cast<double>(deck)) * static_cast<double>(hand)));
}

void check_queuing(const Check& q) {
  std::int64_t queues = q["queues"].number(), hand = q["handSize"].number();
  if (q["queueLengthLimit"].number() <= 0) q["queueLengthLimit"].invalid_as(q["queueLengthLimit"].number(), "must be positive");
  if (queues <= 0) q["queues"].invalid_as(queues, "must be positive");
  else if (queues > 10000000) q["queues"].invalid("must not be greater than 10000000");
  if (hand <= 0) q["handSize"].invalid_as(hand, "must be positive");
  else if (hand > queues) q["handSize"].invalid("should not be greater than queues (" + std::to_string(queues) + ")");
  else if (entropy_bits(queues, hand) > 60)
    q["handSize"].invalid("required entropy bits of deckSize " + std::to_string(queues) + " and handSize " + std::to_string(hand) + " should not be greater than 60");
}

void check_share(const Check& c) {
  if (c["nominalConcurrencyShares"].number() < 0) c["nominalConcurrencyShares"].invalid("must be a non-negative integer");
}

class PriorityLevelStrategy final : public Strategy {
 public:
  explicit PriorityLevelStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    constexpr const char* kForbidden = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
    std::string name(apimachinery::name_of(o));
    if (apimachinery::find_member(apimachinery::annotations_of(o), kForbidden))
      errors.push_back(field_forbidden(FieldPath("metadata").child("annotations"), "annotation '" + std::string(kForbidden) + "' is forbidden"));
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check type = spec["type"], exempt = spec["exempt"], limited = spec["limited"];
    if ((name == "exempt") != type.is("Exempt")) type.invalid("must be 'Exempt' if and only if `name` is 'exempt'");
    if (type.is("Exempt")) {
      if (limited.set()) limited.forbidden();
      if (exempt.set()) {
        check_share(exempt);
        exempt["lendablePercent"].range(0, 100);
      }
    } else if (type.is("Limited")) {
      if (exempt.set()) exempt.forbidden();
      if (!limited.set()) limited.required();
      else check_limited(limited);
    } else {
      if (limited.set()) limited.forbidden();
      if (type.empty()) type.required();
      else type.unsupported({"Exempt", "Limited"});
    }
    const Document* fixed = mandatory_spec("PriorityLevelConfiguration", name);
    if (fixed && name == "exempt") {
      Document rest = spec.value();
      if (rest.is_object()) rest["exempt"] = (*fixed)["exempt"];
      if (!semantically_equal(rest, *fixed)) spec.invalid("spec of 'exempt' except the 'spec.exempt' field must equal the fixed value");
    } else if (fixed && !semantically_equal(spec.value(), *fixed)) {
      spec.invalid("spec of '" + name + "' must equal the fixed value");
    }
    check_conditions(o, errors);
  }
  void validate_status_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override { check_conditions(o, errors); }

 private:
  static void check_limited(const Check& limited) {
    check_share(limited);
    Check response = limited["limitResponse"], type = response["type"], queuing = response["queuing"];
    if (type.is("Reject")) {
      if (queuing.set()) queuing.forbidden();
    } else if (type.is("Queue")) {
      if (!queuing.set()) queuing.required();
      else check_queuing(queuing);
    } else {
      if (queuing.set()) queuing.forbidden();
      if (type.empty()) type.required();
      else type.unsupported({"Queue", "Reject"});
    }
    if (limited["lendablePercent"].set()) limited["lendablePercent"].range(0, 100);
    if (limited["borrowingLimitPercent"].number() < 0) limited["borrowingLimitPercent"].invalid("if specified, must be a non-negative integer");
  }
};

// ---- APIService

class ApiServiceStrategy final : public Strategy {
 public:
  explicit ApiServiceStrategy(const KindSchema& k) : Strategy(k) {
    set_flags(*this);
    name_rule = apimachinery::name_is_path_segment;
  }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    if (member(member(o, "spec"), "service").is_object()) return;
    Document available = {{"type", "Available"}, {"status", "True"}, {"lastTransitionTime", format_rfc3339(c.now)}, {"reason", "Local"},
                          {"message", "Local APIServices are always available"}};
    o["status"] = {{"conditions", Document::array({std::move(available)})}};
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check group = spec["group"], version = spec["version"], service = spec["service"];
    std::string wanted = std::string(version.text()) + "." + std::string(group.text()), name(apimachinery::name_of(o));
    for (const char* f : {"name", "generateName"}) {
      std::string text(apimachinery::string_at(member(o, "metadata"), f));
      if (!text.empty() && text != wanted && path_segment(text).empty())
        errors.push_back(field_invalid(FieldPath("metadata").child(f), text, "must be `spec.version+\".\"+spec.group`: " + apimachinery::go_quote(wanted)));
    }
    if (group.empty() && !version.is("v1")) group.required("only v1 may have an empty group and it better be legacy kube");
    if (!group.empty()) group.format(apimachinery::is_dns1123_subdomain);
    version.format(apimachinery::is_dns1035_label);
    auto priority = [&](const char* field, std::int64_t max) {
      std::int64_t n = spec[field].number();
      if (n <= 0 || n > max) spec[field].invalid_as(n, "must be positive and less than " + std::to_string(max));
    };
    priority("groupPriorityMinimum", 20000);
    priority("versionPriority", 1000);
    Check bundle = spec["caBundle"], insecure = spec["insecureSkipTLSVerify"];
    if (!service.set()) {
      if (!bundle.empty()) {
        auto bytes = base64_decode(bundle.text());
        bundle.invalid_as(std::to_string(bytes ? bytes->size() : 0) + " bytes", "local APIServices may not have a caBundle");
      }
      if (insecure.flag()) insecure.invalid("local APIServices may not have insecureSkipTLSVerify");
      return;
    }
    service["namespace"].need();
    service["name"].need();
    for (const auto& m : apimachinery::is_valid_port_num(service["port"].number())) service["port"].invalid("port is not valid: " + m);
    if (insecure.flag() && !bundle.empty()) insecure.invalid("may not be true if caBundle is present");
  }
  void validate_status_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override {
    Check list = Check(member(o, "status"), FieldPath("status"), errors)["conditions"];
    for (std::size_t i = 0; i < list.size(); ++i) list[i]["status"].one_of({"True", "False", "Unknown"});
  }
};

}  // namespace

StrategyMaker flowcontrol_strategy(std::string_view kind) {
  if (kind == "FlowSchema") return make<FlowSchemaStrategy>;
  if (kind == "PriorityLevelConfiguration") return make<PriorityLevelStrategy>;
  if (kind == "APIService") return make<ApiServiceStrategy>;
  return nullptr;
}

}  // namespace onebin::apiserver
