// Subresources that lead to a node, a pod or a Service: log, exec, attach, portforward, proxy.
#pragma once
#include "apiserver/handlers/handlers.hpp"

namespace onebin::apiserver {

Handling handle_pod_stream(RequestContext* c);  // log, exec, attach, portforward
Handling handle_proxy(RequestContext* c);       // pods, services, nodes

}  // namespace onebin::apiserver
