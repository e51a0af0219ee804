// OpenAPI v2 knows one document for all groups: the parts of others' that are theirs to serve are put into ours.
#pragma once
#include <memory>
#include <string>
#include <vector>

namespace onebin::apiserver {

struct RemoteOpenApi {
  std::string path;                             // "/apis/GROUP/VERSION"
  std::shared_ptr<const std::string> document;  // of the whole server, JSON
};
// `ours` is as apimachinery's openapi_v2_json() makes it. Definitions that ours has stay ours.
std::string merge_openapi_v2(std::string ours, const std::vector<RemoteOpenApi>& others);

}  // namespace onebin::apiserver
