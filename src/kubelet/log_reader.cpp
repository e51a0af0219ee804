#include "kubelet/log_reader.hpp"

#include <onebin/base/file.hpp>
#include <onebin/net/stream.hpp>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <vector>

namespace onebin::kubelet {

struct LogReaderAccess {
  static void set(LogFollow& f, net::FdWatch* w) { f.watch_ = w; }
};

namespace {

constexpr std::size_t kChunk = 64 * 1024;

// Where the last `n` lines begin.
off_t tail_offset(int fd, std::int64_t n) {
  struct stat st {};
  if (::fstat(fd, &st) != 0 || st.st_size == 0) return 0;
  if (n <= 0) return st.st_size;
  std::string buffer(kChunk, '\0');
  off_t at = st.st_size;
  std::int64_t found = 0;
  while (at > 0) {
    off_t from = at > static_cast<off_t>(kChunk) ? at - static_cast<off_t>(kChunk) : 0;
    ssize_t got = ::pread(fd, buffer.data(), static_cast<std::size_t>(at - from), from);
    if (got <= 0) return 0;
    for (ssize_t i = got - 1; i >= 0; --i) {
      if (buffer[static_cast<std::size_t>(i)] != '\n') continue;
      if (from + i + 1 == st.st_size) continue;  // the end of the last line
      if (++found == n) return from + i + 1;
    }
    at = from;
  }
  return 0;
}

// Turns entries into what the client asked for.
class Filter {
 public:
  explicit Filter(const LogOptions& o) : o_(o), left_(o.limit_bytes ? *o.limit_bytes : -1) {}
  bool full() const { return left_ == 0; }
  void add(std::string_view line, std::string& out) {
    std::optional<LogLine> e = parse_log_line(line);
    if (!e) return;
    if (o_.stream == "Stdout" && e->is_stderr) return;
    if (o_.stream == "Stderr" && !e->is_stderr) return;
    if (o_.since) {
      std::optional<WallTime> t = parse_rfc3339(e->time);
      if (!t || *t < *o_.since) return;
    }
    std::string text;
    if (o_.timestamps && !in_partial_) text.append(e->time).append(" ");
    text.append(e->text);
    if (!e->partial) text += '\n';
    in_partial_ = e->partial;
    if (left_ >= 0 && static_cast<std::int64_t>(text.size()) > left_) text.resize(static_cast<std::size_t>(left_));
    if (left_ >= 0) left_ -= static_cast<std::int64_t>(text.size());
    out += text;
  }

 private:
  const LogOptions& o_;
  std::int64_t left_;
  bool in_partial_ = false;
};

struct OpenLog {
  Fd fd;
  ino_t inode = 0;
  off_t at = 0;
  std::string rest;  // an entry whose newline has not come yet

  bool open(const std::string& path) {
    fd.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat st {};
    if (!fd || ::fstat(fd.get(), &st) != 0) return false;
    inode = st.st_ino;
    at = 0;
    rest.clear();
    return true;
  }
  bool rotated(const std::string& path) const {
    struct stat st {};
    return ::stat(path.c_str(), &st) == 0 && st.st_ino != inode;
  }
};

// Reads to the present end of the file.
async::Task<Result<void>> drain(OpenLog* log, Filter* filter, const LogSink* sink) {
  std::string buffer(kChunk, '\0');
  while (!filter->full()) {
    ssize_t n = ::pread(log->fd.get(), buffer.data(), buffer.size(), log->at);
    if (n < 0) co_return from_errno("read of the log", errno);
    if (n == 0) break;
    log->at += n;
    log->rest.append(buffer.data(), static_cast<std::size_t>(n));
    std::string out;
    std::size_t begin = 0;
    for (std::size_t nl; !filter->full() && (nl = log->rest.find('\n', begin)) != std::string::npos; begin = nl + 1)
      filter->add(std::string_view(log->rest).substr(begin, nl - begin), out);
    log->rest.erase(0, begin);
    if (!out.empty()) CO_RETURN_IF_ERROR(co_await (*sink)(std::move(out)));
  }
  co_return Result<void>();
}

void empty_inotify(int fd) {
  char buffer[4096];
  while (::read(fd, buffer, sizeof buffer) > 0) {
  }
}

}  // namespace

void LogFollow::end() {
  ended_ = true;
  if (watch_) static_cast<net::FdWatch*>(watch_)->cancel();
}

std::optional<LogLine> parse_log_line(std::string_view line) {
  auto a = line.find(' ');
  if (a == std::string_view::npos) return std::nullopt;
  auto b = line.find(' ', a + 1);
  if (b == std::string_view::npos) return std::nullopt;
  auto c = line.find(' ', b + 1);
  std::string_view stream = line.substr(a + 1, b - a - 1);
  std::string_view tag = c == std::string_view::npos ? line.substr(b + 1) : line.substr(b + 1, c - b - 1);
  if (stream != "stdout" && stream != "stderr") return std::nullopt;
  LogLine out;
  out.time = line.substr(0, a);
  out.is_stderr = stream == "stderr";
  out.partial = tag.substr(0, tag.find(':')) == "P";
  out.text = c == std::string_view::npos ? std::string_view() : line.substr(c + 1);
  return out;
}

std::string tail_of_log(const std::string& path, int lines, std::size_t bytes) {
  OpenLog log;
  if (!log.open(path)) return {};
  off_t from = tail_offset(log.fd.get(), lines);
  struct stat st {};
  if (::fstat(log.fd.get(), &st) != 0) return {};
  off_t most = static_cast<off_t>(bytes + static_cast<std::size_t>(lines) * 64);
  if (st.st_size - from > most) from = st.st_size - most;
  std::string raw(static_cast<std::size_t>(st.st_size - from), '\0');
  ssize_t n = ::pread(log.fd.get(), raw.data(), raw.size(), from);
  if (n <= 0) return {};
  raw.resize(static_cast<std::size_t>(n));
  LogOptions options;
  Filter filter(options);
  std::string out;
  std::size_t begin = 0;
  while (begin < raw.size()) {
    auto nl = raw.find('\n', begin);
    if (nl == std::string::npos) nl = raw.size();
    filter.add(std::string_view(raw).substr(begin, nl - begin), out);
    begin = nl + 1;
  }
  if (out.size() > bytes) out.erase(0, out.size() - bytes);
  return out;
}

async::Task<Result<void>> read_log(std::string path, LogOptions options, LogFollow* follow, LogSink sink) {
  OpenLog log;
  // The inotify descriptor goes before the first read: nothing that is written in between is missed.
  Fd notify;
  std::unique_ptr<net::FdWatch> watch;
  if (options.follow && follow && !follow->ended()) {
    notify.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    std::string folder = path.substr(0, path.rfind('/'));
    if (!notify || ::inotify_add_watch(notify.get(), folder.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
      co_return from_errno("inotify watch of " + folder, errno);
    watch = std::make_unique<net::FdWatch>(notify.get());
    LogReaderAccess::set(*follow, watch.get());
  }
  Result<void> result;
  Filter filter(options);
  if (log.open(path)) {
    if (options.tail_lines) log.at = tail_offset(log.fd.get(), *options.tail_lines);
  } else if (!options.follow) {
    co_return Status(Reason::NotFound, "failed to try resolving symlinks in path " + path + ": no such file");
  }
  for (;;) {
    bool ended = !watch || follow->ended();
    if (log.fd) result = co_await drain(&log, &filter, &sink);
    if (!result || filter.full()) break;
    if (!log.fd ? log.open(path) : log.rotated(path)) {
      if (log.fd && log.rotated(path)) (void)log.open(path);
      continue;
    }
    if (ended) break;
    Result<void> ready = co_await watch->readable();
    if (!ready && !follow->ended()) {
      result = ready;
      break;
    }
    empty_inotify(notify.get());
  }
  if (follow) LogReaderAccess::set(*follow, nullptr);
  co_return result;
}

}  // namespace onebin::kubelet
