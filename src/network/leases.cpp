#include "network/leases.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>

#include <cerrno>
#include <charconv>

namespace onebin::network {

// One line each: "pod UID", "ip ADDRESS", "port PROTOCOL HOST-ADDRESS-OR-* HOST-PORT CONTAINER-PORT".
std::string format_lease(const Lease& lease) {
  std::string r = "pod " + lease.pod_uid + "\n";
  for (const auto& ip : lease.ips) r += "ip " + ip.to_string() + "\n";
  for (const auto& p : lease.host_ports)
    r += "port " + p.protocol + " " + (p.host_ip.is_valid() ? p.host_ip.to_string() : std::string("*")) + " " + std::to_string(p.host_port) +
         " " + std::to_string(p.container_port) + "\n";
  return r;
}

static bool parse_port(const std::string& text, std::uint16_t& out) {
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc() && end == text.data() + text.size() && out != 0;
}

Result<Lease> parse_lease(std::string_view text) {
  Lease lease;
  for (const auto& line : split(text, '\n')) {
    if (line.empty()) continue;
    auto f = split(line, ' ');
    if (f[0] == "pod" && f.size() == 2) {
      lease.pod_uid = f[1];
    } else if (f[0] == "ip" && f.size() == 2 && Ip::parse(f[1])) {
      lease.ips.push_back(*Ip::parse(f[1]));
    } else if (f[0] == "port" && f.size() == 5) {
      HostPort p;
      p.protocol = f[1];
      if (f[2] != "*") {
        auto ip = Ip::parse(f[2]);
        if (!ip) return bad_request("a lease names no address: " + line);
        p.host_ip = *ip;
      }
      if (!nft::protocol_number(p.protocol) || !parse_port(f[3], p.host_port) || !parse_port(f[4], p.container_port))
        return bad_request("a lease names no port: " + line);
      lease.host_ports.push_back(std::move(p));
    } else {
      return bad_request("a line of a lease is not known: " + line);
    }
  }
  if (lease.pod_uid.empty() || lease.ips.empty()) return bad_request("a lease is incomplete");
  return lease;
}

Result<std::vector<Lease>> LeaseFolder::load() {
  RETURN_IF_ERROR(make_dirs(path_, 0700));
  ASSIGN_OR_RETURN(auto names, list_dir(path_));
  std::vector<Lease> out;
  for (const auto& name : names) {
    auto text = read_file(path_ + "/" + name, 64 * 1024);
    Result<Lease> lease = text ? parse_lease(*text) : Result<Lease>(text.status());
    if (lease && lease->pod_uid == name) {
      out.push_back(std::move(*lease));
      continue;
    }
    log_warn("a pod's network lease is unreadable and is dropped", {{"file", name}, {"error", lease ? bad_request("wrong name") : lease.status()}});
    ::unlink((path_ + "/" + name).c_str());
  }
  return out;
}

Result<void> LeaseFolder::store(const Lease& lease) { return write_file_atomic(path_ + "/" + lease.pod_uid, format_lease(lease), 0600); }

Result<void> LeaseFolder::remove(const std::string& pod_uid) {
  if (::unlink((path_ + "/" + pod_uid).c_str()) != 0 && errno != ENOENT) return from_errno("remove the lease of " + pod_uid, errno);
  return {};
}

}  // namespace onebin::network
