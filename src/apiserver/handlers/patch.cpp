#include "apiserver/handlers/patch.hpp"

#include "apiserver/errors.hpp"
#include "apiserver/respond.hpp"

#include <onebin/apimachinery/cbor.hpp>
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
  if (c.query.has("force")) d["force"] = query_bool(c.query.get("force"));
  return Result<Document>(std::move(d));
}

void note(std::vector<std::string>& warnings, std::string text) {
  for (const auto& w : warnings)
    if (w == text) return;
  warnings.push_back(std::move(text));
}

// What the patch made cannot be the object that it should be.
Status bad_outcome(const Document& object, std::string why) {
  FieldErrors errors{field_invalid(FieldPath("patch"), apimachinery::encode_json(object, nullptr), std::move(why))};
  return apimachinery::invalid("", "", "", errors);
}

Status take_report(RequestContext& c, const Patch& patch, apimachinery::DecodeReport report, const Document* object) {
  if (report.problems.empty()) return Status::ok();
  if (patch.validation == FieldValidation::Strict) {
    std::string text = "strict decoding error: " + join(report.problems, ", ");
    return object ? bad_outcome(*object, std::move(text)) : bad_request(std::move(text));
  }
  if (patch.validation == FieldValidation::Warn)
    for (auto& p : report.problems) note(c.warnings, std::move(p));
  return Status::ok();
}

}  // namespace

async::Task<Result<Patch>> read_patch(RequestContext* c) {
  Patch p;
  Result<Patch::Type> type = patch_type(*c);
  if (!type) co_return type.status();
  p.type = *type;
  Result<Document> options = patch_options(*c, p.type == Patch::Type::Apply);
  if (!options) co_return options.status();
  p.options = std::move(*options);
  p.manager = manager_of(*c);
  p.force = query_bool(c->query.get("force"));
  Result<FieldValidation> validation = field_validation(*c);
  if (!validation) co_return validation.status();
  p.validation = *validation;
  Result<std::string> body = co_await read_body(c);
  if (!body) co_return body.status();
  apimachinery::DecodeOptions o;
  o.validation = p.validation == FieldValidation::Ignore ? FieldValidation::Ignore : FieldValidation::Warn;
  o.typed = false;
  o.keep_unknown = true;
  apimachinery::DecodeReport report;
  bool yaml = p.type == Patch::Type::Apply, cbor = yaml && ends_with(trim(c->request.headers.get("Content-Type")), "+cbor");
  auto decode = cbor ? apimachinery::decode_cbor : yaml ? apimachinery::decode_yaml : apimachinery::decode_json;
  Result<Document> d = decode(*body, nullptr, o, &report);
  if (!d) {
    if (yaml) co_return bad_request(std::string("error decoding ") + (cbor ? "CBOR: " : "YAML: ") + d.status().message());
    co_return bad_request(d.status().message());
  }
  if (p.type == Patch::Type::Json ? !d->is_array() : !d->is_object())
    co_return bad_request("json: cannot unmarshal the body of the request into a patch of its type");
  Status s = take_report(*c, p, std::move(report), nullptr);
  if (!s) co_return s;
  p.body = std::move(*d);
  co_return Result<Patch>(std::move(p));
}

Result<Document> apply_patch(RequestContext& c, const Patch& patch, const KindSchema* kind, const apimachinery::ManagedResource& managed,
                             const Document* current) {
  Result<Document> made = Document();
  std::string expected = kind->api_version();
  if (patch.type == Patch::Type::Apply) {
    std::string_view k = apimachinery::kind_of(patch.body), v = apimachinery::api_version_of(patch.body);
    if (k.empty() || v.empty()) return bad_request("error decoding YAML: Object 'Kind' or 'apiVersion' is missing");
    if (k != kind->kind || v != expected)
      return bad_request("the type of the applied object (" + std::string(v) + ", " + std::string(k) + ") does not match the resource's (" + expected + ", " + std::string(kind->kind) + ")");
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
  std::string_view k = apimachinery::kind_of(*made), v = apimachinery::api_version_of(*made);
  if (k != kind->kind || v != expected)
    return bad_request("the patch changes the object's type to " + std::string(v) + ", " + std::string(k));
  apimachinery::DecodeOptions o;
  o.validation = patch.validation == FieldValidation::Ignore ? FieldValidation::Ignore : FieldValidation::Warn;
  apimachinery::DecodeReport report;
  if (Status s = apimachinery::conform(*made, *kind->type, o, &report); !s) {
    if (!s.is(Reason::BadRequest)) return s;
    return bad_outcome(*made, s.message());
  }
  if (Status s = take_report(c, patch, std::move(report), patch.type == Patch::Type::Apply ? nullptr : &*made); !s) return s;
  return made;
}

}  // namespace onebin::apiserver
