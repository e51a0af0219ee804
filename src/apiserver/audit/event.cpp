#include "apiserver/audit/event.hpp"

#include "apiserver/core.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/user_document.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/base/bytes.hpp>

namespace onebin::apiserver {
namespace {

using apimachinery::Document;
using apimachinery::find_member;
using apimachinery::string_at;

void drop_managed_fields(Document& object) {
  apimachinery::erase_meta(object, "managedFields");
  if (Document* items = find_member(object, "items"); items && items->is_array())
    for (Document& item : *items) apimachinery::erase_meta(item, "managedFields");
}

// A body in any of the formats that answers have; null where it cannot be read.
Document read_answer(std::string_view content_type, std::string_view body) {
  Result<Document> d = Document();
  if (content_type.find("protobuf") != std::string_view::npos) {
    auto envelope = apimachinery::open_envelope(body);
    if (!envelope) return nullptr;
    std::size_t slash = envelope->api_version.find('/');
    bool core = slash == std::string::npos;
    const KindSchema* kind = api::find_kind(core ? "" : envelope->api_version.substr(0, slash), core ? envelope->api_version : envelope->api_version.substr(slash + 1), envelope->kind);
    if (!kind) return nullptr;
    d = apimachinery::decode_protobuf(body, *kind->type);
  } else if (content_type.find("json") != std::string_view::npos) {
    d = apimachinery::decode_json(body, nullptr);
  } else if (content_type.find("yaml") != std::string_view::npos) {
    d = apimachinery::decode_yaml(body, nullptr);
  }
  return d && d->is_object() ? std::move(*d) : Document();
}

void append_text(std::string& out, std::string_view name, std::string_view value) {
  out.append(",\"").append(name).append("\":");
  apimachinery::append_json_string(out, value);
}

void append_member(std::string& out, std::string_view name, const Document& value) {
  if (value.is_null()) return;
  out.append(",\"").append(name).append("\":");
  apimachinery::append_json(out, value, nullptr);
}

}  // namespace

AuditEvent::AuditEvent(AuditLog& log, const RequestContext& c, AuditDecision decision) : log_(log), c_(c), decision_(decision), user_(user_document(c.user)) {}

void AuditEvent::impersonated(const UserInfo& user) { impersonated_ = user_document(user); }

void AuditEvent::object(const Document& object) {
  if (name_.empty()) name_ = apimachinery::name_of(object);
  if (ns_.empty()) ns_ = apimachinery::namespace_of(object);
  if (uid_.empty()) uid_ = apimachinery::uid_of(object);
  if (resource_version_.empty()) resource_version_ = apimachinery::resource_version_of(object);
  if (level() < AuditLevel::Request) return;
  request_ = object;
  if (decision_.omit_managed_fields) drop_managed_fields(request_);
}

void AuditEvent::patch(const Document& patch) {
  if (level() >= AuditLevel::Request) request_ = patch;
}

void AuditEvent::annotate(std::string key, std::string value) { annotations_.try_emplace(std::move(key), std::move(value)); }

void AuditEvent::answered_with(std::string_view content_type, std::string body) {
  Document d = read_answer(content_type, body);
  if (d.is_null()) return;
  if (string_at(d, "kind") == "Status" && string_at(d, "apiVersion") == "v1") status_ = d;
  if (!wants_response()) return;
  response_ = std::move(d);
  if (decision_.omit_managed_fields) drop_managed_fields(response_);
}

Document AuditEvent::reference() const {
  const RequestInfo& i = c_.info;
  Document out = Document::object();
  auto put = [&out](const char* name, std::string_view value) {
    if (!value.empty()) out[name] = value;
  };
  put("resource", i.resource);
  put("namespace", i.ns.empty() ? ns_ : i.ns);
  put("name", i.name.empty() ? name_ : i.name);
  put("uid", uid_);
  put("apiGroup", i.group);
  put("apiVersion", i.version);
  put("resourceVersion", resource_version_);
  put("subresource", i.subresource);
  return out;
}

Document AuditEvent::response_status() const {
  Document out = status_;
  if (out.is_null() && !refused_.is_ok()) out = status_document(refused_);
  if (out.is_null()) out = Document::object();
  for (const char* name : {"kind", "apiVersion"}) out.erase(name);
  out["metadata"] = Document::object();
  if (code_) out["code"] = code_;
  return out;
}

std::string AuditEvent::line(AuditStage stage) const {
  std::string out = R"({"kind":"Event","apiVersion":"audit.k8s.io/v1")";
  append_text(out, "level", to_string(level()));
  append_text(out, "auditID", c_.audit_id);
  append_text(out, "stage", to_string(stage));
  append_text(out, "requestURI", c_.request.target);
  append_text(out, "verb", c_.info.verb);
  append_member(out, "user", user_);
  append_member(out, "impersonatedUser", impersonated_);
  if (const std::string& ip = c_.request.peer->remote_host; !ip.empty()) append_member(out, "sourceIPs", Document::array({ip}));
  if (!c_.user_agent.empty()) append_text(out, "userAgent", c_.user_agent);
  if (c_.info.is_resource) append_member(out, "objectRef", reference());
  if (stage != AuditStage::RequestReceived) {
    append_member(out, "responseStatus", response_status());
    append_member(out, "requestObject", request_);
    if (stage == AuditStage::ResponseComplete) append_member(out, "responseObject", response_);
  }
  append_text(out, "requestReceivedTimestamp", format_rfc3339_micro(c_.now));
  append_text(out, "stageTimestamp", format_rfc3339_micro(c_.core.clock().wall()));
  if (!annotations_.empty()) append_member(out, "annotations", Document(annotations_));
  return out += '}';
}

void AuditEvent::write(AuditStage stage) {
  if (!decision_.omitted[static_cast<std::size_t>(stage)]) log_.write(line(stage));
}

Result<std::unique_ptr<Auditor>> Auditor::make(const AuditOptions& options, Clock& clock) {
  auto out = std::make_unique<Auditor>();
  if (options.policy.empty()) return std::unique_ptr<Auditor>();
  ASSIGN_OR_RETURN(out->policy_, AuditPolicy::parse(options.policy));
  ASSIGN_OR_RETURN(out->log_, AuditLog::open(options, clock));
  return out;
}

std::shared_ptr<AuditEvent> Auditor::begin(const RequestContext& c) const {
  AuditDecision d = policy_.decide(attributes_of(c.user, c.info));
  if (d.level == AuditLevel::None) return nullptr;
  return std::make_shared<AuditEvent>(*log_, c, d);
}

}  // namespace onebin::apiserver
