// Program: an expression, parsed and checked against an Environment, ready to be evaluated as often as is wanted, by several
// threads at once. The environment is Kubernetes 1.37's: the standard library, optionals, two-variable comprehensions, and
// the extensions for strings, lists, sets, regular expressions, URLs, quantities, addresses, formats, versions, authorization.
// Texts of errors are those of cel-go, which clients see.
// Source: Kubernetes "Common Expression Language in Kubernetes"; limits: "Resource usage by CEL", k8s.io/apiserver/pkg/apis/cel.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/cel/value.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::cel {

inline constexpr std::uint64_t kPerCallLimit = 1'000'000;
inline constexpr std::int64_t kRuntimeBudget = 10'000'000;             // an object, or a policy's binding
inline constexpr std::int64_t kMatchConditionsBudget = 2'500'000;      // a webhook's or a policy's match conditions
inline constexpr std::size_t kMaxMessageBytes = 5 * 1024;              // of a messageExpression's result
inline constexpr std::int64_t kMaxRequestBytes = 3 * 1024 * 1024;      // what estimates take for the largest request

class Environment {
 public:
  // Expressions know `name` as a value of `type`. `schema`, where given, bounds its size in estimates.
  void declare(std::string name, const Type* type, const Schema* schema = nullptr);
  // jsonpatch.escapeKey, JSONPatch{} and Object{}: only where patches are made.
  void allow_patches() { patches_ = true; }
  bool patches() const { return patches_; }

  struct Variable {
    std::string name;
    const Type* type = nullptr;
    const Schema* schema = nullptr;
  };
  const Variable* find(std::string_view name) const;
  const std::vector<Variable>& variables() const { return variables_; }

 private:
  std::vector<Variable> variables_;
  bool patches_ = false;
};

// The values of one evaluation.
class Activation {
 public:
  virtual ~Activation() = default;
  // Null: not there. What it points to lives until the next call.
  virtual const Value* find(std::string_view name) const = 0;
};
class Variables : public Activation {
 public:
  void set(std::string_view name, Value value);
  const Value* find(std::string_view name) const override;

 private:
  std::vector<std::pair<std::string, Value>> values_;
};

struct Evaluation {
  Value value;             // is_error(): text() is the message
  std::uint64_t cost = 0;  // what it took
  bool cost_exceeded = false;
};

class Program {
 public:
  virtual ~Program() = default;
  virtual const Type& result_type() const = 0;
  virtual bool uses(std::string_view variable) const = 0;
  // Stops when more than `limit` is spent: "operation cancelled: actual cost limit exceeded".
  virtual Evaluation evaluate(const Activation& values, std::uint64_t limit = kPerCallLimit) const = 0;
  // The most that an evaluation can cost, by what schemas and literals say of sizes.
  virtual std::uint64_t estimated_cost() const = 0;
};

// Invalid, with cel-go's text: "ERROR: <input>:1:1: ..." and the line in question, one after the other. The types and schemas
// that the environment names must live as long as the program.
Result<std::shared_ptr<const Program>> compile(std::string_view expression, const Environment& environment);

// Who answers an expression's authorizer.
struct AuthorizerQuery {
  std::string service_account_namespace, service_account;  // "" = the request's user
  bool is_resource = false;
  std::string path, verb;
  std::string group, resource, subresource, object_namespace, name;
  std::string field_selector, label_selector;
};
struct AuthorizerAnswer {
  bool allowed = false;
  std::string reason, error;
};
using AuthorizerHook = std::function<AuthorizerAnswer(const AuthorizerQuery&)>;
// `authorizer`, and `authorizer.requestResource` when the query already names a resource. The hook must live.
Value authorizer_value(const AuthorizerHook* hook);
Value resource_check_value(const AuthorizerHook* hook, const AuthorizerQuery& resource);

}  // namespace onebin::cel
