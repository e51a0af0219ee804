// LocalTransport: the in-process way in: the same chain, without sockets; watches hand out the watch cache's own bytes.
#pragma once
#include "apiserver/core.hpp"

namespace onebin::apiserver {

std::unique_ptr<client::Transport> make_local_transport(Core& core, UserInfo user);

}  // namespace onebin::apiserver
