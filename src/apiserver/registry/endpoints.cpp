// Endpoints and EndpointSlices.
#include "apiserver/allocators.hpp"
#include "apiserver/registry/addresses.hpp"
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"
#include "apiserver/registry/service_rules.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

void validate_endpoint_ip(std::string_view text, const FieldPath& path, FieldErrors& errors) {
  auto ip = parse_address(text);
  std::string value(text);
  if (!ip) {
    errors.push_back(field_invalid(path, value, "must be a valid IP address"));
    return;
  }
  auto b = ip->bytes;
  bool zero = std::all_of(b.begin(), b.begin() + (ip->v6 ? 16 : 4), [](unsigned char c) { return c == 0; });
  bool loopback = ip->v6 ? std::all_of(b.begin(), b.end() - 1, [](unsigned char c) { return c == 0; }) && b[15] == 1 : b[0] == 127;
  if (zero) errors.push_back(field_invalid(path, value, "may not be unspecified (" + value + ")"));
  if (loopback) errors.push_back(field_invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)"));
  if (ip->v6 ? b[0] == 0xfe && (b[1] & 0xc0) == 0x80 : b[0] == 169 && b[1] == 254)
    errors.push_back(field_invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"));
  if (ip->v6 ? b[0] == 0xff && (b[1] & 0x0f) == 0x02 : b[0] == 224 && b[1] == 0 && b[2] == 0)
    errors.push_back(field_invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"));
}

namespace {

const std::vector<std::string> kProtocols = {"SCTP", "TCP", "UDP"};

void check_name(const Document& holder, const char* field, const FieldPath& path, FieldErrors& errors, apimachinery::NameProblems (*rule)(std::string_view)) {
  const Document* v = find_member(holder, field);
  if (!v || !v->is_string()) return;
  for (auto& m : rule(v->get_ref<const std::string&>())) errors.push_back(field_invalid(path.child(field), *v, m));
}

class EndpointsStrategy final : public Strategy {
 public:
  explicit EndpointsStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    std::size_t i = 0;
    for (const auto& s : each(o, "subsets")) {
      FieldPath at = FieldPath("subsets").index(i++);
      if (each(s, "addresses").empty() && each(s, "notReadyAddresses").empty()) errors.push_back(field_required(at, "must specify `addresses` or `notReadyAddresses`"));
      for (const char* list : {"addresses", "notReadyAddresses"}) {
        std::size_t j = 0;
        for (const auto& a : each(s, list)) validate_address(a, at.child(list).index(j++), errors);
      }
      const Document& ports = each(s, "ports");
      std::size_t j = 0;
      for (const auto& p : ports) validate_port(p, ports.size() > 1, at.child("ports").index(j++), errors);
    }
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    if (!semantically_equal(find_member(o, "subsets"), find_member(old, "subsets"))) validate(c, o, errors);
  }

 private:
  static void validate_address(const Document& a, const FieldPath& path, FieldErrors& errors) {
    std::string ip(string_at(a, "ip"));
    check_address(Check(a, path, errors)["ip"], false);
    if (!string_at(a, "hostname").empty()) check_name(a, "hostname", path, errors, apimachinery::is_dns1123_label);
    check_name(a, "nodeName", path, errors, apimachinery::is_dns1123_subdomain);
    validate_endpoint_ip(ip, path.child("ip"), errors);
  }
  static void validate_port(const Document& p, bool named, const FieldPath& path, FieldErrors& errors) {
    std::string name(string_at(p, "name")), protocol(string_at(p, "protocol"));
    if (named && name.empty()) errors.push_back(field_required(path.child("name")));
    else if (!name.empty()) check_name(p, "name", path, errors, apimachinery::is_dns1123_label);
    std::int64_t port = apimachinery::int_at(p, "port");
    for (auto& m : apimachinery::is_valid_port_num(port)) errors.push_back(field_invalid(path.child("port"), port, m));
    if (protocol.empty()) errors.push_back(field_required(path.child("protocol")));
    else if (std::find(kProtocols.begin(), kProtocols.end(), protocol) == kProtocols.end()) errors.push_back(field_not_supported(path.child("protocol"), protocol, kProtocols));
    check_name(p, "appProtocol", path, errors, apimachinery::is_qualified_name);
  }
};

class EndpointSliceStrategy final : public Strategy {
 public:
  explicit EndpointSliceStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    drop_topology(o);
  }
  // Labels say whose endpoints these are: their changes count too.
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_update(c, o, old);
    drop_topology(o);
    if (!semantically_equal(apimachinery::labels_of(o), apimachinery::labels_of(old))) apimachinery::set_meta(o, "generation", apimachinery::generation_of(old) + 1);
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    check_type(o, errors);
    validate_ports(o, errors);
    validate_endpoints(o, errors);
  }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    check_type(o, errors);
    Check type = Check(o, FieldPath(), errors)["addressType"];
    if (!type.empty() && type.text() != string_at(old, "addressType")) type.as(FieldPath("addressType")).one_of({"FQDN", "IPv4", "IPv6"});
    validate_ports(o, errors);
    if (!semantically_equal(find_member(o, "endpoints"), find_member(old, "endpoints"))) validate_endpoints(o, errors);
  }

 private:
  // Which v1 reads only; and nothing that is stored has it.
  static void drop_topology(Document& o) {
    if (Document* list = find_member(o, "endpoints"); list && list->is_array())
      for (auto& e : *list)
        if (e.is_object()) e.erase("deprecatedTopology");
  }
  static void check_type(const Document& o, FieldErrors& errors) {
    if (string_at(o, "addressType").empty()) errors.push_back(field_required(FieldPath("addressType")));
  }
  static void validate_ports(const Document& o, FieldErrors& errors) {
    const Document& ports = each(o, "ports");
    if (ports.size() > 20000) {
      errors.push_back(field_too_many(FieldPath("ports"), static_cast<int>(ports.size()), 20000));
      return;
    }
    std::set<std::string> names;
    std::size_t i = 0;
    for (const auto& p : ports) {
      FieldPath at = FieldPath("ports").index(i++);
      std::string name(string_at(p, "name")), protocol(string_at(p, "protocol"));
      if (!name.empty()) check_name(p, "name", at, errors, apimachinery::is_dns1123_label);
      if (!names.insert(name).second) errors.push_back(field_duplicate(at.child("name"), name));
      if (std::find(kProtocols.begin(), kProtocols.end(), protocol) == kProtocols.end()) errors.push_back(field_not_supported(at.child("protocol"), protocol, kProtocols));
      check_name(p, "appProtocol", at, errors, apimachinery::is_qualified_name);
    }
  }
  static void validate_endpoints(const Document& o, FieldErrors& errors) {
    const Document& endpoints = each(o, "endpoints");
    if (endpoints.size() > 1000) {
      errors.push_back(field_too_many(FieldPath("endpoints"), static_cast<int>(endpoints.size()), 1000));
      return;
    }
    std::string type(string_at(o, "addressType"));
    std::size_t i = 0;
    for (const auto& e : endpoints) {
      FieldPath at = FieldPath("endpoints").index(i++);
      const Document& addresses = each(e, "addresses");
      FieldPath path = at.child("addresses");
      if (addresses.empty()) errors.push_back(field_required(path));
      if (addresses.size() > 100) errors.push_back(field_too_many(path, static_cast<int>(addresses.size()), 100));
      std::size_t j = 0;
      for (const auto& a : addresses) validate_address(type, a.is_string() ? a.get<std::string>() : std::string(), path, j++, errors);
      check_name(e, "nodeName", at, errors, apimachinery::is_dns1123_subdomain);
      check_name(e, "hostname", at, errors, apimachinery::is_dns1123_label);
      validate_hints(member(e, "hints"), "forZones", at.child("hints"), errors, apimachinery::is_valid_label_value);
      validate_hints(member(e, "hints"), "forNodes", at.child("hints"), errors, apimachinery::is_dns1123_subdomain);
    }
  }
  static void validate_address(const std::string& type, const std::string& text, const FieldPath& path, std::size_t index, FieldErrors& errors) {
    FieldPath at = path.index(index);
    if (type == "FQDN") return validate_domain(text, at, errors);
    if (type != "IPv4" && type != "IPv6") return;
    Document value = text;
    std::size_t before = errors.size();
    check_address(Check(value, at, errors), type == "IPv6");
    if (errors.size() != before) return;
    if (parse_address(text)->v6 != (type == "IPv6")) errors.push_back(field_invalid(path, text, type == "IPv4" ? "must be an IPv4 address" : "must be an IPv6 address"));
    validate_endpoint_ip(text, at, errors);
  }
  static void validate_domain(std::string name, const FieldPath& at, FieldErrors& errors) {
    if (name.empty()) return errors.push_back(field_required(at));
    if (name.back() == '.') name.pop_back();
    if (auto problems = apimachinery::is_dns1123_subdomain(name); !problems.empty()) return errors.push_back(field_invalid(at, name, join(problems, ",")));
    auto labels = split(name, '.');
    if (labels.size() < 2) return errors.push_back(field_invalid(at, name, "should be a domain with at least two segments separated by dots"));
    for (const auto& label : labels)
      if (auto problems = apimachinery::is_dns1123_label(label); !problems.empty()) return errors.push_back(field_invalid(at, label, join(problems, ",")));
  }
  static void validate_hints(const Document& hints, const char* list, const FieldPath& path, FieldErrors& errors, apimachinery::NameProblems (*rule)(std::string_view)) {
    const Document& items = each(hints, list);
    if (items.size() > 8) {
      errors.push_back(field_too_many(path.child(list), static_cast<int>(items.size()), 8));
      return;
    }
    std::set<std::string> seen;
    std::size_t i = 0;
    for (const auto& item : items) {
      FieldPath at = path.child(list).index(i++).child("name");
      std::string name(string_at(item, "name"));
      if (!seen.insert(name).second) errors.push_back(field_duplicate(at, name));
      for (auto& m : rule(name)) errors.push_back(field_invalid(at, name, m));
    }
  }
};

}  // namespace

StrategyPtr make_endpoints_strategy(const KindSchema& k) { return std::make_shared<EndpointsStrategy>(k); }
StrategyPtr make_endpoint_slice_strategy(const KindSchema& k) { return std::make_shared<EndpointSliceStrategy>(k); }

}  // namespace onebin::apiserver
