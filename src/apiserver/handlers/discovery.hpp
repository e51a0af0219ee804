// Discovery: which groups, versions and resources are served. Documents are made once and anew when the registry changes.
#pragma once
#include "apiserver/core.hpp"

#include <map>

namespace onebin::apiserver {

class DiscoveryCache {
 public:
  explicit DiscoveryCache(Core& core) : core_(core) {}

  Handling api_versions(RequestContext* c);    // /api
  Handling groups(RequestContext* c);          // /apis
  Handling group(RequestContext* c, std::string name);
  Handling resources(RequestContext* c, std::string group, std::string version);
  Handling openapi_v2(RequestContext* c);
  Handling openapi_v3(RequestContext* c);      // the index
  Handling openapi_v3_of(RequestContext* c, std::string group, std::string version);

 private:
  struct Text {
    std::uint64_t generation = ~std::uint64_t{0};
    std::string body, etag;
  };
  using Make = std::string (DiscoveryCache::*)();
  Text& cached(const std::string& key, const std::function<std::string()>& make);
  Handling send_cached(RequestContext* c, Text* text, std::string content_type);
  Handling aggregated(RequestContext* c, bool core_group, std::string version);
  Document group_document(std::string_view name) const;
  Document resource_list(std::string_view group, std::string_view version) const;
  Document aggregated_list(bool core_group) const;

  Core& core_;
  std::map<std::string, Text> texts_;
};

}  // namespace onebin::apiserver
