#include "kubelet/etc_files.hpp"

#include <onebin/apimachinery/names.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <map>

namespace onebin::kubelet {
namespace {

constexpr std::size_t kMaxNameservers = 3, kMaxSearches = 32, kMaxSearchCharacters = 2048, kMaxHostName = 63;

std::string host_alias_lines(const core::Pod& pod) {
  if (pod.spec.host_aliases.empty()) return {};
  std::string out = "\n# Entries added by HostAliases.\n";
  for (const auto& alias : pod.spec.host_aliases) out += alias.ip + "\t" + join(alias.hostnames, "\t") + "\n";
  return out;
}

Result<std::string> truncated(std::string name) {
  if (name.size() <= kMaxHostName) return name;
  name.resize(kMaxHostName);
  while (!name.empty() && (name.back() == '-' || name.back() == '.')) name.pop_back();
  if (name.empty()) return bad_request("the pod's host name is empty after it was cut to 63 characters");
  return name;
}

void append_unique(std::vector<std::string>& to, const std::vector<std::string>& from) {
  for (const auto& s : from)
    if (std::find(to.begin(), to.end(), s) == to.end()) to.push_back(s);
}

void limit(DnsConfig& c) {
  if (c.nameservers.size() > kMaxNameservers) c.nameservers.resize(kMaxNameservers);
  if (c.searches.size() > kMaxSearches) c.searches.resize(kMaxSearches);
  while (!c.searches.empty() && join(c.searches, " ").size() > kMaxSearchCharacters) c.searches.pop_back();
}

std::string option_name(const std::string& option) { return option.substr(0, option.find(':')); }

}  // namespace

Result<HostName> pod_host_name(const core::Pod& pod, const std::string& cluster_domain) {
  HostName out;
  if (pod.spec.hostname_override) {
    if (!apimachinery::is_dns1123_subdomain(*pod.spec.hostname_override).empty())
      return bad_request("pod HostnameOverride " + quote(*pod.spec.hostname_override) + " is not a valid DNS subdomain");
    ASSIGN_OR_RETURN(out.name, truncated(*pod.spec.hostname_override));
    return out;
  }
  std::string name = pod.metadata.name;
  if (!pod.spec.hostname.empty()) {
    if (!apimachinery::is_dns1123_label(pod.spec.hostname).empty())
      return bad_request("pod Hostname " + quote(pod.spec.hostname) + " is not a valid DNS label");
    name = pod.spec.hostname;
  }
  ASSIGN_OR_RETURN(out.name, truncated(name));
  if (!pod.spec.subdomain.empty()) {
    if (!apimachinery::is_dns1123_label(pod.spec.subdomain).empty())
      return bad_request("pod Subdomain " + quote(pod.spec.subdomain) + " is not a valid DNS label");
    out.domain = pod.spec.subdomain + "." + pod.metadata.namespace_ + ".svc." + cluster_domain;
  }
  return out;
}

std::string hosts_file(const core::Pod& pod, const HostName& host, const std::vector<std::string>& pod_ips) {
  std::string out =
      "# Kubernetes-managed hosts file.\n"
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\n"
      "fe00::0\tip6-mcastprefix\n"
      "fe00::1\tip6-allnodes\n"
      "fe00::2\tip6-allrouters\n";
  for (const auto& ip : pod_ips) {
    out += ip + "\t";
    if (!host.domain.empty()) out += host.fqdn() + "\t";
    out += host.name + "\n";
  }
  return out + host_alias_lines(pod);
}

std::string host_network_hosts_file(const core::Pod& pod, const std::string& node_hosts) {
  return "# Kubernetes-managed hosts file (host network).\n" + node_hosts + host_alias_lines(pod);
}

DnsConfig DnsConfig::parse(std::string_view text) {
  DnsConfig out;
  for (const auto& raw : split(text, '\n')) {
    std::string_view line = trim(raw);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    std::vector<std::string> words;
    std::string word;
    for (char c : line) {
      if (c == ' ' || c == '\t') {
        if (!word.empty()) words.push_back(std::move(word));
        word.clear();
      } else {
        word += c;
      }
    }
    if (!word.empty()) words.push_back(word);
    if (words.size() < 2) continue;
    std::vector<std::string> rest(words.begin() + 1, words.end());
    if (words[0] == "nameserver") out.nameservers.push_back(words[1]);
    if (words[0] == "search") {
      out.searches.clear();
      for (auto& s : rest) {
        if (s.size() > 1 && s.back() == '.') s.pop_back();
        out.searches.push_back(s);
      }
    }
    if (words[0] == "options") append_unique(out.options, rest);
  }
  return out;
}

std::string DnsConfig::render() const {
  std::string out;
  if (!searches.empty()) out += "search " + join(searches, " ") + "\n";
  for (const auto& n : nameservers) out += "nameserver " + n + "\n";
  if (!options.empty()) out += "options " + join(options, " ") + "\n";
  return out;
}

DnsConfig pod_dns(const core::Pod& pod, const DnsSources& sources) {
  DnsConfig node = DnsConfig::parse(sources.node_resolv_conf);
  DnsConfig out;
  const std::string& policy = pod.spec.dns_policy;
  bool cluster = policy == "ClusterFirstWithHostNet" || (policy != "Default" && policy != "None" && !pod.spec.host_network);
  if (policy == "None") {
    cluster = false;
  } else if (cluster && !sources.cluster_dns.empty()) {
    out.nameservers = sources.cluster_dns;
    const std::string& domain = sources.cluster_domain;
    if (!domain.empty()) out.searches = {pod.metadata.namespace_ + ".svc." + domain, "svc." + domain, domain};
    append_unique(out.searches, node.searches);
    out.options = {"ndots:5"};
  } else {
    out = node;
    // A resolver on the node's own loopback is out of a pod's reach.
    if (!pod.spec.host_network) std::erase_if(out.nameservers, [](const std::string& n) { return n.starts_with("127."); });
  }
  if (pod.spec.dns_config) {
    append_unique(out.nameservers, pod.spec.dns_config->nameservers);
    append_unique(out.searches, pod.spec.dns_config->searches);
    for (const auto& o : pod.spec.dns_config->options) {
      std::erase_if(out.options, [&](const std::string& have) { return option_name(have) == o.name; });
      out.options.push_back(o.value && !o.value->empty() ? o.name + ":" + *o.value : o.name);
    }
  }
  limit(out);
  return out;
}

}  // namespace onebin::kubelet
