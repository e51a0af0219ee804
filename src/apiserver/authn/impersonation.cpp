#include "apiserver/authn/impersonation.hpp"

#include "apiserver/errors.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/names.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/net/url.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

using apimachinery::go_quote;

constexpr char kAuthentication[] = "authentication.k8s.io";
constexpr std::string_view kExtra = "impersonate-extra-";
constexpr std::string_view kNode = "system:node:", kServiceAccount = "system:serviceaccount:";

std::optional<std::string> node_name(const std::string& user) {
  if (!starts_with(user, kNode)) return std::nullopt;
  std::string name = user.substr(kNode.size());
  if (!apimachinery::name_is_dns_subdomain(name, false).empty()) return std::nullopt;
  return name;
}

// Namespace and name of system:serviceaccount:NAMESPACE:NAME.
std::optional<std::pair<std::string, std::string>> account_of(const std::string& user) {
  if (!starts_with(user, kServiceAccount)) return std::nullopt;
  auto parts = split(std::string_view(user).substr(kServiceAccount.size()), ':');
  if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) return std::nullopt;
  return std::pair(parts[0], parts[1]);
}

bool only_name(const UserInfo& u) { return u.uid.empty() && u.groups.empty() && u.extra.empty(); }

// Go's %#v of the user, as upstream shows it.
std::string go_syntax(const UserInfo& u) {
  auto strings = [](const std::vector<std::string>& list) {
    std::string s;
    for (const auto& i : list) s += (s.empty() ? "" : ", ") + go_quote(i);
    return "[]string{" + s + "}";
  };
  std::string extra;
  for (const auto& [k, v] : u.extra) extra += (extra.empty() ? "" : ", ") + go_quote(k) + ":" + strings(v);
  return "&user.DefaultInfo{Name:\"\", UID:" + go_quote(u.uid) + ", Groups:" + (u.groups.empty() ? "[]string(nil)" : strings(u.groups)) +
         ", Extra:" + (u.extra.empty() ? "map[string][]string(nil)" : "map[string][]string{" + extra + "}") + "}";
}

// One way in which a user may be impersonated.
struct Mode {
  const char* name;  // null: the plain verb, whatever is then done
  bool fixed_name = false;  // the right is on all nodes, not on one
};

std::string verb_of(const Mode& m) { return m.name ? std::string("impersonate:") + m.name : "impersonate"; }

Attributes right_on(const Mode& m, const UserInfo* requester, const char* group, std::string resource, std::string name) {
  Attributes a;
  a.user = requester;
  a.verb = verb_of(m);
  a.group = group;
  a.version = "v1";
  a.resource = std::move(resource);
  a.name = std::move(name);
  a.is_resource = true;
  return a;
}

bool applies(const Mode& m, const UserInfo& wanted, const UserInfo& requester) {
  if (!m.name) return true;
  std::string_view mode = m.name;
  bool node = node_name(wanted.name).has_value(), account = account_of(wanted.name).has_value();
  if (mode == "user-info") return !node && !account;
  if (!only_name(wanted)) return false;
  if (mode == "serviceaccount") return account;
  if (mode == "arbitrary-node") return node;
  // A pod's account acts as the node that its pod runs on.
  auto at = requester.extra.find("authentication.kubernetes.io/node-name");
  return node && account_of(requester.name) && at != requester.extra.end() && at->second.size() == 1 && at->second[0] == *node_name(wanted.name);
}

// The rights that `wanted` needs under a mode, or why nobody has them.
Result<std::vector<Attributes>> needed(const Mode& m, const UserInfo& wanted, const UserInfo* requester) {
  std::vector<Attributes> out;
  const char* group = m.name ? kAuthentication : "";
  auto account = account_of(wanted.name);
  auto node = node_name(wanted.name);
  if (m.name && node) {
    out.push_back(right_on(m, requester, group, "nodes", m.fixed_name ? "*" : *node));
  } else if (account) {
    out.push_back(right_on(m, requester, group, "serviceaccounts", account->second));
    out.back().ns = account->first;
  } else {
    out.push_back(right_on(m, requester, group, "users", wanted.name));
  }
  if (!wanted.uid.empty()) out.push_back(right_on(m, requester, kAuthentication, "uids", wanted.uid));
  for (const auto& g : wanted.groups) {
    out.push_back(right_on(m, requester, group, "groups", g));
    if (m.name && g.empty()) return forbidden_request(out.back(), "impersonating the empty string group is not allowed");
    if (m.name && g == kMastersGroup) return forbidden_request(out.back(), "impersonating the system:masters group is not allowed");
  }
  for (const auto& [key, values] : wanted.extra)
    for (const auto& v : values) {
      out.push_back(right_on(m, requester, kAuthentication, "userextras", v));
      out.back().subresource = key;
      if (m.name && v.empty()) return forbidden_request(out.back(), "impersonating the empty string value in extra is not allowed");
    }
  return Result<std::vector<Attributes>>(std::move(out));
}

UserInfo completed(const Mode& m, UserInfo u) {
  if (m.name && node_name(u.name)) u.groups = {"system:nodes"};
  if (auto account = account_of(u.name); account && u.groups.empty()) u.groups = {"system:serviceaccounts", "system:serviceaccounts:" + account->first};
  std::string_view state = u.name == kAnonymousUser ? kUnauthenticatedGroup : kAuthenticatedGroup;
  if (!u.in_group(state) && !u.in_group(kUnauthenticatedGroup)) u.groups.emplace_back(state);
  return u;
}

// OK, or the first right that is missing.
async::Task<Status> check(Authorizer* authorizer, Mode mode, const UserInfo* wanted, const Attributes* request) {
  if (mode.name) {
    Attributes on = *request;
    on.verb = std::string("impersonate-on:") + mode.name + ":" + request->verb;
    Authorized d = co_await authorizer->authorize(on);
    if (d.decision != Decision::Allow) co_return forbidden_request(on, d.reason);
  }
  Result<std::vector<Attributes>> rights = needed(mode, *wanted, request->user);
  if (!rights) co_return rights.status();
  for (const auto& a : *rights) {
    Authorized d = co_await authorizer->authorize(a);
    if (d.decision != Decision::Allow) co_return forbidden_request(a, d.reason);
  }
  co_return Status::ok();
}

}  // namespace

Status forbidden_request(const Attributes& a, const std::string& reason) {
  std::string why = "User " + go_quote(a.user->name) + " cannot " + a.verb;
  std::string tail = reason.empty() ? "" : ": " + reason;
  if (!a.is_resource) return Status(Reason::Forbidden, "forbidden: " + why + " path " + go_quote(a.path) + tail);
  why += " resource " + go_quote(a.subresource.empty() ? a.resource : a.resource + "/" + a.subresource) + " in API group " + go_quote(a.group);
  why += a.ns.empty() ? " at the cluster scope" : " in the namespace " + go_quote(a.ns);
  return forbidden(a.group, a.resource, a.name, why + tail);
}

Result<std::optional<UserInfo>> wanted_user(const net::Headers& headers) {
  UserInfo u;
  u.name = headers.get("Impersonate-User");
  u.uid = headers.get("Impersonate-Uid");
  for (auto g : headers.all("Impersonate-Group")) u.groups.emplace_back(g);
  for (const auto& [name, value] : headers) {
    std::string key = to_lower(name);
    if (!starts_with(key, kExtra)) continue;
    key.erase(0, kExtra.size());
    u.extra[net::percent_decode(key).value_or(key)].push_back(value);
  }
  if (!u.name.empty()) return std::optional<UserInfo>(std::move(u));
  if (only_name(u)) return std::optional<UserInfo>();
  return bad_request("requested " + go_syntax(u) + " without impersonating a user name");
}

async::Task<Result<UserInfo>> impersonate(Authorizer* authorizer, UserInfo wanted, Attributes request) {
  static constexpr Mode kModes[] = {{"associated-node", true}, {"arbitrary-node"}, {"serviceaccount"}, {"user-info"}, {nullptr}};
  Status first;
  for (const Mode& mode : kModes) {
    if (!applies(mode, wanted, *request.user)) continue;
    Status s = co_await check(authorizer, mode, &wanted, &request);
    if (s) co_return completed(mode, std::move(wanted));
    if (first) first = std::move(s);
  }
  co_return first;
}

}  // namespace onebin::apiserver
