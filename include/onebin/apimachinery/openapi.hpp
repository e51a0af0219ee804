// OpenAPI documents from the schema tables: v2 (swagger.json) and v3 by group-version, and v2 in gnostic's protobuf form.
#pragma once
#include <onebin/apimachinery/document.hpp>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apimachinery {
struct KindSchema;
struct TypeSchema;

// A served resource or subresource, as the paths of the documents describe it.
struct OpenApiResource {
  std::string group, version, kind;
  std::string plural;                // "deployments"
  std::string subresource;           // "status", "" for the resource itself
  bool namespaced = true;
  std::vector<std::string> verbs;    // discovery's verbs: "create", "get", "list", "watch", ...
  const TypeSchema* type = nullptr;  // the body; null: an object without a schema
  std::string kind_group, kind_version;  // of the body's kind where they differ (autoscaling/v1 Scale)
  // A schema given as a document (CRDs: openAPIV3Schema with x-kubernetes-*); then `type` is not used.
  const Document* schema = nullptr;
};

// The name under which a type stands in the documents: "io.k8s.api.apps.v1.Deployment".
std::string openapi_definition_name(const TypeSchema& type);

// Serialized JSON. Costly: build once, on first use, and anew when CRDs change.
std::string openapi_v2_json(const std::vector<OpenApiResource>& resources, std::string_view title = "Kubernetes",
                            std::string_view version = "v1.37.2");
std::string openapi_v3_json(const std::vector<OpenApiResource>& resources_of_group_version, std::string_view title = "Kubernetes",
                            std::string_view version = "v1.37.2");
// application/com.github.proto-openapi.spec.v2@v1.0+protobuf from the JSON form.
std::string openapi_v2_protobuf(const Document& swagger);

}  // namespace onebin::apimachinery
