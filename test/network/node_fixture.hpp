// A node of a test: a network namespace named obt-net-NAME with a thread and a loop of its own inside it.
#pragma once
#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/async/task.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <string>
#include <thread>

namespace onebin::test {

struct Shell {
  int code = 0;
  std::string out;
};
inline Shell shell(const std::string& command) {
  Shell r;
  FILE* p = ::popen(("( " + command + " ) 2>&1").c_str(), "r");
  if (!p) return {127, "popen"};
  std::array<char, 4096> b;
  while (std::size_t n = std::fread(b.data(), 1, b.size(), p)) r.out.append(b.data(), n);
  int s = ::pclose(p);
  r.code = WIFEXITED(s) ? WEXITSTATUS(s) : 128;
  return r;
}

// False where namespaces cannot be made: the tests that need them say so and pass.
inline bool can_make_namespaces() {
  static const bool can = ::geteuid() == 0 && shell("ip netns add obt-net-probe && ip netns del obt-net-probe").code == 0;
  return can;
}

class TestNode {
 public:
  explicit TestNode(const std::string& name) : name_("obt-net-" + name + "-" + std::to_string(::getpid())) {
    shell("ip netns add " + name_ + " && ip -n " + name_ + " link set lo up");
    std::promise<void> ready;
    thread_ = std::thread([this, &ready] {
      int fd = ::open(("/run/netns/" + name_).c_str(), O_RDONLY | O_CLOEXEC);
      bool entered = fd >= 0 && ::setns(fd, CLONE_NEWNET) == 0;
      if (fd >= 0) ::close(fd);
      if (!entered) std::abort();
      loop_ = async::RealLoop::create();
      ready.set_value();
      loop_->run();
      loop_.reset();
    });
    ready.get_future().wait();
  }
  ~TestNode() {
    loop_->stop();
    thread_.join();
    shell("ip netns del " + name_);
  }

  const std::string& name() const { return name_; }

  // Runs fn on the node's thread and waits for it.
  void call(std::function<void()> fn) {
    std::promise<void> done;
    loop_->post([&] { fn(); done.set_value(); });
    done.get_future().wait();
  }
  // Runs a task on the node's loop and waits for its result. `make` is called there.
  template <class T>
  T await(std::function<async::Task<T>()> make) {
    std::promise<T> done;
    async::TaskGroup* group = nullptr;
    call([&] { group = new async::TaskGroup("test"); group->spawn(carry(make(), &done)); });
    T r = done.get_future().get();
    std::promise<void> joined;
    loop_->post([&] { finish(group, &joined); });
    joined.get_future().wait();
    return r;
  }
  // A shell command inside the namespace.
  Shell sh(const std::string& command) const { return shell("ip netns exec " + name_ + " sh -c '" + command + "'"); }

 private:
  template <class T>
  static async::Task<void> carry(async::Task<T> task, std::promise<T>* done) {
    T r = co_await std::move(task);
    done->set_value(std::move(r));
  }
  static void finish(async::TaskGroup* group, std::promise<void>* joined) {
    // The task has set its value; it ends before anything posted later runs.
    delete group;
    joined->set_value();
  }

  std::string name_;
  std::unique_ptr<async::RealLoop> loop_;
  std::thread thread_;
};

// A program in the background inside a namespace (given by name or path), ended with the object.
class Background {
 public:
  Background(const std::string& netns_path, const std::string& command) {
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setpgid(0, 0);
      ::execlp("nsenter", "nsenter", ("--net=" + netns_path).c_str(), "sh", "-c", command.c_str(), nullptr);
      ::_exit(127);
    }
    ::setpgid(pid_, pid_);
  }
  Background(const Background&) = delete;
  ~Background() {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_;
};

// An uplink up0 with an address, whose other end is in the node too.
inline void give_uplink(const TestNode& node) {
  std::string ip = "ip -n " + node.name();
  shell(ip + " link add up0 type veth peer name up1; " + ip + " addr add 172.31.0.1/24 dev up0; " + ip + " link set up0 up; " + ip + " link set up1 up");
}

// Joins two nodes by a veth with addresses on one subnet.
inline void join_nodes(const TestNode& a, const std::string& address_a, const TestNode& b, const std::string& address_b) {
  shell("ip link add up0 netns " + a.name() + " type veth peer name up0 netns " + b.name());
  for (auto [n, address] : {std::pair(&a, address_a), std::pair(&b, address_b)}) {
    shell("ip -n " + n->name() + " addr add " + address + " dev up0 nodad; ip -n " + n->name() + " link set up0 up");
  }
}

// Waits until something listens there; false after five seconds.
inline bool wait_listening(const std::string& netns_path, int port, bool udp = false) {
  std::string cmd = "nsenter --net=" + netns_path + " ss -Hln" + (udp ? "u" : "t") + " sport = :" + std::to_string(port) + " | grep -q .";
  for (int i = 0; i < 100; ++i) {
    if (shell(cmd).code == 0) return true;
    ::usleep(50000);
  }
  return false;
}

}  // namespace onebin::test
