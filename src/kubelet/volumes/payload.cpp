#include "kubelet/volumes/payload.hpp"

#include "kubelet/container_spec.hpp"

#include <onebin/apimachinery/selectors.hpp>
#include <onebin/base/pki.hpp>

namespace onebin::kubelet {
namespace {

constexpr int kDefaultMode = 0644;

template <class Optional>
int mode_or(const Optional& mode, int other) { return mode ? *mode : other; }

template <class Items>
Result<void> pick(const std::map<std::string, std::string>& data, const Items& items, int mode, bool optional, const char* what, Payload& out) {
  if (items.empty()) {
    for (const auto& [k, v] : data) out[k] = {v, mode, {}};
    return {};
  }
  for (const auto& item : items) {
    auto i = data.find(item.key);
    if (i == data.end()) {
      if (optional) continue;
      return Status(Reason::NotFound, std::string("references non-existent ") + what + " key: " + item.key);
    }
    out[item.path] = {i->second, mode_or(item.mode, mode), {}};
  }
  return {};
}

template <class Items>
Result<void> add_config_map(const std::string& name, const Items& items, int mode, bool optional, const PayloadInput& in, Payload& out) {
  Result<const core::ConfigMap*> m = in.objects->config_map(name);
  if (!m) return m.is(Reason::NotFound) && optional ? Status::ok() : m.status();
  std::map<std::string, std::string> data = (*m)->data;
  for (const auto& [k, v] : (*m)->binary_data) data[k] = v;
  return pick(data, items, mode, optional, "config", out);
}

template <class Items>
Result<void> add_secret(const std::string& name, const Items& items, int mode, bool optional, const PayloadInput& in, Payload& out) {
  Result<const core::Secret*> s = in.objects->secret(name);
  if (!s) return s.is(Reason::NotFound) && optional ? Status::ok() : s.status();
  std::map<std::string, std::string> data;
  for (const auto& [k, v] : (*s)->data) data[k] = v;
  return pick(data, items, mode, optional, "secret", out);
}

template <class Items>
Result<void> add_downward(const Items& items, int mode, const PayloadInput& in, Payload& out) {
  for (const auto& item : items) {
    Result<std::string> value = bad_request("a downwardAPI item names no field");
    if (item.field_ref) {
      value = field_value(*in.pod, *in.facts, item.field_ref->field_path);
    } else if (item.resource_field_ref) {
      core::Container scratch;
      const core::Container* c = find_container(*in.pod, item.resource_field_ref->container_name, &scratch);
      if (!c) return bad_request("container " + item.resource_field_ref->container_name + " not found");
      value = resource_value(*item.resource_field_ref, *c, *in.facts);
    }
    if (!value) return value.status();
    out[item.path] = {*value, mode_or(item.mode, mode), {}};
  }
  return {};
}

// A file that its user alone reads, where the pod has a user or a group for its volumes.
FileProjection private_file(std::string data, int mode, const std::optional<std::int64_t>& user, const PayloadInput& in) {
  FileProjection file{std::move(data), mode, user ? user : common_user(*in.pod)};
  bool group = in.pod->spec.security_context && in.pod->spec.security_context->fs_group;
  if (file.owner || group) file.mode = 0600;
  return file;
}

template <class Token>
Result<void> add_token(const Token& source, int mode, const PayloadInput& in, Payload& out) {
  TokenSpec spec;
  spec.ns = in.pod->metadata.namespace_;
  spec.service_account = in.pod->spec.service_account_name.empty() ? "default" : in.pod->spec.service_account_name;
  spec.audience = source.audience;
  if (source.expiration_seconds) spec.expiration_seconds = *source.expiration_seconds;
  auto token = in.tokens->find(spec.key());
  if (token == in.tokens->end()) return internal_error("no token for " + spec.key());
  if (!token->second) return token->second.status();
  out[source.path] = private_file(*token->second, mode, source.user, in);
  return {};
}

// Each certificate once; the order says nothing.
std::string normalized(const std::set<std::string>& bundles) {
  std::set<std::string> certificates;
  for (const auto& b : bundles)
    if (Result<std::vector<std::string>> chain = pki::split_chain(b)) certificates.insert(chain->begin(), chain->end());
  std::string out;
  for (const auto& c : certificates) out += c;
  return out;
}

Result<void> add_trust_bundle(const core::ClusterTrustBundleProjection& source, int mode, const PayloadInput& in, Payload& out) {
  const auto& all = in.objects->trust_bundles;
  if (!all) return all.status();
  std::set<std::string> found;
  if (source.name) {
    for (const auto& b : *all)
      if (b.metadata.name == *source.name) found.insert(b.spec.trust_bundle);
    if (found.empty() && !true_in(source.optional))
      return Status(Reason::NotFound, "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io " + quote(*source.name) + " not found");
  } else if (source.signer_name) {
    auto selector = apimachinery::LabelSelector::nothing();
    if (source.label_selector) {
      ASSIGN_OR_RETURN(selector, apimachinery::LabelSelector::from_struct(*source.label_selector));
    }
    for (const auto& b : *all)
      if (b.spec.signer_name == *source.signer_name && selector.matches(b.metadata.labels)) found.insert(b.spec.trust_bundle);
    if (found.empty() && !true_in(source.optional))
      return Status(Reason::NotFound, "combination of signerName and labelSelector matched zero ClusterTrustBundles");
  } else {
    return bad_request("ClusterTrustBundle projection requires either name or signerName to be set");
  }
  out[source.path] = private_file(normalized(found), mode, source.user, in);
  return {};
}

Result<void> add_certificate(const CertificateSource& source, int mode, const PayloadInput& in, Payload& out) {
  auto c = in.credentials ? in.credentials->find(source.key()) : Credentials::const_iterator();
  if (!in.credentials || c == in.credentials->end()) return internal_error("no certificate for " + source.key());
  if (!c->second) return c->second.status();
  const core::PodCertificateProjection& p = source.projection;
  auto put = [&](const std::string& path, std::string data) {
    if (!path.empty()) out[path] = private_file(std::move(data), mode, p.user, in);
  };
  put(p.credential_bundle_path, c->second->key + c->second->chain);
  put(p.key_path, c->second->key);
  put(p.certificate_chain_path, c->second->chain);
  return {};
}

template <class Projected>
Result<void> add_projected(const std::string& volume, const Projected& p, const PayloadInput& in, Payload& out) {
  const int mode = mode_or(p.default_mode, kDefaultMode);
  for (std::size_t i = 0; i < p.sources.size(); ++i) {
    const auto& s = p.sources[i];
    if (s.config_map) RETURN_IF_ERROR(add_config_map(s.config_map->name, s.config_map->items, mode, true_in(s.config_map->optional), in, out));
    else if (s.secret) RETURN_IF_ERROR(add_secret(s.secret->name, s.secret->items, mode, true_in(s.secret->optional), in, out));
    else if (s.downward_api) RETURN_IF_ERROR(add_downward(s.downward_api->items, mode, in, out));
    else if (s.service_account_token) RETURN_IF_ERROR(add_token(*s.service_account_token, mode, in, out));
    else if (s.cluster_trust_bundle) RETURN_IF_ERROR(add_trust_bundle(*s.cluster_trust_bundle, mode, in, out));
    else if (s.pod_certificate) RETURN_IF_ERROR(add_certificate({volume, i, *s.pod_certificate}, mode, in, out));
    else return bad_request("a source of the projected volume is of a kind that is not supported");
  }
  return {};
}

void add_env_references(const core::Container& c, References& out) {
  for (const auto& f : c.env_from) {
    if (f.config_map_ref) out.config_maps.insert(f.config_map_ref->name);
    if (f.secret_ref) out.secrets.insert(f.secret_ref->name);
  }
  for (const auto& e : c.env) {
    if (!e.value_from) continue;
    if (e.value_from->config_map_key_ref) out.config_maps.insert(e.value_from->config_map_key_ref->name);
    if (e.value_from->secret_key_ref) out.secrets.insert(e.value_from->secret_key_ref->name);
  }
}

}  // namespace

bool is_projection(const core::Volume& v) { return v.config_map || v.secret || v.downward_api || v.projected; }

Result<Payload> volume_payload(const core::Volume& v, const PayloadInput& in) {
  Payload out;
  Result<void> r;
  if (v.config_map) r = add_config_map(v.config_map->name, v.config_map->items, mode_or(v.config_map->default_mode, kDefaultMode),
                                       true_in(v.config_map->optional), in, out);
  else if (v.secret) r = add_secret(v.secret->secret_name, v.secret->items, mode_or(v.secret->default_mode, kDefaultMode),
                                    true_in(v.secret->optional), in, out);
  else if (v.downward_api) r = add_downward(v.downward_api->items, mode_or(v.downward_api->default_mode, kDefaultMode), in, out);
  else if (v.projected) r = add_projected(v.name, *v.projected, in, out);
  else r = bad_request("the volume is not made from API objects");
  if (!r) return r.status();
  return out;
}

std::vector<TokenSpec> tokens_of(const core::Pod& pod) {
  std::vector<TokenSpec> out;
  for (const auto& v : pod.spec.volumes) {
    if (!v.projected) continue;
    for (const auto& s : v.projected->sources) {
      if (!s.service_account_token) continue;
      TokenSpec t;
      t.ns = pod.metadata.namespace_;
      t.service_account = pod.spec.service_account_name.empty() ? "default" : pod.spec.service_account_name;
      t.audience = s.service_account_token->audience;
      if (s.service_account_token->expiration_seconds) t.expiration_seconds = *s.service_account_token->expiration_seconds;
      out.push_back(std::move(t));
    }
  }
  return out;
}

std::vector<CertificateSource> certificates_of(const core::Pod& pod) {
  std::vector<CertificateSource> out;
  for (const auto& v : pod.spec.volumes)
    if (v.projected)
      for (std::size_t i = 0; i < v.projected->sources.size(); ++i)
        if (const auto& c = v.projected->sources[i].pod_certificate) out.push_back({v.name, i, *c});
  return out;
}

References references_of(const core::Pod& pod) {
  References out;
  for (const auto* list : {&pod.spec.init_containers, &pod.spec.containers})
    for (const auto& c : *list) add_env_references(c, out);
  for (const auto& e : pod.spec.ephemeral_containers) add_env_references(as_container(e), out);
  for (const auto& s : pod.spec.image_pull_secrets) out.secrets.insert(s.name);
  for (const auto& v : pod.spec.volumes) {
    if (v.config_map) out.config_maps.insert(v.config_map->name);
    if (v.secret) out.secrets.insert(v.secret->secret_name);
    if (!v.projected) continue;
    for (const auto& s : v.projected->sources) {
      if (s.config_map) out.config_maps.insert(s.config_map->name);
      if (s.secret) out.secrets.insert(s.secret->name);
      if (s.cluster_trust_bundle) out.trust_bundles = true;
    }
  }
  return out;
}

}  // namespace onebin::kubelet
