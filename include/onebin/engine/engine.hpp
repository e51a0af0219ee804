// Engine: images, pod sandboxes and containers on this host. The kubelet's only way to run anything; tests give it a
// fake. Everything runs on the loop thread; calls may overlap freely.
//
// Errors: NotFound for an unknown image, sandbox or container; BadRequest for a config that cannot work; Conflict for a
// call that does not fit the state (start of a running container); Timeout; InternalError with runc's message.
// remove_* of what does not exist succeeds, so that clean-up can be repeated.
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/base/result.hpp>
#include <onebin/engine/types.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::engine {

enum class OutputStream : std::uint8_t { Stdout, Stderr };
struct OutputChunk {
  OutputStream stream = OutputStream::Stdout;
  std::string data;  // never empty
};

// The streams of an exec or attach. One reader and one writer task at a time. Call close() before the last reference goes.
class IoSession {
 public:
  virtual ~IoSession() = default;
  // The next output, in order per stream; Closed after the last. Back-pressure reaches the process.
  virtual async::Task<Result<OutputChunk>> read() = 0;
  // Waits until the process's pipe took it. Closed when nobody reads any more.
  virtual async::Task<Result<void>> write(std::string data) = 0;
  virtual void close_stdin() = 0;  // half-close; idempotent
  virtual async::Task<Result<void>> resize(std::uint16_t columns, std::uint16_t rows) = 0;
  // exec: the exit code. attach: the container's exit code once it exits; Closed when the session ended before.
  virtual async::Task<Result<int>> wait() = 0;
  // Ends the session: an exec's process is killed if it still runs, an attach only detaches.
  virtual async::Task<void> close() = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;

  // Names an event source's listener; called on the loop thread, must not block. One listener; null removes it.
  // A container's exit is told here as soon as the kernel tells the shim: no polling.
  using EventListener = std::function<void(const ContainerEvent&)>;
  virtual void set_event_listener(EventListener listener) = 0;
  virtual async::Task<Result<void>> stop() = 0;  // detaches from everything; containers go on running

  // ---- images ----
  using ProgressFn = std::function<void(const PullProgress&)>;
  // Pulls whether or not it is present (a present layer is not fetched again). Gives the image's info.
  virtual async::Task<Result<ImageInfo>> pull_image(std::string reference, RegistryCredentials credentials, ProgressFn progress) = 0;
  // An OCI layout (folder or tar) or a docker-archive tar; tars may be gzip or zstd compressed. Every image in it.
  virtual async::Task<Result<std::vector<ImageInfo>>> import_images(std::string path) = 0;
  // Writes a docker-archive tar (which is an OCI layout as well) with the given images to `path`, atomically.
  virtual async::Task<Result<void>> export_images(std::vector<std::string> references, std::string path) = 0;
  virtual std::vector<ImageInfo> list_images() = 0;
  // By id, id prefix (12 hex digits at least), tag or digest reference. NotFound when absent.
  virtual Result<ImageInfo> image_status(const std::string& reference) = 0;
  // By tag: the tag only, the image when it was the last. By id or digest: the image. Layers in use by a container stay
  // until that is removed.
  virtual async::Task<Result<void>> remove_image(std::string reference) = 0;
  virtual async::Task<Result<ImageInfo>> tag_image(std::string reference, std::string new_tag) = 0;
  virtual async::Task<Result<ImageFsUsage>> image_fs_usage() = 0;

  // ---- sandboxes ----
  virtual async::Task<Result<std::string>> run_sandbox(SandboxConfig config) = 0;
  // Kills what runs in it (no grace: stop containers first), unpins its namespaces. Idempotent.
  virtual async::Task<Result<void>> stop_sandbox(std::string id) = 0;
  virtual async::Task<Result<void>> remove_sandbox(std::string id) = 0;  // with its containers
  virtual std::vector<SandboxStatus> list_sandboxes(const ListFilter& filter) = 0;
  virtual Result<SandboxStatus> sandbox_status(const std::string& id) = 0;

  // ---- containers ----
  virtual async::Task<Result<std::string>> create_container(std::string sandbox_id, ContainerConfig config) = 0;
  virtual async::Task<Result<void>> start_container(std::string id) = 0;
  // The stop signal (or `signal` when not empty), then SIGKILL after `grace`; returns once it exited.
  virtual async::Task<Result<void>> stop_container(std::string id, Duration grace, std::string signal) = 0;
  virtual async::Task<Result<void>> kill_container(std::string id, int signal) = 0;
  virtual async::Task<Result<void>> remove_container(std::string id) = 0;  // kills it when it runs
  virtual std::vector<ContainerStatus> list_containers(const ListFilter& filter) = 0;
  virtual Result<ContainerStatus> container_status(const std::string& id) = 0;
  virtual async::Task<Result<void>> update_container(std::string id, Resources resources) = 0;
  virtual async::Task<Result<ContainerStats>> container_stats(std::string id) = 0;
  virtual async::Task<Result<void>> reopen_log(std::string id) = 0;

  // Timeout when the command ran longer than `limit` (it is killed then); zero is no limit.
  virtual async::Task<Result<ExecResult>> exec_sync(std::string id, std::vector<std::string> command, Duration limit) = 0;
  virtual async::Task<Result<std::shared_ptr<IoSession>>> exec(std::string id, ExecRequest request) = 0;
  // Output from now on; input when the container has stdin_open.
  virtual async::Task<Result<std::shared_ptr<IoSession>>> attach(std::string id, bool with_stdin) = 0;

  // What the runtime can do, for node status and `check-config`.
  virtual std::string runtime_version() = 0;  // "1.1.5"
};

}  // namespace onebin::engine
