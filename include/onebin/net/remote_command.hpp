// The streaming subresources' protocols, seen by who serves them: exec and attach (remotecommand), port-forward.
// Protocol names and channel numbers: Kubernetes' apimachinery remotecommand constants, KEP-4006.
#pragma once
#include <onebin/net/http.hpp>

namespace onebin::net {

struct RemoteCommandOptions {
  bool stdin_ = false, stdout_ = false, stderr_ = false, tty = false;
  Duration stream_creation_timeout = 30s;   // for the client to open all of its streams
  Duration idle_timeout = 4 * 60min;        // nothing moves in either direction
  // From the query of exec and attach (stdin, stdout, stderr, tty, and the kubelet's input, output, error forms); BadRequest
  // when none of the three is asked for. With tty, stderr is off.
  static Result<RemoteCommandOptions> from_query(const Query& query);
};

struct TerminalSize { std::uint16_t width = 0, height = 0; };

class RemoteCommand {
 public:
  // Upgrades the request to WebSocket (v5.channel.k8s.io, v4, and the older ones with their base64 forms) or SPDY/3.1
  // (v5 to v1 by X-Stream-Protocol-Version). Answers the client itself when that is not possible.
  static Task<Result<std::unique_ptr<RemoteCommand>>> accept(Request& request, ResponseWriter& writer,
                                                             RemoteCommandOptions options);
  virtual ~RemoteCommand() = default;       // finish() or abort() must have returned
  // Null where the client did not ask for it. stdin: read until 0. stdout, stderr: write.
  virtual Stream* stdin_stream() = 0;
  virtual Stream* stdout_stream() = 0;
  virtual Stream* stderr_stream() = 0;
  // The next terminal size; only the latest is kept. Closed when there will be none any more.
  virtual Task<Result<TerminalSize>> next_resize() = 0;
  // Waits until the client has gone (or idle_timeout has passed).
  virtual Task<void> wait_closed() = 0;
  virtual const std::string& protocol() const = 0;
  // Tell the outcome on the error channel in the protocol's form and end the session. 0: success.
  virtual Task<void> finish_exit(int exit_code) = 0;
  virtual Task<void> finish_error(Status error) = 0;
  virtual Task<void> abort() = 0;
};

class PortForward {
 public:
  struct Connection {
    std::uint16_t port = 0;
    std::string request_id;
    StreamPtr data;    // bytes to and from the port
    StreamPtr error;   // write a message and close when the port cannot be reached
  };
  // SPDY portforward.k8s.io, SPDY tunnelled in WebSocket (SPDY/3.1+portforward.k8s.io), and WebSocket v4.channel.k8s.io
  // (ports from the query's ports=). Answers the client itself when that is not possible.
  static Task<Result<std::unique_ptr<PortForward>>> accept(Request& request, ResponseWriter& writer,
                                                           Duration stream_creation_timeout = 30s);
  virtual ~PortForward() = default;          // stop() must have returned
  virtual Task<Result<Connection>> next() = 0;  // Closed when the client has gone
  virtual Task<void> stop() = 0;
};

}  // namespace onebin::net
