// Container logs in the CRI format ("TIME STREAM TAG TEXT"), across rotation.
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/base/result.hpp>
#include <onebin/base/time.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace onebin::kubelet {

struct LogLine {
  std::string_view time, text;  // text without its newline
  bool is_stderr = false;
  bool partial = false;         // the line goes on in the next entry
};
std::optional<LogLine> parse_log_line(std::string_view line);

// The last lines of a log, without times, joined by newlines: at most `lines` lines and `bytes` bytes. "" when there is none.
std::string tail_of_log(const std::string& path, int lines, std::size_t bytes);

struct LogOptions {
  bool follow = false, timestamps = false;
  std::optional<std::int64_t> tail_lines, limit_bytes;
  std::optional<WallTime> since;
  std::string stream = "All";  // All, Stdout, Stderr
};

// How a follower is told that its container has ended: it then reads what is left and stops.
class LogFollow {
 public:
  void end();
  bool ended() const { return ended_; }

 private:
  friend struct LogReaderAccess;
  bool ended_ = false;
  void* watch_ = nullptr;  // net::FdWatch that the reader waits on
};

// Writes what `options` ask for to `sink`, in pieces of at most 64 KB. With options.follow it goes on, woken by inotify,
// also across rotation, until follow->end() or until the sink fails. `path` is the container's present log file.
using LogSink = std::function<async::Task<Result<void>>(std::string bytes)>;
async::Task<Result<void>> read_log(std::string path, LogOptions options, LogFollow* follow, LogSink sink);

}  // namespace onebin::kubelet
