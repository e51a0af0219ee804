// What a request asks for, parsed from its method, path and query, before anything looks at its body.
// Source of the rules: Kubernetes "Access authorization", request attributes.
#pragma once
#include <onebin/apiserver/user_info.hpp>
#include <onebin/base/result.hpp>
#include <onebin/net/url.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace onebin::apiserver {

bool query_bool(std::string_view text);  // "", "0" and "false" are false
// As upstream reads the flags of its options: false only where absent, "0" or "false".
bool query_flag(const net::Query& query, std::string_view name);

struct RequestInfo {
  bool is_resource = false;
  bool by_path = false;    // the path says the verb: .../watch/pods
  std::string path;
  std::string verb;        // get list watch create update patch delete deletecollection; or the lower-case method
  std::string api_prefix;  // "api", "apis"
  std::string group, version, ns, resource, subresource, name;
  // What follows the subresource: proxy paths. With its leading slash, undecoded; "" when there is none.
  std::string rest;
  std::string label_selector, field_selector;
};

// `raw_path` is not decoded; its parts are, one by one.
RequestInfo parse_request_info(std::string_view method, std::string_view raw_path, const net::Query& query);

// What an authorizer decides on.
struct Attributes {
  const UserInfo* user = nullptr;
  std::string verb, ns, group, version, resource, subresource, name, path;
  bool is_resource = false;
  std::string label_selector, field_selector;
};
Attributes attributes_of(const UserInfo& user, const RequestInfo& info);

}  // namespace onebin::apiserver
