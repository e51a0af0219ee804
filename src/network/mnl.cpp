// The functions of libmnl that libnftnl calls, from the netlink format (RFC 3549, include/uapi/linux/netlink.h), so that
// libnftnl's archive links without libmnl's shared object, of which Debian ships no archive. Declarations are libmnl's.
#include <libmnl/libmnl.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {
constexpr std::size_t aligned(std::size_t n) { return (n + 3) & ~std::size_t{3}; }
constexpr std::size_t kMessageHeader = aligned(sizeof(nlmsghdr));
constexpr std::size_t kAttrHeader = aligned(sizeof(nlattr));

char* tail(nlmsghdr* h) { return reinterpret_cast<char*>(h) + aligned(h->nlmsg_len); }
}  // namespace

struct mnl_socket {
  int fd;
  sockaddr_nl address;
};

struct mnl_nlmsg_batch {
  char* buffer;
  std::size_t limit;
  std::size_t used;
  char* current;
};

extern "C" {

// Messages.
nlmsghdr* mnl_nlmsg_put_header(void* buf) {
  std::memset(buf, 0, kMessageHeader);
  auto* h = static_cast<nlmsghdr*>(buf);
  h->nlmsg_len = kMessageHeader;
  return h;
}
void* mnl_nlmsg_put_extra_header(nlmsghdr* h, size_t size) {
  char* at = tail(h);
  std::memset(at, 0, aligned(size));
  h->nlmsg_len += static_cast<std::uint32_t>(aligned(size));
  return at;
}
void* mnl_nlmsg_get_payload(const nlmsghdr* h) { return const_cast<char*>(reinterpret_cast<const char*>(h)) + kMessageHeader; }

// Attributes, reading.
uint16_t mnl_attr_get_type(const nlattr* a) { return a->nla_type & NLA_TYPE_MASK; }
uint16_t mnl_attr_get_payload_len(const nlattr* a) { return static_cast<uint16_t>(a->nla_len - kAttrHeader); }
void* mnl_attr_get_payload(const nlattr* a) { return const_cast<char*>(reinterpret_cast<const char*>(a)) + kAttrHeader; }
uint8_t mnl_attr_get_u8(const nlattr* a) { return *static_cast<uint8_t*>(mnl_attr_get_payload(a)); }
uint16_t mnl_attr_get_u16(const nlattr* a) {
  uint16_t v;
  std::memcpy(&v, mnl_attr_get_payload(a), sizeof v);
  return v;
}
uint32_t mnl_attr_get_u32(const nlattr* a) {
  uint32_t v;
  std::memcpy(&v, mnl_attr_get_payload(a), sizeof v);
  return v;
}
uint64_t mnl_attr_get_u64(const nlattr* a) {
  uint64_t v;
  std::memcpy(&v, mnl_attr_get_payload(a), sizeof v);
  return v;
}
const char* mnl_attr_get_str(const nlattr* a) { return static_cast<char*>(mnl_attr_get_payload(a)); }
bool mnl_attr_ok(const nlattr* a, int len) {
  return len >= static_cast<int>(sizeof(nlattr)) && a->nla_len >= sizeof(nlattr) && static_cast<int>(a->nla_len) <= len;
}
nlattr* mnl_attr_next(const nlattr* a) {
  return reinterpret_cast<nlattr*>(const_cast<char*>(reinterpret_cast<const char*>(a)) + aligned(a->nla_len));
}
int mnl_attr_type_valid(const nlattr* a, uint16_t max) {
  if (mnl_attr_get_type(a) <= max) return 1;
  errno = EOPNOTSUPP;
  return -1;
}
int mnl_attr_validate(const nlattr* a, mnl_attr_data_type type) {
  std::size_t n = mnl_attr_get_payload_len(a);
  const char* p = mnl_attr_get_str(a);
  bool good = true;
  switch (type) {
    case MNL_TYPE_U8: good = n == 1; break;
    case MNL_TYPE_U16: good = n == 2; break;
    case MNL_TYPE_U32: good = n == 4; break;
    case MNL_TYPE_U64: case MNL_TYPE_MSECS: good = n == 8; break;
    case MNL_TYPE_FLAG: good = n == 0; break;
    case MNL_TYPE_NUL_STRING: good = n > 0 && p[n - 1] == 0; break;
    case MNL_TYPE_STRING: good = n > 0; break;
    case MNL_TYPE_NESTED: good = n == 0 || n >= kAttrHeader; break;
    default: break;
  }
  if (good) return 0;
  errno = ERANGE;
  return -1;
}
int mnl_attr_parse_payload(const void* payload, size_t size, mnl_attr_cb_t cb, void* data) {
  int r = MNL_CB_OK;
  auto* a = static_cast<const nlattr*>(payload);
  const char* end = static_cast<const char*>(payload) + size;
  while (mnl_attr_ok(a, static_cast<int>(end - reinterpret_cast<const char*>(a)))) {
    r = cb(a, data);
    if (r <= MNL_CB_STOP) return r;
    a = mnl_attr_next(a);
  }
  return r;
}
int mnl_attr_parse(const nlmsghdr* h, unsigned int offset, mnl_attr_cb_t cb, void* data) {
  std::size_t skip = kMessageHeader + aligned(offset);
  if (h->nlmsg_len < skip) return MNL_CB_OK;
  return mnl_attr_parse_payload(reinterpret_cast<const char*>(h) + skip, h->nlmsg_len - skip, cb, data);
}
int mnl_attr_parse_nested(const nlattr* a, mnl_attr_cb_t cb, void* data) {
  return mnl_attr_parse_payload(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a), cb, data);
}

// Attributes, writing.
void mnl_attr_put(nlmsghdr* h, uint16_t type, size_t len, const void* data) {
  auto* a = reinterpret_cast<nlattr*>(tail(h));
  a->nla_type = type;
  a->nla_len = static_cast<uint16_t>(kAttrHeader + len);
  char* payload = reinterpret_cast<char*>(a) + kAttrHeader;
  if (len) std::memcpy(payload, data, len);
  std::memset(payload + len, 0, aligned(len) - len);
  h->nlmsg_len += static_cast<std::uint32_t>(kAttrHeader + aligned(len));
}
void mnl_attr_put_u8(nlmsghdr* h, uint16_t type, uint8_t v) { mnl_attr_put(h, type, sizeof v, &v); }
void mnl_attr_put_u16(nlmsghdr* h, uint16_t type, uint16_t v) { mnl_attr_put(h, type, sizeof v, &v); }
void mnl_attr_put_u32(nlmsghdr* h, uint16_t type, uint32_t v) { mnl_attr_put(h, type, sizeof v, &v); }
void mnl_attr_put_u64(nlmsghdr* h, uint16_t type, uint64_t v) { mnl_attr_put(h, type, sizeof v, &v); }
void mnl_attr_put_str(nlmsghdr* h, uint16_t type, const char* s) { mnl_attr_put(h, type, std::strlen(s), s); }
void mnl_attr_put_strz(nlmsghdr* h, uint16_t type, const char* s) { mnl_attr_put(h, type, std::strlen(s) + 1, s); }
nlattr* mnl_attr_nest_start(nlmsghdr* h, uint16_t type) {
  auto* a = reinterpret_cast<nlattr*>(tail(h));
  a->nla_type = static_cast<uint16_t>(NLA_F_NESTED | type);
  a->nla_len = kAttrHeader;
  h->nlmsg_len += kAttrHeader;
  return a;
}
void mnl_attr_nest_end(nlmsghdr* h, nlattr* start) {
  start->nla_len = static_cast<uint16_t>(tail(h) - reinterpret_cast<char*>(start));
}

// Batches of messages in one buffer.
mnl_nlmsg_batch* mnl_nlmsg_batch_start(void* buf, size_t size) {
  auto* p = static_cast<char*>(buf);
  return new (std::nothrow) mnl_nlmsg_batch{p, size, 0, p};
}
void mnl_nlmsg_batch_stop(mnl_nlmsg_batch* b) { delete b; }
bool mnl_nlmsg_batch_next(mnl_nlmsg_batch* b) {
  std::size_t n = aligned(reinterpret_cast<nlmsghdr*>(b->current)->nlmsg_len);
  if (b->used + n > b->limit) return false;
  b->used += n;
  b->current = b->buffer + b->used;
  return true;
}
size_t mnl_nlmsg_batch_size(mnl_nlmsg_batch* b) { return b->used; }
void* mnl_nlmsg_batch_head(mnl_nlmsg_batch* b) { return b->buffer; }
void* mnl_nlmsg_batch_current(mnl_nlmsg_batch* b) { return b->current; }
bool mnl_nlmsg_batch_is_empty(mnl_nlmsg_batch* b) { return b->used == 0; }

// Sockets; libnftnl asks them whether the kernel knows batches.
mnl_socket* mnl_socket_open(int bus) {
  int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, bus);
  if (fd < 0) return nullptr;
  auto* s = new (std::nothrow) mnl_socket{fd, {}};
  if (!s) ::close(fd);
  return s;
}
int mnl_socket_bind(mnl_socket* s, unsigned int groups, pid_t pid) {
  s->address.nl_family = AF_NETLINK;
  s->address.nl_groups = groups;
  s->address.nl_pid = static_cast<std::uint32_t>(pid);
  if (::bind(s->fd, reinterpret_cast<sockaddr*>(&s->address), sizeof s->address) != 0) return -1;
  socklen_t n = sizeof s->address;
  return ::getsockname(s->fd, reinterpret_cast<sockaddr*>(&s->address), &n);
}
int mnl_socket_close(mnl_socket* s) {
  int r = ::close(s->fd);
  delete s;
  return r;
}
unsigned int mnl_socket_get_portid(const mnl_socket* s) { return s->address.nl_pid; }
ssize_t mnl_socket_sendto(const mnl_socket* s, const void* data, size_t size) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  return ::sendto(s->fd, data, size, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel);
}
ssize_t mnl_socket_recvfrom(const mnl_socket* s, void* buf, size_t size) { return ::recv(s->fd, buf, size, 0); }

// Runs the callback over what was received; control messages have their usual meaning.
int mnl_cb_run(const void* buf, size_t size, unsigned int seq, unsigned int portid, mnl_cb_t cb, void* data) {
  auto* p = static_cast<const char*>(buf);
  int r = MNL_CB_OK;
  while (size >= sizeof(nlmsghdr)) {
    auto* h = reinterpret_cast<const nlmsghdr*>(p);
    if (h->nlmsg_len < sizeof(nlmsghdr) || h->nlmsg_len > size) break;
    bool ours = (!h->nlmsg_pid || !portid || h->nlmsg_pid == portid) && (!h->nlmsg_seq || !seq || h->nlmsg_seq == seq);
    if (!ours) {
      errno = EPROTO;
      return MNL_CB_ERROR;
    }
    if (h->nlmsg_type == NLMSG_DONE) return MNL_CB_STOP;
    if (h->nlmsg_type == NLMSG_ERROR) {
      if (h->nlmsg_len < kMessageHeader + sizeof(nlmsgerr)) {
        errno = EBADMSG;
        return MNL_CB_ERROR;
      }
      int error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(h))->error;
      errno = error < 0 ? -error : error;
      return error == 0 ? MNL_CB_STOP : MNL_CB_ERROR;
    }
    if (h->nlmsg_type >= NLMSG_MIN_TYPE && cb) {
      r = cb(h, data);
      if (r <= MNL_CB_STOP) return r;
    }
    std::size_t step = aligned(h->nlmsg_len);
    if (step >= size) break;
    size -= step;
    p += step;
  }
  return r;
}

}  // extern "C"
