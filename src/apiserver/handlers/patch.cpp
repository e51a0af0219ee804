#include "apiserver/audit/event.hpp"
#include "apiserver/handlers/patch.hpp"

#include "apiserver/errors.hpp"
#include "apiserver/respond.hpp"

#include <onebin/apimachinery/cbor.hpp>
#include <onebin/apimachinery/custom_schema.hpp>
#include <onebin/apimachinery/json_patch.hpp>
#include <onebin/apimachinery/merge_patch.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/strategic_merge_patch.hpp>
#include <onebin/apimachinery/validation.hpp>

namespace onebin::apiserver {

using apimachinery::FieldValidation;

namespace {

Result<Patch::Type> patch_type(const RequestContext& c) {
  std::string_view content_type = c.request.headers.get("Content-Type");
  std::string t = to_lower(trim(content_type.substr(0, content_type.find(';'))));
  bool strategic = !c.served || !c.served->json_stored;
  if (t == "application/json-patch+json") return Patch::Type::Json;
  if (t == "application/merge-patch+json") return Patch::Type::Merge;
  if (t == "application/strategic-merge-patch+json" && strategic) return Patch::Type::StrategicMerge;
  if (t == "application/apply-patch+yaml") return Patch::Type::Apply;
  if (t == "application/apply-patch+cbor" && c.core.options.cbor) return Patch::Type::Apply;
  return Status(Reason::UnsupportedMediaType, "415: Unsupported Media Type");
}

Result<Document> patch_options(const RequestContext& c, bool apply) {
  std::string manager(c.query.get("fieldManager")), validation(c.query.get("fieldValidation"));
  std::vector<std::string> dry_run;
  for (auto v : c.query.all("dryRun")) dry_run.emplace_back(v);
  FieldErrors errors = apimachinery::validate_patch_options(apply, manager, c.query.has("force"), dry_run, validation);
  if (!errors.empty()) return apimachinery::invalid("meta.k8s.io", "PatchOptions", "", errors);
  Document d = {{"kind", "PatchOptions"}, {"apiVersion", "meta.k8s.io/v1"}};
  if (!dry_run.empty()) d["dryRun"] = dry_run;
  if (!manager.empty()) d["fieldManager"] = manager;
  if (!validation.empty()) d["fieldValidation"] = validation;
  if (c.query.has("force")) d["force"] = query_flag(c.query, "force");
  return Result<Document>(std::move(d));
}

// A map as Go prints it with %+v, which is how an unusable strategic merge patch is shown.
std::string go_map(const Document& v) {
  if (v.is_null()) return "<nil>";
  if (v.is_string()) return v.get<std::string>();
  if (!v.is_structured()) return apimachinery::encode_json(v, nullptr);
  std::string out = v.is_object() ? "map[" : "[";
  bool first = true;
  for (auto it = v.begin(); it != v.end(); ++it) {
    if (!first) out += ' ';
    first = false;
    if (v.is_object()) out += it.key() + ":";
    out += go_map(*it);
  }
  return out + "]";
}

// What the patch made cannot be the object that it should be.
Status bad_outcome(const Patch& patch, const KindSchema& kind, const Document& object, std::string why) {
  std::string value = patch.type == Patch::Type::StrategicMerge ? go_map(patch.body) : apimachinery::encode_json(object, kind.type);
  FieldErrors errors{field_invalid(FieldPath("patch"), std::move(value), std::move(why))};
  return apimachinery::invalid("", "", "", errors);
}

Status take_problems(RequestContext& c, const Patch& patch, const KindSchema& kind, std::vector<std::string> problems, const Document& object) {
  if (problems.empty()) return Status::ok();
  if (patch.validation == FieldValidation::Strict) return bad_outcome(patch, kind, object, "strict decoding error: " + join(problems, ", "));
  if (patch.validation == FieldValidation::Warn)
    for (auto& p : problems) c.warnings.push_back(std::move(p));
  return Status::ok();
}

std::string_view json_kind(const Document& d) {
  return d.is_object() ? "object" : d.is_array() ? "array" : d.is_string() ? "string" : d.is_boolean() ? "bool" : "number";
}

// Members that an operation of a JSON patch does not have, and those that it has twice.
void check_operations(Patch& p) {
  for (auto& text : p.problems) text = "json patch " + text;
  std::size_t i = 0;
  for (const auto& op : p.body) {
    std::string at = "[" + std::to_string(i++) + "]";
    if (!op.is_object()) continue;
    for (const auto& [key, value] : op.items())
      if (key != "op" && key != "path" && key != "from" && key != "value") p.problems.push_back("json patch unknown field " + apimachinery::go_quote(at + "." + key));
  }
}

constexpr std::size_t kMaxOperations = 10000;

// Whether the body is a patch of its type at all.
Status check_form(Patch& p) {
  const Document& d = p.body;
  bool strict = p.validation != FieldValidation::Ignore;
  std::string why = "json: cannot unmarshal " + std::string(json_kind(d)) + " into Go value of type ";
  switch (p.type) {
    case Patch::Type::Json:
      if (!d.is_array() && !d.is_null()) return bad_request((strict ? "error decoding patch: " : "") + why + (strict ? "[]handlers.jsonPatchOp" : "jsonpatch.Patch"));
      for (const auto& op : d)
        if (!op.is_object() && !op.is_null())
          return bad_request((strict ? "error decoding patch: " : "") + ("json: cannot unmarshal " + std::string(json_kind(op))) + " into Go value of type " +
                             (strict ? "handlers.jsonPatchOp" : "jsonpatch.Operation"));
      if (d.size() > kMaxOperations)
        return Status(Reason::RequestEntityTooLarge,
                      "Request entity too large: The allowed maximum operations in a JSON patch is " + std::to_string(kMaxOperations) + ", got " + std::to_string(d.size()));
      if (strict) check_operations(p);
      return Status::ok();
    case Patch::Type::Apply:
      if (d.is_object() || d.is_null()) return Status::ok();
      return bad_request("error decoding patch: error unmarshaling JSON: while decoding JSON: " + why + "map[string]interface {}");
    case Patch::Type::Merge:
    case Patch::Type::StrategicMerge:
      if (d.is_object() || d.is_null()) return Status::ok();
      if (p.type == Patch::Type::Merge && !strict) return bad_request("Invalid JSON Patch");
      return bad_request((p.type == Patch::Type::Merge ? "error decoding patch: " : "") + why + "map[string]interface {}");
  }
  return Status::ok();
}

}  // namespace

async::Task<Result<Patch>> read_patch(RequestContext* c) {
  Patch p;
  Result<Patch::Type> type = patch_type(*c);
  if (!type) co_return type.status();
  p.type = *type;
  Result<std::string> body = co_await read_body(c);
  if (!body) co_return body.status();
  Result<Document> options = patch_options(*c, p.type == Patch::Type::Apply);
  if (!options) co_return options.status();
  p.options = std::move(*options);
  p.manager = manager_of(*c);
  p.force = query_flag(c->query, "force");
  Result<FieldValidation> validation = field_validation(*c);
  if (!validation) co_return validation.status();
  p.validation = *validation;
  apimachinery::DecodeOptions o;
  o.validation = p.validation == FieldValidation::Ignore ? FieldValidation::Ignore : FieldValidation::Warn;
  o.typed = false;
  o.keep_unknown = true;
  apimachinery::DecodeReport report;
  bool apply = p.type == Patch::Type::Apply, cbor = apply && ends_with(trim(c->request.headers.get("Content-Type")), "+cbor");
  auto decode = cbor ? apimachinery::decode_cbor : apply ? apimachinery::decode_yaml : apimachinery::decode_json;
  Result<Document> d = decode(*body, nullptr, o, &report);
  if (!d && cbor) co_return bad_request("error decoding CBOR: " + d.status().message());
  if (!d && apply) co_return bad_request("error encoding patch: " + d.status().message());
  if (!d) co_return bad_request("invalid JSON patch");
  p.body = std::move(*d);
  if (c->audit) c->audit->patch(p.body);
  p.problems = std::move(report.problems);
  p.unreadable = check_form(p);
  if (p.body.is_null()) p.body = p.type == Patch::Type::Json ? Document::array() : Document::object();
  co_return Result<Patch>(std::move(p));
}

Result<Document> apply_patch(RequestContext& c, const Patch& patch, const KindSchema* kind, const apimachinery::ManagedResource& managed,
                             const Document* current) {
  if (!patch.unreadable) return patch.unreadable;
  Result<Document> made = Document();
  std::string expected = kind->api_version();
  if (patch.type == Patch::Type::Apply) {
    made = apimachinery::server_side_apply(managed, current, patch.body, patch.manager, patch.force, c.now);
  } else if (patch.type == Patch::Type::Json) {
    made = apimachinery::apply_json_patch(*current, patch.body);
  } else if (patch.type == Patch::Type::Merge) {
    made = apimachinery::apply_merge_patch(*current, patch.body);
  } else {
    made = apimachinery::apply_strategic_merge_patch(*kind->type, *current, patch.body);
  }
  if (!made) return made;
  if (!made->is_object()) return bad_request("the patched object is no object");
  // A strategic merge patch is made of the kind that it is for, whatever it says; others may leave that out.
  for (auto [field, value] : {std::pair("apiVersion", std::string_view(expected)), std::pair("kind", std::string_view(kind->kind))})
    if (patch.type == Patch::Type::StrategicMerge || (!apimachinery::is_custom(*kind->type) && apimachinery::string_at(*made, field).empty())) (*made)[field] = value;
  std::string_view k = apimachinery::kind_of(*made), v = apimachinery::api_version_of(*made);
  if (k != kind->kind || v != expected)
    return bad_outcome(patch, *kind, *made, "the patch changes the object's type to " + std::string(v) + ", " + std::string(k));
  apimachinery::DecodeOptions o;
  o.validation = patch.validation == FieldValidation::Ignore ? FieldValidation::Ignore : FieldValidation::Warn;
  apimachinery::DecodeReport report;
  bool strategic = patch.type == Patch::Type::StrategicMerge;
  if (Status s = (strategic ? apimachinery::conform_map : apimachinery::conform)(*made, *kind->type, o, &report); !s) {
    if (!s.is(Reason::BadRequest)) return s;
    return bad_outcome(patch, *kind, *made, s.message());
  }
  std::vector<std::string> problems = patch.problems;
  problems.insert(problems.end(), report.problems.begin(), report.problems.end());
  if (patch.type == Patch::Type::Apply && !problems.empty() && patch.validation == FieldValidation::Strict)
    return bad_request("error strict decoding patch: " + join(problems, ", "));
  if (Status s = take_problems(c, patch, *kind, std::move(problems), *made); !s) return s;
  return made;
}

}  // namespace onebin::apiserver
