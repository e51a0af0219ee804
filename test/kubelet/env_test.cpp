#include "kubelet/pods.hpp"

#include "kubelet/admission.hpp"
#include "kubelet/container_spec.hpp"
#include "kubelet/image_puller.hpp"
#include "kubelet/volumes/payload.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::kubelet;
using namespace onebin::kubelet::test;

namespace {

std::string expand(const std::string& text, const EnvMap& env) {
  return expand_references(text, [&](const std::string& n) -> const std::string* {
    auto i = env.find(n);
    return i == env.end() ? nullptr : &i->second;
  });
}
core::EnvVar var(std::string name, std::string value) {
  core::EnvVar v;
  v.name = std::move(name);
  v.value = std::move(value);
  return v;
}

}  // namespace

TEST_CASE("references in values are expanded, escaped, or left as they are") {
  EnvMap env{{"A", "1"}, {"B", "$(A)"}};
  CHECK(expand("$(A)-$(B)", env) == "1-$(A)");
  CHECK(expand("$$(A)", env) == "$(A)");
  CHECK(expand("$$$(A)", env) == "$1");
  CHECK(expand("$(C) $A $", env) == "$(C) $A $");
  CHECK(expand("$(A", env) == "$(A");
  CHECK(expand("$()", env) == "$()");
}

TEST_CASE("a container's environment: sources, order, optional keys, services") {
  core::Pod p = pod("a", {container("x")});
  core::Container& c = p.spec.containers[0];
  core::ConfigMap m;
  m.data = {{"key", "value"}, {"other", "2"}};
  ReferencedObjects objects;
  objects.config_maps.emplace("cm", m);
  objects.secrets.emplace("none", Result<core::Secret>(not_found("secret", "none")));
  core::EnvFromSource from;
  from.prefix = "P_";
  from.config_map_ref.emplace();
  from.config_map_ref->name = "cm";
  c.env_from.push_back(from);
  c.env.push_back(var("A", "$(P_key)-$(KUBERNETES_SERVICE_HOST)-$(B)"));
  c.env.push_back(var("B", "b"));
  core::EnvVar field;
  field.name = "NODE";
  field.value_from.emplace();
  field.value_from->field_ref.emplace();
  field.value_from->field_ref->field_path = "spec.nodeName";
  c.env.push_back(field);
  PodFacts facts;
  EnvMap services{{"KUBERNETES_SERVICE_HOST", "10.43.0.1"}};
  Result<EnvMap> env = container_env(p, c, facts, objects, services);
  REQUIRE(env);
  CHECK(env->at("A") == "value-10.43.0.1-$(B)");
  CHECK(env->at("P_other") == "2");
  CHECK(env->at("NODE") == "node1");
  CHECK(env->at("KUBERNETES_SERVICE_HOST") == "10.43.0.1");

  core::EnvVar secret;
  secret.name = "S";
  secret.value_from.emplace();
  secret.value_from->secret_key_ref.emplace();
  secret.value_from->secret_key_ref->name = "none";
  secret.value_from->secret_key_ref->key = "k";
  c.env.push_back(secret);
  CHECK(container_env(p, c, facts, objects, services).is(Reason::NotFound));
  c.env.back().value_from->secret_key_ref->optional = true;
  env = container_env(p, c, facts, objects, services);
  REQUIRE(env);
  CHECK_FALSE(env->contains("S"));
}

TEST_CASE("service variables are those of Docker links too") {
  core::Service s;
  s.metadata.name = "my-db";
  s.spec.cluster_ip = "10.0.0.1";
  core::ServicePort port;
  port.port = 5432;
  port.protocol = "TCP";
  port.name = "main-port";
  s.spec.ports.push_back(port);
  EnvMap e = service_env({s});
  CHECK(e["MY_DB_SERVICE_HOST"] == "10.0.0.1");
  CHECK(e["MY_DB_SERVICE_PORT"] == "5432");
  CHECK(e["MY_DB_SERVICE_PORT_MAIN_PORT"] == "5432");
  CHECK(e["MY_DB_PORT"] == "tcp://10.0.0.1:5432");
  CHECK(e["MY_DB_PORT_5432_TCP_ADDR"] == "10.0.0.1");
  s.spec.cluster_ip = "None";
  CHECK(service_env({s}).empty());
}

TEST_CASE("fields and resources as values") {
  core::Pod p = pod("a", {container("x")});
  p.metadata.labels = {{"k", "v"}, {"q", "a\"b"}};
  PodFacts facts{{"10.1.0.1", "fd00::1"}, {"192.168.0.1"}, {{"cpu", Quantity::from_units(4)}, {"memory", Quantity::must_parse("8Gi")}}};
  CHECK(*field_value(p, facts, "metadata.labels['k']") == "v");
  CHECK(*field_value(p, facts, "metadata.labels") == "k=\"v\"\nq=\"a\\\"b\"");
  CHECK(*field_value(p, facts, "status.podIPs") == "10.1.0.1,fd00::1");
  CHECK_FALSE(field_value(p, facts, "status.phase"));
  core::ResourceFieldSelector r;
  r.resource = "limits.cpu";
  CHECK(*resource_value(r, p.spec.containers[0], facts) == "4");
  p.spec.containers[0].resources.limits["cpu"] = Quantity::must_parse("1500m");
  CHECK(*resource_value(r, p.spec.containers[0], facts) == "2");
  r.divisor = Quantity::must_parse("1m");
  CHECK(*resource_value(r, p.spec.containers[0], facts) == "1500");
  r = {};
  r.resource = "requests.memory";
  r.divisor = Quantity::must_parse("1Mi");
  p.spec.containers[0].resources.requests["memory"] = Quantity::must_parse("32Mi");
  CHECK(*resource_value(r, p.spec.containers[0], facts) == "32");
}

TEST_CASE("host names, hosts and resolv.conf") {
  core::Pod p = pod("a", {container("x")});
  p.spec.subdomain = "sub";
  auto h = pod_host_name(p, "cluster.local");
  REQUIRE(h);
  CHECK(h->fqdn() == "a.sub.default.svc.cluster.local");
  core::HostAlias alias;
  alias.ip = "1.2.3.4";
  alias.hostnames = {"foo", "bar"};
  p.spec.host_aliases.push_back(alias);
  std::string hosts = hosts_file(p, *h, {"10.42.0.2"});
  CHECK(hosts.find("# Kubernetes-managed hosts file.\n") == 0);
  CHECK(hosts.find("10.42.0.2\ta.sub.default.svc.cluster.local\ta\n") != std::string::npos);
  CHECK(hosts.find("1.2.3.4\tfoo\tbar\n") != std::string::npos);
  p.metadata.name = std::string(62, 'a') + "-bcd";
  p.spec.subdomain.clear();
  CHECK(pod_host_name(p, "cluster.local")->name == std::string(62, 'a'));

  DnsSources sources{{"10.43.0.10"}, "cluster.local", "nameserver 127.0.0.53\nnameserver 8.8.8.8\nsearch example.com\noptions edns0\n"};
  DnsConfig d = pod_dns(p, sources);
  CHECK(d.render() == "search default.svc.cluster.local svc.cluster.local cluster.local example.com\nnameserver 10.43.0.10\noptions ndots:5\n");
  p.spec.dns_config.emplace();
  p.spec.dns_config->nameservers = {"1.1.1.1"};
  core::PodDNSConfigOption o;
  o.name = "ndots";
  o.value = "2";
  p.spec.dns_config->options.push_back(o);
  d = pod_dns(p, sources);
  CHECK(d.nameservers == std::vector<std::string>{"10.43.0.10", "1.1.1.1"});
  CHECK(d.options == std::vector<std::string>{"ndots:2"});
  p.spec.dns_config = std::nullopt;
  p.spec.dns_policy = "Default";
  CHECK(pod_dns(p, sources).nameservers == std::vector<std::string>{"8.8.8.8"});
  p.spec.dns_policy = "None";
  CHECK(pod_dns(p, sources).render().empty());
  p.spec.dns_policy = "ClusterFirst";
  p.spec.host_network = true;
  CHECK(pod_dns(p, sources).nameservers.size() == 2);
}

TEST_CASE("resources become cgroup settings") {
  CHECK(milli_cpu_to_shares(0) == 2);
  CHECK(milli_cpu_to_shares(100) == 102);
  CHECK(milli_cpu_to_quota(1) == 1000);
  CHECK(milli_cpu_to_quota(1500) == 150000);
  core::Pod p = pod("a", {container("x"), container("y")});
  CHECK(qos_class(p) == "BestEffort");
  CHECK(oom_score_adj(p, p.spec.containers[0], 1000) == 1000);
  auto& r = p.spec.containers[0].resources;
  r.requests["memory"] = Quantity::from_units(100);
  CHECK(qos_class(p) == "Burstable");
  CHECK(oom_score_adj(p, p.spec.containers[0], 1000) == 900);
  CHECK(oom_score_adj(p, p.spec.containers[1], 1000) == 999);
  for (auto& c : p.spec.containers)
    for (const char* name : {"cpu", "memory"}) c.resources.requests[name] = c.resources.limits[name] = Quantity::from_units(200);
  CHECK(qos_class(p) == "Guaranteed");
  CHECK(oom_score_adj(p, p.spec.containers[0], 1000) == -997);
  CHECK(*pod_resources(p, false).memory_limit == 400);
  CHECK(pod_cgroup("/r", "Burstable", "u") == "/r/kubepods/burstable/podu");
  CHECK(pod_cgroup("", "Guaranteed", "u") == "/kubepods/podu");
  core::Container i = container("i");
  i.resources.requests["cpu"] = Quantity::from_units(1000);
  p.spec.init_containers.push_back(i);
  CHECK(pod_request(p, "cpu") == Quantity(1000));
  CHECK(pod_request(p, "memory") == Quantity(400));
}

TEST_CASE("security contexts become the container's") {
  core::Pod p = pod("a", {container("x")});
  ContainerInput in;
  in.image.id = "sha256:1";
  in.image.uid = 0;
  p.spec.security_context.emplace();
  p.spec.security_context->run_as_non_root = true;
  CHECK_FALSE(container_config(p, p.spec.containers[0], in));
  p.spec.security_context->run_as_user = 1000;
  p.spec.security_context->fs_group = 2000;
  p.spec.security_context->supplemental_groups = {3000};
  auto& s = p.spec.containers[0].security_context.ensure();
  s.run_as_user = 1001;
  s.allow_privilege_escalation = false;
  s.read_only_root_filesystem = true;
  s.capabilities.emplace();
  s.capabilities->drop = {"ALL"};
  Result<engine::ContainerConfig> c = container_config(p, p.spec.containers[0], in);
  REQUIRE(c);
  CHECK(*c->run_as_user == 1001);
  CHECK(c->supplemental_groups == std::vector<std::int64_t>{3000, 2000});
  CHECK(c->no_new_privs);
  CHECK(c->readonly_rootfs);
  CHECK(c->drop_capabilities == std::vector<std::string>{"ALL"});
  CHECK(c->log_path == "x/0.log");
  CHECK(c->labels.at(label::kPodUid) == "uid-of-a");
  s.run_as_user = 0;
  CHECK_FALSE(container_config(p, p.spec.containers[0], in));
}

TEST_CASE("pods that do not fit this node are refused with upstream's reasons") {
  AdmissionInput in;
  in.node_name = "node1";
  in.node_labels = {{"zone", "a"}, {"n", "5"}};
  in.allocatable = {{"cpu", Quantity::from_units(2)}, {"memory", Quantity::from_units(1000)}, {"pods", Quantity::from_units(2)}};
  core::Pod p = pod("a", {container("x")});
  CHECK_FALSE(refuse_pod(p, in));
  p.spec.containers[0].resources.requests["cpu"] = Quantity::from_units(3);
  CHECK(refuse_pod(p, in)->reason == "OutOfcpu");
  p.spec.containers[0].resources.requests.clear();
  p.spec.containers[0].resources.requests["example.com/thing"] = Quantity::from_units(3);
  CHECK_FALSE(refuse_pod(p, in));
  p.spec.node_selector = {{"zone", "b"}};
  CHECK(refuse_pod(p, in)->reason == "NodeAffinity");
  p.spec.node_selector.clear();
  core::Pod q = pod("q", {container("x")});
  core::ContainerPort port;
  port.host_port = port.container_port = 80;
  p.spec.containers[0].ports = q.spec.containers[0].ports = {port};
  in.others = {&q};
  CHECK(refuse_pod(p, in)->reason == "NodePorts");
  in.others = {&q, &q};
  CHECK(refuse_pod(p, in)->reason == "OutOfpods");
  core::NodeSelectorTerm term;
  core::NodeSelectorRequirement r;
  r.key = "n";
  r.operator_ = "Gt";
  r.values = {"4"};
  term.match_expressions = {r};
  CHECK(matches_node_selector(term, in.node_labels, "node1"));
  term.match_expressions[0].operator_ = "Lt";
  CHECK_FALSE(matches_node_selector(term, in.node_labels, "node1"));
}

TEST_CASE("volumes' contents") {
  core::Pod p = pod("a", {container("x")});
  PodFacts facts;
  ReferencedObjects objects;
  core::ConfigMap m;
  m.data = {{"a", "1"}, {"b", "2"}};
  objects.config_maps.emplace("cm", m);
  Tokens tokens;
  PayloadInput in{&p, &facts, &objects, &tokens};
  core::Volume v;
  v.name = "v";
  v.config_map.emplace();
  v.config_map->name = "cm";
  v.config_map->default_mode = 0400;
  Result<Payload> out = volume_payload(v, in);
  REQUIRE(out);
  CHECK(out->size() == 2);
  CHECK(out->at("a") == FileProjection{"1", 0400, {}});
  core::KeyToPath item;
  item.key = "b";
  item.path = "deep/b";
  item.mode = 0600;
  v.config_map->items = {item};
  CHECK(*volume_payload(v, in) == Payload{{"deep/b", FileProjection{"2", 0600, {}}}});
  v.config_map->items[0].key = "c";
  CHECK(volume_payload(v, in).status().message() == "references non-existent config key: c");
  v.config_map->optional = true;
  CHECK(volume_payload(v, in)->empty());
  v.config_map->name = "missing";
  CHECK(volume_payload(v, in)->empty());

  core::Volume t;
  t.projected.emplace();
  core::VolumeProjection source;
  source.service_account_token.emplace();
  source.service_account_token->path = "token";
  t.projected->sources.push_back(source);
  p.spec.volumes = {t};
  p.spec.service_account_name = "sa";
  auto specs = tokens_of(p);
  REQUIRE(specs.size() == 1);
  tokens.emplace(specs[0].key(), std::string("secret"));
  CHECK(*volume_payload(t, in) == Payload{{"token", FileProjection{"secret", 0644, {}}}});
  p.spec.security_context.emplace();
  p.spec.security_context->run_as_user = 1000;
  CHECK(*volume_payload(t, in) == Payload{{"token", FileProjection{"secret", 0600, 1000}}});
}

TEST_CASE("pull secrets fit by registry and path, the longest first") {
  core::Secret s;
  s.data[".dockerconfigjson"] = R"({"auths":{"reg.example.com":{"username":"u","password":"p"},"reg.example.com/team":{"auth":")" +
                                base64_encode("tu:tp") + R"("},"https://index.docker.io/v1/":{"username":"d"},"*.wild.io":{"username":"w"}}})";
  auto users = [&](const char* image) {
    std::string out;
    for (const auto& c : credentials_for(image, {&s})) out += c.username + ",";
    return out;
  };
  CHECK(users("reg.example.com/team/app:1") == "tu,u,");
  CHECK(users("reg.example.com/other") == "u,");
  CHECK(users("busybox") == "d,");
  CHECK(users("a.wild.io/x") == "w,");
  CHECK(users("wild.io/x") == "");
}

TEST_CASE("projected trust bundles and pods' certificates") {
  core::Pod p = pod("a", {container("x")});
  PodFacts facts;
  ReferencedObjects objects;
  auto now = from_unix(1800000000);
  std::string one = pki::create_ca({"one", {}}, now, 1h)->certificate, two = pki::create_ca({"two", {}}, now, 1h)->certificate;
  auto bundle = [](const char* name, const char* signer, const char* label, const std::string& pem) {
    api::certificates::v1::ClusterTrustBundle b;
    b.metadata.name = name;
    b.metadata.labels["tier"] = label;
    b.spec.signer_name = signer;
    b.spec.trust_bundle = pem;
    return b;
  };
  objects.trust_bundles = std::vector{bundle("plain", "", "a", "# comment\n" + one), bundle("e.x:s:1", "e.x/s", "a", one), bundle("e.x:s:2", "e.x/s", "b", two + one)};
  Tokens tokens;
  Credentials credentials;
  PayloadInput in{&p, &facts, &objects, &tokens, &credentials};
  core::Volume v;
  v.name = "v";
  v.projected.ensure().sources.resize(1);
  auto& source = v.projected->sources[0].cluster_trust_bundle.ensure();
  source.path = "ca.pem";
  source.name = "plain";
  CHECK(volume_payload(v, in)->at("ca.pem") == FileProjection{one, 0644, {}});
  source.name = "missing";
  CHECK(volume_payload(v, in).status().message() == "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io \"missing\" not found");
  source.optional = true;
  CHECK(volume_payload(v, in)->at("ca.pem").data.empty());
  source.name.reset();
  source.signer_name = "e.x/s";
  source.optional = false;
  CHECK(volume_payload(v, in).status().message() == "combination of signerName and labelSelector matched zero ClusterTrustBundles");  // no selector: none
  source.label_selector.ensure();
  std::string all = volume_payload(v, in)->at("ca.pem").data;
  CHECK(all.size() == one.size() + two.size());  // each certificate once
  source.label_selector->match_labels["tier"] = "a";
  CHECK(volume_payload(v, in)->at("ca.pem").data == one);
  p.spec.volumes = {v};
  CHECK(references_of(p).trust_bundles);

  core::Volume c;
  c.name = "cert";
  c.projected.ensure().sources.resize(1);
  auto& projection = c.projected->sources[0].pod_certificate.ensure();
  projection.credential_bundle_path = "bundle.pem";
  projection.key_path = "key.pem";
  projection.certificate_chain_path = "chain.pem";
  CHECK_FALSE(volume_payload(c, in));
  credentials.emplace("cert/0", Credential{"KEY", "CHAIN"});
  CHECK(*volume_payload(c, in) == Payload{{"bundle.pem", {"KEYCHAIN", 0644, {}}}, {"key.pem", {"KEY", 0644, {}}}, {"chain.pem", {"CHAIN", 0644, {}}}});
  p.spec.volumes = {v, c};
  REQUIRE(certificates_of(p).size() == 1);
  CHECK(certificates_of(p)[0].key() == "cert/0");
}
