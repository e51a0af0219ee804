#include <onebin/apimachinery/openapi.hpp>

#include "openapi_schema.hpp"

#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apimachinery {
namespace {
constexpr const char* kInfo = R"("info":{"title":"Kubernetes","version":")" ONEBIN_KUBERNETES_VERSION R"("})";
}

std::string openapi_custom_name(std::string_view group, std::string_view version, std::string_view kind) {
  auto parts = split(group, '.');
  std::reverse(parts.begin(), parts.end());
  std::string out = group.empty() ? std::string() : join(parts, ".") + ".";
  return out.append(version).append(".").append(kind);
}

std::string openapi_v2_json(const std::vector<OpenApiResource>& resources, const std::vector<std::string>& routes, const OpenApiTypes& types) {
  openapi::Definitions definitions(openapi::Version::V2, types);
  std::string out = R"({"swagger":"2.0",)";
  out.append(kInfo).append(R"(,"paths":{)");
  openapi::write_paths(out, resources, routes, definitions);
  out += R"(},"definitions":{)";
  definitions.write(out);
  out += R"(},"parameters":{)";
  openapi::write_shared_parameters(out);
  out += R"(},"securityDefinitions":{"BearerToken":{"type":"apiKey","name":"authorization","in":"header","description":"a bearer token"}},)"
         R"("security":[{"BearerToken":[]}]})";
  return out;
}

namespace {

std::string v3(const std::vector<OpenApiResource>& resources, const std::vector<std::string>& routes, const OpenApiTypes& types) {
  openapi::Definitions definitions(openapi::Version::V3, types);
  std::string out = R"({"openapi":"3.0.0",)";
  out.append(kInfo).append(R"(,"paths":{)");
  openapi::write_paths(out, resources, routes, definitions);
  out += R"(},"components":{"schemas":{)";
  definitions.write(out);
  out += R"(},"securitySchemes":{"BearerToken":{"type":"apiKey","name":"authorization","in":"header","description":"a bearer token"}}}})";
  return out;
}

}  // namespace

std::string openapi_v3_json(const std::vector<OpenApiResource>& resources, const OpenApiTypes& types) { return v3(resources, {}, types); }
std::string openapi_v3_route_json(const std::string& route, const OpenApiTypes& types) { return v3({}, {route}, types); }

}  // namespace onebin::apimachinery
