#include <onebin/network/nft_rules.hpp>

namespace onebin::network::nft {

static std::string mask_bytes(const Prefix& p) {
  std::string m(static_cast<std::size_t>(p.ip.bits() / 8), '\0');
  for (int i = 0; i < p.length; ++i) m[static_cast<std::size_t>(i / 8)] = static_cast<char>(m[static_cast<std::size_t>(i / 8)] | (0x80 >> (i % 8)));
  return m;
}

RuleBuilder& RuleBuilder::masked(Reg r, const Prefix& p, bool equal) {
  return add(Bitwise{r, mask_bytes(p), std::string(static_cast<std::size_t>(p.ip.bits() / 8), '\0')}).add(Compare{r, equal, p.ip.bytes()});
}

RuleBuilder& RuleBuilder::in_interface_prefix(std::string_view prefix, bool equal) {
  return add(Meta{Meta::Key::IifName, 8}).add(Compare{8, equal, std::string(prefix)});
}

RuleBuilder& RuleBuilder::not_link_local_source() {
  return saddr(true, 8).masked(8, *Prefix::parse("fe80::/10"), false);
}

// mark = (mark & ~bits) ^ bits
RuleBuilder& RuleBuilder::or_mark(std::uint32_t bits) {
  return add(Meta{Meta::Key::Mark, kScratch}).add(Bitwise{kScratch, host32(~bits), host32(bits)}).add(Meta{Meta::Key::Mark, kScratch, true});
}
RuleBuilder& RuleBuilder::clear_mark(std::uint32_t bits) {
  return add(Meta{Meta::Key::Mark, kScratch}).add(Bitwise{kScratch, host32(~bits), host32(0)}).add(Meta{Meta::Key::Mark, kScratch, true});
}

}  // namespace onebin::network::nft
