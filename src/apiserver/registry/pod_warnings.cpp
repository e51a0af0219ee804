// Warnings of pods and pod templates.
#include "apiserver/allocators.hpp"
#include "apiserver/registry/pod_spec.hpp"
#include "apiserver/registry/warnings.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>

#include <map>
#include <set>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::int_at;
using apimachinery::member;
using apimachinery::string_at;

namespace {

std::string str(std::string_view text) { return std::string(text); }

// fn(container, path) for init, app and ephemeral containers.
template <class Fn>
void each_container(const Document& spec, const FieldPath& path, Fn fn) {
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    std::size_t i = 0;
    for (const auto& c : each(spec, list)) fn(c, path.child(list).index(i++));
  }
}

void warn_of_fraction(const WriteContext& c, const Document& amounts, const FieldPath& path, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const Document* v = find_member(amounts, name);
    if (!v || !v->is_string()) continue;
    auto q = apimachinery::Quantity::parse(v->get_ref<const std::string&>());
    if (q && q->milli_value() % 1000 != 0)
      c.warn(path.key(name).text() + ": fractional byte value " + go_quote(v->get_ref<const std::string&>()) + " is invalid, must be an integer");
  }
}

void warn_of_placement(const WriteContext& c, const Document& spec, const FieldPath& path) {
  const Document& selector = member(spec, "nodeSelector");
  if (selector.is_object())
    for (const auto& [key, value] : selector.items())
      if (auto why = deprecated_node_label(key); !why.empty()) c.warn(path.child("nodeSelector").key(key).text() + ": " + str(why));
  const Document& affinity = at_path(spec, {"affinity", "nodeAffinity"});
  FieldPath at = path.child("affinity").child("nodeAffinity");
  std::size_t i = 0;
  for (const auto& term : each(member(affinity, "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms"))
    warn_of_node_term(c, term, at.child("requiredDuringSchedulingIgnoredDuringExecution").child("nodeSelectorTerms").index(i++), false);
  i = 0;
  for (const auto& term : each(affinity, "preferredDuringSchedulingIgnoredDuringExecution"))
    warn_of_node_term(c, member(term, "preference"), at.child("preferredDuringSchedulingIgnoredDuringExecution").index(i++).child("preference"), true);
  i = 0;
  for (const auto& t : each(spec, "topologySpreadConstraints")) {
    FieldPath here = path.child("topologySpreadConstraints").index(i++);
    if (auto why = deprecated_node_label(string_at(t, "topologyKey")); !why.empty())
      c.warn(here.child("topologyKey").text() + ": " + str(string_at(t, "topologyKey")) + " is " + str(why));
    if (!find_member(t, "labelSelector")) c.warn(here.child("labelSelector").text() + ": a null labelSelector results in matching no pod");
  }
}

void warn_of_pod_affinity(const WriteContext& c, const Document& spec, const FieldPath& path) {
  for (const char* kind : {"podAffinity", "podAntiAffinity"}) {
    const Document& affinity = at_path(spec, {"affinity", kind});
    FieldPath at = path.child("affinity").child(kind);
    auto warn = [&](const Document& term, const FieldPath& where) {
      if (!find_member(term, "labelSelector")) c.warn(where.child("labelSelector").text() + ": a null labelSelector results in matching no pod");
    };
    std::size_t i = 0;
    for (const auto& t : each(affinity, "requiredDuringSchedulingIgnoredDuringExecution")) warn(t, at.child("requiredDuringSchedulingIgnoredDuringExecution").index(i++));
    i = 0;
    for (const auto& t : each(affinity, "preferredDuringSchedulingIgnoredDuringExecution"))
      warn(member(t, "podAffinityTerm"), at.child("preferredDuringSchedulingIgnoredDuringExecution").index(i++).child("podAffinityTerm"));
  }
}

struct DeprecatedVolume {
  const char* source;
  const char* why;
};
constexpr DeprecatedVolume kDeprecatedVolumes[] = {
    {"photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"}, {"gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
    {"scaleIO", "deprecated in v1.16, non-functional in v1.22+"},              {"flocker", "deprecated in v1.22, non-functional in v1.25+"},
    {"storageos", "deprecated in v1.22, non-functional in v1.25+"},            {"quobyte", "deprecated in v1.22, non-functional in v1.25+"},
    {"glusterfs", "deprecated in v1.25, non-functional in v1.26+"},            {"cephfs", "deprecated in v1.28, non-functional in v1.31+"},
    {"rbd", "deprecated in v1.28, non-functional in v1.31+"}};

// A file of a volume, and where it comes from.
struct VirtualPath {
  std::string path, source;
  std::string text() const { return source.empty() ? go_quote(path) : go_quote(path) + " (" + source + ")"; }
};

// Paths of which one lies at or below the other: the later hides the earlier.
class Overlaps {
 public:
  Overlaps(const WriteContext& c, std::string volume, std::string what) : c_(c), prefix_("volume " + go_quote(volume) + " (" + what + "): overlapping paths: ") {}
  void add(std::string_view path, std::string source) {
    while (!path.empty() && path.back() == '/') path.remove_suffix(1);
    VirtualPath now{str(path), std::move(source)};
    for (const auto& was : seen_)
      if (!now.path.empty() && !was.path.empty() && (below(was.path, now.path) || below(now.path, was.path))) c_.warn(prefix_ + now.text() + " with " + was.text());
    seen_.push_back(std::move(now));
  }
  void add_items(const Document& holder, const std::string& source) {
    for (const auto& item : each(holder, "items")) add(string_at(item, "path"), source);
  }

 private:
  static bool below(const std::string& path, const std::string& folder) { return (path + "/").compare(0, folder.size() + 1, folder + "/") == 0; }
  const WriteContext& c_;
  std::string prefix_;
  std::vector<VirtualPath> seen_;
};

void warn_of_projected(const WriteContext& c, const std::string& volume, const Document& projected) {
  Overlaps all(c, volume, "Projected");
  for (const auto& source : each(projected, "sources")) {
    if (!source.is_object() || source.empty()) {
      c.warn("volume " + go_quote(volume) + " (Projected) has no sources provided");
    } else if (const Document* m = find_member(source, "configMap"); m && find_member(*m, "items")) {
      all.add_items(*m, "ConfigMap " + go_quote(string_at(*m, "name")));
    } else if (const Document* s = find_member(source, "secret"); s && find_member(*s, "items")) {
      all.add_items(*s, "Secret " + go_quote(string_at(*s, "name")));
    } else if (const Document* d = find_member(source, "downwardAPI"); d && find_member(*d, "items")) {
      all.add_items(*d, "DownwardAPI");
    } else if (const Document* t = find_member(source, "serviceAccountToken")) {
      all.add(string_at(*t, "path"), "ServiceAccountToken");
    } else if (const Document* b = find_member(source, "clusterTrustBundle")) {
      all.add(string_at(*b, "path"), "ClusterTrustBundle " + go_quote(find_member(*b, "name") ? string_at(*b, "name") : string_at(*b, "signerName")));
    } else if (const Document* p = find_member(source, "podCertificate")) {
      for (auto [field, what] : {std::pair{"certificateChainPath", "PodCertificate chain"}, {"keyPath", "PodCertificate key"}, {"credentialBundlePath", "PodCertificate credential bundle"}})
        if (!string_at(*p, field).empty()) all.add(string_at(*p, field), what);
    }
  }
}

void warn_of_volumes(const WriteContext& c, const Document& spec, const FieldPath& path) {
  std::size_t i = 0;
  for (const auto& v : each(spec, "volumes")) {
    FieldPath at = path.child("volumes").index(i++);
    for (const auto& [source, why] : kDeprecatedVolumes)
      if (find_member(v, source)) c.warn(at.child(std::string_view(source) == "storageos" ? "storageOS" : source).text() + ": " + why);
    const Document& claim = at_path(v, {"ephemeral", "volumeClaimTemplate"});
    if (claim.is_object()) warn_of_claim_spec(c, member(claim, "spec"), at.child("ephemeral").child("volumeClaimTemplate").child("spec"));
  }
  for (const auto& v : each(spec, "volumes")) {
    std::string name(string_at(v, "name"));
    if (const Document* m = find_member(v, "configMap")) Overlaps(c, name, "ConfigMap " + go_quote(string_at(*m, "name"))).add_items(*m, "");
    if (const Document* s = find_member(v, "secret")) Overlaps(c, name, "Secret " + go_quote(string_at(*s, "secretName"))).add_items(*s, "");
    if (const Document* d = find_member(v, "downwardAPI")) Overlaps(c, name, "DownwardAPI").add_items(*d, "");
    if (const Document* p = find_member(v, "projected")) warn_of_projected(c, name, *p);
  }
}

void warn_of_repeats(const WriteContext& c, const Document& list, const char* key, const FieldPath& path, const char* what) {
  std::set<std::string> seen;
  std::size_t i = 0;
  for (const auto& item : list) {
    std::string value(string_at(item, key));
    if (!seen.insert(value).second) c.warn(path.index(i).child(key).text() + ": duplicate " + what + " " + go_quote(value));
    ++i;
  }
}

void warn_of_env(const WriteContext& c, const Document& container, const FieldPath& path) {
  std::set<std::string> seen;
  std::size_t i = 0;
  for (const auto& e : each(container, "env")) {
    FieldPath at = path.child("env").index(i++);
    std::string name(string_at(e, "name")), value(string_at(e, "value")), ref = "$(" + name + ")";
    if (seen.insert(name).second) continue;
    // A value that adds to the one before is meant so.
    if (find_member(e, "valueFrom") || value == ref || value.find(ref) == std::string::npos)
      c.warn(at.text() + ": hides previous definition of " + go_quote(name) + ", which may be dropped when using apply");
  }
}

constexpr const char* kSeccompPod = "seccomp.security.alpha.kubernetes.io/pod";
constexpr const char* kSeccompContainer = "container.seccomp.security.alpha.kubernetes.io/";
constexpr const char* kAppArmor = "container.apparmor.security.beta.kubernetes.io/";

void warn_of_containers(const WriteContext& c, const Document& spec, const Document& annotations, const FieldPath& base, const FieldPath& path) {
  bool is_template = !base.text().empty();
  each_container(spec, path, [&](const Document& k, const FieldPath& at) {
    std::string name(string_at(k, "name"));
    auto noted = [&](const char* prefix) { return annotations.is_object() && annotations.contains(prefix + name); };
    FieldPath notes = base.child("metadata").child("annotations");
    if (!find_member(member(k, "securityContext"), "seccompProfile") && noted(kSeccompContainer))
      c.warn(notes.key(kSeccompContainer + name).text() + ": non-functional in v1.27+; use the \"seccompProfile\" field instead");
    if (is_template && !find_member(member(k, "securityContext"), "appArmorProfile") && noted(kAppArmor) && at_path(spec, {"securityContext", "appArmorProfile"}).is_null())
      c.warn(notes.key(kAppArmor + name).text() + ": deprecated since v1.30; use the \"appArmorProfile\" field instead");
    for (const char* amount : {"memory", "ephemeral-storage"})
      for (const char* side : {"limits", "requests"}) warn_of_fraction(c, at_path(k, {"resources", side}), at.child("resources").child(side), {amount});
    warn_of_env(c, k, at);
  });
}

std::string port_text(const Document& p) {
  return "{Name:" + str(string_at(p, "name")) + " HostPort:" + std::to_string(int_at(p, "hostPort")) + " ContainerPort:" + std::to_string(int_at(p, "containerPort")) +
         " Protocol:" + str(string_at(p, "protocol")) + " HostIP:" + str(string_at(p, "hostIP")) + "}";
}

void warn_of_ports(const WriteContext& c, const Document& spec, const FieldPath& path) {
  struct Seen {
    std::string field, host_ip;
    std::int64_t host_port;
  };
  std::map<std::string, std::vector<Seen>> ports;
  each_container(spec, path, [&](const Document& k, const FieldPath& at) {
    std::size_t i = 0;
    for (const auto& p : each(k, "ports")) {
      Seen now{at.child("ports").index(i++).text(), str(string_at(p, "hostIP")), int_at(p, "hostPort")};
      if (!now.host_ip.empty() && !now.host_port) c.warn(now.field + ": hostIP set without hostPort: " + port_text(p));
      auto& others = ports[std::to_string(int_at(p, "containerPort")) + "/" + str(string_at(p, "protocol"))];
      for (const auto& o : others) {
        if (now.host_ip == o.host_ip && now.host_port == o.host_port) c.warn(now.field + ": duplicate port definition with " + o.field);
        else if (!now.host_port || !o.host_port) c.warn(now.field + ": overlapping port definition with " + o.field);
        else if (now.host_port == o.host_port && now.host_ip.empty() != o.host_ip.empty()) c.warn(now.field + ": dangerously ambiguous port definition with " + o.field);
      }
      others.push_back(std::move(now));
    }
  });
  std::map<std::string, std::string> names;
  each_container(spec, path, [&](const Document& k, const FieldPath& at) {
    std::size_t i = 0;
    for (const auto& p : each(k, "ports")) {
      std::string name(string_at(p, "name")), field = at.child("ports").index(i++).text();
      if (name.empty()) continue;
      auto [known, fresh] = names.emplace(name, field);
      if (!fresh) c.warn(field + ": duplicate port name " + go_quote(name) + " with " + known->second + ", services and probes that select ports by name will use " + known->second);
    }
  });
}

void warn_of_annotations(const WriteContext& c, const Document& annotations, const FieldPath& path) {
  if (!annotations.is_object()) return;
  for (auto [key, why] : {std::pair{"scheduler.alpha.kubernetes.io/critical-pod", "non-functional in v1.16+; use the \"priorityClassName\" field instead"},
                          {"security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"},
                          {"security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"}})
    if (annotations.contains(key)) c.warn(path.key(key).text() + ": " + why);
}

}  // namespace

void warn_of_pod(const WriteContext& c, const Document& holder, const FieldPath& base) {
  const Document& spec = member(holder, "spec");
  const Document& annotations = apimachinery::annotations_of(holder);
  FieldPath path = base.child("spec"), notes = base.child("metadata").child("annotations");
  warn_of_placement(c, spec, path);
  warn_of_annotations(c, annotations, notes);
  warn_of_volumes(c, spec, path);
  warn_of_repeats(c, each(spec, "hostAliases"), "ip", path.child("hostAliases"), "ip");
  warn_of_repeats(c, each(spec, "imagePullSecrets"), "name", path.child("imagePullSecrets"), "name");
  std::size_t i = 0;
  for (const auto& s : each(spec, "imagePullSecrets")) {
    if (string_at(s, "name").empty()) c.warn(path.child("imagePullSecrets").index(i).child("name").text() + ": invalid empty name \"\"");
    ++i;
  }
  warn_of_fraction(c, member(spec, "overhead"), path.child("overhead"), {"memory", "ephemeral-storage"});
  if (!find_member(member(spec, "securityContext"), "seccompProfile") && annotations.is_object() && annotations.contains(kSeccompPod))
    c.warn(notes.key(kSeccompPod).text() + ": non-functional in v1.27+; use the \"seccompProfile\" field instead");
  warn_of_containers(c, spec, annotations, base, path);
  warn_of_ports(c, spec, path);
  if (int_at(spec, "terminationGracePeriodSeconds") < 0)
    c.warn(path.child("terminationGracePeriodSeconds").text() + ": must be >= 0; negative values are invalid and will be treated as 1");
  warn_of_pod_affinity(c, spec, path);
  i = 0;
  for (const auto& ip : each(member(spec, "dnsConfig"), "nameservers"))
    if (ip.is_string()) warn_of_ip(c, path.child("dnsConfig").child("nameservers").index(i++), ip.get_ref<const std::string&>());
  i = 0;
  for (const auto& a : each(spec, "hostAliases")) warn_of_ip(c, path.child("hostAliases").index(i++).child("ip"), string_at(a, "ip"));
}

void warn_of_claim_spec(const WriteContext& c, const Document& spec, const FieldPath& path) {
  for (const char* side : {"requests", "limits"}) warn_of_fraction(c, at_path(spec, {"resources", side}), path.child("resources").child(side), {"storage"});
}

}  // namespace onebin::apiserver
