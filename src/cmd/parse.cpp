#include "options.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <CLI/CLI.hpp>
#include <yaml-cpp/yaml.h>

#include <iostream>

namespace onebin::cmd {
namespace {

constexpr char kDefaultConfig[] = "/etc/onebin/config.yaml";

std::vector<std::string> split_commas(const std::vector<std::string>& values) {
  std::vector<std::string> out;
  for (const auto& v : values)
    for (auto& part : split(v, ','))
      if (!part.empty()) out.push_back(part);
  return out;
}

// A list that may be given by several flags, by commas, or both.
void add_list(CLI::App* app, const std::string& flag, std::vector<std::string>& into, const std::string& help) {
  app->add_option_function<std::vector<std::string>>(flag, [&into](const std::vector<std::string>& v) { into = split_commas(v); }, help)->allow_extra_args(false);
}

CLI::Option* add_last(CLI::App* app, const std::string& flag, std::string& into, const std::string& help) {
  return app->add_option(flag, into, help)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->capture_default_str();
}

template <class N>
CLI::Option* add_number(CLI::App* app, const std::string& flag, N& into, const std::string& help) {
  return app->add_option(flag, into, help)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->capture_default_str();
}

struct Extra {
  std::string config;
  bool cgroup_given = false;
};

void add_node_flags(CLI::App* app, agent::Options& o) {
  add_last(app, "--node-name", o.node_name, "Name of this node (default: the host name)");
  add_list(app, "--node-ip,-i", o.node_ips, "Addresses of this node, one of each family (default: found)");
  add_list(app, "--node-external-ip", o.node_external_ips, "Addresses that others reach this node at: what Services of type LoadBalancer show");
  add_list(app, "--node-label", o.labels, "Labels of this node, KEY=VALUE");
  add_list(app, "--node-taint", o.taints, "Taints of this node, KEY=VALUE:EFFECT");
  add_last(app, "--root-dir", o.root_dir, "The kubelet's folder");
  add_last(app, "--pod-logs-dir", o.pod_logs_dir, "Folder of the containers' logs");
  add_last(app, "--run-dir", o.run_dir, "Folder of what a reboot ends");
  add_last(app, "--cgroup-root", o.cgroup_root, "Control group above the pods' (default: the root)");
  add_last(app, "--images-dir", o.images_dir, "Folder of image archives that are imported at start");
  add_last(app, "--private-registry", o.registries_file, "Registries' mirrors and credentials, in YAML");
  add_last(app, "--resolv-conf", o.resolv_conf, "resolv.conf for pods with dnsPolicy Default");
  add_last(app, "--pod-manifest-path", o.static_pod_dir, "Folder of static pods' manifests");
  add_last(app, "--flannel-backend", o.flannel_backend, "How pods of different nodes meet: vxlan, host-gw or none")->check(CLI::IsMember({"vxlan", "host-gw", "none"}));
  add_number(app, "--kubelet-port", o.kubelet_port, "Port of the kubelet's HTTPS API");
  add_number(app, "--max-pods", o.max_pods, "How many pods this node takes");
  add_last(app, "--runc", o.runc, "The OCI runtime");
}

void add_server_flags(CLI::App* app, server::Options& o) {
  add_last(app, "--data-dir,-d", o.data_dir, "Folder of the cluster's state");
  add_last(app, "--bind-address", o.bind_address, "Address that the API server listens on");
  add_number(app, "--https-listen-port", o.https_listen_port, "Port that the API server listens on");
  add_last(app, "--advertise-address", o.advertise_address, "Address that others reach the API server at (default: the node's)");
  add_list(app, "--tls-san", o.tls_sans, "Further names and addresses in the API server's certificate");
  add_last(app, "--write-kubeconfig,-o", o.write_kubeconfig, "File for the administrator's kubeconfig");
  add_last(app, "--write-kubeconfig-mode", o.write_kubeconfig_mode, "Its mode");
  add_last(app, "--token,-t", o.token, "Join token, ID.SECRET (default: made at first start)")->envname("ONEBIN_TOKEN");
  add_list(app, "--cluster-cidr", o.cluster_cidrs, "Address ranges of pods");
  add_list(app, "--service-cidr", o.service_cidrs, "Address ranges of Services");
  add_last(app, "--service-node-port-range", o.service_node_port_range, "Ports of Services of type NodePort");
  add_last(app, "--cluster-dns", o.cluster_dns, "Address of the cluster's DNS (default: the tenth of the service range)");
  add_last(app, "--cluster-domain", o.cluster_domain, "Domain of the cluster's names");
  app->add_option_function<std::vector<std::string>>("--disable", [&o](const std::vector<std::string>& v) {
       for (auto& c : split_commas(v)) o.disable.insert(c);
     }, "Components not to run: coredns, local-storage, servicelb, kube-proxy, scheduler, controller-manager, or a controller's name")->allow_extra_args(false);
  app->add_option("--kube-apiserver-arg", o.kube_apiserver_args, "A flag of kube-apiserver, NAME=VALUE: admission plug-ins, OIDC, token files, the audit log and the like")->allow_extra_args(false);
  add_list(app, "--feature-gates", o.feature_gates, "Features to turn on, NAME=true: CBORServingAndStorage");
  app->add_flag("--disable-agent", o.disable_agent, "Control plane only: this host is no node");
}

// One key of the file as arguments: a list gives the flag once an item, true a bare flag, false nothing.
void append_args(std::vector<std::string>& out, const std::string& key, const YAML::Node& value) {
  auto one = [&](const YAML::Node& v) {
    std::string text = v.IsNull() ? "" : v.as<std::string>();
    if (text == "true") out.push_back("--" + key);
    else if (text != "false") out.push_back("--" + key + "=" + text);
  };
  if (value.IsSequence()) {
    for (const auto& v : value) one(v);
  } else {
    one(value);
  }
}

Result<std::vector<std::string>> read_config(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, read_file(path, 1u << 20));
  try {
    YAML::Node root = YAML::Load(text);
    std::vector<std::string> out;
    if (root.IsNull()) return out;
    if (!root.IsMap()) return bad_request(path + ": want a map of flags' names to values");
    for (const auto& item : root) {
      if (!item.second.IsScalar() && !item.second.IsSequence() && !item.second.IsNull())
        return bad_request(path + ": " + item.first.as<std::string>() + ": want a value or a list of values");
      append_args(out, item.first.as<std::string>(), item.second);
    }
    return out;
  } catch (const YAML::Exception& e) {
    return bad_request(path + ": " + e.what());
  }
}

}  // namespace

Result<std::vector<std::string>> expand_config(const std::vector<std::string>& args) {
  if (args.empty() || (args[0] != "server" && args[0] != "agent")) return args;
  std::string path;
  std::vector<std::string> rest;
  for (std::size_t i = 1; i < args.size(); ++i) {
    if ((args[i] == "--config" || args[i] == "-c") && i + 1 < args.size()) path = args[++i];
    else if (starts_with(args[i], "--config=")) path = args[i].substr(9);
    else rest.push_back(args[i]);
  }
  bool named = !path.empty();
  if (!named) path = kDefaultConfig;
  std::vector<std::string> out{args[0]};
  if (named || path_exists(path)) {
    ASSIGN_OR_RETURN(std::vector<std::string> from_file, read_config(path));
    out.insert(out.end(), from_file.begin(), from_file.end());
  }
  out.insert(out.end(), rest.begin(), rest.end());
  return out;
}

Parsed parse(std::vector<std::string> args) {
  Parsed p;
  CLI::App app("onebin: a whole Kubernetes " ONEBIN_KUBERNETES_VERSION " in one executable", "onebin");
  app.require_subcommand(1);
  app.set_version_flag("--version", "onebin " ONEBIN_VERSION " (kubernetes " ONEBIN_KUBERNETES_VERSION ")");
  std::string config;

  auto* server = app.add_subcommand("server", "Run the control plane, and a node unless --disable-agent is given");
  add_server_flags(server, p.server);
  add_node_flags(server, p.server.agent);
  auto* agent = app.add_subcommand("agent", "Run a node of an existing cluster");
  add_last(agent, "--join,--server,-s", p.agent.server_url, "URL of the server, https://HOST:6443")->required()->envname("ONEBIN_URL");
  add_last(agent, "--token,-t", p.agent.token, "Join token, as 'onebin token' prints it on the server")->envname("ONEBIN_TOKEN");
  add_last(agent, "--data-dir,-d", p.agent.agent.data_dir, "Folder of the node's certificates and images");
  add_node_flags(agent, p.agent.agent);
  for (auto* sub : {server, agent}) {
    add_last(sub, "--config,-c", config, "YAML file with flags' names as keys (default: /etc/onebin/config.yaml)");
    add_last(sub, "--log-level", p.log_level, "debug, info, warn or error")->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  }
  app.add_subcommand("version", "Print the version");
  auto* token = app.add_subcommand("token", "Print the join token of the server on this host");
  add_last(token, "--data-dir,-d", p.data_dir, "The server's folder");
  app.add_subcommand("check-config", "Tell what this host lacks to run onebin, and what to do");
  app.add_subcommand("kubectl", "Run kubectl with the administrator's kubeconfig")->prefix_command();

  auto* image = app.add_subcommand("image", "Images of the node on this host");
  image->require_subcommand(1);
  add_last(image, "--run-dir", p.image.run_dir, "The agent's --run-dir");
  image->add_subcommand("ls", "List images");
  auto* import = image->add_subcommand("import", "Import archives (OCI layout or docker-archive)");
  import->add_option("file", p.image.names, "Archives")->required();
  auto* pull = image->add_subcommand("pull", "Pull images from their registries");
  pull->add_option("image", p.image.names, "References")->required();
  auto* rm = image->add_subcommand("rm", "Remove images");
  rm->add_option("image", p.image.names, "References or ids")->required();
  auto* save = image->add_subcommand("export", "Write images to an archive");
  save->add_option("--output,-o", p.image.output, "The archive")->required();
  save->add_option("image", p.image.names, "References")->required();

  auto* snapshot = app.add_subcommand("snapshot", "Snapshots of the server's state");
  snapshot->require_subcommand(1);
  add_last(snapshot, "--data-dir,-d", p.snapshot.data_dir, "The server's folder");
  snapshot->add_subcommand("save", "Write a snapshot, while the server runs or not")->add_option("file", p.snapshot.path, "Its file");
  snapshot->add_subcommand("restore", "Put a snapshot in place of the state; the server must be stopped")->add_option("file", p.snapshot.path, "Its file")->required();
  snapshot->add_subcommand("ls", "List the snapshots in the server's folder");

  std::reverse(args.begin(), args.end());
  try {
    app.parse(args);
  } catch (const CLI::ParseError& e) {
    p.exit_code = app.exit(e);
    if (p.exit_code != 0) p.exit_code = 2;
    return p;
  }
  p.verb = app.get_subcommands().front()->get_name();
  if (p.verb == "image") p.image.action = image->get_subcommands().front()->get_name();
  if (p.verb == "snapshot") p.snapshot.action = snapshot->get_subcommands().front()->get_name();
  return p;
}

}  // namespace onebin::cmd
