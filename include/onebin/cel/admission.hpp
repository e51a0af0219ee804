// The environment of admission's expressions: object, oldObject, request, params, namespaceObject, authorizer, variables.
// Source: Kubernetes "Validating Admission Policy", "Mutating Admission Policy", "Matching requests: matchConditions".
#pragma once
#include <onebin/cel/program.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace onebin::cel {

// What an expression must evaluate to.
enum class ExpressionResult : unsigned char { Bool, Text, TextOrNull, Any, JsonPatches, Configuration };

struct Expression {
  std::string text;
  std::shared_ptr<const Program> program;  // null: there is a problem, or no expression
  std::string problem;                     // "compilation failed: ..."
  bool internal = false;                   // the problem is none of its author's
};

// Compiles the expressions of one webhook or policy; those that it made need it no longer than the compiling takes.
class ExpressionCompiler {
 public:
  struct Scope {
    bool params = false, authorizer = true, patches = false, variables = true;
  };
  ExpressionCompiler();
  ExpressionCompiler(const ExpressionCompiler&) = delete;
  ~ExpressionCompiler();
  Expression compile(std::string_view text, const Scope& scope, ExpressionResult result) const;
  // And lets what follows use it as variables.NAME.
  Expression add_variable(std::string_view name, std::string_view text, const Scope& scope);
  // Types of object and oldObject, and of params, by their OpenAPI schemas; without these they may be anything.
  void know_object(const Document& schema, std::string_view kind);
  void know_params(const Document& schema, std::string_view kind);
  // Types live here: who keeps a program keeps this.
  std::shared_ptr<const void> types() const;

 private:
  struct Types;
  std::shared_ptr<Types> types_;
};

}  // namespace onebin::cel
