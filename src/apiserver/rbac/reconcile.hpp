// Brings the default roles and bindings of a cluster up to date at each start, as upstream does: what is missing is made,
// what lacks rules or subjects gets them, what a person added stays; an object annotated autoupdate "false" is left alone.
#pragma once
#include "apiserver/lister.hpp"

#include <onebin/apiserver/apiserver.hpp>
#include <onebin/async/task.hpp>
#include <onebin/client/transport.hpp>

namespace onebin::apiserver {

// One write: the request, and whether an object that is there already is fine.
struct BootstrapWrite {
  client::ApiRequest request;
  bool exists_is_fine = false;
};
// All that must be written for the policy, the system priority classes and the authentication ConfigMap; reads `lister`.
std::vector<BootstrapWrite> plan_bootstrap(const Lister& lister, const Options& options);
// Sends them at the same time, so that they share commits.
async::Task<Result<void>> send_all(client::Transport* transport, std::vector<BootstrapWrite> writes);

}  // namespace onebin::apiserver
