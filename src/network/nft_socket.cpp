#include "network/netlink.hpp"
#include "network/nft_encode.hpp"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace onebin::network::nft {

namespace {

class NetlinkSocket final : public Socket {
 public:
  explicit NetlinkSocket(NlSocket s) : socket_(std::move(s)) {}

  Result<void> commit(const std::string& table, const Transaction& transaction) override {
    if (transaction.empty()) return {};
    drain(nullptr);  // answers that an earlier, failed commit left
    ASSIGN_OR_RETURN(Encoded batch, encode(table, transaction, sequence_));
    sequence_ = batch.index.back().first + 2;
    make_room(batch.bytes.size());
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    while (::sendto(socket_.fd(), batch.bytes.data(), batch.bytes.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel) < 0)
      if (errno != EINTR) return nl_error("send an nftables transaction", errno);
    // The kernel works the batch off within the call that sends it: what there is to hear has been said by now.
    Failure f;
    drain(&f);
    if (f.error == 0) return {};
    std::string what = "nftables table " + table;
    auto at = std::find_if(batch.index.begin(), batch.index.end(), [&](const auto& x) { return x.first == f.sequence; });
    if (at != batch.index.end()) what += ": " + transaction[at->second].describe();
    return nl_error(what, f.error, f.text);
  }

  std::uint32_t port() const override { return socket_.port(); }

 private:
  struct Failure {
    int error = 0;
    std::uint32_t sequence = 0;
    std::string text;
  };

  // The whole batch is one datagram.
  void make_room(std::size_t bytes) {
    if (bytes <= room_) return;
    int size = static_cast<int>(bytes + bytes / 4);
    ::setsockopt(socket_.fd(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    room_ = bytes;
  }

  // The first error is the cause; others follow from it.
  void drain(Failure* f) {
    std::vector<char> buffer(32 * 1024);
    for (;;) {
      ssize_t n = ::recv(socket_.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        if (f && errno != EAGAIN && f->error == 0) f->error = errno;
        if (errno == ENOBUFS) continue;
        return;
      }
      std::string_view rest(buffer.data(), static_cast<std::size_t>(n));
      while (rest.size() >= sizeof(nlmsghdr)) {
        nlmsghdr h;
        std::memcpy(&h, rest.data(), sizeof h);
        if (h.nlmsg_len < sizeof h || h.nlmsg_len > rest.size()) break;
        std::string_view payload = rest.substr(sizeof h, h.nlmsg_len - sizeof h);
        if (f && h.nlmsg_type == NLMSG_ERROR && payload.size() >= sizeof(int)) {
          int error;
          std::memcpy(&error, payload.data(), sizeof error);
          if (error != 0 && f->error == 0) *f = {-error, h.nlmsg_seq, {}};
        }
        rest.remove_prefix(std::min<std::size_t>((h.nlmsg_len + 3) & ~3u, rest.size()));
      }
    }
  }

  NlSocket socket_;
  std::uint32_t sequence_ = 1;
  std::size_t room_ = 100 * 1024;
};

}  // namespace

Result<std::unique_ptr<Socket>> Socket::open() {
  ASSIGN_OR_RETURN(NlSocket s, NlSocket::open(NETLINK_NETFILTER));
  return std::unique_ptr<Socket>(std::make_unique<NetlinkSocket>(std::move(s)));
}

}  // namespace onebin::network::nft
