// The SPDY upgrade of Kubernetes' streaming requests.
#pragma once
#include <onebin/net/http.hpp>

namespace onebin::net {

// Whether the request asks for SPDY/3.1.
bool is_spdy_upgrade(const Request& request);
struct SpdyUpgrade { StreamPtr stream; std::string protocol; };
// Agrees on the first of the client's X-Stream-Protocol-Version that is among `supported`, and upgrades. Answers 400 or
// 403 itself otherwise.
Task<Result<SpdyUpgrade>> spdy_upgrade(Request& request, ResponseWriter& writer, std::vector<std::string> supported);
// 400 with `why`; returns it as an error.
Task<Status> refuse_upgrade(ResponseWriter& writer, std::string why);

}  // namespace onebin::net
