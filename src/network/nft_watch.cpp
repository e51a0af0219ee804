#include "network/netlink.hpp"

#include <onebin/net/stream.hpp>
#include <onebin/network/nft.hpp>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

namespace onebin::network::nft {

namespace {

bool deletes(int message) {
  switch (message) {
    case NFT_MSG_DELTABLE: case NFT_MSG_DELCHAIN: case NFT_MSG_DELRULE: case NFT_MSG_DELSET: case NFT_MSG_DELSETELEM: return true;
    default: return false;
  }
}

class NetlinkWatch final : public TableWatch {
 public:
  NetlinkWatch(NlSocket socket, std::string table) : socket_(std::move(socket)), table_(std::move(table)), ready_(socket_.fd()) {}

  async::Task<Result<void>> deleted() override {
    while (!drain()) {
      Result<void> r = co_await ready_.readable();
      if (!r) co_return r;
    }
    co_return Result<void>();
  }

 private:
  // Reads what there is; true when our table was touched, or messages were lost, which may have said so.
  bool drain() {
    bool touched = false;
    std::vector<char> buffer(32 * 1024);
    for (;;) {
      ssize_t n = ::recv(socket_.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == ENOBUFS) {
        touched = true;
        continue;
      }
      if (n <= 0) return touched;
      std::string_view rest(buffer.data(), static_cast<std::size_t>(n));
      while (rest.size() >= sizeof(nlmsghdr)) {
        nlmsghdr h;
        std::memcpy(&h, rest.data(), sizeof h);
        if (h.nlmsg_len < sizeof h || h.nlmsg_len > rest.size()) break;
        touched = touched || ours(h, rest.substr(sizeof h, h.nlmsg_len - sizeof h));
        rest.remove_prefix(std::min<std::size_t>((h.nlmsg_len + 3) & ~3u, rest.size()));
      }
    }
  }

  // The table's name is attribute 1 of every message about tables and what is in them.
  bool ours(const nlmsghdr& h, std::string_view payload) const {
    if (h.nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || !deletes(h.nlmsg_type & 0xff) || payload.size() < sizeof(nfgenmsg)) return false;
    nfgenmsg g;
    std::memcpy(&g, payload.data(), sizeof g);
    return g.nfgen_family == NFPROTO_INET && nl_string(nl_attrs(payload.substr(sizeof g)), NFTA_TABLE_NAME) == table_;
  }

  NlSocket socket_;
  std::string table_;
  net::FdWatch ready_;  // after socket_: it goes first
};

// Our own changes are announced too, each element of them: the kernel drops these before they wake anybody. A datagram
// carries the messages of one sender, whose address is in the first one's header.
Result<void> drop_own(int fd, std::uint32_t own_port) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(nlmsghdr, nlmsg_pid)),  // loaded as if in network order
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(own_port), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffffu),
  };
  sock_fprog program{sizeof code / sizeof code[0], code};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) return from_errno("filter nftables' events", errno);
  return {};
}

}  // namespace

Result<std::unique_ptr<TableWatch>> TableWatch::open(std::string table, std::uint32_t own_port) {
  ASSIGN_OR_RETURN(NlSocket socket, NlSocket::open(NETLINK_NETFILTER));
  RETURN_IF_ERROR(drop_own(socket.fd(), own_port));
  int group = NFNLGRP_NFTABLES;
  if (::setsockopt(socket.fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) return from_errno("hear of nftables' changes", errno);
  return std::unique_ptr<TableWatch>(std::make_unique<NetlinkWatch>(std::move(socket), std::move(table)));
}

}  // namespace onebin::network::nft
