// The definitions of an OpenAPI document: schemas of types, collected as they are referred to.
#pragma once
#include <onebin/apimachinery/openapi.hpp>
#include <onebin/apimachinery/schema.hpp>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace onebin::apimachinery::openapi {

enum class Version : std::uint8_t { V2, V3 };

struct GroupVersionKind {
  std::string group, version, kind;
  auto operator<=>(const GroupVersionKind&) const = default;
};

class Definitions {
 public:
  Definitions(Version version, const OpenApiTypes& types);

  Version version() const { return version_; }
  Document ref(std::string_view name) const;
  // A reference to a type, whose definition comes into the document. Null: any object.
  Document reference(const TypeSchema* type);
  // References to what a resource's operations carry.
  Document body(const OpenApiResource& resource);
  Document list(const OpenApiResource& resource);
  Document status() { return reference(types_.status); }
  Document delete_options(const OpenApiResource& resource);
  Document watch_event(const OpenApiResource& resource);
  Document patch();
  Document version_info();
  // The definition says that it is this kind.
  void name_kind(std::string_view definition, GroupVersionKind kind);
  const OpenApiTypes& types() const { return types_; }

  // Appends `"name":{...},...` of all that was referred to.
  void write(std::string& out);

 private:
  void need(const TypeSchema* type);
  void define(std::string name, Document schema);
  Document type_schema(const TypeSchema& type);
  Document field_schema(const TypeSchema& type, const FieldSchema& field);
  Document unions(const TypeSchema& type) const;
  std::uint8_t facts(const TypeSchema& type, const FieldSchema& field) const;
  void describe(Document& schema, const std::string& name, std::string_view text) const;
  Document value_schema(const FieldSchema& field);
  Document builtin(std::string_view name, Document schema);  // of a type that JSON has its own way of writing
  Document custom_schema(const OpenApiResource& resource);
  void add_resource_fields(Document& schema);
  void add_embedded(Document& schema, int depth);  // the same, of resources inside
  Document list_schema(const OpenApiResource& resource, Document items);

  Version version_;
  OpenApiTypes types_;
  std::map<const TypeSchema*, std::map<std::uint16_t, std::uint8_t>> published_;
  std::map<const TypeSchema*, const KindSchema*> kind_of_;
  std::vector<const TypeSchema*> pending_;
  std::set<std::string, std::less<>> known_;
  std::map<std::string, std::set<GroupVersionKind>, std::less<>> kinds_;
  std::map<std::string, std::string> written_;  // name -> JSON without its kinds
};

// Appends `"path":{...},...` of the resources' operations and of the routes; and, of v2, the parameters that they share.
void write_paths(std::string& out, const std::vector<OpenApiResource>& resources, const std::vector<std::string>& routes, Definitions& definitions);
void write_shared_parameters(std::string& out);

}  // namespace onebin::apimachinery::openapi
