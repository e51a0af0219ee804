// Transport: how a component speaks to the API server. The in-process transport is implemented by apiserver and injected
// by server/; the HTTPS transport is client's own. Both go through the same handler chain with the same identity.
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/result.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::client {

struct ApiRequest {
  std::string method = "GET";
  std::string path;                // "/api/v1/namespaces/default/pods/a"
  std::string query;               // raw, without '?', already escaped
  std::string content_type;        // of the body
  std::string accept = "application/vnd.kubernetes.protobuf";
  std::string body;
};

struct ApiResponse {
  int code = 0;
  std::string content_type;
  std::string body;
};

enum class WatchType : std::uint8_t { Added, Modified, Deleted, Bookmark, Error };

// One event of a watch. `object` is the encoded object in the watch's wire format (protobuf with its envelope unless JSON
// was asked for) and may be shared with the server's watch cache.
struct WatchEvent {
  WatchType type = WatchType::Error;
  Bytes object;
  // Filled by transports that know them without decoding; empty otherwise.
  std::int64_t resource_version = 0;
  Status error;  // type Error
};

class WatchStream {
 public:
  virtual ~WatchStream() = default;
  // The next events in order, at least one. Closed when the server ended the watch.
  virtual async::Task<Result<std::vector<WatchEvent>>> next() = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // A failure to reach the server is a Status; an answer of any code is a response.
  virtual async::Task<Result<ApiResponse>> request(ApiRequest request) = 0;
  // `request` is a GET with watch=true. An answer other than 200 comes back as its Status.
  virtual async::Task<Result<std::unique_ptr<WatchStream>>> watch(ApiRequest request) = 0;
};

// The Status in an error response: decodes a metav1.Status in JSON or protobuf, else makes one from the code.
Status status_from_response(const ApiResponse& response);

}  // namespace onebin::client
