// ResourceQuota: the last plug-in of the chain. Apart from the others, since it also writes.
#pragma once
#include "apiserver/admission.hpp"
#include "apiserver/lister.hpp"

#include <onebin/client/transport.hpp>

#include <memory>

namespace onebin::apiserver {

// `transport` is one of system:masters.
std::unique_ptr<AdmissionPlugin> make_resource_quota(const Lister& lister, std::unique_ptr<client::Transport> transport);

}  // namespace onebin::apiserver
