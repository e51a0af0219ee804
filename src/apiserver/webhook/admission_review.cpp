#include "apiserver/webhook/admission_review.hpp"

#include "apiserver/user_document.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>

#include <algorithm>
#include <limits>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::string_at;

namespace {

std::string kind_text(const Document& d) {
  auto gv = apimachinery::parse_group_version(apimachinery::api_version_of(d)).value_or(apimachinery::GroupVersion{});
  return gv.group + "/" + gv.version + ", Kind=" + std::string(apimachinery::kind_of(d));
}

// What a mutating webhook's answer may say of a patch, and what another's may.
Status read_patch(AdmissionAnswer& out, const Document& response, bool v1, bool mutating) {
  std::string_view patch = string_at(response, "patch");
  const Document* type = find_member(response, "patchType");
  if (type && type->is_null()) type = nullptr;
  if (v1 && !mutating) {
    if (!patch.empty()) return bad_request("validating webhook may not return response.patch");
    if (type) return bad_request("validating webhook may not return response.patchType");
  }
  if (!mutating) return Status::ok();
  if (v1) {
    if (!patch.empty() && !type) return bad_request("webhook returned response.patch but not response.patchType");
    if (patch.empty() && type) return bad_request("webhook returned response.patchType but not response.patch");
    if (type) out.patch_type = string_at(response, "patchType");
    if (type && out.patch_type.empty()) return bad_request("webhook returned invalid response.patchType of \"\"");
  } else if (!patch.empty()) {
    out.patch_type = "JSONPatch";
  }
  if (patch.empty()) return Status::ok();
  auto text = base64_decode(patch);
  if (!text) return bad_request("response.patch is not base64");
  out.patch = std::move(*text);
  return Status::ok();
}

}  // namespace

std::string admission_review(std::string_view version, const std::string& uid, const AdmissionAttributes& a, const Match& match, const ReviewedObjects& objects) {
  Document r = {{"uid", uid},
                {"kind", kind_document(match.kind)},
                {"resource", resource_document(match.resource)},
                {"requestKind", kind_document(kind_of_request(a))},
                {"requestResource", resource_document(resource_of_request(a))},
                {"operation", to_string(a.operation)},
                {"userInfo", a.user ? user_document(*a.user) : Document::object()},
                {"dryRun", a.dry_run},
                {"options", a.options ? *a.options : Document()}};
  if (!a.subresource.empty()) r["subResource"] = r["requestSubResource"] = a.subresource;
  if (!a.name.empty() && !a.collection) r["name"] = a.name;
  if (const std::string& ns = namespace_of_request(a); !ns.empty()) r["namespace"] = ns;
  std::string request = r.dump(-1, ' ', false, Document::error_handler_t::replace);
  request.pop_back();
  return "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/" + std::string(version) + "\",\"request\":" + request + ",\"object\":" + objects.object +
         ",\"oldObject\":" + objects.old_object + "}}\n";
}

Result<AdmissionAnswer> read_admission_answer(std::string_view version, const std::string& uid, bool mutating, const Document& review) {
  const Document* response = find_member(review, "response");
  if (!response || !response->is_object()) return bad_request("webhook response was absent");
  bool v1 = version == "v1";
  if (v1) {
    if (std::string_view got = string_at(*response, "uid"); got != uid) return bad_request("expected response.uid=" + go_quote(uid) + ", got " + go_quote(got));
    const std::string expected = "admission.k8s.io/v1, Kind=AdmissionReview";
    if (std::string got = kind_text(review); got != expected) return bad_request("expected webhook response of " + expected + ", got " + got);
  }
  AdmissionAnswer out;
  out.allowed = apimachinery::bool_at(*response, "allowed");
  if (const Document* status = find_member(*response, "status"); status && status->is_object()) out.result = *status;
  if (const Document& warnings = member(*response, "warnings"); warnings.is_array())
    for (const auto& w : warnings)
      if (w.is_string()) out.warnings.push_back(w.get<std::string>());
  out.audit_annotations = apimachinery::string_map(member(*response, "auditAnnotations"));
  RETURN_IF_ERROR(read_patch(out, *response, v1, mutating));
  return out;
}

Status webhook_refusal(std::string_view webhook, const Document& result, std::string* other_reason) {
  std::string_view text = string_at(result, "message"), reason = string_at(result, "reason");
  std::string message = "admission webhook " + go_quote(webhook) + " denied the request";
  if (!text.empty()) message.append(": ").append(text);
  else if (!reason.empty()) message.append(": ").append(reason);
  else message += " without explanation";
  StatusDetails d;
  const Document& details = member(result, "details");
  d.name = string_at(details, "name");
  d.group = string_at(details, "group");
  d.kind = string_at(details, "kind");
  d.uid = string_at(details, "uid");
  d.retry_after_seconds = static_cast<int>(std::clamp<std::int64_t>(apimachinery::int_at(details, "retryAfterSeconds"), 0, std::numeric_limits<std::int32_t>::max()));
  if (const Document& causes = member(details, "causes"); causes.is_array())
    for (const auto& c : causes) d.causes.push_back({std::string(string_at(c, "reason")), std::string(string_at(c, "message")), std::string(string_at(c, "field"))});
  Reason known = reason_from_string(reason);
  if (known == Reason::Success) known = Reason::Unknown;
  if (known == Reason::Unknown && other_reason) *other_reason = reason;
  Status s(known, std::move(message), std::move(d));
  const std::int64_t code = apimachinery::int_at(result, "code");
  s.set_code(code > 999 ? 500 : static_cast<int>(std::max<std::int64_t>(code, 400)));  // a refusal, and no more digits than HTTP has
  return s;
}

}  // namespace onebin::apiserver
