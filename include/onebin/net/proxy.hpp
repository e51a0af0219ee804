// Passing a request on: node, pod and service proxying, aggregation, exec to a kubelet.
#pragma once
#include <onebin/net/client.hpp>

namespace onebin::net {

struct ProxyOptions {
  std::string target;            // raw path?query asked of `upstream`
  Headers set_headers;           // replace or add
  Headers add_headers;           // as many fields as there are here, after remove_headers
  std::vector<std::string> remove_headers;   // e.g. Authorization
  bool forwarded_for = true;     // append the peer to X-Forwarded-For, as Go's ReverseProxy does
  Duration idle = Duration::zero();          // of an upgraded connection
  // Called with the answer's head before it is passed on; may change headers.
  std::function<void(int status, Headers& headers)> on_response;
};
// Streams the request to `upstream` and its answer back; an Upgrade is passed on and spliced. When upstream cannot be
// reached nothing has been answered and the error is returned: the caller writes its own 502 or 503.
Task<Result<void>> reverse_proxy(Request& request, ResponseWriter& writer, HttpClient& upstream, ProxyOptions options);

}  // namespace onebin::net
