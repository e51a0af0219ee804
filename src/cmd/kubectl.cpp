#include "options.hpp"

#include <onebin/base/file.hpp>

#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace onebin::cmd {

int run_kubectl(const std::vector<std::string>& args) {
  constexpr char kKubeconfig[] = "/etc/onebin/onebin.yaml";
  if (!std::getenv("KUBECONFIG") && path_exists(kKubeconfig)) ::setenv("KUBECONFIG", kKubeconfig, 1);
  std::vector<std::string> full{"kubectl"};
  full.insert(full.end(), args.begin(), args.end());
  std::vector<char*> argv;
  for (auto& a : full) argv.push_back(a.data());
  argv.push_back(nullptr);
  ::execvp("kubectl", argv.data());
  std::fprintf(stderr, "onebin: kubectl is not in PATH: install it, or put it there; the kubeconfig is %s\n", kKubeconfig);
  return 127;
}

}  // namespace onebin::cmd
