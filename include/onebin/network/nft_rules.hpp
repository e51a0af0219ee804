// RuleBuilder: the usual pieces of rules, in the order in which they are matched.
#pragma once
#include <onebin/network/nft.hpp>

namespace onebin::network::nft {

class RuleBuilder {
 public:
  // Loads into registers.
  RuleBuilder& saddr(bool v6, Reg r) { return add(Payload{Payload::Base::Network, v6 ? 8u : 12u, v6 ? 16u : 4u, r}); }
  RuleBuilder& daddr(bool v6, Reg r) { return add(Payload{Payload::Base::Network, v6 ? 24u : 16u, v6 ? 16u : 4u, r}); }
  RuleBuilder& l4proto(Reg r) { return add(Meta{Meta::Key::L4Proto, r}); }
  RuleBuilder& dport(Reg r) { return add(Payload{Payload::Base::Transport, 2, 2, r}); }
  RuleBuilder& load(Reg r, std::string data) { return add(Immediate{r, std::move(data)}); }

  // Matches. Register 15 is used for what needs no register of the caller's.
  RuleBuilder& family(bool v6) { return add(Meta{Meta::Key::NfProto, kScratch}).add(Compare{kScratch, true, u8(v6 ? 10 : 2)}); }
  RuleBuilder& protocol(std::uint8_t number) { return add(Meta{Meta::Key::L4Proto, kScratch}).add(Compare{kScratch, true, u8(number)}); }
  RuleBuilder& equals(Reg r, std::string data, bool equal = true) { return add(Compare{r, equal, std::move(data)}); }
  RuleBuilder& in_set(std::string set, Reg r) { return add(Lookup{std::move(set), -1, r, {}, false, false}); }
  RuleBuilder& not_in_set(std::string set, Reg r) { return add(Lookup{std::move(set), -1, r, {}, false, true}); }
  RuleBuilder& in(Set set, Reg r) { return inline_lookup(std::move(set), r, {}, false, false); }
  RuleBuilder& not_in(Set set, Reg r) { return inline_lookup(std::move(set), r, {}, false, true); }
  RuleBuilder& map(std::string set, Reg r, Reg to) { return add(Lookup{std::move(set), -1, r, to, false, false}); }
  RuleBuilder& map_in(Set set, Reg r, Reg to) { return inline_lookup(std::move(set), r, to, false, false); }
  // Matches when the address in the register lies in (or, equal = false, outside of) the prefix; it is masked afterwards.
  RuleBuilder& masked(Reg r, const Prefix& p, bool equal = true);
  RuleBuilder& ct_status(std::uint32_t bits, bool set) { return bits_of(Ct{Ct::Key::Status, kScratch}, bits, set); }
  RuleBuilder& ct_state(std::uint32_t bits) { return bits_of(Ct{Ct::Key::State, kScratch}, bits, true); }
  RuleBuilder& mark(std::uint32_t bits, bool set) { return bits_of(Meta{Meta::Key::Mark, kScratch}, bits, set); }
  RuleBuilder& address_type(bool destination, Reg r, std::uint32_t type, bool equal = true) {
    return add(Fib{destination ? Fib::Of::DestinationType : Fib::Of::SourceType, r}).add(Compare{r, equal, host32(type)});
  }
  RuleBuilder& in_interface_prefix(std::string_view prefix, bool equal = true);
  RuleBuilder& out_interface(std::string_view name) { return add(Meta{Meta::Key::OifName, 8}).add(Compare{8, true, if_name(name)}); }
  RuleBuilder& not_link_local_source();  // IPv6
  RuleBuilder& reverse_path_missing(Reg r) { return add(Fib{Fib::Of::ReversePath, r}).add(Compare{r, true, u8(0)}); }

  // Ends.
  RuleBuilder& verdict(Verdict v) { return add(std::move(v)); }
  RuleBuilder& vmap(std::string set, Reg r) { return add(Lookup{std::move(set), -1, r, {}, true, false}); }
  RuleBuilder& vmap_in(Set set, Reg r) { return inline_lookup(std::move(set), r, {}, true, false); }
  RuleBuilder& random(std::uint32_t modulus, Reg r) { return add(Numgen{r, modulus}); }
  RuleBuilder& dnat(bool v6, Reg address, Reg port) { return add(Nat{true, v6, address, port}); }
  RuleBuilder& masquerade() { return add(Masquerade{}); }
  RuleBuilder& reject() { return add(Reject{}); }
  RuleBuilder& update(std::string set, Reg key, std::optional<Reg> data) { return add(DynSet{std::move(set), key, data, false}); }
  RuleBuilder& forget(std::string set, Reg key, std::optional<Reg> data) { return add(DynSet{std::move(set), key, data, true}); }
  RuleBuilder& or_mark(std::uint32_t bits);   // sets bits of the packet's mark
  RuleBuilder& clear_mark(std::uint32_t bits);

  RuleBuilder& add(Expr e) { rule_.exprs.push_back(std::move(e)); return *this; }
  Rule done() { return std::move(rule_); }

 private:
  static constexpr Reg kScratch = 15;
  template <class Load>
  RuleBuilder& bits_of(Load load, std::uint32_t bits, bool set) {
    return add(load).add(Bitwise{kScratch, host32(bits), host32(0)}).add(Compare{kScratch, !set, host32(0)});
  }
  RuleBuilder& inline_lookup(Set set, Reg r, std::optional<Reg> to, bool verdict, bool invert) {
    rule_.sets.push_back(std::move(set));
    return add(Lookup{{}, static_cast<int>(rule_.sets.size()) - 1, r, to, verdict, invert});
  }
  Rule rule_;
};

}  // namespace onebin::network::nft
