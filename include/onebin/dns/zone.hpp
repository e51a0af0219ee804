// The cluster's zone and how questions about it are answered: values and pure functions.
// Source: Kubernetes DNS-Based Service Discovery, 1.1.0; RFC 1035, 2308 (negative answers), 6891 (EDNS).
#pragma once
#include <onebin/base/result.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::dns {

struct ZonePort {
  std::string name, protocol;  // "http", "tcp"; lower case
  std::uint16_t port = 0;
  auto operator<=>(const ZonePort&) const = default;
};
// One address behind a headless service, and the ports it has.
struct ZoneEndpoint {
  std::string ip;        // network order, 4 or 16 octets
  std::string hostname;  // given, or derived from the address ("10-42-0-7")
  std::vector<ZonePort> ports;
  auto operator<=>(const ZoneEndpoint&) const = default;
};
struct ZoneService {
  std::string ns, name;
  std::vector<std::string> cluster_ips;  // network order; empty for headless and ExternalName
  std::string external_name;             // ExternalName's target
  std::vector<ZonePort> ports;
  std::vector<ZoneEndpoint> endpoints;   // headless services only
  bool operator==(const ZoneService&) const = default;
};

class Zone {
 public:
  explicit Zone(std::string domain = "cluster.local");
  const std::string& domain() const { return domain_; }
  void set_service(ZoneService service);
  void remove_service(const std::string& ns, const std::string& name);

  const ZoneService* find(std::string_view ns, std::string_view name) const;
  bool has_namespace(std::string_view ns) const;  // that has a service
  // The name that an address stands for: "svc.ns.svc.cluster.local"; several when endpoints share it.
  std::vector<std::string> reverse(const std::string& ip) const;
  std::uint32_t serial = 1;

 private:
  void index(const ZoneService& s, bool add);
  std::string domain_;
  std::map<std::string, ZoneService, std::less<>> services_;  // "ns/name"
  std::map<std::string, int, std::less<>> namespaces_;        // and how many services each has
  std::map<std::string, std::map<std::string, int>> reverse_;  // address -> names, and how often each
};

// A parsed question. Names are lower case, without the last dot; `raw` as asked.
struct Question {
  std::uint16_t id = 0, type = 0, class_ = 0, flags = 0;
  std::string name;
  std::string raw_question;  // name, type and class in wire form, for the answer
  bool edns = false, dnssec_ok = false;
  std::uint16_t udp_size = 512;
  std::uint8_t edns_version = 0;
};
// nullopt: not even a header (say nothing). A Status: answer error_response with that code.
struct Malformed { std::uint16_t id; std::uint16_t flags; std::uint8_t rcode; };
struct Parsed {
  std::optional<Question> question;
  std::optional<Malformed> malformed;
};
Parsed parse_query(std::string_view message);

struct Answer {
  bool forward = false;      // the name is not the cluster's: ask upstream
  std::string message;       // complete, without OPT; give it to finish()
  std::string cname_target;  // where an ExternalName outside of the zone leads: its addresses may be appended
};
// Answers from the zone. Addresses come in an order that `turn` rotates.
Answer answer(const Question& question, const Zone& zone, std::uint32_t turn);
// The message as it is sent: with OPT when the asker knows EDNS, and cut to what it takes (whole records; TC when an
// answer is missing).
std::string finish(std::string message, const Question& question, bool tcp);
std::string error_response(const Question& question, std::uint8_t rcode);
std::string error_response(const Malformed& malformed);
// An answer to the CNAME's target, as upstream gave it, appended to the message that holds the CNAME. Unchanged when
// `upstream` is not a usable message.
std::string append_addresses(std::string message, std::string_view upstream, std::uint16_t type);
// A question to upstream, in wire form. Empty when the name cannot be one.
std::string build_query(std::uint16_t id, std::string_view name, std::uint16_t type);

constexpr std::uint16_t kTypeA = 1, kTypeNs = 2, kTypeCname = 5, kTypeSoa = 6, kTypePtr = 12, kTypeTxt = 16, kTypeAaaa = 28, kTypeSrv = 33,
                        kTypeOpt = 41, kTypeAny = 255;
constexpr std::uint8_t kNoError = 0, kFormatError = 1, kServerFailure = 2, kNameError = 3, kNotImplemented = 4, kRefused = 5, kBadVersion = 16;

}  // namespace onebin::dns
