#include "certificates.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <algorithm>
#include <set>

namespace onebin::server {
namespace {

constexpr Duration kCaLife = 24h * 3650, kLeafLife = 24h * 365, kRenewBefore = 24h * 90;

Result<pki::KeyPair> read_pair(const std::string& dir, const std::string& name) {
  pki::KeyPair pair;
  ASSIGN_OR_RETURN(pair.certificate, read_file(dir + "/" + name + ".crt"));
  ASSIGN_OR_RETURN(pair.key, read_file(dir + "/" + name + ".key"));
  return pair;
}

Result<void> write_pair(const std::string& dir, const std::string& name, const pki::KeyPair& pair) {
  // The key first: a certificate without its key would be read as a damaged pair.
  RETURN_IF_ERROR(write_file_atomic(dir + "/" + name + ".key", pair.key, 0600));
  return write_file_atomic(dir + "/" + name + ".crt", pair.certificate, 0644);
}

Result<pki::KeyPair> ensure_ca(const std::string& dir, const std::string& name, WallTime now) {
  Result<pki::KeyPair> pair = read_pair(dir, name);
  if (pair) {
    RETURN_IF_ERROR(pki::parse_certificate(pair->certificate).status().with_context(dir + "/" + name + ".crt"));
    return pair;
  }
  if (!pair.is(Reason::NotFound)) return pair.status();
  std::string stamp = std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  ASSIGN_OR_RETURN(pki::KeyPair made, pki::create_ca({"onebin-" + name + "@" + stamp, {}}, now, kCaLife));
  RETURN_IF_ERROR(write_pair(dir, name, made));
  return made;
}

bool same_set(std::vector<std::string> a, std::vector<std::string> b) { return std::set<std::string>(a.begin(), a.end()) == std::set<std::string>(b.begin(), b.end()); }

bool still_good(const pki::KeyPair& pair, const pki::KeyPair& ca, const pki::SignOptions& want, WallTime now) {
  auto info = pki::parse_certificate(pair.certificate);
  return info && info->subject == want.subject && same_set(info->dns_names, want.dns_names) && same_set(info->ip_addresses, want.ip_addresses) &&
         info->not_after - now > kRenewBefore && pki::verify_chain(pair.certificate, ca.certificate, now);
}

Result<pki::KeyPair> ensure_leaf(const std::string& dir, const std::string& name, const pki::KeyPair& ca, pki::SignOptions options, bool with_chain, WallTime now) {
  Result<pki::KeyPair> pair = read_pair(dir, name);
  if (pair && still_good(*pair, ca, options, now)) return pair;
  options.not_before = now - 1h;
  options.not_after = now + kLeafLife;
  ASSIGN_OR_RETURN(pki::KeyPair made, pki::issue(ca, options));
  if (with_chain) made.certificate += ca.certificate;
  RETURN_IF_ERROR(write_pair(dir, name, made));
  return made;
}

pki::SignOptions leaf(std::string cn, std::vector<std::string> organizations, pki::Usage usage) {
  pki::SignOptions o;
  o.subject = {std::move(cn), std::move(organizations)};
  o.usage = usage;
  return o;
}

pki::SignOptions serving_options(const ServingNames& names) {
  pki::SignOptions o = leaf("kube-apiserver", {}, pki::Usage::Server);
  o.dns_names = names.dns;
  o.ip_addresses = names.ips;
  return o;
}

}  // namespace

Result<Certificates> load_certificates(const std::string& dir, const ServingNames& names, WallTime now) {
  RETURN_IF_ERROR(make_dirs(dir, 0700));
  Certificates c;
  ASSIGN_OR_RETURN(c.server_ca, ensure_ca(dir, "server-ca", now));
  ASSIGN_OR_RETURN(c.client_ca, ensure_ca(dir, "client-ca", now));
  ASSIGN_OR_RETURN(c.kubelet_ca, ensure_ca(dir, "kubelet-ca", now));
  ASSIGN_OR_RETURN(c.front_proxy_ca, ensure_ca(dir, "request-header-ca", now));
  ASSIGN_OR_RETURN(c.serving, ensure_leaf(dir, "serving-kube-apiserver", c.server_ca, serving_options(names), true, now));
  ASSIGN_OR_RETURN(c.admin, ensure_leaf(dir, "client-admin", c.client_ca, leaf("system:admin", {"system:masters"}, pki::Usage::Client), false, now));
  ASSIGN_OR_RETURN(c.kubelet_client, ensure_leaf(dir, "client-kube-apiserver", c.client_ca, leaf("kube-apiserver", {"system:masters"}, pki::Usage::Client), false, now));
  ASSIGN_OR_RETURN(c.front_proxy, ensure_leaf(dir, "client-auth-proxy", c.front_proxy_ca, leaf("system:auth-proxy", {}, pki::Usage::Client), false, now));
  Result<std::string> key = read_file(dir + "/service.key");
  if (!key && key.is(Reason::NotFound)) {
    key = pki::generate_key();
    if (key) RETURN_IF_ERROR(write_file_atomic(dir + "/service.key", *key, 0600));
  }
  if (!key) return key.status();
  c.service_account_key = *key;
  return c;
}

Result<pki::KeyPair> renew_serving(const std::string& dir, const pki::KeyPair& ca, const ServingNames& names, WallTime now) {
  return ensure_leaf(dir, "serving-kube-apiserver", ca, serving_options(names), true, now);
}

std::string kubeconfig(const std::string& server, const std::string& ca_pem, const pki::KeyPair& user, const std::string& name) {
  std::string y;
  y += "apiVersion: v1\nkind: Config\nclusters:\n- name: " + name + "\n  cluster:\n    server: " + server + "\n";
  y += "    certificate-authority-data: " + base64_encode(ca_pem) + "\n";
  y += "contexts:\n- name: " + name + "\n  context:\n    cluster: " + name + "\n    user: " + name + "\ncurrent-context: " + name + "\n";
  y += "users:\n- name: " + name + "\n  user:\n    client-certificate-data: " + base64_encode(user.certificate) + "\n";
  y += "    client-key-data: " + base64_encode(user.key) + "\n";
  return y;
}

}  // namespace onebin::server
