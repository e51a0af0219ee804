// nftables as values: tables, chains, rules and sets, their differences, and one transaction over netlink.
// The expressions are the kernel's own (include/uapi/linux/netfilter/nf_tables.h), one struct each.
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/base/result.hpp>
#include <onebin/network/address.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace onebin::network::nft {

// Registers are counted in words of 32 bits, 0 to 15; a wider value takes the following ones too. A key of several
// parts lies in consecutive words, each part padded to whole words.
using Reg = std::uint8_t;

enum class Hook : std::uint8_t { Prerouting = 0, Input = 1, Forward = 2, Output = 3, Postrouting = 4 };

struct Verdict {
  enum class Kind : std::uint8_t { Accept, Drop, Jump, Goto, Return };
  Kind kind = Kind::Accept;
  std::string chain;  // of Jump and Goto
  auto operator<=>(const Verdict&) const = default;
};
inline Verdict accept() { return {Verdict::Kind::Accept, {}}; }
inline Verdict drop() { return {Verdict::Kind::Drop, {}}; }
inline Verdict return_() { return {Verdict::Kind::Return, {}}; }
inline Verdict jump(std::string c) { return {Verdict::Kind::Jump, std::move(c)}; }
inline Verdict goto_(std::string c) { return {Verdict::Kind::Goto, std::move(c)}; }

// What a set's key or a map's value is made of; the numbers are nft's datatypes, so that `nft list` prints them.
enum class Type : std::uint8_t { Ip4 = 7, Ip6 = 8, Protocol = 12, Port = 13, Mark = 19, Integer = 4, IfName = 41 };

struct Element {
  std::string key;                                  // parts padded to 4 octets (key())
  std::variant<std::monostate, std::string, Verdict> value;  // map data alike, or a verdict
  bool interval_end = false;                        // in interval sets: where a range stops (exclusive)
  bool operator==(const Element&) const = default;
};

struct Set {
  std::vector<Type> key;
  std::vector<Type> data;     // a map's; empty for a set and a verdict map
  bool verdict_map = false;
  bool interval = false;      // elements by add_prefixes only
  bool dynamic = false;       // filled by rules (DynSet): elements here stay empty
  std::uint64_t timeout_ms = 0;
  std::map<std::string, Element> elements;  // by key (interval ends sort apart: key + '\x01')
  void add(std::string k) { elements[k] = Element{k, {}, false}; }
  void add(std::string k, std::string data_value) { elements[k] = Element{k, std::move(data_value), false}; }
  void add(std::string k, Verdict v) { elements[k] = Element{k, std::move(v), false}; }
  // For interval sets of one address family: overlapping and adjacent ranges are merged.
  void add_prefixes(std::vector<Prefix> prefixes);
  bool same_shape(const Set& o) const;
  bool operator==(const Set&) const = default;
};

// Expressions.
struct Meta { enum class Key : std::uint8_t { Protocol = 1, Mark = 3, IifName = 6, OifName = 7, NfProto = 15, L4Proto = 16 } key; Reg reg = 0; bool set = false; bool operator==(const Meta&) const = default; };
struct Payload { enum class Base : std::uint8_t { Link = 0, Network = 1, Transport = 2 } base; std::uint32_t offset = 0, length = 0; Reg reg = 0; bool operator==(const Payload&) const = default; };
struct Ct { enum class Key : std::uint8_t { State = 0, Direction = 1, Status = 2, Mark = 3 } key; Reg reg = 0; bool set = false; bool operator==(const Ct&) const = default; };
// The type of an address (kLocal, ...), 4 octets; or whether a route for the source leads back out of the input interface, 1 octet.
struct Fib { enum class Of : std::uint8_t { SourceType, DestinationType, ReversePath } of; Reg reg = 0; bool operator==(const Fib&) const = default; };
struct Compare { Reg reg = 0; bool equal = true; std::string data; bool operator==(const Compare&) const = default; };
struct Bitwise { Reg reg = 0; std::string mask, xor_; bool operator==(const Bitwise&) const = default; };
struct Immediate { Reg reg = 0; std::string data; bool operator==(const Immediate&) const = default; };
// In a set, or in a map with the value to `dest`, or (verdict) in a verdict map. `inline_set`: index into Rule::sets.
struct Lookup { std::string set; int inline_set = -1; Reg reg = 0; std::optional<Reg> dest; bool verdict = false; bool invert = false; bool operator==(const Lookup&) const = default; };
struct Numgen { Reg reg = 0; std::uint32_t modulus = 1; bool operator==(const Numgen&) const = default; };  // random below modulus
struct Nat { bool dnat = true; bool v6 = false; Reg address = 0; std::optional<Reg> port; bool operator==(const Nat&) const = default; };
struct Masquerade { bool random = true; bool operator==(const Masquerade&) const = default; };
struct Reject { bool tcp_reset = false; bool operator==(const Reject&) const = default; };  // else ICMP(v6) port unreachable
// Adds the key, or refreshes its timeout (its value stays); or removes it. `data` is the register of a map's value
// (for maps always given; a removal does not look at it).
struct DynSet { std::string set; Reg key = 0; std::optional<Reg> data; bool remove = false; bool operator==(const DynSet&) const = default; };
struct Counter { bool operator==(const Counter&) const = default; };

using Expr = std::variant<Meta, Payload, Ct, Fib, Compare, Bitwise, Immediate, Verdict, Lookup, Numgen, Nat, Masquerade, Reject, DynSet, Counter>;

struct Rule {
  std::vector<Expr> exprs;
  std::vector<Set> sets;  // anonymous, constant
  bool operator==(const Rule&) const = default;
};

struct BaseHook {
  std::string type = "filter";  // or "nat"
  Hook hook = Hook::Prerouting;
  int priority = 0;
  bool operator==(const BaseHook&) const = default;
};
struct Chain {
  std::optional<BaseHook> base;
  std::vector<Rule> rules;
  bool operator==(const Chain&) const = default;
};

// A table of family inet, as it should be.
struct Table {
  std::map<std::string, Chain> chains;
  std::map<std::string, Set> sets;
  bool operator==(const Table&) const = default;
};

constexpr std::uint32_t kLocal = 2, kBroadcast = 3, kMulticast = 5;  // Fib's address types (RTN_*)
constexpr std::uint32_t kCtNew = 8, kCtEstablished = 2, kCtRelated = 4;  // Ct::Key::State, a bit mask
constexpr std::uint32_t kCtSourceNat = 16, kCtDestinationNat = 32;       // Ct::Key::Status, a bit mask

// Pieces of rules and keys.
std::string key(std::initializer_list<std::string> parts);  // each padded to 4 octets
std::string u16(std::uint16_t v);  // network order
std::string u8(std::uint8_t v);
std::string host32(std::uint32_t v);  // host order: marks, numgen
std::string if_name(std::string_view name);  // 16 octets, zero-filled
std::uint8_t protocol_number(std::string_view name);  // TCP, UDP, SCTP in any case; 0 otherwise

// A readable form, close to nft's own syntax: for logs and tests.
std::string describe(const Rule& rule);
std::string describe(const Table& table);

// One step of a transaction.
struct Op {
  enum class Kind : std::uint8_t { AddTable, DeleteTable, AddChain, FlushChain, DeleteChain, AddRule, AddSet, DeleteSet, AddElements, DeleteElements };
  Kind kind;
  std::string name;                 // of the chain or set
  std::optional<BaseHook> base;     // AddChain
  Rule rule;                        // AddRule
  Set set;                          // AddSet: its shape; Add/DeleteElements: shape and the elements concerned
  std::string describe() const;
};
using Transaction = std::vector<Op>;

// What leads from one state to another. Chains that fall away are emptied and named in `stale`, not deleted: kernels
// before 6.2 refuse, for a moment, to delete a chain whose map element was deleted in the same transaction.
struct Difference {
  Transaction ops;
  std::vector<std::string> stale;
};
Difference difference(const Table& from, const Table& to);
// Replaces a table of that name, whatever is in it, at once.
Transaction replacement(const Table& to);
Transaction removal();

class Socket {
 public:
  virtual ~Socket() = default;
  // All of it or nothing. The error names the operation that the kernel refused.
  virtual Result<void> commit(const std::string& table, const Transaction& transaction) = 0;
  virtual std::uint32_t port() const = 0;  // the netlink address under which it changes tables
  static Result<std::unique_ptr<Socket>> open();
};

// Tells when somebody else deletes the table or something in it: a firewall that starts anew flushes everything.
class TableWatch {
 public:
  virtual ~TableWatch() = default;
  virtual async::Task<Result<void>> deleted() = 0;  // one await at a time
  // What the socket with the address `own_port` does is not told of.
  static Result<std::unique_ptr<TableWatch>> open(std::string table, std::uint32_t own_port);
};

// Sends the changes of one table, and clears up after them.
class TableKeeper {
 public:
  TableKeeper(Socket& socket, std::string table) : socket_(socket), name_(std::move(table)) {}
  // Replaces the table, whatever is in it, at once.
  Result<void> replace(const Table& to);
  // Sends the difference. Both may be parts of the table, as long as every set that others use too is in both.
  // After a failure nothing of it is applied and in_step() is false: replace.
  Result<void> update(const Table& from, const Table& to);
  bool in_step() const { return known_; }
  // Deletes emptied chains; call a second or more after the update that left them. True when none is left.
  bool collect();
  bool has_stale() const { return !stale_.empty(); }
  Result<void> remove();

 private:
  Socket& socket_;
  std::string name_;
  bool known_ = false;
  std::vector<std::string> stale_;
};

}  // namespace onebin::network::nft
