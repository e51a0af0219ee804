// The authorizer: builders of a question, and its answer. Who answers is the activation's.
#include "cel/implementations.hpp"
#include "cel/opaque.hpp"

#include <onebin/apimachinery/names.hpp>
#include <onebin/base/bytes.hpp>

namespace onebin::cel {

Value authorizer_value(const AuthorizerHook* hook) { return make_boxed(ValueKind::Authorizer, AuthorizerBox{hook, {}}); }
Value resource_check_value(const AuthorizerHook* hook, const AuthorizerQuery& resource) {
  AuthorizerBox box{hook, resource};
  box.query.is_resource = true;
  return make_boxed(ValueKind::ResourceCheck, std::move(box));
}

namespace fn {
namespace {

// The builder with one more field.
Value with(const CallSite& c, ValueKind kind, std::string AuthorizerQuery::*field) {
  AuthorizerBox box = box_of<AuthorizerBox>(c[0]);
  box.query.*field = c[1].text();
  box.query.is_resource = kind == ValueKind::ResourceCheck;
  return make_boxed(kind, std::move(box));
}
const AuthorizerAnswer& answer(const CallSite& c) { return box_of<DecisionBox>(c[0]).answer; }
bool blank(const Value& v) { return onebin::trim(v.text()).empty(); }

}  // namespace

Value authz_path(const CallSite& c) {
  return blank(c[1]) ? Value::error("path must not be empty") : with(c, ValueKind::PathCheck, &AuthorizerQuery::path);
}
Value authz_group(const CallSite& c) { return with(c, ValueKind::GroupCheck, &AuthorizerQuery::group); }
Value authz_service_account(const CallSite& c) {
  if (!apimachinery::name_is_dns_subdomain(c[2].text(), false).empty()) return Value::error("Invalid service account name");
  if (!apimachinery::name_is_dns_label(c[1].text(), false).empty()) return Value::error("Invalid service account namespace");
  AuthorizerBox box = box_of<AuthorizerBox>(c[0]);
  box.query.service_account_namespace = c[1].text();
  box.query.service_account = c[2].text();
  return make_boxed(ValueKind::Authorizer, std::move(box));
}
Value authz_resource(const CallSite& c) {
  return blank(c[1]) ? Value::error("resource must not be empty") : with(c, ValueKind::ResourceCheck, &AuthorizerQuery::resource);
}
Value authz_subresource(const CallSite& c) { return with(c, ValueKind::ResourceCheck, &AuthorizerQuery::subresource); }
Value authz_namespace(const CallSite& c) { return with(c, ValueKind::ResourceCheck, &AuthorizerQuery::object_namespace); }
Value authz_name(const CallSite& c) { return with(c, ValueKind::ResourceCheck, &AuthorizerQuery::name); }
Value authz_field_selector(const CallSite& c) { return with(c, ValueKind::ResourceCheck, &AuthorizerQuery::field_selector); }
Value authz_label_selector(const CallSite& c) { return with(c, ValueKind::ResourceCheck, &AuthorizerQuery::label_selector); }
Value authz_check(const CallSite& c) {
  AuthorizerBox box = box_of<AuthorizerBox>(c[0]);
  box.query.verb = c[1].text();
  DecisionBox decision;
  if (box.hook && *box.hook) decision.answer = (*box.hook)(box.query);
  return make_boxed(ValueKind::Decision, std::move(decision));
}
Value authz_errored(const CallSite& c) { return Value::boolean(!answer(c).error.empty()); }
Value authz_error(const CallSite& c) { return text(answer(c).error); }
Value authz_allowed(const CallSite& c) { return Value::boolean(answer(c).allowed); }
Value authz_reason(const CallSite& c) { return text(answer(c).reason); }

}  // namespace fn
}  // namespace onebin::cel
