#include "apiserver/handlers/objects.hpp"

#include "apiserver/audit/event.hpp"
#include "apiserver/crd/conversion.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/respond.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/cbor.hpp>
#include <onebin/apimachinery/custom_schema.hpp>
#include <onebin/apimachinery/defaulting.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/prune.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::FieldValidation;
using apimachinery::set_meta;
using apimachinery::erase_meta;

namespace {
constexpr std::size_t kMaxBody = 3u << 20;
}  // namespace

async::Task<Result<std::string>> read_body(RequestContext* c) {
  Result<std::string> body = co_await c->request.read_body(kMaxBody);
  if (body.is(Reason::RequestEntityTooLarge))
    co_return Status(Reason::RequestEntityTooLarge, "Request entity too large: limit is " + std::to_string(kMaxBody));
  co_return body;
}

Result<Document> decode_body(std::string_view body, Format format, const apimachinery::TypeSchema& type, const apimachinery::DecodeOptions& options,
                             apimachinery::DecodeReport* report) {
  switch (format) {
    case Format::Protobuf: return apimachinery::decode_protobuf(body, type);
    case Format::Yaml: return apimachinery::decode_yaml(body, &type, options, report);
    case Format::Cbor: return apimachinery::decode_cbor(body, &type, options, report);
    default: return apimachinery::decode_json(body, &type, options, report);
  }
}

Result<FieldValidation> field_validation(const RequestContext& c) {
  std::string_view v = c.query.get("fieldValidation");
  if (v.empty() || v == "Warn") return c.local ? FieldValidation::Ignore : FieldValidation::Warn;
  if (v == "Ignore") return FieldValidation::Ignore;
  return FieldValidation::Strict;
}

std::string manager_of(const RequestContext& c) {
  std::string m(c.query.get("fieldManager"));
  return m.empty() ? apimachinery::manager_from_user_agent(c.user_agent) : m;
}

Result<Document> write_options(const RequestContext& c, std::string_view kind) {
  Document d = {{"kind", kind}, {"apiVersion", "meta.k8s.io/v1"}};
  FieldErrors errors;
  std::vector<std::string> dry_run;
  for (auto v : c.query.all("dryRun")) dry_run.emplace_back(v);
  if (!dry_run.empty()) {
    apimachinery::append(errors, apimachinery::validate_dry_run(dry_run, FieldPath("dryRun")));
    d["dryRun"] = dry_run;
  }
  std::string manager(c.query.get("fieldManager")), validation(c.query.get("fieldValidation"));
  apimachinery::append(errors, apimachinery::validate_field_manager(manager, FieldPath("fieldManager")));
  apimachinery::append(errors, apimachinery::validate_field_validation(validation, FieldPath("fieldValidation")));
  if (!manager.empty()) d["fieldManager"] = manager;
  if (!validation.empty()) d["fieldValidation"] = validation;
  if (!errors.empty()) return apimachinery::invalid("meta.k8s.io", kind, "", errors);
  return Result<Document>(std::move(d));
}

namespace {

// YAML's problems come as lines below a title, which warnings leave out.
void warn_of_problem(RequestContext& c, std::string_view problem) {
  constexpr std::string_view kTitle = "yaml: unmarshal errors:\n";
  if (!starts_with(problem, kTitle)) {
    c.warnings.emplace_back(problem);
    return;
  }
  for (const auto& line : split(problem.substr(kTitle.size()), '\n')) c.warnings.emplace_back(trim(line));
}

Status check_custom_type(const Document& object, const KindSchema& kind, std::string_view body) {
  std::string_view version = apimachinery::api_version_of(object), k = apimachinery::kind_of(object);
  std::string expected = kind.api_version();
  // Nothing but the object itself tells what it is meant to be.
  if (k.empty()) return bad_request("Object 'Kind' is missing in '" + std::string(body.substr(0, 1024)) + "'");
  if (version.empty()) return bad_request("Object 'apiVersion' is missing in '" + std::string(body.substr(0, 1024)) + "'");
  if (k != kind.kind && version == expected) {
    FieldErrors errors{field_invalid(FieldPath("kind"), k, "must be " + std::string(kind.kind))};
    return apimachinery::invalid(kind.group, kind.kind, apimachinery::name_of(object), errors);
  }
  if (k != kind.kind) {
    std::string v(version);
    return bad_request(std::string(k) + " in version \"" + v.substr(v.find('/') == std::string::npos ? 0 : v.find('/') + 1) +
                       "\" cannot be handled as a " + std::string(kind.kind) + ": no kind \"" + std::string(k) + "\" is registered");
  }
  if (version != expected)
    return bad_request("the API version in the data (" + std::string(version) + ") does not match the expected API version (" + expected + ")");
  return Status::ok();
}

// A body that is no object of any kind, shown in part.
Status unrecognized(const KindSchema& kind, std::string_view why, std::string_view body) {
  constexpr std::size_t kShown = 30;
  std::string shown;
  if (body.empty()) shown = "<empty>";
  else if (body.front() == '{') shown = body.substr(0, kShown);
  else shown = hex_encode(body.substr(0, kShown));
  if (body.size() > kShown) shown += " ...";
  return bad_request("the object provided is unrecognized (must be of type " + std::string(kind.kind) + "): " + std::string(why) + " (" + shown + ")");
}

Status unhandled(std::string_view kind, std::string_view version, const KindSchema& expected, std::string_view why) {
  return bad_request(std::string(kind) + " in version " + apimachinery::go_quote(version) + " cannot be handled as a " + std::string(expected.kind) + ": " + std::string(why));
}

// Whether what the object says of its kind is what is expected; what it leaves out is.
Status check_type(const Document& object, const KindSchema& kind, std::string_view body) {
  const std::string no_string = "couldn't get version/kind; json parse error: json: cannot unmarshal ";
  for (const char* field : {"apiVersion", "kind"})
    if (const Document* v = find_member(object, field); v && !v->is_string() && !v->is_null())
      return unrecognized(kind, no_string + (v->is_object() ? "object" : v->is_array() ? "array" : v->is_boolean() ? "bool" : "number") + " into Go struct field ." + field + " of type string", body);
  std::string_view version = apimachinery::api_version_of(object), k = apimachinery::kind_of(object);
  std::string expected = kind.api_version();
  if (std::count(version.begin(), version.end(), '/') > 1) return unrecognized(kind, "unexpected GroupVersion string: " + std::string(version), body);
  if (k.empty()) k = kind.kind;
  if (version.empty()) version = expected;
  if (k == kind.kind && version == expected) return Status::ok();
  // Upstream takes an older version of just this one, whose fields are the same: kubectl before 1.22 drains nodes with it.
  if (k == kind.kind && k == "Eviction" && version == "policy/v1beta1") return Status::ok();
  std::size_t slash = version.find('/');
  std::string_view group = slash == std::string_view::npos ? std::string_view() : version.substr(0, slash), number = version.substr(slash + 1);
  const KindSchema* given = api::find_kind(group, number, k);
  if (!given) return unhandled(k, number, kind, "no kind " + apimachinery::go_quote(k) + " is registered for version " + apimachinery::go_quote(version) + " in scheme \"pkg/api/legacyscheme/scheme.go:30\"");
  if (k == kind.kind && group == kind.group)
    return bad_request("the API version in the data (" + std::string(version) + ") does not match the expected API version (" + expected + ")");
  std::string_view package = kind.group.empty() ? std::string_view("core") : kind.group.substr(0, kind.group.find('.'));
  return unhandled(k, number, kind, "converting (" + std::string(number) + "." + std::string(k) + ") to (" + std::string(package) + "." + std::string(kind.kind) + "): unknown conversion");
}

// Values of a custom resource are for its validation to judge; what is repeated is told before what is unknown.
Result<Document> decode_custom(std::string_view body, Format format, const KindSchema& kind, apimachinery::DecodeOptions options,
                               apimachinery::DecodeReport& report) {
  options.typed = false;
  auto decode = format == Format::Cbor ? apimachinery::decode_cbor : format == Format::Yaml ? apimachinery::decode_yaml : apimachinery::decode_json;
  Result<Document> d = decode(body, nullptr, options, &report);
  if (!d || !d->is_object()) return d;
  options.keep_unknown = false;
  if (Status s = apimachinery::conform(*d, *kind.type, options, &report); !s) return s;
  return d;
}

}  // namespace

async::Task<Result<Document>> read_object(RequestContext* c, const KindSchema* kind) {
  Result<std::string> body = co_await read_body(c);
  if (!body) co_return body.status();
  Result<Format> format = body_format(c->request.headers.get("Content-Type"), c->core.options.cbor);
  if (!format) co_return format.status();
  Result<FieldValidation> validation = field_validation(*c);
  if (!validation) co_return validation.status();
  Result<Document> d = Document();
  bool custom = apimachinery::is_custom(*kind->type);
  if (custom && *format == Format::Protobuf)
    co_return Status(Reason::UnsupportedMediaType, "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml");
  if (*format == Format::Protobuf) {
    d = apimachinery::decode_protobuf(*body, *kind->type);
  } else {
    // Reported here, in upstream's words, so the decoder never fails for them.
    apimachinery::DecodeOptions options;
    options.validation = *validation == FieldValidation::Ignore ? FieldValidation::Ignore : FieldValidation::Warn;
    options.typed = false;
    apimachinery::DecodeReport report;
    bool yaml = *format == Format::Yaml, cbor = *format == Format::Cbor;
    if (custom) {
      d = decode_custom(*body, *format, *kind, options, report);
      if (d && !d->is_object()) co_return bad_request("the body of the request is not an object");
    } else {
      auto decode = cbor ? apimachinery::decode_cbor : yaml ? apimachinery::decode_yaml : apimachinery::decode_json;
      d = decode(*body, kind->type, options, &report);
      if (!d && d.is(Reason::BadRequest))
        co_return unrecognized(*kind, (yaml ? "" : "couldn't get version/kind; json parse error: ") + d.status().message(), *body);
      if (d && d->is_null()) d = Document::object();
      if (d && !d->is_object())
        co_return unrecognized(*kind, std::string("couldn't get version/kind; json parse error: json: cannot unmarshal ") + (d->is_array() ? "array" : d->is_string() ? "string" : d->is_boolean() ? "bool" : "number") +
                                          " into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }", *body);
      if (d) {
        Status typed = check_type(*d, *kind, *body);
        if (!typed) co_return typed;
        Status conforms = apimachinery::conform(*d, *kind->type, {});
        if (!conforms) co_return conforms.is(Reason::BadRequest) ? unhandled(kind->kind, kind->version, *kind, conforms.message()) : conforms;
      }
    }
    if (d && !report.problems.empty()) {
      if (*validation == FieldValidation::Strict) co_return unhandled(kind->kind, kind->version, *kind, "strict decoding error: " + join(report.problems, ", "));
      if (*validation == FieldValidation::Warn)
        for (const auto& p : report.problems) warn_of_problem(*c, p);
    }
  }
  if (!d) {
    if (!d.is(Reason::BadRequest)) co_return d.status();
    co_return unhandled(kind->kind, kind->version, *kind, d.status().message());
  }
  if (*format == Format::Protobuf) {
    Status typed = check_type(*d, *kind, *body);
    if (!typed) co_return typed;
  }
  if (custom) {
    Status typed = check_custom_type(*d, *kind, *body);
    if (!typed) co_return typed;
  }
  (*d)["apiVersion"] = kind->api_version();
  (*d)["kind"] = kind->kind;
  if (c->audit) c->audit->object(*d);
  co_return d;
}

Status check_namespace(const Served& served, std::string_view ns, Document& object) {
  if (!served.namespaced()) {
    if (!apimachinery::namespace_of(object).empty()) erase_meta(object, "namespace");
    return Status::ok();
  }
  std::string_view given = apimachinery::namespace_of(object);
  if (given.empty()) set_meta(object, "namespace", std::string(ns));
  else if (given != ns) return bad_request("the namespace of the provided object does not match the namespace sent on the request");
  return Status::ok();
}

void drop_repeated_owners(RequestContext& c, Document& object, bool admitted) {
  Document* meta = find_member(object, "metadata");
  Document* owners = meta ? find_member(*meta, "ownerReferences") : nullptr;
  if (!owners || !owners->is_array() || owners->size() < 2) return;
  Document kept = Document::array();
  std::string dropped;
  for (auto& o : *owners) {
    if (std::find(kept.begin(), kept.end(), o) == kept.end()) kept.push_back(std::move(o));
    else dropped.append(dropped.empty() ? "" : " ").append(apimachinery::string_at(o, "uid"));
  }
  *owners = std::move(kept);
  if (dropped.empty()) return;
  c.warnings.push_back(std::string(".metadata.ownerReferences contains duplicate entries") + (admitted ? " after mutating admission happens" : "") +
                       "; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: [" +
                       dropped + "]");
}

void apply_all_defaults(const Served& served, Document& object) {
  served.strategy->apply_defaults(object);
}

AdmissionAttributes admission_of(RequestContext& c, const Served& served, Operation op, std::string ns, std::string name) {
  AdmissionAttributes a;
  a.operation = op;
  a.group = served.kind->group;
  a.version = served.kind->version;
  a.kind = served.kind->kind;
  a.resource_group = served.kind->group;
  a.resource_version = served.kind->version;
  a.resource = served.kind->plural;
  a.subresource = c.info.resource == served.kind->plural ? c.info.subresource : std::string();
  a.ns = std::move(ns);
  a.name = std::move(name);
  a.dry_run = c.dry_run();
  a.user = &c.user;
  a.audit = c.audit.get();
  a.warnings = &c.warnings;
  a.deadline = c.deadline;
  a.other_reason = &c.other_reason;
  a.collection = c.info.verb == "deletecollection";
  return a;
}

namespace {

// Lists without items are not stored, so that what is answered has none either.
void drop_empty_lists(const apimachinery::TypeSchema& type, Document& object) {
  if (type.shape != apimachinery::Shape::Object || !object.is_object()) return;
  auto& members = object.get_ref<Document::object_t&>();
  for (auto it = members.begin(); it != members.end();) {
    auto& [name, v] = *it;
    const apimachinery::FieldSchema* f = v.is_structured() ? type.field(name) : nullptr;
    bool list = f && (f->is_list() || f->is_map());
    if (list && !f->omitempty && v.empty()) {
      it = members.erase(it);
      continue;
    }
    if (f && f->is_message() && list)
      for (auto& e : v) drop_empty_lists(*f->message, e);
    else if (f && f->is_message()) drop_empty_lists(*f->message, v);
    ++it;
  }
}

}  // namespace

async::Task<Result<Bytes>> encode_for_storage(Core* core, const Served* served, Document* object) {
  if (Document* meta = find_member(*object, "metadata")) meta->erase("resourceVersion");
  if (!served->json_stored) drop_empty_lists(*served->kind->type, *object);
  const Document* source = object;
  Result<Document> converted = Document();
  if (converts_by_webhook(*served)) {
    converted = co_await convert_custom(core, served, served->storage_kind->api_version(), *object);
    // Nothing is stored that the version that it is stored as does not have.
    const Served* stored = core->registry.find(served->group(), served->storage_kind->version, served->resource());
    if (converted && stored) apimachinery::prune(*stored->kind->type, *converted);
  } else if (served->converts()) {
    converted = served->to_storage(*object);
  }
  if (!converted) co_return converted.status();
  if (served->converts()) source = &*converted;
  if (served->json_stored) co_return make_bytes(apimachinery::encode_json(*source, served->storage_kind->type));
  Result<std::string> bytes = apimachinery::encode_protobuf(*source, *served->storage_kind->type);
  if (!bytes) co_return bytes.status();
  co_return make_bytes(std::move(*bytes));
}

async::Task<Result<Document>> current_object(RequestContext* c, const Served* served, std::string ns, std::string name) {
  Result<void> fresh = co_await c->core.cacher.wait_current();
  if (!fresh) co_return fresh.status();
  const CacheEntry* e = served->cache->find(ns, name);
  if (!e) co_return not_found(served->kind->plural, name, served->kind->group);
  co_return co_await read_stored(&c->core, served, e->object);
}

bool answers_with_document(const RequestContext& c, const Served& served) { return c.dry_run() || served.converts() || served.json_stored; }

// The common part of metadata's validation, and what the tables state.
void validate_common(const Served& served, const Document& object, const Document* old, bool schema, FieldErrors& errors) {
  const Strategy& s = *served.strategy;
  static const Document kNone = Document::object();
  const Document* meta = find_member(object, "metadata");
  const Document* old_meta = old ? find_member(*old, "metadata") : nullptr;
  FieldPath path("metadata");
  // Finalizers of custom resources, and that of their definitions, need no domain.
  bool built_in = !served.custom && s.own_finalizers;
  apimachinery::append(errors, apimachinery::validate_object_meta(meta ? *meta : kNone, served.namespaced(),
                                                                  old ? apimachinery::name_is_path_segment : s.name_rule, path, built_in));
  if (old) apimachinery::append(errors, apimachinery::validate_object_meta_update(meta ? *meta : kNone, old_meta ? *old_meta : kNone, path, built_in));
  if (old && s.name_rule_on_update && meta) {
    std::string generate(apimachinery::generate_name_of(object));
    if (!generate.empty())
      for (auto& m : s.name_rule(generate, true)) errors.push_back(field_invalid(path.child("generateName"), generate, m));
  }
  if (schema && s.check_schema) apimachinery::append(errors, apimachinery::validate_schema(*served.kind->type, object, old));
}

Status invalid_object(const Served& served, const Document& object, const FieldErrors& errors) {
  // Events of both groups are one kind within upstream's API server, which names the core group's.
  bool event = served.kind->kind == "Event" && served.kind->group == "events.k8s.io" && !served.custom;
  return apimachinery::invalid(event ? std::string_view() : std::string_view(served.kind->group), served.kind->kind, apimachinery::name_of(object), errors);
}

}  // namespace onebin::apiserver
