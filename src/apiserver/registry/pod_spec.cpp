#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <re2/re2.h>

#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::Quantity;
using apimachinery::string_at;

const Document& each(const Document& object, std::string_view list) {
  static const Document none = Document::array();
  const Document& v = member(object, list);
  return v.is_array() ? v : none;
}

namespace {

bool digest(std::string_view text) {
  std::size_t length = starts_with(text, "sha256:") ? 64 : starts_with(text, "sha384:") ? 96 : starts_with(text, "sha512:") ? 128 : 0;
  return length && text.size() == 7 + length && text.find_first_not_of("0123456789abcdef", 7) == std::string_view::npos;
}

// The tag of an image's name, "latest" where it has neither tag nor digest; "" where it is no image's name.
// Source: the grammar of the distribution project's reference package.
std::string image_tag(std::string_view image) {
  static const RE2 grammar(R"(((?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?)"
                           R"([a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)(?::(\w[\w.-]*))?)"
                           R"((?:@([A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[[:xdigit:]]{32,}))?)");
  std::string name, tag, hash;
  if (!RE2::FullMatch(re2::StringPiece(image.data(), image.size()), grammar, &name, &tag, &hash)) return {};
  std::string_view head = std::string_view(name).substr(0, name.find('/'));
  bool whole = head.size() == name.size(), domain = !whole && (head == "localhost" || head.find_first_of(".:ABCDEFGHIJKLMNOPQRSTUVWXYZ") != std::string_view::npos);
  if (name.size() + (domain ? 0 : whole ? 18 : 10) > 255 || tag.size() > 128 || (!hash.empty() && !digest(hash))) return {};  // with docker.io/library/
  bool identifier = image.size() == 64 && image.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (identifier) return {};
  return tag.empty() && hash.empty() ? "latest" : tag;
}

// "Always" for an image without a tag or with :latest, as container runtimes would otherwise never look again.
const char* pull_policy(std::string_view image) { return image_tag(image) == "latest" ? "Always" : "IfNotPresent"; }

void default_container(Document& c) {
  if (string_at(c, "imagePullPolicy").empty()) c["imagePullPolicy"] = pull_policy(string_at(c, "image"));
  if (!find_member(c, "resources")) c["resources"] = Document::object();
}

constexpr const char* kContainerLists[] = {"initContainers", "containers", "ephemeralContainers"};

// A volume that names no source is an emptyDir.
void default_volume(Document& v) {
  if (Document* image = find_member(v, "image"); image && image->is_object() && string_at(*image, "pullPolicy").empty()) (*image)["pullPolicy"] = pull_policy(string_at(*image, "reference"));
  for (const auto& [key, value] : v.items())
    if (key != "name" && !value.is_null()) return;
  v["emptyDir"] = Document::object();
}

}  // namespace

void default_pod_spec(Document& spec) {
  if (!spec.is_object()) return;
  for (const char* list : kContainerLists)
    if (Document* l = find_member(spec, list); l && l->is_array())
      for (auto& c : *l)
        if (c.is_object()) default_container(c);
  if (Document* l = find_member(spec, "volumes"); l && l->is_array())
    for (auto& v : *l)
      if (v.is_object()) default_volume(v);
  // The old name of the service account's field follows the new one.
  std::string account(string_at(spec, "serviceAccountName"));
  if (account.empty()) account = string_at(spec, "serviceAccount");
  if (!account.empty()) spec["serviceAccountName"] = spec["serviceAccount"] = account;
  else spec.erase("serviceAccount");
}

void default_pod_template(Document& holder) {
  if (Document* t = find_member(holder, "template"); t && t->is_object())
    if (Document* spec = find_member(*t, "spec")) default_pod_spec(*spec);
}

namespace {

bool same_amounts(const Document& a, const Document& b) {
  for (const char* r : {"cpu", "memory"}) {
    auto x = Quantity::parse(string_at(a, r)), y = Quantity::parse(string_at(b, r));
    if (!x || !y || x->is_zero() || y->is_zero() || !(*x == *y)) return false;
  }
  return true;
}

bool sets_any(const Document& list) {
  for (const char* r : {"cpu", "memory"}) {
    auto q = Quantity::parse(string_at(list, r));
    if (q && !q->is_zero()) return true;
  }
  return false;
}

}  // namespace

std::string qos_class(const Document& spec) {
  bool any = false, all_equal = true;
  auto look = [&](const Document& resources) {
    const Document& requests = member(resources, "requests");
    const Document& limits = member(resources, "limits");
    if (sets_any(requests) || sets_any(limits)) any = true;
    if (!same_amounts(requests, limits)) all_equal = false;
  };
  const Document& pod_level = member(spec, "resources");
  if (pod_level.is_object() && (sets_any(member(pod_level, "requests")) || sets_any(member(pod_level, "limits")))) {
    look(pod_level);
  } else {
    for (const char* list : {"initContainers", "containers"})
      for (const auto& c : each(spec, list)) look(member(c, "resources"));
  }
  if (!any) return "BestEffort";
  return all_equal ? "Guaranteed" : "Burstable";
}

void validate_pod_template(const Document& t, const FieldPath& path, FieldErrors& errors, const std::vector<std::string>& restart) {
  const Document& meta = member(t, "metadata");
  // Upstream's paths leave metadata out.
  if (const Document* labels = find_member(meta, "labels")) apimachinery::append(errors, apimachinery::validate_labels(*labels, path.child("labels")));
  if (const Document* a = find_member(meta, "annotations")) apimachinery::append(errors, apimachinery::validate_annotations(*a, path.child("annotations")));
  const Document& spec = member(t, "spec");
  validate_pod_annotations(member(meta, "annotations"), spec, path.child("annotations"), errors);
  validate_pod_spec(spec, path.child("spec"), errors);
  validate_profiles_agree(member(meta, "annotations"), spec, path.child("spec"), errors);
  if (!each(spec, "ephemeralContainers").empty())
    errors.push_back(field_forbidden(path.child("spec").child("ephemeralContainers"), "ephemeral containers not allowed in pod template"));
  if (restart.empty()) return;
  std::string policy(string_at(spec, "restartPolicy"));
  for (const auto& r : restart)
    if (r == policy) return;
  errors.push_back(field_not_supported(path.child("spec").child("restartPolicy"), policy, restart));
}

void validate_node_terms(const Document& term, const FieldPath& path, FieldErrors& errors, bool check_values) {
  Check at(term, path, errors), expressions = at["matchExpressions"], fields = at["matchFields"];
  for (std::size_t i = 0; i < expressions.size(); ++i) {
    Check e = expressions[i], values = e["values"], op = e["operator"];
    if (op.is("In") || op.is("NotIn")) values.need("must be specified when `operator` is 'In' or 'NotIn'");
    else if (op.is("Exists") || op.is("DoesNotExist")) {
      if (values.size()) values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else if (op.is("Gt") || op.is("Lt")) {
      if (values.size() != 1) values.required("must be specified single value when `operator` is 'Lt' or 'Gt'");
    } else {
      op.invalid("not a valid selector operator");
    }
    e.add(apimachinery::validate_label_name(e["key"].text(), e["key"].path()));
    for (std::size_t j = 0; check_values && j < values.size(); ++j) values[j].format(apimachinery::is_valid_label_value);
  }
  for (std::size_t i = 0; i < fields.size(); ++i) {
    Check e = fields[i], values = e["values"], op = e["operator"], key = e["key"];
    if (!op.is("In") && !op.is("NotIn")) op.invalid("not a valid selector operator");
    else if (values.size() != 1) values.required("must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
    if (!key.is("metadata.name")) key.invalid("not a valid field selector key");
    else for (std::size_t j = 0; j < values.size(); ++j) values[j].format(apimachinery::is_dns1123_subdomain);
  }
}

void check_ids(const Check& security, std::initializer_list<const char*> users, std::initializer_list<const char*> groups) {
  for (const char* f : users)
    if (security[f].set()) security[f].each_problem(apimachinery::is_valid_user_id(security[f].number()));
  for (const char* f : groups)
    if (security[f].set()) security[f].each_problem(apimachinery::is_valid_group_id(security[f].number()));
}

void check_profiles(const Check& security) {
  if (Check seccomp = security["seccompProfile"], local = seccomp["localhostProfile"]; seccomp.set()) {
    if (seccomp["type"].empty()) seccomp["type"].required("type is required when seccompProfile is set");
    if (!seccomp["type"].is("Localhost")) {
      if (local.set()) local.invalid_as(seccomp.value(), "can only be set when seccomp type is Localhost");
    } else if (!local.set()) {
      local.required("must be set when seccomp type is Localhost");
    } else {
      check_descending_path(local);
    }
  }
  Check armor = security["appArmorProfile"], local = armor["localhostProfile"];
  if (!armor.set()) return;
  if (armor["type"].empty()) armor["type"].required("type is required when appArmorProfile is set");
  if (armor["type"].is("Localhost")) {
    if (!local.set()) local.required("must be set when AppArmor type is Localhost");
    else if (trim(local.text()) != local.text()) local.invalid("must not be padded with whitespace");
    else if (local.text().empty()) local.required("must be set when AppArmor type is Localhost");
    if (local.text().size() > 4095) local.too_long(4095);
  } else if ((armor["type"].is("RuntimeDefault") || armor["type"].is("Unconfined")) && local.set()) {
    local.invalid("can only be set when AppArmor type is Localhost");
  }
}

namespace {

void check_host_ports(const Check& ports, std::set<std::string>& seen) {
  for (std::size_t j = 0; j < ports.size(); ++j) {
    Check port = ports[j]["hostPort"];
    if (!port.number()) continue;
    std::string key = std::string(ports[j]["protocol"].text()) + "/" + std::string(ports[j]["hostIP"].text()) + "/" + std::to_string(port.number());
    if (!seen.insert(key).second) port.duplicate_of(key);
  }
}

void check_host_network(const Check& spec, bool is_pod) {
  if (!spec["hostNetwork"].flag()) return;
  Check containers = spec["containers"];
  for (std::size_t i = 0; i < containers.size(); ++i) {
    Check ports = containers[i]["ports"];
    for (std::size_t j = 0; j < ports.size(); ++j) {
      Check host = ports[j]["hostPort"];
      if ((is_pod || host.number()) && host.number() != ports[j]["containerPort"].number())
        host.invalid_as(host.number(), "must match `containerPort` when `hostNetwork` is true");
    }
  }
}

void check_label_keys(const Check& keys, const Check& selector) {
  if (keys.size() && !selector.set()) keys.forbidden("must not be specified when labelSelector is not set");
  for (std::size_t i = 0; i < keys.size(); ++i) keys.add(apimachinery::validate_label_name(keys[i].text(), keys[i].path()));
}

void check_match_keys(const Check& at) {
  Check keys = at["matchLabelKeys"], others = at["mismatchLabelKeys"], selector = at["labelSelector"];
  check_label_keys(keys, selector);
  check_label_keys(others, selector);
  std::set<std::string> matched, mismatched;
  if (selector["matchLabels"].value().is_object())
    for (const auto& [k, v] : selector["matchLabels"].value().items()) matched.insert(k);
  for (std::size_t i = 0; i < others.size(); ++i) mismatched.emplace(others[i].text());
  Check expressions = selector["matchExpressions"];
  for (std::size_t i = 0; i < expressions.size(); ++i) {
    std::string key(expressions[i]["key"].text());
    for (std::size_t j = keys.size(); j-- > 0;)
      if (keys[j].text() == key && matched.count(key)) {
        at[j].invalid_as(key, "exists in both matchLabelKeys and labelSelector");
        break;
      }
    matched.insert(key);
  }
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (mismatched.count(std::string(keys[i].text()))) keys[i].invalid("exists in both matchLabelKeys and mismatchLabelKeys");
}

void check_selector(const Check& at) {
  if (at.set()) at.add(apimachinery::validate_label_selector(at.value(), at.path()));
}

void check_spread(const Check& list) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check t = list[i], when = t["whenUnsatisfiable"], domains = t["minDomains"];
    if (t["maxSkew"].number() <= 0) t["maxSkew"].invalid_as(t["maxSkew"].number(), "must be greater than zero");
    t["topologyKey"].need("can not be empty");
    if (when.empty()) when.unsupported({"DoNotSchedule", "ScheduleAnyway"});
    for (std::size_t j = i + 1; j < list.size(); ++j)
      if (list[j]["topologyKey"].text() == t["topologyKey"].text() && list[j]["whenUnsatisfiable"].text() == when.text()) {
        t["{topologyKey, whenUnsatisfiable}"].duplicate_of("{" + std::string(t["topologyKey"].text()) + ", " + std::string(when.text()) + "}");
        break;
      }
    if (domains.set()) {
      if (domains.number() <= 0) domains.invalid("must be greater than zero");
      if (!when.is("DoNotSchedule")) domains.invalid("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not " + std::string(when.text()));
    }
    check_match_keys(t);
    check_selector(t["labelSelector"]);
  }
}

void check_weight(const Check& at) {
  if (at.number() <= 0 || at.number() > 100) at.invalid_as(at.number(), "must be in the range 1-100");
}

void check_affinity_term(const Check& t) {
  check_selector(t["labelSelector"]);
  check_selector(t["namespaceSelector"]);
  Check namespaces = t["namespaces"], key = t["topologyKey"];
  for (std::size_t i = 0; i < namespaces.size(); ++i) namespaces[i].as(t.path().child("namespace")).format(apimachinery::is_dns1123_label);
  check_match_keys(t);
  key.need("can not be empty");
  t.add(apimachinery::validate_label_name(key.text(), key.path()));
}

void check_affinity(const Check& affinity) {
  constexpr const char *kRequired = "requiredDuringSchedulingIgnoredDuringExecution", *kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";
  Check node = affinity["nodeAffinity"];
  if (Check required = node[kRequired], terms = required["nodeSelectorTerms"]; required.set() && terms.need("must have at least one node selector term"))
    for (std::size_t i = 0; i < terms.size(); ++i) validate_node_terms(terms[i].value(), terms[i].path(), terms.errors(), true);
  Check preferred = node[kPreferred];
  for (std::size_t i = 0; i < preferred.size(); ++i) {
    check_weight(preferred[i]["weight"]);
    validate_node_terms(preferred[i]["preference"].value(), preferred[i]["preference"].path(), preferred.errors(), false);
  }
  for (const char* which : {"podAffinity", "podAntiAffinity"}) {
    Check required = affinity[which][kRequired], weighted = affinity[which][kPreferred];
    for (std::size_t i = 0; i < required.size(); ++i) check_affinity_term(required[i]);
    for (std::size_t i = 0; i < weighted.size(); ++i) {
      check_weight(weighted[i]["weight"]);
      check_affinity_term(weighted[i]["podAffinityTerm"]);
    }
  }
}

bool sysctl_name(std::string_view name) {
  bool ok = name.size() <= 253 && !name.empty();
  char before = '.';
  for (char ch : name) {
    bool word = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
    bool separator = ch == '.' || ch == '/', after_separator = before == '.' || before == '/';
    bool after_filler = before == '-' || before == '_';
    ok = ok && (word || ch == '-' || ch == '_' || separator) && !(separator && (after_separator || after_filler)) && (!after_separator || word);
    before = ch;
  }
  return ok && before != '.' && before != '/' && before != '-' && before != '_';
}

// With the namespace of the host a pod does not set what is the namespace's own.
void check_host_sysctl(const Check& name, const Check& spec) {
  std::string text(name.text());  // a/b.c is a.b/c
  std::size_t separator = text.find_first_of("./");
  if (separator != std::string::npos && text[separator] == '/')
    for (char& ch : text) ch = ch == '/' ? '.' : ch == '.' ? '/' : ch;
  bool ipc = starts_with(text, "fs.mqueue.");
  for (const char* known : {"kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced", "kernel.shm", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.msg"})
    ipc = ipc || text == known;
  if (spec["hostNetwork"].flag() && starts_with(text, "net.")) name.invalid("may not be specified when 'hostNetwork' is true");
  if (spec["hostIPC"].flag() && ipc) name.invalid("may not be specified when 'hostIPC' is true");
}

void check_sysctls(const Check& list, const Check& spec) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check name = list[i]["name"];
    check_host_sysctl(name, spec);
    if (!name.need()) continue;
    if (!sysctl_name(name.text())) name.invalid("must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
    else if (seen.count(std::string(name.text()))) name.duplicate();
    seen.emplace(name.text());
  }
}

void check_pod_security(const Check& s, const Check& spec) {
  if (!s.value().is_object()) return;
  check_ids(s, {"runAsUser"}, {"fsGroup", "runAsGroup"});
  Check groups = s["supplementalGroups"];
  for (std::size_t i = 0; i < groups.size(); ++i) groups[i].each_problem(apimachinery::is_valid_group_id(groups[i].number()));
  check_sysctls(s["sysctls"], spec);
  if (s["seLinuxChangePolicy"].set()) s["seLinuxChangePolicy"].one_of({"MountOption", "Recursive"});
  check_profiles(s);
  check_windows_options(s["windowsOptions"]);
}

void check_dns(const Check& spec) {
  Check config = spec["dnsConfig"], servers = config["nameservers"], searches = config["searches"], options = config["options"];
  if (spec["dnsPolicy"].is("None")) {
    if (!config.set()) return config.required("must provide `dnsConfig` when `dnsPolicy` is None");
    if (servers.empty()) return servers.required("must provide at least one DNS nameserver when `dnsPolicy` is None");
  }
  if (servers.size() > 3) servers.invalid("must not have more than 3 nameservers");
  for (std::size_t i = 0; i < servers.size(); ++i) check_address(servers[i], false);
  if (searches.size() > 32) searches.invalid("must not have more than 32 search paths");
  std::size_t length = 0;
  for (std::size_t i = 0; i < searches.size(); ++i) {
    std::string text(searches[i].text());
    length += text.size() + (i ? 1 : 0);
    if (text == ".") continue;
    if (ends_with(text, ".")) text.pop_back();
    for (auto& m : apimachinery::is_dns1123_subdomain_with_underscore(text)) searches[i].invalid_as(text, m);
  }
  if (length > 2048) searches.invalid("must not have more than 2048 characters (including spaces) in the search list");
  for (std::size_t i = 0; i < options.size(); ++i)
    if (options[i]["name"].empty()) options[i].required("must not be empty");
}

void check_claims(const Check& list) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check c = list[i], name = c["name"], own = c["resourceClaimName"], made = c["resourceClaimTemplateName"];
    if (name.need()) {
      if (names.count(std::string(name.text()))) name.duplicate();
      else name.format(apimachinery::is_dns1123_label);
      names.emplace(name.text());
    }
    if (own.set() && made.set()) c.invalid("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
    if (!own.set() && !made.set()) c.invalid("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
    for (const Check* ref : {&own, &made})
      if (ref->set()) ref->format(apimachinery::is_dns1123_subdomain);
  }
}

void check_gates(const Check& spec) {
  Check readiness = spec["readinessGates"], scheduling = spec["schedulingGates"];
  for (std::size_t i = 0; i < readiness.size(); ++i) check_qualified_name(readiness[i]["conditionType"]);
  std::set<std::string> seen;
  for (std::size_t i = 0; i < scheduling.size(); ++i) {
    Check name = scheduling[i]["name"].as(scheduling[i].path());
    check_qualified_name(name);
    if (!seen.emplace(name.text()).second) name.duplicate();
  }
}

void check_names(const Check& spec) {
  for (const char* f : {"serviceAccountName", "nodeName", "priorityClassName"})
    if (!spec[f].empty()) spec[f].format(apimachinery::is_dns1123_subdomain);
  for (const char* f : {"hostname", "subdomain"})
    if (!spec[f].empty()) spec[f].format(apimachinery::is_dns1123_label);
  if (Check runtime = spec["runtimeClassName"]; runtime.set()) runtime.format(apimachinery::is_dns1123_subdomain);
  if (Check labels = spec["nodeSelector"]; labels.set()) labels.add(apimachinery::validate_labels(labels.value(), labels.path()));
  Check name = spec["hostnameOverride"];
  if (!name.set()) return;
  if (spec["setHostnameAsFQDN"].flag()) name.forbidden("may not be specified when setHostnameAsFQDN is true");
  if (spec["hostNetwork"].flag()) name.forbidden("may not be specified when hostNetwork is true");
  name.at_most_bytes(64);
  name.format(apimachinery::is_dns1123_subdomain);
}

void check_host_users(const Check& spec) {
  if (!spec["hostUsers"].set() || spec["hostUsers"].flag()) return;
  for (auto [field, path] : {std::pair("hostNetwork", "hostNetwork"), std::pair("hostPID", "HostPID"), std::pair("hostIPC", "HostIPC")})
    if (spec[field].flag()) spec[path].forbidden("when `hostUsers` is false");
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    Check containers = spec[list];
    for (std::size_t i = 0; i < containers.size(); ++i)
      if (!containers[i]["volumeDevices"].empty()) containers[i]["volumeDevices"].forbidden("when `hostUsers` is false");
  }
}

void check_containers(const Check& spec, const Volumes& volumes) {
  if (spec["containers"].empty()) spec["containers"].required();
  std::set<std::string> names;
  std::set<std::string> ports;
  for (auto [list, kind] : {std::pair("containers", ContainerKind::Regular), std::pair("initContainers", ContainerKind::Init), std::pair("ephemeralContainers", ContainerKind::Ephemeral)}) {
    Check containers = spec[list];
    for (std::size_t i = 0; i < containers.size(); ++i) {
      validate_container(containers[i].value(), spec.value(), volumes, containers[i].path(), spec.errors(), kind);
      Check name = containers[i]["name"];
      if (names.count(std::string(name.text()))) name.duplicate();
      else if (kind != ContainerKind::Init || !name.empty()) names.emplace(name.text());
      std::set<std::string> own;  // init containers come one after another
      if (kind == ContainerKind::Regular) check_host_ports(containers[i]["ports"], ports);
      if (kind == ContainerKind::Init) check_host_ports(containers[i]["ports"].as(containers.path().index(0).child("ports")), own);
    }
  }
}

}  // namespace

void check_tolerations(const Check& list) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check t = list[i], key = t["key"], op = t["operator"], effect = t["effect"], value = t["value"];
    if (!key.empty()) t.add(apimachinery::validate_label_name(key.text(), key.path()));
    if (key.empty() && !op.is("Exists")) op.invalid("operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
    if (t["tolerationSeconds"].set() && !effect.is("NoExecute")) effect.invalid("effect must be 'NoExecute' when `tolerationSeconds` is set");
    if (op.empty() || op.is("Equal")) {
      auto problems = apimachinery::is_valid_label_value(value.text());
      if (!problems.empty()) op.invalid_as(std::string(value.text()), join(problems, ";"));
    } else if (op.is("Exists")) {
      if (!value.empty()) op.invalid_as(std::string(value.text()), "value must be empty when `operator` is 'Exists'");
    } else if (op.is("Lt") || op.is("Gt")) {
      op.unsupported({"Equal", "Exists", "Lt", "Gt"});  // compared only with a feature that is not on by default
    } else {
      op.unsupported({"Equal", "Exists"});
    }
  }
}

void validate_pod_spec(const Document& document, const FieldPath& path, FieldErrors& errors, const std::string& pod_name) {
  Check spec(document, path, errors);
  Volumes volumes = validate_volumes(document, path, errors, pod_name);
  check_claims(spec["resourceClaims"]);
  check_containers(spec, volumes);
  check_host_network(spec, !pod_name.empty());
  check_pod_security(spec["securityContext"], spec);
  check_pod_resources(spec);
  if (spec["hostPID"].flag() && spec["shareProcessNamespace"].flag()) spec["shareProcessNamespace"].invalid("ShareProcessNamespace and HostPID cannot both be enabled");
  check_affinity(spec["affinity"]);
  check_dns(spec);
  check_gates(spec);
  check_spread(spec["topologySpreadConstraints"]);
  check_host_users(spec);
  check_host_processes(spec);
  check_names(spec);
  if (Check preemption = spec["preemptionPolicy"]; preemption.set() && preemption.need()) preemption.one_of({"PreemptLowerPriority", "Never"});
  if (Check seconds = spec["activeDeadlineSeconds"]; seconds.set()) seconds.range(1, 2147483647);
  check_tolerations(spec["tolerations"]);
  Check aliases = spec["hostAliases"];
  for (std::size_t i = 0; i < aliases.size(); ++i) {
    check_address(aliases[i]["ip"], false);
    Check names = aliases[i]["hostnames"];
    for (std::size_t j = 0; j < names.size(); ++j) names[j].format(apimachinery::is_dns1123_subdomain);
  }
  if (Check overhead = spec["overhead"]; overhead.set()) {
    Document limits = {{"limits", overhead.value()}};
    check_resources(Check(limits, overhead.path(), errors), Check(document, path, errors));
  }
  check_os(spec);
}

}  // namespace onebin::apiserver
