// OpenAPI documents from the schema tables: v2 (swagger.json) and v3 by group-version, and v2 in gnostic's protobuf form.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/published.hpp>

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apimachinery {
struct KindSchema;
struct TypeSchema;

// A served resource or subresource, as the paths of the documents describe it.
struct OpenApiResource {
  std::string group, version, kind;
  std::string plural;              // "deployments"
  std::string subresource;         // "status", "" for the resource itself
  std::string parent_kind;         // of a subresource: the resource's kind; `kind` is its body's
  bool namespaced = true;
  std::vector<std::string> verbs;  // discovery's: "create", "get", "list", "watch", ...
  bool returns_object = false;     // a deletion answers the object, not a Status
  const TypeSchema* options = nullptr;    // of a subresource that is a stream (exec, log, proxy, ...): its query parameters
  const TypeSchema* type = nullptr;       // the body
  const TypeSchema* list_type = nullptr;  // of "list"; null: a list is made up from the kind
  // Where the body's kind is another's (autoscaling/v1 Scale of deployments/scale); empty: as group and version above.
  std::string kind_group, kind_version;
  // A custom resource: its openAPIV3Schema with x-kubernetes-…, in place of `type`. Null with a null type: any object.
  std::shared_ptr<const Document> schema;
  std::shared_ptr<const void> owner;  // keeps what the pointers here point to; may be null for built-in kinds

  bool custom() const { return schema || !type; }
};

// "io.k8s.api.core.v1.PodSpec" and "io.k8s.api.core.v1.PodSpec.containers" -> what it is.
using OpenApiDescriptions = std::map<std::string, std::string, std::less<>>;

// Types that every document refers to. Those that are null are described as any object.
struct OpenApiTypes {
  const TypeSchema* status = nullptr;
  const TypeSchema* delete_options = nullptr;
  const TypeSchema* object_meta = nullptr;
  const TypeSchema* list_meta = nullptr;
  const TypeSchema* api_resource_list = nullptr;
  const TypeSchema* api_versions = nullptr;
  const TypeSchema* api_group = nullptr;
  const TypeSchema* api_group_list = nullptr;
  const TypeSchema* watch_event = nullptr;
  std::span<const PublishedField> published;
  std::span<const KindSchema* const> kinds;  // whose types name their group, version and kind wherever they stand
  std::shared_ptr<const OpenApiDescriptions> descriptions;  // null: none
};

// The name under which a custom resource's kind stands in the documents: "com.example.v1.Foo".
std::string openapi_custom_name(std::string_view group, std::string_view version, std::string_view kind);

// Serialized JSON. Costly (some MB of text): build once, on first use, away from the loop, and anew when custom resources
// change. `routes` are those that are about no resource: "api", "apis", "apis/apps", "version", "openid/v1/jwks", ...
std::string openapi_v2_json(const std::vector<OpenApiResource>& resources, const std::vector<std::string>& routes, const OpenApiTypes& types);
std::string openapi_v3_json(const std::vector<OpenApiResource>& resources_of_group_version, const OpenApiTypes& types);
// The document of one route.
std::string openapi_v3_route_json(const std::string& route, const OpenApiTypes& types);
// application/com.github.proto-openapi.spec.v2@v1.0+protobuf of what openapi_v2_json gave. "" where that is no JSON object.
std::string openapi_v2_protobuf(std::string_view swagger_json);
// application/com.github.proto-openapi.spec.v3.v1.0+protobuf of what openapi_v3_json and openapi_v3_route_json gave.
std::string openapi_v3_protobuf(std::string_view json);

}  // namespace onebin::apimachinery
