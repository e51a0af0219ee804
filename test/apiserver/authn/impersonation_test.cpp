#include "apiserver/authn/impersonation.hpp"
#include "apiserver/rbac/fake_lister.hpp"

#include <set>

using namespace onebin;
using namespace onebin::apiserver;

namespace {

// Allows what is listed as "verb resource[/sub] [ns/]name".
class ListAuthorizer final : public Authorizer {
 public:
  std::set<std::string> allowed;
  async::Task<Authorized> authorize(const Attributes& a) override {
    std::string what = a.verb + " " + a.resource + (a.subresource.empty() ? "" : "/" + a.subresource) + " " + (a.ns.empty() ? "" : a.ns + "/") + a.name;
    co_return Authorized{allowed.count(what) ? Decision::Allow : Decision::NoOpinion, ""};
  }
  Rules rules_for(const UserInfo&, const std::string&) override { return {}; }
};

struct Fixture : fakes::Sim {
  ListAuthorizer authorizer;
  UserInfo joe = fakes::user("joe");
  Result<UserInfo> act(std::initializer_list<net::Headers::Field> fields) {
    net::Headers headers(fields);
    auto wanted = wanted_user(headers);
    if (!wanted) return wanted.status();
    REQUIRE(*wanted);
    Attributes a;
    a.user = &joe;
    a.verb = "list";
    a.resource = "pods";
    a.ns = "x";
    a.is_resource = true;
    return await(impersonate(&authorizer, std::move(**wanted), a));
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "impersonation needs the right to every part of the user") {
  Status s = act({{"Impersonate-User", "bob"}}).status();
  CHECK(s.is(Reason::Forbidden));
  CHECK(s.message() == "pods is forbidden: User \"joe\" cannot impersonate-on:user-info:list resource \"pods\" in API group \"\" in the namespace \"x\"");
  authorizer.allowed = {"impersonate users bob"};
  auto u = act({{"Impersonate-User", "bob"}});
  REQUIRE(u);
  CHECK(u->name == "bob");
  CHECK(u->groups == std::vector<std::string>{"system:authenticated"});
  CHECK_FALSE(act({{"Impersonate-User", "bob"}, {"Impersonate-Group", "ops"}}));
  CHECK_FALSE(act({{"Impersonate-User", "bob"}, {"Impersonate-Uid", "5"}}));
  authorizer.allowed.insert({"impersonate groups ops", "impersonate uids 5", "impersonate userextras/scopes/x 1"});
  u = act({{"Impersonate-User", "bob"}, {"impersonate-group", "ops"}, {"Impersonate-Uid", "5"}, {"Impersonate-Extra-Scopes%2fX", "1"}});
  REQUIRE(u);
  CHECK(u->groups == std::vector<std::string>{"ops", "system:authenticated"});
  CHECK(u->uid == "5");
  CHECK(u->extra.at("scopes/x") == std::vector<std::string>{"1"});
}

TEST_CASE_METHOD(Fixture, "service accounts bring their groups; anonymous stays unauthenticated") {
  authorizer.allowed = {"impersonate serviceaccounts a/robot", "impersonate users system:anonymous"};
  auto u = act({{"Impersonate-User", "system:serviceaccount:a:robot"}});
  REQUIRE(u);
  CHECK(u->groups == std::vector<std::string>{"system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"});
  u = act({{"Impersonate-User", "system:anonymous"}});
  REQUIRE(u);
  CHECK(u->groups == std::vector<std::string>{"system:unauthenticated"});
}

TEST_CASE_METHOD(Fixture, "constrained impersonation: what may be done is part of the right, and never as a master") {
  authorizer.allowed = {"impersonate:user-info users bob", "impersonate-on:user-info:list pods x/", "impersonate:user-info groups system:masters"};
  CHECK(act({{"Impersonate-User", "bob"}}));
  CHECK_FALSE(act({{"Impersonate-User", "bob"}, {"Impersonate-Group", "system:masters"}}));
  authorizer.allowed = {"impersonate:user-info users bob"};
  CHECK_FALSE(act({{"Impersonate-User", "bob"}}));
  authorizer.allowed = {"impersonate:arbitrary-node nodes n1", "impersonate-on:arbitrary-node:list pods x/"};
  auto u = act({{"Impersonate-User", "system:node:n1"}});
  REQUIRE(u);
  CHECK(u->groups == std::vector<std::string>{"system:nodes", "system:authenticated"});
  authorizer.allowed = {"impersonate:associated-node nodes *", "impersonate-on:associated-node:list pods x/"};
  CHECK_FALSE(act({{"Impersonate-User", "system:node:n1"}}));
  joe = fakes::user("system:serviceaccount:kube-system:agent");
  joe.extra["authentication.kubernetes.io/node-name"] = {"n1"};
  CHECK(act({{"Impersonate-User", "system:node:n1"}}));
  CHECK_FALSE(act({{"Impersonate-User", "system:node:n2"}}));
}

TEST_CASE_METHOD(Fixture, "parts of a user without the user are a bad request") {
  net::Headers headers{{"Impersonate-Uid", "5"}};
  auto wanted = wanted_user(headers);
  CHECK(wanted.is(Reason::BadRequest));
  CHECK(wanted.status().message() ==
        "requested &user.DefaultInfo{Name:\"\", UID:\"5\", Groups:[]string(nil), Extra:map[string][]string(nil)} without impersonating a user name");
}
