// The real engine: overlayfs, runc and one shim per container. See src/engine/README.md for its files on disk.
#pragma once
#include <onebin/async/loop.hpp>
#include <onebin/engine/engine.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onebin::engine {

// One registry's mirrors and access, as in k3s's registries.yaml; the caller parses the file.
struct RegistryMirror {
  std::vector<std::string> endpoints;              // "https://mirror.example:5000", tried in order, then the registry itself
  std::map<std::string, std::string> rewrites;     // regular expression -> replacement, on the repository's path
};
struct RegistryAccess {
  RegistryCredentials credentials;
  std::string ca_file, cert_file, key_file;
  bool insecure_skip_verify = false;
};
struct RegistriesConfig {
  std::map<std::string, RegistryMirror> mirrors;  // by registry host ("docker.io", "*")
  std::map<std::string, RegistryAccess> configs;  // by host[:port] of an endpoint
};

struct EngineOptions {
  std::string root_dir;  // images, layers, writable layers: /var/lib/onebin/engine
  std::string run_dir;   // all that a reboot ends: /run/onebin/engine
  std::string runc = "runc";
  std::map<std::string, std::string> runtimes;  // RuntimeClass handler -> executable, runc's command line
  // The program that runs as shim, as `PATH shim ARGS…`. Empty: the small one carried inside the library, written to
  // root_dir/bin once.
  std::string shim_path;
  // Cgroup of the shims, outside the pods and the service unit: "/onebin/shims". Empty: the caller's own.
  std::string shim_cgroup;
  RegistriesConfig registries;
  std::string default_registry = "docker.io";
  unsigned max_parallel_downloads = 3;
};

// Loads the state, finds running shims and exited containers again, removes what an unclean end left half-done. The
// loop, clock and rng outlive the engine.
async::Task<Result<std::unique_ptr<Engine>>> open_engine(async::Loop& loop, EngineOptions options);

}  // namespace onebin::engine
