// Host name, /etc/hosts and /etc/resolv.conf of a pod. Pure.
#pragma once
#include "kubelet/pod_util.hpp"

#include <onebin/base/result.hpp>

#include <string>
#include <vector>

namespace onebin::kubelet {

struct HostName {
  std::string name;    // at most 63 characters
  std::string domain;  // "sub.ns.svc.cluster.local", or ""
  std::string fqdn() const { return domain.empty() ? name : name + "." + domain; }
};
Result<HostName> pod_host_name(const core::Pod& pod, const std::string& cluster_domain);

std::string hosts_file(const core::Pod& pod, const HostName& host, const std::vector<std::string>& pod_ips);
std::string host_network_hosts_file(const core::Pod& pod, const std::string& node_hosts);

struct DnsConfig {
  std::vector<std::string> nameservers, searches, options;
  static DnsConfig parse(std::string_view resolv_conf);
  std::string render() const;
};
struct DnsSources {
  std::vector<std::string> cluster_dns;
  std::string cluster_domain;
  std::string node_resolv_conf;  // content
};
DnsConfig pod_dns(const core::Pod& pod, const DnsSources& sources);

}  // namespace onebin::kubelet
