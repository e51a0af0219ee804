// JSONPath as Kubernetes uses it in printer columns, selectable fields, and scale subresources: `.spec.x`, `['a.b']`, `[0]`,
// `[-1]`, `[1:3]`, `[*]`, `..name`, `[?(@.type=="Ready")].status` and unions. One expression: templates of text with several
// of them, ranges and so on are kubectl's own affair.
// Source: Kubernetes "JSONPath Support".
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/result.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apimachinery {

class JsonPath {
 public:
  // `text` is an expression without braces (".spec.replicas") or with ("{.spec.replicas}").
  static Result<JsonPath> parse(std::string_view text);
  // The values found, in order; they live as long as `document`. A missing key gives nothing; an index out of bounds or
  // a filter over what is no list likewise.
  std::vector<const Document*> find(const Document& document) const;
  // The first value; null pointer where there is none.
  const Document* first(const Document& document) const;
  // As kubectl's printer prints: values joined by a space, strings bare, objects and lists as JSON.
  std::string print(const Document& document) const;
  const std::string& text() const { return text_; }

  struct Node;

 private:
  std::string text_;
  std::shared_ptr<const std::vector<Node>> nodes_;
};

// ".spec.replicas" as names: {"spec","replicas"}; none where it is no plain path of names.
std::vector<std::string> simple_json_path(std::string_view text);

}  // namespace onebin::apimachinery
