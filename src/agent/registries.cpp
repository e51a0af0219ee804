#include "registries.hpp"

#include <onebin/base/file.hpp>

#include <yaml-cpp/yaml.h>

namespace onebin::agent {
namespace {

std::string text(const YAML::Node& n, const char* key) { return n[key] ? n[key].as<std::string>() : std::string(); }

engine::RegistryMirror read_mirror(const YAML::Node& n) {
  engine::RegistryMirror m;
  if (n["endpoint"])
    for (const auto& e : n["endpoint"]) m.endpoints.push_back(e.as<std::string>());
  if (n["rewrite"])
    for (const auto& e : n["rewrite"]) m.rewrites[e.first.as<std::string>()] = e.second.as<std::string>();
  return m;
}

engine::RegistryAccess read_access(const YAML::Node& n) {
  engine::RegistryAccess a;
  if (YAML::Node auth = n["auth"]) {
    a.credentials.username = text(auth, "username");
    a.credentials.password = text(auth, "password");
    a.credentials.identity_token = text(auth, "identity_token");
    a.credentials.registry_token = text(auth, "token");
  }
  if (YAML::Node tls = n["tls"]) {
    a.ca_file = text(tls, "ca_file");
    a.cert_file = text(tls, "cert_file");
    a.key_file = text(tls, "key_file");
    a.insecure_skip_verify = tls["insecure_skip_verify"] && tls["insecure_skip_verify"].as<bool>();
  }
  return a;
}

}  // namespace

Result<engine::RegistriesConfig> read_registries(const std::string& path) {
  engine::RegistriesConfig out;
  Result<std::string> file = read_file(path, 1u << 20);
  if (!file) {
    if (file.is(Reason::NotFound)) return out;
    return file.status();
  }
  try {
    YAML::Node root = YAML::Load(*file);
    if (root.IsNull()) return out;
    if (!root.IsMap()) return bad_request(path + ": want a map with 'mirrors' and 'configs'");
    if (root["mirrors"])
      for (const auto& m : root["mirrors"]) out.mirrors[m.first.as<std::string>()] = read_mirror(m.second);
    if (root["configs"])
      for (const auto& c : root["configs"]) out.configs[c.first.as<std::string>()] = read_access(c.second);
  } catch (const YAML::Exception& e) {
    return bad_request(path + ": " + e.what());
  }
  return out;
}

}  // namespace onebin::agent
