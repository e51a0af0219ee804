// Netlink: building and reading messages, and a socket for requests. Blocking, but only ever on the kernel.
#pragma once
#include <onebin/base/file.hpp>
#include <onebin/base/result.hpp>

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <string_view>

struct nlmsghdr;

namespace onebin::network {

// One message. Attributes are aligned and nested as the kernel wants them.
class NlMessage {
 public:
  NlMessage(std::uint16_t type, std::uint16_t flags);
  template <class T>
  NlMessage& header(const T& h) { raw(&h, sizeof h); return *this; }
  NlMessage& attr(std::uint16_t type, std::string_view data);
  NlMessage& attr_u8(std::uint16_t type, std::uint8_t v) { return attr(type, {reinterpret_cast<char*>(&v), 1}); }
  NlMessage& attr_u16(std::uint16_t type, std::uint16_t v) { return attr(type, {reinterpret_cast<char*>(&v), 2}); }
  NlMessage& attr_u32(std::uint16_t type, std::uint32_t v) { return attr(type, {reinterpret_cast<char*>(&v), 4}); }
  NlMessage& attr_str(std::uint16_t type, std::string_view v) { return attr(type, std::string(v) + '\0'); }
  std::size_t begin(std::uint16_t type);  // a nest; pass what it returns to end()
  void end(std::size_t nest);
  template <class T>
  void raw_struct(const T& h) { raw(&h, sizeof h); }  // inside a nest (a peer's ifinfomsg)
  std::string& bytes(std::uint32_t sequence);  // finished

 private:
  void raw(const void* p, std::size_t n);
  std::string buffer_;
};

// Attributes of a message or nest by type; the last of equal types wins. Views into the message.
using NlAttrs = std::map<std::uint16_t, std::string_view>;
NlAttrs nl_attrs(std::string_view data);
template <class T>
T nl_value(const NlAttrs& a, std::uint16_t type, T fallback = {}) {
  auto it = a.find(type);
  if (it == a.end() || it->second.size() < sizeof(T)) return fallback;
  T v;
  std::memcpy(&v, it->second.data(), sizeof v);
  return v;
}
std::string nl_string(const NlAttrs& a, std::uint16_t type);

class NlSocket {
 public:
  // In the calling thread's network namespace, to which the socket stays bound.
  static Result<NlSocket> open(int protocol);
  // Sends and awaits the acknowledgement. `what` begins the error's text; the errno is kept by nl_errno().
  Result<void> request(NlMessage& message, std::string_view what);
  // Sends a dump (or a query) and gives each answer's payload to `each`.
  Result<void> dump(NlMessage& message, std::string_view what, const std::function<void(const nlmsghdr&, std::string_view)>& each);
  int fd() const { return fd_.get(); }
  std::uint32_t port() const;  // its own address

 private:
  Result<void> send(NlMessage& message, std::string_view what);
  Result<void> receive(std::string_view what, const std::function<void(const nlmsghdr&, std::string_view)>* each);
  Fd fd_;
  std::uint32_t sequence_ = 0;
};

// A status that carries an errno: tells EEXIST and ENOENT from real failures.
Status nl_error(std::string_view what, int error, std::string_view kernel_text = {});
int nl_errno(const Status& status);
// OK when the status is OK or has this errno.
Result<void> nl_tolerate(Result<void> r, std::initializer_list<int> errors);

}  // namespace onebin::network
