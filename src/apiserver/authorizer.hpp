// Authorizer: whether a user may do what a request asks.
#pragma once
#include "apiserver/request.hpp"

#include <onebin/async/task.hpp>

#include <string>
#include <vector>

namespace onebin::apiserver {

enum class Decision : unsigned char { Deny, Allow, NoOpinion };

struct Authorized {
  Decision decision = Decision::NoOpinion;
  std::string reason;
};

// For SelfSubjectRulesReview.
struct ResourceRule {
  std::vector<std::string> verbs, api_groups, resources, resource_names;
};
struct NonResourceRule {
  std::vector<std::string> verbs, non_resource_urls;
};
struct Rules {
  std::vector<ResourceRule> resource;
  std::vector<NonResourceRule> non_resource;
  bool incomplete = false;
  std::string error;
};

class Authorizer {
 public:
  virtual ~Authorizer() = default;
  virtual async::Task<Authorized> authorize(const Attributes& attributes) = 0;
  virtual Rules rules_for(const UserInfo& user, const std::string& ns) = 0;
};

// The first authorizer with an opinion decides; none: denied.
class UnionAuthorizer final : public Authorizer {
 public:
  explicit UnionAuthorizer(std::vector<std::unique_ptr<Authorizer>> authorizers) : authorizers_(std::move(authorizers)) {}
  async::Task<Authorized> authorize(const Attributes& attributes) override;
  Rules rules_for(const UserInfo& user, const std::string& ns) override;

 private:
  std::vector<std::unique_ptr<Authorizer>> authorizers_;
};

// Members of system:masters may do everything.
class MastersAuthorizer final : public Authorizer {
 public:
  async::Task<Authorized> authorize(const Attributes& attributes) override;
  Rules rules_for(const UserInfo& user, const std::string& ns) override;
};

}  // namespace onebin::apiserver
