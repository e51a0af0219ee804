// Discovery: which groups, versions and resources are served. Documents are made once and anew when the registry changes.
#pragma once
#include "apiserver/aggregator/aggregator.hpp"
#include "apiserver/core.hpp"

#include <onebin/async/channel.hpp>

#include <functional>
#include <map>

namespace onebin::apiserver {

class DiscoveryCache {
 public:
  explicit DiscoveryCache(Core& core) : core_(core) {}

  std::vector<DiscoveredGroup> groups() const;  // but for the core group

  Handling api_versions(RequestContext* c);    // /api
  Handling group_list(RequestContext* c);      // /apis
  Handling group(RequestContext* c, std::string name);
  Handling resources(RequestContext* c, std::string group, std::string version);
  Handling openapi_v2(RequestContext* c);
  Handling openapi_v3(RequestContext* c);      // the index
  Handling openapi_v3_of(RequestContext* c, std::string group, std::string version);
  Handling openapi_v3_route(RequestContext* c, std::string route);  // "api", "apis/apps", "version", ...

 private:
  struct Text {
    std::uint64_t generation = ~std::uint64_t{0};
    std::string body, etag;
  };
  // An OpenAPI document, kept as a gzip stream: large, and asked for once a client.
  struct Packed {
    std::string hash;  // of what it is made of; "" before the first
    std::string body, etag;
  };
  Text& cached(const std::string& key, const std::function<std::string()>& make);
  Handling send_cached(RequestContext* c, Text* text, std::string content_type);
  Handling aggregated(RequestContext* c, bool core_group, std::string version);
  Document group_document(const DiscoveredGroup& group) const;
  Document version_document(const std::string& group, const std::string& version) const;
  Document resource_list(std::string_view group, std::string_view version) const;
  Document aggregated_list(bool core_group) const;
  // Of an OpenAPI document that depends on custom resources anew with each change of those; of others by program only.
  std::string openapi_hash(const std::string& route) const;
  // Makes the document away from the loop, if the kept one is another.
  async::Task<Result<Packed*>> openapi_text(std::string key, std::string hash, std::function<std::string()> make);
  Handling send_openapi(RequestContext* c, Packed* text, std::string content_type);
  Handling openapi_document(RequestContext* c, std::string route, std::function<std::string()> make);

  Core& core_;
  std::map<std::string, Text> texts_;
  std::map<std::string, Packed> packed_;
  mutable std::string started_;  // when the first document of custom resources was asked for
  async::Semaphore making_{1};  // one at a time: each takes some MB
};

}  // namespace onebin::apiserver
