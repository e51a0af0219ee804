#include "network/nft_encode.hpp"

#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

#include <cstring>
#include <memory>

namespace onebin::network::nft {

namespace {

constexpr std::uint32_t reg(Reg r) { return NFT_REG32_00 + r; }
constexpr std::size_t kElementsPerMessage = 128;  // a nest holds 64 KiB at most

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* p) const { Free(p); }
};
using TablePtr = std::unique_ptr<nftnl_table, Deleter<nftnl_table_free>>;
using ChainPtr = std::unique_ptr<nftnl_chain, Deleter<nftnl_chain_free>>;
using RulePtr = std::unique_ptr<nftnl_rule, Deleter<nftnl_rule_free>>;
using SetPtr = std::unique_ptr<nftnl_set, Deleter<nftnl_set_free>>;

std::int32_t verdict_code(Verdict::Kind k) {
  switch (k) {
    case Verdict::Kind::Accept: return NF_ACCEPT;
    case Verdict::Kind::Drop: return NF_DROP;
    case Verdict::Kind::Jump: return NFT_JUMP;
    case Verdict::Kind::Goto: return NFT_GOTO;
    case Verdict::Kind::Return: return NFT_RETURN;
  }
  return NF_DROP;
}

std::uint32_t type_id(const std::vector<Type>& types) {
  std::uint32_t id = 0;
  for (Type t : types) id = (id << 6) | static_cast<std::uint32_t>(t);
  return id;
}
std::uint32_t type_width(const std::vector<Type>& types) {
  std::uint32_t n = 0;
  for (Type t : types) {
    bool alone = types.size() == 1;
    switch (t) {
      case Type::Ip6: case Type::IfName: n += 16; break;
      case Type::Protocol: n += alone ? 1 : 4; break;
      case Type::Port: n += alone ? 2 : 4; break;
      default: n += 4;
    }
  }
  return n;
}
bool host_order(const std::vector<Type>& types) { return types.size() == 1 && (types[0] == Type::Mark || types[0] == Type::Integer); }

// Turns one expression into libnftnl's.
struct ExprMaker {
  const std::vector<std::pair<std::string, std::uint32_t>>& inline_sets;  // name and id

  static nftnl_expr* make(const char* name) { return nftnl_expr_alloc(name); }

  nftnl_expr* operator()(const Meta& m) const {
    auto* e = make("meta");
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, static_cast<std::uint32_t>(m.key));
    nftnl_expr_set_u32(e, m.set ? NFTNL_EXPR_META_SREG : NFTNL_EXPR_META_DREG, reg(m.reg));
    return e;
  }
  nftnl_expr* operator()(const Payload& p) const {
    auto* e = make("payload");
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, static_cast<std::uint32_t>(p.base));
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, p.offset);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, p.length);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg(p.reg));
    return e;
  }
  nftnl_expr* operator()(const Ct& c) const {
    auto* e = make("ct");
    nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, static_cast<std::uint32_t>(c.key));
    nftnl_expr_set_u32(e, c.set ? NFTNL_EXPR_CT_SREG : NFTNL_EXPR_CT_DREG, reg(c.reg));
    return e;
  }
  nftnl_expr* operator()(const Fib& f) const {
    auto* e = make("fib");
    bool reverse = f.of == Fib::Of::ReversePath;
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, reg(f.reg));
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, reverse ? NFT_FIB_RESULT_OIF : NFT_FIB_RESULT_ADDRTYPE);
    std::uint32_t flags = f.of == Fib::Of::DestinationType ? NFTA_FIB_F_DADDR : NFTA_FIB_F_SADDR;
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, reverse ? flags | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT : flags);
    return e;
  }
  nftnl_expr* operator()(const Compare& c) const {
    auto* e = make("cmp");
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, reg(c.reg));
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, c.equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
    nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, c.data.data(), static_cast<std::uint32_t>(c.data.size()));
    return e;
  }
  nftnl_expr* operator()(const Bitwise& b) const {
    auto* e = make("bitwise");
    auto n = static_cast<std::uint32_t>(b.mask.size());
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, reg(b.reg));
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, reg(b.reg));
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, n);
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, b.mask.data(), n);
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, b.xor_.data(), n);
    return e;
  }
  nftnl_expr* operator()(const Immediate& i) const {
    auto* e = make("immediate");
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, reg(i.reg));
    nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, i.data.data(), static_cast<std::uint32_t>(i.data.size()));
    return e;
  }
  nftnl_expr* operator()(const Verdict& v) const {
    auto* e = make("immediate");
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, static_cast<std::uint32_t>(verdict_code(v.kind)));
    if (!v.chain.empty()) nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, v.chain.c_str());
    return e;
  }
  nftnl_expr* operator()(const Lookup& l) const {
    auto* e = make("lookup");
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, reg(l.reg));
    if (l.inline_set >= 0) {
      const auto& [name, id] = inline_sets[static_cast<std::size_t>(l.inline_set)];
      nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, name.c_str());
      nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SET_ID, id);
    } else {
      nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, l.set.c_str());
    }
    if (l.verdict) nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT);
    if (l.dest) nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, reg(*l.dest));
    if (l.invert) nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    return e;
  }
  nftnl_expr* operator()(const Numgen& n) const {
    auto* e = make("numgen");
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_DREG, reg(n.reg));
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_MODULUS, n.modulus);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_TYPE, NFT_NG_RANDOM);
    return e;
  }
  nftnl_expr* operator()(const Nat& n) const {
    auto* e = make("nat");
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, n.dnat ? NFT_NAT_DNAT : NFT_NAT_SNAT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, n.v6 ? NFPROTO_IPV6 : NFPROTO_IPV4);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, reg(n.address));
    if (n.port) nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, reg(*n.port));
    return e;
  }
  nftnl_expr* operator()(const Masquerade& m) const {
    auto* e = make("masq");
    if (m.random) nftnl_expr_set_u32(e, NFTNL_EXPR_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
    return e;
  }
  nftnl_expr* operator()(const Reject& r) const {
    auto* e = make("reject");
    nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, r.tcp_reset ? NFT_REJECT_TCP_RST : NFT_REJECT_ICMPX_UNREACH);
    nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, r.tcp_reset ? 0 : NFT_REJECT_ICMPX_PORT_UNREACH);
    return e;
  }
  nftnl_expr* operator()(const DynSet& d) const {
    auto* e = make("dynset");
    nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_KEY, reg(d.key));
    if (d.data) nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_DATA, reg(*d.data));
    nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_OP, d.remove ? NFT_DYNSET_OP_DELETE : NFT_DYNSET_OP_UPDATE);
    nftnl_expr_set_str(e, NFTNL_EXPR_DYNSET_SET_NAME, d.set.c_str());
    return e;
  }
  nftnl_expr* operator()(const Counter&) const { return make("counter"); }
};

class Encoder {
 public:
  Encoder(const std::string& table, std::uint32_t sequence) : table_(table), sequence_(sequence) { buffer_.resize(64 * 1024 + 4096); }

  Encoded run(const Transaction& transaction) {
    nftnl_batch_begin(buffer_.data(), sequence_++);
    append();
    for (at_ = 0; at_ < transaction.size(); ++at_) one(transaction[at_]);
    nftnl_batch_end(buffer_.data(), sequence_++);
    append();
    return std::move(out_);
  }

 private:
  void append() { out_.bytes.append(buffer_.data(), reinterpret_cast<nlmsghdr*>(buffer_.data())->nlmsg_len); }
  nlmsghdr* start(std::uint16_t type, std::uint16_t flags) {
    out_.index.emplace_back(sequence_, at_);
    return nftnl_nlmsg_build_hdr(buffer_.data(), type, NFPROTO_INET, flags, sequence_++);
  }

  void one(const Op& op) {
    switch (op.kind) {
      case Op::Kind::AddTable: return table(NFT_MSG_NEWTABLE, NLM_F_CREATE);
      case Op::Kind::DeleteTable: return table(NFT_MSG_DELTABLE, 0);
      case Op::Kind::AddChain: return chain(op, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
      case Op::Kind::DeleteChain: return chain(op, NFT_MSG_DELCHAIN, 0);
      case Op::Kind::FlushChain: return flush(op);
      case Op::Kind::AddRule: return rule(op);
      case Op::Kind::AddSet: return set(op.name, op.set, ++set_id_, false, NFT_MSG_NEWSET, NLM_F_CREATE);
      case Op::Kind::DeleteSet: return set(op.name, op.set, 0, false, NFT_MSG_DELSET, 0);
      case Op::Kind::AddElements: return elements(op.name, op.set, 0, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
      case Op::Kind::DeleteElements: return elements(op.name, op.set, 0, NFT_MSG_DELSETELEM, 0);
    }
  }

  void table(std::uint16_t type, std::uint16_t flags) {
    TablePtr t(nftnl_table_alloc());
    nftnl_table_set_u32(t.get(), NFTNL_TABLE_FAMILY, NFPROTO_INET);
    nftnl_table_set_str(t.get(), NFTNL_TABLE_NAME, table_.c_str());
    nftnl_table_nlmsg_build_payload(start(type, flags), t.get());
    append();
  }

  void chain(const Op& op, std::uint16_t type, std::uint16_t flags) {
    ChainPtr c(nftnl_chain_alloc());
    nftnl_chain_set_str(c.get(), NFTNL_CHAIN_TABLE, table_.c_str());
    nftnl_chain_set_str(c.get(), NFTNL_CHAIN_NAME, op.name.c_str());
    if (op.base) {
      static constexpr std::uint32_t hooks[] = {NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_FORWARD, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING};
      nftnl_chain_set_str(c.get(), NFTNL_CHAIN_TYPE, op.base->type.c_str());
      nftnl_chain_set_u32(c.get(), NFTNL_CHAIN_HOOKNUM, hooks[static_cast<int>(op.base->hook)]);
      nftnl_chain_set_s32(c.get(), NFTNL_CHAIN_PRIO, op.base->priority);
    }
    nftnl_chain_nlmsg_build_payload(start(type, flags), c.get());
    append();
  }

  void flush(const Op& op) {
    RulePtr r(nftnl_rule_alloc());
    nftnl_rule_set_str(r.get(), NFTNL_RULE_TABLE, table_.c_str());
    nftnl_rule_set_str(r.get(), NFTNL_RULE_CHAIN, op.name.c_str());
    nftnl_rule_nlmsg_build_payload(start(NFT_MSG_DELRULE, 0), r.get());
    append();
  }

  void rule(const Op& op) {
    std::vector<std::pair<std::string, std::uint32_t>> inline_sets;
    for (const auto& s : op.rule.sets) {
      bool map = s.verdict_map || !s.data.empty();
      inline_sets.emplace_back(map ? "__map%d" : "__set%d", ++set_id_);
      const auto& [name, id] = inline_sets.back();
      set(name, s, id, true, NFT_MSG_NEWSET, NLM_F_CREATE);
      elements(name, s, id, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
    }
    RulePtr r(nftnl_rule_alloc());
    nftnl_rule_set_str(r.get(), NFTNL_RULE_TABLE, table_.c_str());
    nftnl_rule_set_str(r.get(), NFTNL_RULE_CHAIN, op.name.c_str());
    for (const auto& e : op.rule.exprs) nftnl_rule_add_expr(r.get(), std::visit(ExprMaker{inline_sets}, e));
    nftnl_rule_nlmsg_build_payload(start(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND), r.get());
    append();
  }

  void set(const std::string& name, const Set& s, std::uint32_t id, bool anonymous, std::uint16_t type, std::uint16_t flags) {
    SetPtr n(nftnl_set_alloc());
    nftnl_set_set_str(n.get(), NFTNL_SET_TABLE, table_.c_str());
    nftnl_set_set_str(n.get(), NFTNL_SET_NAME, name.c_str());
    nftnl_set_set_u32(n.get(), NFTNL_SET_FAMILY, NFPROTO_INET);
    if (type == NFT_MSG_NEWSET) shape(n.get(), s, id, anonymous);
    nftnl_set_nlmsg_build_payload(start(type, flags), n.get());
    append();
  }

  static void shape(nftnl_set* n, const Set& s, std::uint32_t id, bool anonymous) {
    std::uint32_t f = 0;
    if (anonymous) f |= NFT_SET_ANONYMOUS | NFT_SET_CONSTANT;
    if (s.interval) f |= NFT_SET_INTERVAL;
    if (s.dynamic) f |= NFT_SET_EVAL;
    if (s.timeout_ms) f |= NFT_SET_TIMEOUT;
    if (s.verdict_map || !s.data.empty()) f |= NFT_SET_MAP;
    nftnl_set_set_u32(n, NFTNL_SET_FLAGS, f);
    nftnl_set_set_u32(n, NFTNL_SET_ID, id);
    nftnl_set_set_u32(n, NFTNL_SET_KEY_TYPE, type_id(s.key));
    nftnl_set_set_u32(n, NFTNL_SET_KEY_LEN, type_width(s.key));
    if (s.verdict_map) {
      nftnl_set_set_u32(n, NFTNL_SET_DATA_TYPE, NFT_DATA_VERDICT);
      nftnl_set_set_u32(n, NFTNL_SET_DATA_LEN, 16);
    } else if (!s.data.empty()) {
      nftnl_set_set_u32(n, NFTNL_SET_DATA_TYPE, type_id(s.data));
      nftnl_set_set_u32(n, NFTNL_SET_DATA_LEN, type_width(s.data));
    }
    if (s.timeout_ms) nftnl_set_set_u64(n, NFTNL_SET_TIMEOUT, s.timeout_ms);
    // nft reads from the user data in which octet order it shall print; 1 is the host's, 2 the network's.
    auto* u = nftnl_udata_buf_alloc(64);
    nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, host_order(s.key) ? 1 : 2);
    if (!s.data.empty()) nftnl_udata_put_u32(u, NFTNL_UDATA_SET_DATABYTEORDER, host_order(s.data) ? 1 : 2);
    nftnl_set_set_data(n, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u), nftnl_udata_buf_len(u));
    nftnl_udata_buf_free(u);
  }

  void elements(const std::string& name, const Set& s, std::uint32_t id, std::uint16_t type, std::uint16_t flags) {
    auto it = s.elements.begin();
    while (it != s.elements.end()) {
      SetPtr n(nftnl_set_alloc());
      nftnl_set_set_str(n.get(), NFTNL_SET_TABLE, table_.c_str());
      nftnl_set_set_str(n.get(), NFTNL_SET_NAME, name.c_str());
      if (id) nftnl_set_set_u32(n.get(), NFTNL_SET_ID, id);
      for (std::size_t i = 0; i < kElementsPerMessage && it != s.elements.end(); ++i, ++it)
        nftnl_set_elem_add(n.get(), element(it->second, type == NFT_MSG_NEWSETELEM));
      nftnl_set_elems_nlmsg_build_payload(start(type, flags), n.get());
      append();
    }
  }

  static nftnl_set_elem* element(const Element& e, bool with_value) {
    auto* x = nftnl_set_elem_alloc();
    nftnl_set_elem_set(x, NFTNL_SET_ELEM_KEY, e.key.data(), static_cast<std::uint32_t>(e.key.size()));
    if (e.interval_end) nftnl_set_elem_set_u32(x, NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
    if (!with_value) return x;
    if (auto* v = std::get_if<Verdict>(&e.value)) {
      nftnl_set_elem_set_u32(x, NFTNL_SET_ELEM_VERDICT, static_cast<std::uint32_t>(verdict_code(v->kind)));
      if (!v->chain.empty()) nftnl_set_elem_set_str(x, NFTNL_SET_ELEM_CHAIN, v->chain.c_str());
    } else if (auto* d = std::get_if<std::string>(&e.value)) {
      nftnl_set_elem_set(x, NFTNL_SET_ELEM_DATA, d->data(), static_cast<std::uint32_t>(d->size()));
    }
    return x;
  }

  const std::string& table_;
  std::uint32_t sequence_;
  std::uint32_t set_id_ = 0;
  std::size_t at_ = 0;
  std::string buffer_;
  Encoded out_;
};

// What the kernel would cut or libnftnl copy past its end.
Status check(const Transaction& transaction) {
  auto bad = [](std::string_view what) { return internal_error("nftables: " + std::string(what)); };
  for (const auto& op : transaction) {
    if (op.name.size() >= NFT_NAME_MAXLEN) return bad("a name is too long: " + op.name);
    if (op.rule.exprs.size() > 128) return bad("a rule is too long");
    for (const auto* s : {&op.set})
      for (const auto& [k, e] : s->elements)
        if (e.key.size() > 64 || (std::holds_alternative<std::string>(e.value) && std::get<std::string>(e.value).size() > 64))
          return bad("an element is too long");
  }
  return Status::ok();
}

}  // namespace

Result<Encoded> encode(const std::string& table, const Transaction& transaction, std::uint32_t first_sequence) {
  RETURN_IF_ERROR(check(transaction));
  return Encoder(table, first_sequence).run(transaction);
}

}  // namespace onebin::network::nft
