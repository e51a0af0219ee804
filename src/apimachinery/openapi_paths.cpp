// The paths of an OpenAPI document: what can be done with each resource.
#include "openapi_schema.hpp"

#include <algorithm>

namespace onebin::apimachinery::openapi {
namespace {

struct Parameter {
  const char* name;
  const char* type;
};
constexpr Parameter kWrite[] = {{"dryRun", "string"}, {"fieldManager", "string"}, {"fieldValidation", "string"}};
constexpr Parameter kPatch[] = {{"dryRun", "string"}, {"fieldManager", "string"}, {"fieldValidation", "string"}, {"force", "boolean"}};
constexpr Parameter kDelete[] = {{"dryRun", "string"},
                                 {"gracePeriodSeconds", "integer"},
                                 {"ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"},
                                 {"orphanDependents", "boolean"},
                                 {"propagationPolicy", "string"}};
constexpr Parameter kList[] = {{"allowWatchBookmarks", "boolean"}, {"continue", "string"},        {"fieldSelector", "string"},
                               {"labelSelector", "string"},        {"limit", "integer"},          {"resourceVersion", "string"},
                               {"resourceVersionMatch", "string"}, {"sendInitialEvents", "boolean"}, {"timeoutSeconds", "integer"},
                               {"watch", "boolean"}};
constexpr Parameter kCollectionDelete[] = {{"continue", "string"},        {"dryRun", "string"},           {"fieldSelector", "string"},
                                           {"gracePeriodSeconds", "integer"}, {"labelSelector", "string"}, {"limit", "integer"},
                                           {"orphanDependents", "boolean"}, {"propagationPolicy", "string"}, {"resourceVersion", "string"},
                                           {"resourceVersionMatch", "string"}, {"timeoutSeconds", "integer"}};
constexpr const char* kPatchTypes[] = {"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
                                       "application/apply-patch+yaml"};
constexpr const char* kTypes[] = {"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"};
constexpr const char* kStreams[] = {"application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"};

std::string title(std::string_view s) {
  std::string out(s);
  if (!out.empty() && out[0] >= 'a' && out[0] <= 'z') out[0] = static_cast<char>(out[0] - 'a' + 'A');
  return out;
}

// One operation on the way into a document of either version.
struct Operation {
  const OpenApiResource& resource;
  const char* action;       // x-kubernetes-action
  std::string id, about;    // operationId, description
  std::vector<Parameter> parameters;
  Document body;            // schema; null: none
  bool patch = false;
  Document answer;          // schema; null: text
  bool list = false, created = false;
};

class PathWriter {
 public:
  PathWriter(Definitions& definitions) : d_(definitions), v2_(definitions.version() == Version::V2) {}

  void add(const OpenApiResource& r) {
    base_ = r.group.empty() ? "/api/" + r.version : "/apis/" + r.group + "/" + r.version;
    id_part_ = r.group.empty() ? "Core" + title(r.version) : title(r.group.substr(0, r.group.find('.'))) + title(r.version);
    std::string collection = base_ + (r.namespaced ? "/namespaces/{namespace}/" : "/") + r.plural;
    if (r.subresource.empty()) resource(r, collection);
    else subresource(r, collection + "/{name}/" + r.subresource);
  }

  void add_group_version(const std::string& group, const std::string& version) {
    Document op = {{"description", "get available resources"},
                   {"operationId", "get" + (group.empty() ? "Core" : title(group.substr(0, group.find('.')))) + title(version) + "APIResources"}};
    respond(op, d_.api_resource_list(), false, false);
    std::string path = group.empty() ? "/api/" + version + "/" : "/apis/" + group + "/" + version + "/";
    paths_[path]["get"] = std::move(op);
  }

  void write(std::string& out) {
    bool first = true;
    for (const auto& [path, item] : paths_) {
      out += first ? "\"" : ",\"";
      first = false;
      out.append(path).append("\":").append(item.dump(-1, ' ', false, Document::error_handler_t::replace));
    }
  }

 private:
  static bool has(const OpenApiResource& r, std::string_view verb) { return std::find(r.verbs.begin(), r.verbs.end(), verb) != r.verbs.end(); }

  template <std::size_t N>
  static std::vector<Parameter> list_of(const Parameter (&p)[N]) {
    return {p, p + N};
  }

  Operation make(const OpenApiResource& r, const char* verb, const char* action, std::string about) const {
    std::string id = verb + id_part_ + (r.namespaced ? "Namespaced" : "") + r.kind + title(r.subresource);
    return {r, action, std::move(id), std::move(about), {}, {}, false, {}, false, false};
  }

  void resource(const OpenApiResource& r, const std::string& collection) {
    auto& at = paths_[collection];
    path_parameters(at, r.namespaced, false);
    if (has(r, "list")) {
      auto op = make(r, "list", "list", "list or watch objects of kind " + r.kind);
      op.parameters = list_of(kList);
      op.answer = d_.list(r);
      op.list = true;
      put(at, "get", op);
      if (r.namespaced) {
        op.id = "list" + id_part_ + r.kind + "ForAllNamespaces";
        auto& all = paths_[base_ + "/" + r.plural];
        path_parameters(all, false, false);
        put(all, "get", op);
      }
    }
    if (has(r, "create")) put(at, "post", write_operation(r, "create", "post", "create a " + r.kind));
    if (has(r, "deletecollection")) {
      auto op = make(r, "deleteCollection", "deletecollection", "delete collection of " + r.kind);
      op.parameters = list_of(kCollectionDelete);
      op.body = d_.delete_options();
      op.answer = d_.status();
      put(at, "delete", op);
    }
    if (has(r, "get") || has(r, "update") || has(r, "patch") || has(r, "delete")) item(r, collection + "/{name}");
  }

  void item(const OpenApiResource& r, const std::string& path) {
    auto& at = paths_[path];
    path_parameters(at, r.namespaced, true);
    std::string what = (r.subresource.empty() ? "the specified " : r.subresource + " of the specified ") + r.kind;
    if (has(r, "get")) {
      auto op = make(r, "read", "get", "read " + what);
      op.answer = d_.body(r);
      put(at, "get", op);
    }
    if (has(r, "create") && !r.subresource.empty()) put(at, "post", write_operation(r, "create", "post", "create " + what));
    if (has(r, "update")) put(at, "put", write_operation(r, "replace", "put", "replace " + what));
    if (has(r, "patch")) {
      auto op = write_operation(r, "patch", "patch", "partially update " + what);
      op.parameters = list_of(kPatch);
      op.body = d_.patch();
      op.patch = true;
      put(at, "patch", op);
    }
    if (has(r, "delete")) {
      auto op = make(r, "delete", "delete", "delete " + what);
      op.parameters = list_of(kDelete);
      op.body = d_.delete_options();
      op.answer = d_.status();
      put(at, "delete", op);
    }
  }

  void subresource(const OpenApiResource& r, const std::string& path) {
    if (!has(r, "connect")) {
      item(r, path);
      return;
    }
    auto& at = paths_[path];
    path_parameters(at, r.namespaced, true);
    for (const char* method : {"get", "post"}) {
      auto op = make(r, (std::string("connect") + title(method)).c_str(), "connect", "connect to " + r.subresource + " of " + r.kind);
      put(at, method, op);
    }
  }

  Operation write_operation(const OpenApiResource& r, const char* verb, const char* action, std::string about) {
    auto op = make(r, verb, action, std::move(about));
    op.parameters = list_of(kWrite);
    op.body = d_.body(r);
    op.answer = op.body;
    op.created = true;
    return op;
  }

  Document parameter(const char* name, const char* in, const char* type, bool required) const {
    Document out = {{"name", name}, {"in", in}};
    if (required) out["required"] = true;
    if (v2_) {
      out["type"] = type;
      out["uniqueItems"] = true;
    } else {
      out["schema"] = {{"type", type}, {"uniqueItems", true}};
    }
    return out;
  }

  void path_parameters(Document& item, bool namespaced, bool named) const {
    if (item.contains("parameters")) return;
    Document list = Document::array();
    if (named) list.push_back(parameter("name", "path", "string", true));
    if (namespaced) list.push_back(parameter("namespace", "path", "string", true));
    list.push_back(parameter("pretty", "query", "string", false));
    item["parameters"] = std::move(list);
  }

  void respond(Document& op, const Document& schema, bool list, bool created) const {
    auto answer = [&](const char* about) {
      Document out = {{"description", about}};
      if (schema.is_null()) return out;
      if (v2_) {
        out["schema"] = schema;
      } else {
        for (const char* type : kTypes) out["content"][type]["schema"] = schema;
        if (list)
          for (const char* type : kStreams) out["content"][type]["schema"] = schema;
      }
      return out;
    };
    op["responses"] = {{"200", answer("OK")}, {"401", {{"description", "Unauthorized"}}}};
    if (created) op["responses"]["201"] = answer("Created");
    if (!v2_) return;
    op["schemes"] = {"https"};
    op["produces"] = Document::array();
    if (schema.is_null()) {
      op["produces"].push_back("*/*");
      return;
    }
    for (const char* type : kTypes) op["produces"].push_back(type);
    if (list)
      for (const char* type : kStreams) op["produces"].push_back(type);
  }

  void put(Document& item, const char* method, const Operation& o) const {
    const auto& r = o.resource;
    Document op = {{"description", o.about}, {"operationId", o.id}, {"x-kubernetes-action", o.action}};
    op["tags"] = {(r.group.empty() ? "core" : r.group.substr(0, r.group.find('.'))) + "_" + r.version};
    bool other = !r.kind_version.empty();
    op["x-kubernetes-group-version-kind"] = {
        {"group", other ? r.kind_group : r.group}, {"version", other ? r.kind_version : r.version}, {"kind", r.kind}};
    Document parameters = Document::array();
    for (const auto& p : o.parameters) parameters.push_back(parameter(p.name, "query", p.type, false));
    if (v2_) op["consumes"] = Document::array({"*/*"});
    if (!o.body.is_null()) {
      bool required = o.body != o.answer ? o.patch : true;
      if (v2_) {
        Document body = {{"name", "body"}, {"in", "body"}, {"schema", o.body}};
        if (required) body["required"] = true;
        parameters.push_back(std::move(body));
        if (o.patch) op["consumes"] = kPatchTypes;
      } else {
        Document content;
        if (o.patch) {
          for (const char* type : kPatchTypes) content[type]["schema"] = o.body;
        } else {
          content["*/*"]["schema"] = o.body;
        }
        op["requestBody"] = {{"content", std::move(content)}};
        if (required) op["requestBody"]["required"] = true;
      }
    }
    if (!parameters.empty()) op["parameters"] = std::move(parameters);
    respond(op, o.answer, o.list, o.created);
    item[method] = std::move(op);
  }

  Definitions& d_;
  bool v2_;
  std::string base_, id_part_;
  std::map<std::string, Document> paths_;
};

}  // namespace

void write_paths(std::string& out, const std::vector<OpenApiResource>& resources, Definitions& definitions) {
  PathWriter w(definitions);
  std::set<std::pair<std::string, std::string>> versions;
  for (const auto& r : resources) versions.insert({r.group, r.version});
  for (const auto& [group, version] : versions) w.add_group_version(group, version);
  for (const auto& r : resources) w.add(r);
  w.write(out);
}

}  // namespace onebin::apimachinery::openapi
