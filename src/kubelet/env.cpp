#include "kubelet/env.hpp"

#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::kubelet {
namespace {

std::string env_name(std::string_view name) {
  std::string out;
  for (char c : name) out += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return out;
}

std::string host_port(const std::string& ip, int port) {
  bool v6 = ip.find(':') != std::string::npos;
  return (v6 ? "[" + ip + "]" : ip) + ":" + std::to_string(port);
}

void add_link_variables(const core::Service& s, EnvMap& env) {
  const std::string prefix = env_name(s.metadata.name);
  bool first = true;
  for (const auto& port : s.spec.ports) {
    std::string protocol = port.protocol.empty() ? "TCP" : port.protocol;
    std::string url = to_lower(protocol) + "://" + host_port(s.spec.cluster_ip, port.port);
    if (first) env[prefix + "_PORT"] = url;
    first = false;
    std::string base = prefix + "_PORT_" + std::to_string(port.port) + "_" + env_name(protocol);
    env[base] = url;
    env[base + "_PROTO"] = to_lower(protocol);
    env[base + "_PORT"] = std::to_string(port.port);
    env[base + "_ADDR"] = s.spec.cluster_ip;
  }
}

std::string go_quote(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default: out += c;
    }
  }
  return out + "\"";
}

// metadata.labels['key'] -> {"metadata.labels", "key"}
std::optional<std::pair<std::string, std::string>> subscripted(const std::string& path) {
  auto open = path.find("['");
  if (open == std::string::npos || !path.ends_with("']")) return std::nullopt;
  return std::pair(path.substr(0, open), path.substr(open + 2, path.size() - open - 4));
}

// What an EnvVar's valueFrom gives; an empty optional: an optional source that is not there.
class ValueSource {
 public:
  ValueSource(const core::Pod& pod, const core::Container& c, const PodFacts& facts, const ReferencedObjects& objects)
      : pod_(pod), container_(c), facts_(facts), objects_(objects) {}

  Result<std::optional<std::string>> read(const core::EnvVarSource& from) const {
    if (from.field_ref) return wrap(field_value(pod_, facts_, from.field_ref->field_path));
    if (from.resource_field_ref) return wrap(resource_value(*from.resource_field_ref, container_, facts_));
    if (from.config_map_key_ref) return config_map_key(*from.config_map_key_ref);
    if (from.secret_key_ref) return secret_key(*from.secret_key_ref);
    return bad_request("the kind of valueFrom is not supported");
  }

 private:
  using Value = Result<std::optional<std::string>>;
  static Value wrap(Result<std::string> r) {
    if (!r) return r.status();
    return std::optional(std::move(*r));
  }
  template <class Ref>
  Value config_map_key(const Ref& ref) const {
    bool optional = true_in(ref.optional);
    Result<const core::ConfigMap*> m = objects_.config_map(ref.name);
    if (!m) return m.is(Reason::NotFound) && optional ? Value(std::optional<std::string>()) : Value(m.status());
    auto i = (*m)->data.find(ref.key);
    if (i != (*m)->data.end()) return std::optional(i->second);
    if (optional) return std::optional<std::string>();
    return Status(Reason::NotFound, "couldn't find key " + ref.key + " in ConfigMap " + pod_.metadata.namespace_ + "/" + ref.name);
  }
  template <class Ref>
  Value secret_key(const Ref& ref) const {
    bool optional = true_in(ref.optional);
    Result<const core::Secret*> m = objects_.secret(ref.name);
    if (!m) return m.is(Reason::NotFound) && optional ? Value(std::optional<std::string>()) : Value(m.status());
    auto i = (*m)->data.find(ref.key);
    if (i != (*m)->data.end()) return std::optional(std::string(i->second));
    if (optional) return std::optional<std::string>();
    return Status(Reason::NotFound, "couldn't find key " + ref.key + " in Secret " + pod_.metadata.namespace_ + "/" + ref.name);
  }
  const core::Pod& pod_;
  const core::Container& container_;
  const PodFacts& facts_;
  const ReferencedObjects& objects_;
};

Result<void> add_env_from(const core::Container& c, const ReferencedObjects& objects, EnvMap& env) {
  for (const auto& from : c.env_from) {
    if (from.config_map_ref) {
      Result<const core::ConfigMap*> m = objects.config_map(from.config_map_ref->name);
      if (!m && m.is(Reason::NotFound) && true_in(from.config_map_ref->optional)) continue;
      if (!m) return m.status();
      for (const auto& [k, v] : (*m)->data) env[from.prefix + k] = v;
    } else if (from.secret_ref) {
      Result<const core::Secret*> m = objects.secret(from.secret_ref->name);
      if (!m && m.is(Reason::NotFound) && true_in(from.secret_ref->optional)) continue;
      if (!m) return m.status();
      for (const auto& [k, v] : (*m)->data) env[from.prefix + k] = v;
    }
  }
  return {};
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return b <= 0 ? 0 : a / b + (a % b > 0 ? 1 : 0); }

}  // namespace

Result<const core::ConfigMap*> ReferencedObjects::config_map(const std::string& name) const {
  auto i = config_maps.find(name);
  if (i == config_maps.end()) return not_found("configmaps", name);
  if (!i->second) return i->second.status();
  return &*i->second;
}
Result<const core::Secret*> ReferencedObjects::secret(const std::string& name) const {
  auto i = secrets.find(name);
  if (i == secrets.end()) return not_found("secrets", name);
  if (!i->second) return i->second.status();
  return &*i->second;
}

std::string expand_references(std::string_view text, const std::function<const std::string*(const std::string&)>& lookup, bool* all_known) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    char next = text[i + 1];
    if (next == '$') {
      out += '$';
      ++i;
    } else if (next == '(') {
      auto close = text.find(')', i + 2);
      if (close == std::string_view::npos) {
        out += "$(";
        ++i;
        continue;
      }
      std::string name(text.substr(i + 2, close - i - 2));
      const std::string* value = lookup(name);
      if (value) {
        out += *value;
      } else {
        out += "$(" + name + ")";
        if (all_known) *all_known = false;
      }
      i = close;
    } else {
      out += '$';
      out += next;
      ++i;
    }
  }
  return out;
}

EnvMap service_env(const std::vector<core::Service>& services) {
  EnvMap env;
  for (const auto& s : services) {
    if (s.spec.cluster_ip.empty() || s.spec.cluster_ip == "None" || s.spec.ports.empty()) continue;
    const std::string prefix = env_name(s.metadata.name);
    env[prefix + "_SERVICE_HOST"] = s.spec.cluster_ip;
    env[prefix + "_SERVICE_PORT"] = std::to_string(s.spec.ports.front().port);
    for (const auto& port : s.spec.ports)
      if (!port.name.empty()) env[prefix + "_SERVICE_PORT_" + env_name(port.name)] = std::to_string(port.port);
    add_link_variables(s, env);
  }
  return env;
}

std::string format_map(const std::map<std::string, std::string>& m) {
  std::string out;
  for (const auto& [k, v] : m) out += (out.empty() ? "" : "\n") + k + "=" + go_quote(v);
  return out;
}

Result<std::string> field_value(const core::Pod& pod, const PodFacts& facts, const std::string& path) {
  if (auto sub = subscripted(path)) {
    const auto* m = sub->first == "metadata.labels" ? &pod.metadata.labels
                    : sub->first == "metadata.annotations" ? &pod.metadata.annotations : nullptr;
    if (!m) return bad_request("fieldPath " + quote(path) + " does not support subscript");
    auto i = m->find(sub->second);
    return i == m->end() ? std::string() : i->second;
  }
  if (path == "metadata.name") return pod.metadata.name;
  if (path == "metadata.namespace") return pod.metadata.namespace_;
  if (path == "metadata.uid") return pod.metadata.uid;
  if (path == "metadata.labels") return format_map(pod.metadata.labels);
  if (path == "metadata.annotations") return format_map(pod.metadata.annotations);
  if (path == "spec.nodeName") return pod.spec.node_name;
  if (path == "spec.serviceAccountName") return pod.spec.service_account_name;
  if (path == "status.hostIP") return facts.host_ips.empty() ? std::string() : facts.host_ips.front();
  if (path == "status.hostIPs") return join(facts.host_ips, ",");
  if (path == "status.podIP") return facts.pod_ips.empty() ? std::string() : facts.pod_ips.front();
  if (path == "status.podIPs") return join(facts.pod_ips, ",");
  return bad_request("unsupported fieldPath: " + path);
}

Result<std::string> resource_value(const core::ResourceFieldSelector& selector, const core::Container& c, const PodFacts& facts) {
  auto dot = selector.resource.find('.');
  if (dot == std::string::npos) return bad_request("unsupported container resource : " + selector.resource);
  std::string kind = selector.resource.substr(0, dot), name = selector.resource.substr(dot + 1);
  bool known = name == "cpu" || name == "memory" || name == "ephemeral-storage" || name.starts_with("hugepages-");
  if (!known || (kind != "limits" && kind != "requests")) return bad_request("unsupported container resource : " + selector.resource);
  std::optional<Quantity> q = quantity_in(kind == "limits" ? c.resources.limits : c.resources.requests, name);
  if (kind == "limits" && (!q || q->is_zero())) q = quantity_in(facts.allocatable, name);
  Quantity value = q.value_or(Quantity());
  Quantity divisor = selector.divisor.is_zero() ? Quantity(1) : selector.divisor;
  if (name == "cpu") return std::to_string(ceil_div(value.milli_value(), divisor.milli_value()));
  return std::to_string(ceil_div(value.value(), divisor.value()));
}

Result<EnvMap> container_env(const core::Pod& pod, const core::Container& c, const PodFacts& facts, const ReferencedObjects& objects,
                             const EnvMap& services) {
  EnvMap env;
  RETURN_IF_ERROR(add_env_from(c, objects, env));
  auto lookup = [&](const std::string& name) -> const std::string* {
    if (auto i = env.find(name); i != env.end()) return &i->second;
    if (auto i = services.find(name); i != services.end()) return &i->second;
    return nullptr;
  };
  ValueSource source(pod, c, facts, objects);
  for (const auto& var : c.env) {
    if (!var.value.empty() || !var.value_from) {
      env[var.name] = expand_references(var.value, lookup);
      continue;
    }
    Result<std::optional<std::string>> v = source.read(*var.value_from);
    if (!v) return v.status();
    if (*v) env[var.name] = **v;
  }
  for (const auto& [k, v] : services) env.try_emplace(k, v);
  return env;
}

CommandLine expand_command(const core::Container& c, const EnvMap& env) {
  auto lookup = [&](const std::string& name) -> const std::string* {
    auto i = env.find(name);
    return i == env.end() ? nullptr : &i->second;
  };
  CommandLine out;
  for (const auto& s : c.command) out.command.push_back(expand_references(s, lookup));
  for (const auto& s : c.args) out.args.push_back(expand_references(s, lookup));
  return out;
}

Result<std::string> expand_sub_path(const core::VolumeMount& m, const EnvMap& env) {
  if (m.sub_path_expr.empty()) return m.sub_path;
  bool known = true;
  std::string out = expand_references(m.sub_path_expr, [&](const std::string& name) -> const std::string* {
    auto i = env.find(name);
    return i == env.end() ? nullptr : &i->second;
  }, &known);
  if (!known) return bad_request("missing value for a reference in subPathExpr " + quote(m.sub_path_expr));
  return out;
}

}  // namespace onebin::kubelet
