#include "engine/process.hpp"

#include <onebin/base/bytes.hpp>

#include <nlohmann/json.hpp>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

extern char** environ;

namespace onebin::engine {
namespace {

// An address for `name` in the folder behind `dir`, by way of /proc, as sun_path holds 108 bytes only.
sockaddr_un address_in(int dir, const std::string& name) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  std::string path = "/proc/self/fd/" + std::to_string(dir) + "/" + name;
  std::memcpy(a.sun_path, path.c_str(), std::min(path.size() + 1, sizeof a.sun_path - 1));
  return a;
}

}  // namespace

Result<int> spawn_program(const std::vector<std::string>& args, const std::string& directory, int descriptor) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  for (int fd = 0; fd < 3; ++fd) ::posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  ::posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
  ::posix_spawn_file_actions_adddup2(&actions, descriptor, 3);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, 4);
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> argv;
  for (const auto& a : args) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  pid_t pid = 0;
  int error = ::posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error) return from_errno("start " + args[0], error);
  return static_cast<int>(pid);
}

void reap_child(int pid) {
  while (pid > 0 && ::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {}
}

Result<void> replace_file(const std::string& path, std::string_view data, int mode) {
  std::string temp = path + ".tmp";
  RETURN_IF_ERROR(write_file(temp, data, mode));
  if (::rename(temp.c_str(), path.c_str()) < 0) return from_errno("rename " + path, errno);
  return {};
}

Result<std::pair<Fd, Fd>> packet_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) return from_errno("socketpair", errno);
  return std::pair(Fd(fds[0]), Fd(fds[1]));
}

Result<std::pair<Fd, Fd>> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return from_errno("pipe", errno);
  return std::pair(Fd(fds[0]), Fd(fds[1]));
}

Result<Fd> connect_packet(const std::string& folder, const std::string& name) {
  Fd dir(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return from_errno("open " + folder, errno);
  Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return from_errno("socket", errno);
  sockaddr_un a = address_in(dir.get(), name);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a) < 0) return from_errno("connect to " + folder + "/" + name, errno);
  return fd;
}

Result<Fd> listen_stream(const std::string& folder, const std::string& name) {
  Fd dir(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return from_errno("open " + folder, errno);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return from_errno("socket", errno);
  sockaddr_un a = address_in(dir.get(), name);
  ::unlinkat(dir.get(), name.c_str(), 0);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a) < 0 || ::fchmodat(dir.get(), name.c_str(), 0600, 0) < 0 ||
      ::listen(fd.get(), 4) < 0) {
    return from_errno("listen on " + folder + "/" + name, errno);
  }
  return fd;
}

Result<Fd> receive_descriptor(int listener) {
  Fd c(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!c) return from_errno("accept", errno);
  // The peer sent before it went on; the limit is for one that does not.
  pollfd p{c.get(), POLLIN, 0};
  if (::poll(&p, 1, 2000) != 1) return timeout("no terminal was sent");
  char bytes[64];
  iovec iov{bytes, sizeof bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr m{};
  m.msg_iov = &iov;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  if (::recvmsg(c.get(), &m, MSG_CMSG_CLOEXEC) <= 0) return from_errno("receive a descriptor", errno);
  cmsghdr* h = CMSG_FIRSTHDR(&m);
  if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) return internal_error("no descriptor was sent");
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(h), sizeof fd);
  return Fd(fd);
}

std::string runtime_error(const std::string& log_file) {
  std::string last;
  for (const auto& line : split(read_file(log_file, 1u << 20).value_or(""), '\n')) {
    auto j = nlohmann::json::parse(line, nullptr, false);
    if (!j.is_object() || !j.contains("msg") || !j["msg"].is_string()) continue;
    std::string level = j.value("level", "error");
    if (level == "error" || level == "fatal") last = j["msg"].get<std::string>();
  }
  return last;
}

}  // namespace onebin::engine
