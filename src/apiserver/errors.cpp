#include "apiserver/errors.hpp"

#include <onebin/apimachinery/field_error.hpp>

namespace onebin::apiserver {
namespace {

std::string qualified(std::string_view group, std::string_view resource) {
  std::string s(resource);
  if (!group.empty()) s.append(".").append(group);
  return s;
}

StatusDetails details_of(std::string_view group, std::string_view resource, std::string_view name) {
  StatusDetails d;
  d.group = group;
  d.kind = resource;
  d.name = name;
  return d;
}

}  // namespace

Document status_document(const Status& status, std::string_view continue_token) {
  Document d = {{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Document::object()}, {"status", "Failure"},
                {"message", status.message()}, {"code", status.code()}};
  if (!continue_token.empty()) d["metadata"]["continue"] = continue_token;
  if (std::string_view reason = to_string(status.reason()); !reason.empty()) d["reason"] = reason;
  const StatusDetails& in = status.details();
  Document out = Document::object();
  if (!in.name.empty()) out["name"] = in.name;
  if (!in.group.empty()) out["group"] = in.group;
  if (!in.kind.empty()) out["kind"] = in.kind;
  if (!in.uid.empty()) out["uid"] = in.uid;
  if (in.retry_after_seconds) out["retryAfterSeconds"] = in.retry_after_seconds;
  for (const auto& c : in.causes) {
    Document cause = Document::object();
    if (!c.type.empty()) cause["reason"] = c.type;
    if (!c.message.empty()) cause["message"] = c.message;
    if (!c.field.empty()) cause["field"] = c.field;
    out["causes"].push_back(std::move(cause));
  }
  // Errors that no registry made have empty details, as clients of upstream see them.
  bool bare = status.is(Reason::NotFound) || status.is(Reason::MethodNotAllowed) || status.is(Reason::Invalid) ||
              (status.is(Reason::NotAcceptable) && status.message().starts_with("406:")) || (status.is(Reason::UnsupportedMediaType) && status.message().starts_with("415:"));
  if (!out.empty() || bare) d["details"] = std::move(out);
  return d;
}

Document success_document(std::string_view group, std::string_view resource, std::string_view name, std::string_view uid) {
  Document details = {{"name", name}, {"kind", resource}};
  if (!group.empty()) details["group"] = group;
  if (!uid.empty()) details["uid"] = uid;
  return {{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Document::object()}, {"status", "Success"}, {"details", std::move(details)}};
}

Status optimistic_lock_conflict(std::string_view group, std::string_view resource, std::string_view name) {
  return conflict(resource, name,
                  "the object has been modified; please apply your changes to the latest version and try again", group);
}

Status resource_expired(std::string message) { return Status(Reason::Expired, std::move(message)); }

Status forbidden(std::string_view group, std::string_view resource, std::string_view name, std::string_view why) {
  std::string message = qualified(group, resource);
  if (!name.empty()) message.append(" \"").append(name).append("\"");
  message.append(" is forbidden: ").append(why);
  return Status(Reason::Forbidden, std::move(message), details_of(group, resource, name));
}

Status method_not_supported(std::string_view group, std::string_view resource, std::string_view action) {
  std::string message(action);
  message.append(" is not supported on resources of kind \"").append(qualified(group, resource)).append("\"");
  return Status(Reason::MethodNotAllowed, std::move(message), details_of(group, resource, ""));
}

Status generic_not_found() {
  Status s(Reason::NotFound, "the server could not find the requested resource");
  return s;
}

Status method_not_allowed() { return Status(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource"); }

Status too_large_resource_version(std::int64_t asked, std::int64_t current) {
  Status s(Reason::Timeout, "Timeout: Too large resource version: " + std::to_string(asked) + ", current: " + std::to_string(current));
  s.mutable_details().causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
  s.mutable_details().retry_after_seconds = 1;
  return s;
}

std::string unsigned_error(std::string_view text) {
  bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  return "strconv.ParseUint: parsing " + apimachinery::go_quote(text) + (digits ? ": value out of range" : ": invalid syntax");
}

std::string resource_version_error(std::string_view text) {
  return "resourceVersion: Invalid value: " + apimachinery::go_quote(text) + ": " + unsigned_error(text);
}

Status server_timeout(std::string_view group, std::string_view resource, std::string_view operation, int retry_after) {
  std::string message = "The ";
  message.append(operation).append(" operation against ").append(qualified(group, resource)).append(" could not be completed at this time, please try again.");
  StatusDetails d = details_of(group, resource, operation);
  d.retry_after_seconds = retry_after;
  return Status(Reason::ServerTimeout, std::move(message), std::move(d));
}

Status internal_error_occurred(std::string_view what) {
  Status s = internal_error("Internal error occurred: " + std::string(what));
  s.mutable_details().causes.push_back({"", std::string(what), ""});
  return s;
}

Status too_many_requests(std::string message, int retry_after) {
  Status s(Reason::TooManyRequests, std::move(message));
  s.mutable_details().retry_after_seconds = retry_after;
  return s;
}

}  // namespace onebin::apiserver
