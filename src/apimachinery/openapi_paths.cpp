// The paths of an OpenAPI document: what can be done with each resource.
#include "openapi_schema.hpp"

#include <algorithm>
#include <span>

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

// One operation on the way into a document of either version. Schemas are JSON text; "" for none.
struct Operation {
  const OpenApiResource& resource;
  const char* action;     // x-kubernetes-action
  std::string id, about;  // operationId, description
  std::span<const Parameter> parameters;
  std::string body, answer;
  bool patch = false, list = false, created = false;
};

std::string dump(const Document& d) { return d.dump(-1, ' ', false, Document::error_handler_t::replace); }

// A JSON text out of parts: what is quoted here are names, and sentences made of names.
std::string quote(std::string_view s) {
  bool plain = std::all_of(s.begin(), s.end(), [](char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; });
  if (!plain) return dump(std::string(s));
  return "\"" + std::string(s) + "\"";
}

template <class List>
std::string quoted_list(const List& list) {
  std::string out = "[";
  for (const char* s : list) out.append(out.size() > 1 ? ",\"" : "\"").append(s).append("\"");
  return out + "]";
}

class PathWriter {
  using Item = std::map<std::string, std::string>;  // member -> JSON

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
    std::string id = "get" + (group.empty() ? "Core" : title(group.substr(0, group.find('.')))) + title(version) + "APIResources";
    std::string op = R"({"description":"get available resources","operationId":)" + quote(id);
    respond(op, dump(d_.api_resource_list()), false, false);
    std::string path = group.empty() ? "/api/" + version + "/" : "/apis/" + group + "/" + version + "/";
    paths_[path]["get"] = op + "}";
  }

  void write(std::string& out) {
    bool first = true;
    for (const auto& [path, item] : paths_) {
      out.append(first ? "" : ",").append(quote(path)).append(":{");
      first = false;
      bool first_member = true;
      for (const auto& [name, json] : item) {
        out.append(first_member ? "\"" : ",\"").append(name).append("\":").append(json);
        first_member = false;
      }
      out += "}";
    }
  }

 private:
  static bool has(const OpenApiResource& r, std::string_view verb) { return std::find(r.verbs.begin(), r.verbs.end(), verb) != r.verbs.end(); }

  Operation make(const OpenApiResource& r, const char* verb, const char* action, std::string about) const {
    std::string id = verb + id_part_ + (r.namespaced ? "Namespaced" : "") + r.kind + title(r.subresource);
    return {r, action, std::move(id), std::move(about), {}, {}, {}, false, false, false};
  }

  void resource(const OpenApiResource& r, const std::string& collection) {
    auto& at = paths_[collection];
    path_parameters(at, r.namespaced, false);
    if (has(r, "list")) {
      auto op = make(r, "list", "list", "list or watch objects of kind " + r.kind);
      op.parameters = kList;
      op.answer = dump(d_.list(r));
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
      op.parameters = kCollectionDelete;
      op.body = dump(d_.delete_options());
      op.answer = dump(d_.status());
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
      op.answer = dump(d_.body(r));
      put(at, "get", op);
    }
    if (has(r, "create") && !r.subresource.empty()) put(at, "post", write_operation(r, "create", "post", "create " + what));
    if (has(r, "update")) put(at, "put", write_operation(r, "replace", "put", "replace " + what));
    if (has(r, "patch")) {
      auto op = write_operation(r, "patch", "patch", "partially update " + what);
      op.parameters = kPatch;
      op.body = dump(d_.patch());
      op.patch = true;
      put(at, "patch", op);
    }
    if (has(r, "delete")) {
      auto op = make(r, "delete", "delete", "delete " + what);
      op.parameters = kDelete;
      op.body = dump(d_.delete_options());
      op.answer = dump(d_.status());
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
    op.parameters = kWrite;
    op.body = dump(d_.body(r));
    op.answer = op.body;
    op.created = true;
    return op;
  }

  std::string parameter(const char* name, const char* in, const char* type, bool required) const {
    std::string out = R"({"name":")" + std::string(name) + R"(","in":")" + in + "\"";
    if (required) out += R"(,"required":true)";
    out += v2_ ? "" : R"(,"schema":{)";
    out.append(v2_ ? "," : "").append(R"("type":")").append(type).append(R"(","uniqueItems":true)");
    return out + (v2_ ? "}" : "}}");
  }

  void path_parameters(Item& item, bool namespaced, bool named) const {
    auto& list = item["parameters"];
    if (!list.empty()) return;
    list = "[";
    if (named) list += parameter("name", "path", "string", true) + ",";
    if (namespaced) list += parameter("namespace", "path", "string", true) + ",";
    list += parameter("pretty", "query", "string", false) + "]";
  }

  // Appends the members that say what comes back.
  void respond(std::string& op, const std::string& schema, bool list, bool created) const {
    std::vector<const char*> types(std::begin(kTypes), std::end(kTypes));
    if (list) types.insert(types.end(), std::begin(kStreams), std::end(kStreams));
    std::string what;
    if (!schema.empty() && v2_) {
      what = R"(,"schema":)" + schema;
    } else if (!schema.empty()) {
      what = R"(,"content":{)";
      for (const char* type : types) what.append(type == types[0] ? "\"" : ",\"").append(type).append(R"(":{"schema":)").append(schema).append("}");
      what += "}";
    }
    op.append(R"(,"responses":{"200":{"description":"OK")").append(what).append("}");
    if (created) op.append(R"(,"201":{"description":"Created")").append(what).append("}");
    op += R"(,"401":{"description":"Unauthorized"}})";
    if (!v2_) return;
    op += R"(,"schemes":["https"],"produces":)";
    op += schema.empty() ? R"(["*/*"])" : quoted_list(types);
  }

  // Appends the members that say what is sent.
  void request(std::string& op, const Operation& o) const {
    std::string parameters;
    for (const auto& p : o.parameters) parameters += (parameters.empty() ? "" : ",") + parameter(p.name, "query", p.type, false);
    bool required = o.patch || o.body == o.answer;
    const char* must = required ? R"(,"required":true)" : "";
    if (v2_ && !o.body.empty())
      parameters.append(parameters.empty() ? "" : ",").append(R"({"name":"body","in":"body","schema":)").append(o.body).append(must).append("}");
    if (!parameters.empty()) op.append(R"(,"parameters":[)").append(parameters).append("]");
    if (v2_) {
      op.append(R"(,"consumes":)").append(o.patch ? quoted_list(kPatchTypes) : R"(["*/*"])");
    } else if (!o.body.empty()) {
      op += R"(,"requestBody":{"content":{)";
      if (o.patch) {
        for (const char* type : kPatchTypes) op.append(type == kPatchTypes[0] ? "\"" : ",\"").append(type).append(R"(":{"schema":)").append(o.body).append("}");
      } else {
        op.append(R"("*/*":{"schema":)").append(o.body).append("}");
      }
      op.append("}").append(must).append("}");
    }
  }

  void put(Item& item, const char* method, const Operation& o) const {
    const auto& r = o.resource;
    bool other = !r.kind_version.empty();
    std::string tag = (r.group.empty() ? "core" : r.group.substr(0, r.group.find('.'))) + "_" + r.version;
    std::string op = R"({"description":)" + quote(o.about);
    op.append(R"(,"operationId":)").append(quote(o.id)).append(R"(,"tags":[)").append(quote(tag)).append("]");
    op.append(R"(,"x-kubernetes-action":")").append(o.action).append("\"");
    op.append(R"(,"x-kubernetes-group-version-kind":{"group":)").append(quote(other ? r.kind_group : r.group));
    op.append(R"(,"version":)").append(quote(other ? r.kind_version : r.version)).append(R"(,"kind":)").append(quote(r.kind)).append("}");
    request(op, o);
    respond(op, o.answer, o.list, o.created);
    item[method] = op + "}";
  }

  Definitions& d_;
  bool v2_;
  std::string base_, id_part_;
  std::map<std::string, Item> paths_;
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
