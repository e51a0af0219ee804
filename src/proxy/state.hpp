// The services that the rules are made of, and what has changed since they were last written. Pure.
#pragma once
#include <onebin/network/conntrack.hpp>
#include <onebin/proxy/ruleset.hpp>

#include <optional>
#include <tuple>

namespace onebin::proxy {

class State {
 public:
  explicit State(NodeInfo node) : node_(std::move(node)) {}
  // The service as it is now, or nullopt: gone, or not to be proxied.
  void set(const std::string& key, std::optional<Service> service);
  void set_node(NodeInfo node);
  bool changed() const { return !dirty_.empty() || next_node_.has_value(); }
  std::size_t size() const { return wanted_.size(); }

  // What must be written: from one partial table to another (network::nft::TableKeeper::update).
  struct Change {
    network::nft::Table from, to;
    std::vector<Service> before, after;  // of the services concerned
  };
  Change take();  // and regards it as written
  network::nft::Table everything();  // the whole table as it should be; regards it as written

  const NodeInfo& node() const { return node_; }

 private:
  using Frontend = std::tuple<Ip, std::uint8_t, std::uint16_t>;
  static std::vector<Frontend> frontends(const Service& s);
  Service resolved(const Service& s) const;
  void settle();

  NodeInfo node_;
  std::optional<NodeInfo> next_node_;
  std::map<std::string, Service> wanted_, written_;
  std::map<Frontend, std::set<std::string>> claims_;  // who wants an address and port; the first by name has it
  std::set<std::string> dirty_;
};

// Adds the chains and elements of `part`.
void merge(network::nft::Table& into, network::nft::Table&& part);

// UDP connections that a change leaves behind: to an address of a service, answered by what is no endpoint any more.
class StaleFlows {
 public:
  StaleFlows(const std::vector<Service>& before, const std::vector<Service>& after);
  bool empty() const { return frontends_.empty() && node_ports_.empty(); }
  bool matches(const network::Flow& flow, const std::set<Ip>& node_addresses) const;

 private:
  using Target = std::pair<Ip, std::uint16_t>;
  void add(const Service& s, bool present);
  std::map<Target, std::set<Target>> frontends_;
  std::map<std::uint16_t, std::set<Target>> node_ports_;
};

}  // namespace onebin::proxy
