// Leases on disk: one small file a pod under <run_dir>/network/leases, so that an agent's restart finds every pod again.
#pragma once
#include "network/pod_rules.hpp"

namespace onebin::network {

std::string format_lease(const Lease& lease);
Result<Lease> parse_lease(std::string_view text);

class LeaseFolder {
 public:
  explicit LeaseFolder(std::string path) : path_(std::move(path)) {}
  Result<std::vector<Lease>> load();  // what cannot be read is logged, removed and left out
  Result<void> store(const Lease& lease);
  Result<void> remove(const std::string& pod_uid);

 private:
  std::string path_;
};

}  // namespace onebin::network
