#include "network/netlink.hpp"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <vector>

namespace onebin::network {

namespace {
constexpr std::size_t align4(std::size_t n) { return (n + 3) & ~std::size_t{3}; }
// Marks the errno in a status' details, which nothing else uses inside the process.
constexpr const char* kErrnoCause = "errno";
}  // namespace

NlMessage::NlMessage(std::uint16_t type, std::uint16_t flags) {
  nlmsghdr h{};
  h.nlmsg_type = type;
  h.nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
  raw(&h, sizeof h);
}

void NlMessage::raw(const void* p, std::size_t n) {
  buffer_.append(static_cast<const char*>(p), n);
  buffer_.resize(align4(buffer_.size()));
}

NlMessage& NlMessage::attr(std::uint16_t type, std::string_view data) {
  nlattr a{static_cast<std::uint16_t>(sizeof(nlattr) + data.size()), type};
  buffer_.append(reinterpret_cast<char*>(&a), sizeof a);
  buffer_.append(data);
  buffer_.resize(align4(buffer_.size()));
  return *this;
}

std::size_t NlMessage::begin(std::uint16_t type) {
  std::size_t at = buffer_.size();
  attr(type, {});
  return at;
}

void NlMessage::end(std::size_t nest) {
  auto length = static_cast<std::uint16_t>(buffer_.size() - nest);
  std::memcpy(buffer_.data() + nest, &length, sizeof length);
}

std::string& NlMessage::bytes(std::uint32_t sequence) {
  nlmsghdr h;
  std::memcpy(&h, buffer_.data(), sizeof h);
  h.nlmsg_len = static_cast<std::uint32_t>(buffer_.size());
  h.nlmsg_seq = sequence;
  std::memcpy(buffer_.data(), &h, sizeof h);
  return buffer_;
}

NlAttrs nl_attrs(std::string_view data) {
  NlAttrs r;
  while (data.size() >= sizeof(nlattr)) {
    nlattr a;
    std::memcpy(&a, data.data(), sizeof a);
    if (a.nla_len < sizeof a || a.nla_len > data.size()) break;
    r[a.nla_type & NLA_TYPE_MASK] = data.substr(sizeof a, a.nla_len - sizeof a);
    data.remove_prefix(std::min(align4(a.nla_len), data.size()));
  }
  return r;
}

std::string nl_string(const NlAttrs& a, std::uint16_t type) {
  auto it = a.find(type);
  if (it == a.end()) return {};
  std::string_view v = it->second;
  if (auto zero = v.find('\0'); zero != std::string_view::npos) v = v.substr(0, zero);
  return std::string(v);
}

Status nl_error(std::string_view what, int error, std::string_view kernel_text) {
  Status s = from_errno(what, error);
  if (!kernel_text.empty()) s = Status(s.reason(), s.message() + " (" + std::string(kernel_text) + ")");
  s.mutable_details().causes.push_back({kErrnoCause, std::to_string(error), {}});
  return s;
}

int nl_errno(const Status& status) {
  if (status.is_ok()) return 0;
  for (const auto& c : status.details().causes)
    if (c.type == kErrnoCause) return std::atoi(c.message.c_str());
  return -1;
}

Result<void> nl_tolerate(Result<void> r, std::initializer_list<int> errors) {
  if (r) return r;
  for (int e : errors)
    if (nl_errno(r.status()) == e) return {};
  return r;
}

Result<NlSocket> NlSocket::open(int protocol) {
  NlSocket s;
  s.fd_ = Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!s.fd_) return from_errno("open a netlink socket", errno);
  int on = 1;
  ::setsockopt(s.fd_.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  ::setsockopt(s.fd_.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  // The kernel answers within the call; the limit is against a lost answer (a full receive buffer).
  timeval limit{10, 0};
  ::setsockopt(s.fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(s.fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return from_errno("bind a netlink socket", errno);
  return s;
}

std::uint32_t NlSocket::port() const {
  sockaddr_nl address{};
  socklen_t size = sizeof address;
  return ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0 ? address.nl_pid : 0;
}

Result<void> NlSocket::send(NlMessage& message, std::string_view what) {
  std::string& bytes = message.bytes(++sequence_);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  while (::sendto(fd_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel) < 0)
    if (errno != EINTR) return nl_error(what, errno);
  return {};
}

// An answer's error text, when the kernel gives one.
static std::string extended_text(const nlmsghdr& h, std::string_view payload) {
  if (!(h.nlmsg_flags & NLM_F_ACK_TLVS)) return {};
  nlmsgerr e;
  std::memcpy(&e, payload.data(), sizeof e);
  std::size_t skip = sizeof e;
  if (!(h.nlmsg_flags & NLM_F_CAPPED)) skip = sizeof(int) + align4(e.msg.nlmsg_len);
  if (skip >= payload.size()) return {};
  return nl_string(nl_attrs(payload.substr(skip)), NLMSGERR_ATTR_MSG);
}

Result<void> NlSocket::receive(std::string_view what, const std::function<void(const nlmsghdr&, std::string_view)>* each) {
  std::vector<char> buffer(64 * 1024);
  for (;;) {
    ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return nl_error(what, errno);
    std::string_view rest(buffer.data(), static_cast<std::size_t>(n));
    while (rest.size() >= sizeof(nlmsghdr)) {
      nlmsghdr h;
      std::memcpy(&h, rest.data(), sizeof h);
      if (h.nlmsg_len < sizeof h || h.nlmsg_len > rest.size()) return nl_error(what, EBADMSG);
      std::string_view payload = rest.substr(sizeof h, h.nlmsg_len - sizeof h);
      rest.remove_prefix(std::min(align4(h.nlmsg_len), rest.size()));
      if (h.nlmsg_seq != sequence_) continue;  // left from a request that timed out
      if (h.nlmsg_type == NLMSG_DONE) return {};
      if (h.nlmsg_type == NLMSG_ERROR) {
        if (payload.size() < sizeof(nlmsgerr)) return nl_error(what, EBADMSG);
        int error;
        std::memcpy(&error, payload.data(), sizeof error);
        if (error == 0) return {};
        return nl_error(what, -error, extended_text(h, payload));
      }
      if (each) (*each)(h, payload);
    }
  }
}

Result<void> NlSocket::request(NlMessage& message, std::string_view what) {
  nlmsghdr h;
  std::memcpy(&h, message.bytes(0).data(), sizeof h);
  h.nlmsg_flags |= NLM_F_ACK;
  std::memcpy(message.bytes(0).data(), &h, sizeof h);
  RETURN_IF_ERROR(send(message, what));
  return receive(what, nullptr);
}

Result<void> NlSocket::dump(NlMessage& message, std::string_view what,
                            const std::function<void(const nlmsghdr&, std::string_view)>& each) {
  RETURN_IF_ERROR(send(message, what));
  return receive(what, &each);
}

}  // namespace onebin::network
