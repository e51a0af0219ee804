// The paths of an OpenAPI document: what can be done with each resource. Written as text: a tree of it all would be large.
#include "openapi_schema.hpp"

#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <span>

namespace onebin::apimachinery::openapi {
namespace {

struct Parameter {
  std::string_view name, type, about;
};

// What operations share. v2 has each once and refers to it, but for those by which kubectl before 1.27 finds out what the server
// can do: it follows no reference.
enum P : std::uint8_t {
  kBookmarks, kContinue, kDryRun, kFieldManager, kFieldSelector, kFieldValidation, kForce, kGrace, kIgnoreReadError, kLabelSelector,
  kLimit, kName, kNamespace, kOrphan, kPretty, kPropagation, kVersion, kVersionMatch, kInitialEvents, kShards, kTimeout, kWatch, kParameterCount,
};
constexpr Parameter kParameters[] = {
    {"allowWatchBookmarks", "boolean", "Asks a watch for events of type BOOKMARK, which tell how far it has come."},
    {"continue", "string", "The token that the previous part of a list ended with: the list goes on from there."},
    {"dryRun", "string", "All: everything is done as it would be, but nothing is stored."},
    {"fieldManager", "string", "Who is recorded as the owner of the fields that this request sets; required by apply."},
    {"fieldSelector", "string", "Only objects whose fields match."},
    {"fieldValidation", "string", "What happens to unknown and duplicate fields: Ignore, Warn (the default) or Strict."},
    {"force", "boolean", "Apply takes over fields that others own."},
    {"gracePeriodSeconds", "integer", "How long the object may take to end; 0 is at once. The kind's own where it is not given."},
    {"ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "Deletes even what cannot be read from the store, past finalizers and preconditions."},
    {"labelSelector", "string", "Only objects whose labels match."},
    {"limit", "integer", "At most so many objects; metadata.continue of the answer leads to the others."},
    {"name", "string", "The name of the object."},
    {"namespace", "string", "The namespace that the object is in."},
    {"orphanDependents", "boolean", "Deprecated, see propagationPolicy: whether what the object owns stays."},
    {"pretty", "string", "true: indented output."},
    {"propagationPolicy", "string", "What becomes of what the object owns: Orphan, Background or Foreground."},
    {"resourceVersion", "string", "How new the data has to be, see resourceVersionMatch; for a watch, where it starts."},
    {"resourceVersionMatch", "string", "How resourceVersion is meant: NotOlderThan or Exact."},
    {"sendInitialEvents", "boolean", "A watch begins with what there is, as ADDED events, and a BOOKMARK at their end."},
    {"shardSelector", "string", "Only objects of a part of the range of hashes; needs a feature that is off by default."},
    {"timeoutSeconds", "integer", "How long a list or watch may last."},
    {"watch", "boolean", "Changes as they come, in place of a list."},
};
static_assert(std::size(kParameters) == kParameterCount);
constexpr bool in_place(P p) { return p == kDryRun || p == kFieldValidation; }

constexpr P kWrite[] = {kDryRun, kFieldManager, kFieldValidation};
constexpr P kPatch[] = {kDryRun, kFieldManager, kFieldValidation, kForce};
constexpr P kDelete[] = {kDryRun, kGrace, kIgnoreReadError, kOrphan, kPropagation};
constexpr P kList[] = {kBookmarks, kContinue, kFieldSelector, kLabelSelector, kLimit, kVersion, kVersionMatch, kInitialEvents, kShards, kTimeout, kWatch};
constexpr P kDeleteCollection[] = {kContinue, kDryRun, kFieldSelector, kGrace, kIgnoreReadError, kLabelSelector, kLimit, kOrphan, kPropagation,
                                   kVersion, kVersionMatch, kInitialEvents, kShards, kTimeout};

// Media types: what is read, what is answered. Custom resources have no protobuf and no strategic merge.
enum class Types : std::uint8_t { Object, Stream, Any, Log, Json, Keys };
constexpr std::string_view kObject[] = {"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"};
constexpr std::string_view kStream[] = {"application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/json;stream=watch",
                                        "application/vnd.kubernetes.protobuf;stream=watch"};
constexpr std::string_view kLog[] = {"text/plain", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"};
constexpr std::string_view kCustom[] = {"application/json", "application/yaml"};
constexpr std::string_view kAny[] = {"*/*"};
constexpr std::string_view kJson[] = {"application/json"};
constexpr std::string_view kKeys[] = {"application/jwk-set+json"};
constexpr std::string_view kPatchTypes[] = {"application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
                                            "application/strategic-merge-patch+json"};

std::span<const std::string_view> answers(Types t, bool custom) {
  switch (t) {
    case Types::Any: return kAny;
    case Types::Log: return kLog;
    case Types::Json: return kJson;
    case Types::Keys: return kKeys;
    case Types::Stream: return custom ? std::span<const std::string_view>(kCustom) : kStream;
    default: return custom ? std::span<const std::string_view>(kCustom) : kObject;
  }
}

// Letters and digits; each part after another character begins with a capital.
std::string identifier(std::string_view text, bool capital) {
  std::string out;
  for (char c : text) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), digit = c >= '0' && c <= '9';
    if (!letter && !digit) {
      if (!out.empty()) capital = true;
      continue;
    }
    if (capital && c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
    out += c;
    capital = false;
  }
  return out;
}

std::string_view short_group(std::string_view group) {
  if (group.empty()) return "core";
  constexpr std::string_view kSuffix = ".k8s.io";
  if (group.size() > kSuffix.size() && group.substr(group.size() - kSuffix.size()) == kSuffix) group.remove_suffix(kSuffix.size());
  return group;
}

std::string dump(const Document& d) { return d.dump(-1, ' ', false, Document::error_handler_t::replace); }

// Names and sentences of names: hardly ever anything to escape.
void quote(std::string& out, std::string_view s) {
  bool plain = std::all_of(s.begin(), s.end(), [](char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; });
  if (plain) out.append("\"").append(s).append("\"");
  else out += dump(std::string(s));
}

void quoted_list(std::string& out, std::span<const std::string_view> list) {
  out += "[";
  for (std::size_t i = 0; i < list.size(); ++i) out.append(i ? ",\"" : "\"").append(list[i]).append("\"");
  out += "]";
}

// One operation on the way into a document of either version. Schemas are JSON text; "" for none.
struct Operation {
  const OpenApiResource* resource = nullptr;  // null: a route
  std::string_view action;                    // x-kubernetes-action
  std::string id, about, tag;
  std::span<const P> parameters;
  std::span<const Parameter> options;
  std::string body, answer;
  bool body_required = true, patch = false, created = false, accepted = false, reads_same = false, reads_any = true;
  Types types = Types::Object;
};

class PathWriter {
  struct Item {
    std::string parameters;                        // of all operations
    std::map<std::string, std::string> operations;  // method -> JSON
  };

 public:
  explicit PathWriter(Definitions& definitions) : d_(definitions), v2_(definitions.version() == Version::V2) {}

  void add(const OpenApiResource& r) {
    base_ = r.group.empty() ? "/api/" + r.version : "/apis/" + r.group + "/" + r.version;
    set_group(r.group, r.version);
    std::string place = r.namespaced ? "/namespaces/{namespace}/" : "/";
    if (r.subresource.empty()) resource(r, place);
    else if (r.options && r.subresource != "log") connect(r, base_ + place + r.plural + "/{name}/" + r.subresource);
    else if (has(r, "create") && !has(r, "get")) create_at(r, base_ + place + r.plural + "/{name}/" + r.subresource);
    else item(r, base_ + place + r.plural + "/{name}/" + r.subresource);
  }

  void add_group_version(const std::string& group, const std::string& version) {
    set_group(group, version);
    route(group.empty() ? "/api/" + version + "/" : "/apis/" + group + "/" + version + "/", "get" + id_part_ + "APIResources", tag_, d_.types().api_resource_list);
  }

  void add_route(const std::string& name) {
    const OpenApiTypes& t = d_.types();
    if (name == "api") route("/api/", "getCoreAPIVersions", "core", t.api_versions);
    else if (name == "apis") route("/apis/", "getAPIVersions", "apis", t.api_group_list);
    else if (name.rfind("apis/", 0) == 0) {
      std::string_view group = short_group(std::string_view(name).substr(5));
      route("/" + name + "/", "get" + identifier(group, true) + "APIGroup", identifier(group, false), t.api_group);
    } else {
      Operation o;
      o.tag = name;
      o.answer = R"({"type":"string"})";
      o.types = Types::Json;
      if (name == "version") {
        o.id = "getCodeVersion";
        o.answer = dump(d_.version_info());
        o.reads_same = true;
      } else if (name == "openid/v1/jwks") {
        o.id = "getServiceAccountIssuerOpenIDKeyset";
        o.tag = "openid";
        o.types = Types::Keys;
        o.reads_any = false;
      } else if (name == ".well-known/openid-configuration") {
        o.id = "getServiceAccountIssuerOpenIDConfiguration";
        o.tag = "WellKnown";
        o.reads_any = false;
      }
      put(paths_["/" + name + "/"], "get", o);
    }
  }

  void write(std::string& out) {
    bool first = true;
    for (const auto& [path, item] : paths_) {
      out += first ? "" : ",";
      first = false;
      quote(out, path);
      out += ":{";
      bool first_member = true;
      for (const auto& [method, json] : item.operations) {
        out.append(first_member ? "\"" : ",\"").append(method).append("\":").append(json);
        first_member = false;
      }
      if (!item.parameters.empty()) out.append(R"(,"parameters":[)").append(item.parameters).append("]");
      out += "}";
    }
  }

  // One parameter as an object.
  static void parameter(std::string& out, const Parameter& p, std::string_view in, bool v2) {
    out.append(R"({"name":")").append(p.name).append(R"(","in":")").append(in).append("\"");
    if (!p.about.empty()) out.append(R"(,"description":")").append(p.about).append("\"");
    if (in == "path") out += R"(,"required":true)";
    out.append(v2 ? "," : R"(,"schema":{)").append(R"("type":")").append(p.type).append(R"(","uniqueItems":true)").append(v2 ? "}" : "}}");
  }
  static std::string_view place_of(P p) { return p == kName || p == kNamespace ? "path" : "query"; }

 private:
  static bool has(const OpenApiResource& r, std::string_view verb) { return std::find(r.verbs.begin(), r.verbs.end(), verb) != r.verbs.end(); }

  void set_group(const std::string& group, const std::string& version) {
    std::string_view name = short_group(group);
    id_part_ = identifier(name, true) + identifier(version, true);
    tag_ = identifier(name, false) + "_" + identifier(version, false);
  }

  void route(const std::string& path, std::string id, std::string tag, const TypeSchema* answer) {
    Operation o;
    o.id = std::move(id);
    o.tag = std::move(tag);
    o.reads_same = true;
    if (answer) d_.name_kind(answer->name, {"", "v1", std::string(answer->go_name)});
    o.answer = dump(d_.reference(answer));
    put(paths_[path], "get", o);
  }

  Operation make(const OpenApiResource& r, std::string_view verb, std::string_view action, std::string about) const {
    Operation o;
    o.resource = &r;
    o.action = action;
    o.id = std::string(verb) + id_part_ + (r.namespaced ? "Namespaced" : "") + (r.subresource.empty() ? r.kind : r.parent_kind) + identifier(r.subresource, true);
    o.about = std::move(about);
    o.tag = tag_;
    return o;
  }

  void resource(const OpenApiResource& r, const std::string& place) {
    std::string collection = base_ + place + r.plural;
    if (has(r, "list")) {
      auto op = make(r, "list", "list", "list or watch objects of kind " + r.kind);
      op.parameters = kList;
      op.types = Types::Stream;
      op.answer = dump(d_.list(r));
      put(at(collection, r.namespaced, false), "get", op);
      if (r.namespaced) {
        op.id = "list" + id_part_ + r.kind + "ForAllNamespaces";
        put(at(base_ + "/" + r.plural, false, false), "get", op);
      }
      if (!r.custom() && has(r, "watch")) watches(r, place);
    }
    if (has(r, "create")) {
      auto op = write_operation(r, "create", "post", "create a " + r.kind);
      op.accepted = true;
      put(at(collection, r.namespaced, false), "post", op);
    }
    if (has(r, "deletecollection")) {
      auto op = make(r, "delete", "deletecollection", "delete collection of " + r.kind);
      op.id = "delete" + id_part_ + "Collection" + (r.namespaced ? "Namespaced" : "") + r.kind;
      op.parameters = kDeleteCollection;
      op.body = dump(d_.delete_options(r));
      op.body_required = false;
      op.answer = dump(d_.status());
      put(at(collection, r.namespaced, false), "delete", op);
    }
    if (has(r, "get") || has(r, "update") || has(r, "patch") || has(r, "delete")) item(r, collection + "/{name}");
  }

  // The paths that watched before ?watch=true did.
  void watches(const OpenApiResource& r, const std::string& place) {
    auto op = make(r, "watch", "watchlist", "watch changes of all objects of kind " + r.kind + "; deprecated: list with watch=true");
    op.parameters = kList;
    op.types = Types::Stream;
    op.answer = dump(d_.watch_event(r));
    std::string one = op.id;
    op.id += "List";
    put(at(base_ + "/watch" + place + r.plural, r.namespaced, false), "get", op);
    if (r.namespaced) {
      op.id = "watch" + id_part_ + r.kind + "ListForAllNamespaces";
      put(at(base_ + "/watch/" + r.plural, false, false), "get", op);
    }
    if (!has(r, "get")) return;
    op.id = std::move(one);
    op.action = "watch";
    op.about = "watch changes of one object of kind " + r.kind + "; deprecated: list with watch=true and a field selector";
    put(at(base_ + "/watch" + place + r.plural + "/{name}", r.namespaced, true), "get", op);
  }

  void item(const OpenApiResource& r, const std::string& path) {
    auto& here = at(path, r.namespaced, true);
    std::string what = (r.subresource.empty() ? "the specified " : r.subresource + " of the specified ") + (r.subresource.empty() ? r.kind : r.parent_kind);
    if (has(r, "get")) {
      auto op = make(r, "read", "get", "read " + what);
      std::vector<Parameter> options;
      if (r.options) {
        options = option_parameters(*r.options);
        op.options = options;
        op.types = Types::Log;
        op.answer = R"({"type":"string"})";
      } else {
        op.answer = dump(d_.body(r));
      }
      put(here, "get", op);
    }
    if (has(r, "update")) put(here, "put", write_operation(r, "replace", "put", "replace " + what));
    if (has(r, "patch")) {
      auto op = write_operation(r, "patch", "patch", "partially update " + what);
      op.parameters = kPatch;
      op.body = dump(d_.patch());
      op.patch = true;
      put(here, "patch", op);
    }
    if (has(r, "delete")) {
      auto op = make(r, "delete", "delete", "delete " + what);
      op.parameters = kDelete;
      op.body = dump(d_.delete_options(r));
      op.body_required = false;
      op.accepted = true;
      op.answer = r.returns_object ? dump(d_.body(r)) : dump(d_.status());
      put(here, "delete", op);
    }
  }

  void create_at(const OpenApiResource& r, const std::string& path) {
    auto op = write_operation(r, "create", "post", "create " + r.subresource + " of a " + r.parent_kind);
    op.accepted = true;
    put(at(path, r.namespaced, true), "post", op);
  }

  // A stream to or from the object.
  void connect(const OpenApiResource& r, const std::string& path) {
    auto options = option_parameters(*r.options);
    bool proxy = r.subresource == "proxy";
    static constexpr const char* kMethods[] = {"get", "post", "delete", "head", "options", "patch", "put"};
    for (const char* method : std::span(kMethods).first(proxy ? 7 : 2)) {
      std::string upper = to_upper(method);
      Operation op = make(r, "connect", "connect", "connect " + upper + " requests to " + r.subresource + " of " + r.parent_kind);
      op.id.insert(7 + id_part_.size(), identifier(method, true));
      op.options = options;
      op.types = Types::Any;
      op.answer = R"({"type":"string"})";
      put(at(path, r.namespaced, true, false), method, op);
      if (!proxy) continue;
      op.id += "WithPath";
      auto& deep = at(path + "/{path}", r.namespaced, true, false);
      put(deep, method, op);
      if (deep.parameters.find("\"path\",\"in\":\"path\"") == std::string::npos) {
        deep.parameters += ",";
        parameter(deep.parameters, {"path", "string", "The path at the other end."}, "path", v2_);
      }
    }
  }

  static std::string to_upper(std::string s) {
    for (char& c : s)
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
    return s;
  }

  static std::vector<Parameter> option_parameters(const TypeSchema& t) {
    std::vector<Parameter> out;
    for (const auto& f : t.fields) {
      if (f.json_name == "kind" || f.json_name == "apiVersion") continue;
      switch (f.kind) {
        case FieldKind::Bool: out.push_back({f.json_name, "boolean", {}}); break;
        case FieldKind::Int32:
        case FieldKind::Int64: out.push_back({f.json_name, "integer", {}}); break;
        case FieldKind::String: out.push_back({f.json_name, "string", {}}); break;
        default: break;
      }
    }
    return out;
  }

  Operation write_operation(const OpenApiResource& r, const char* verb, const char* action, std::string about) {
    auto op = make(r, verb, action, std::move(about));
    op.parameters = kWrite;
    op.body = dump(d_.body(r));
    op.answer = op.body;
    op.created = true;
    return op;
  }

  void shared(std::string& out, P p) const {
    if (v2_ && !in_place(p)) out.append(R"({"$ref":"#/parameters/)").append(kParameters[p].name).append("\"}");
    else parameter(out, kParameters[p], place_of(p), v2_);
  }

  // The item of a path, with the parameters that all its operations have.
  Item& at(const std::string& path, bool namespaced, bool named, bool pretty = true) {
    Item& item = paths_[path];
    if (!item.parameters.empty()) return item;
    auto add = [&](P p) {
      if (!item.parameters.empty()) item.parameters += ",";
      shared(item.parameters, p);
    };
    if (named) add(kName);
    if (namespaced) add(kNamespace);
    if (pretty) add(kPretty);
    return item;
  }

  void respond(std::string& op, const Operation& o) const {
    std::string what;
    auto types = answers(o.types, o.resource && o.resource->custom());
    if (!o.answer.empty() && v2_) {
      what = R"(,"schema":)" + o.answer;
    } else if (!o.answer.empty()) {
      what = R"(,"content":{)";
      for (std::size_t i = 0; i < types.size(); ++i) what.append(i ? ",\"" : "\"").append(types[i]).append(R"(":{"schema":)").append(o.answer).append("}");
      what += "}";
    }
    op.append(R"(,"responses":{"200":{"description":"OK")").append(what).append("}");
    if (o.created) op.append(R"(,"201":{"description":"Created")").append(what).append("}");
    if (o.accepted) op.append(R"(,"202":{"description":"Accepted")").append(what).append("}");
    op += R"(,"401":{"description":"Unauthorized"}})";
    if (!v2_) return;
    op += R"(,"schemes":["https"],"produces":)";
    quoted_list(op, types);
  }

  void request(std::string& op, const Operation& o) const {
    std::string parameters;
    auto next = [&] {
      if (!parameters.empty()) parameters += ",";
    };
    for (P p : o.parameters) {
      next();
      shared(parameters, p);
    }
    for (const auto& p : o.options) {
      next();
      parameter(parameters, p, "query", v2_);
    }
    const char* must = o.body_required ? R"(,"required":true)" : "";
    if (v2_ && !o.body.empty()) {
      next();
      parameters.append(R"({"name":"body","in":"body","schema":)").append(o.body).append(must).append("}");
    }
    if (!parameters.empty()) op.append(R"(,"parameters":[)").append(parameters).append("]");
    std::span<const std::string_view> reads = kAny;
    bool custom = o.resource && o.resource->custom();
    if (o.patch) reads = custom ? std::span<const std::string_view>(kPatchTypes).first(3) : kPatchTypes;
    if (o.reads_same) reads = answers(o.types, false);
    if (v2_ && o.reads_any) {
      op += R"(,"consumes":)";
      quoted_list(op, reads);
    } else if (!v2_ && !o.body.empty()) {
      op += R"(,"requestBody":{"content":{)";
      for (std::size_t i = 0; i < reads.size(); ++i) op.append(i ? ",\"" : "\"").append(reads[i]).append(R"(":{"schema":)").append(o.body).append("}");
      op.append("}").append(must).append("}");
    }
  }

  void put(Item& item, const std::string& method, const Operation& o) const {
    std::string& op = item.operations[method];
    op = R"({"operationId":)";
    quote(op, o.id);
    if (!o.about.empty()) {
      op += R"(,"description":)";
      quote(op, o.about);
    }
    op.append(R"(,"tags":[)");
    quote(op, o.tag);
    op += "]";
    if (const auto* r = o.resource) {
      bool other = !r->kind_version.empty();
      op.append(R"(,"x-kubernetes-action":")").append(o.action).append(R"(","x-kubernetes-group-version-kind":{"group":)");
      quote(op, other ? r->kind_group : r->group);
      op += R"(,"version":)";
      quote(op, other ? r->kind_version : r->version);
      op += R"(,"kind":)";
      quote(op, r->kind);
      op += "}";
    }
    request(op, o);
    respond(op, o);
    op += "}";
  }

  Definitions& d_;
  bool v2_;
  std::string base_, id_part_, tag_;
  std::map<std::string, Item> paths_;
};

}  // namespace

void write_paths(std::string& out, const std::vector<OpenApiResource>& resources, const std::vector<std::string>& routes, Definitions& definitions) {
  PathWriter w(definitions);
  std::set<std::pair<std::string, std::string>> versions;
  for (const auto& r : resources) versions.insert({r.group, r.version});
  for (const auto& [group, version] : versions) w.add_group_version(group, version);
  for (const auto& r : resources) w.add(r);
  for (const auto& r : routes) w.add_route(r);
  w.write(out);
}

void write_shared_parameters(std::string& out) {
  for (std::size_t i = 0; i < std::size(kParameters); ++i) {
    if (in_place(static_cast<P>(i))) continue;
    out.append(i ? ",\"" : "\"").append(kParameters[i].name).append("\":");
    PathWriter::parameter(out, kParameters[i], PathWriter::place_of(static_cast<P>(i)), true);
  }
}

}  // namespace onebin::apimachinery::openapi
