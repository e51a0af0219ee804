// Subresources that lead to a node, a pod or a Service: log, exec, attach, portforward, proxy.
#pragma once
#include "apiserver/handlers/handlers.hpp"

#include <onebin/apimachinery/document.hpp>

#include <onebin/net/client.hpp>
#include <onebin/net/proxy.hpp>

namespace onebin::apiserver {

// A WebSocket's sub-protocol that is a bearer token: this and the token in base64url.
inline constexpr std::string_view kBearerProtocol = "base64url.bearer.authorization.k8s.io.";

Handling handle_pod_stream(RequestContext* c);  // log, exec, attach, portforward
Handling handle_proxy(RequestContext* c);       // pods, services, nodes

// --- shared by both
// What a CONNECT is asked with (PodExecOptions, ServiceProxyOptions, ...), from the query; admission may change it.
Document connect_options(const RequestContext& c);
Handling admit_connect(RequestContext* c, Document* options);
// What must not reach who is behind: the client's credentials.
std::vector<std::string> private_headers(const RequestContext& c);
void hide_token(net::ProxyOptions& o, const net::Request& request);
// Sends a body piece by piece, as it comes.
Handling pump(net::ClientResponse* from, RequestContext* c);

}  // namespace onebin::apiserver
