#include <onebin/base/status.hpp>

#include <cstring>
#include <iterator>

namespace onebin {
namespace {
struct ReasonRow {
  Reason reason;
  const char* text;
  int code;
};
constexpr ReasonRow kReasons[] = {
    {Reason::Success, "", 200},
    {Reason::Unknown, "", 500},
    {Reason::Unauthorized, "Unauthorized", 401},
    {Reason::Forbidden, "Forbidden", 403},
    {Reason::NotFound, "NotFound", 404},
    {Reason::AlreadyExists, "AlreadyExists", 409},
    {Reason::Conflict, "Conflict", 409},
    {Reason::Gone, "Gone", 410},
    {Reason::Invalid, "Invalid", 422},
    {Reason::ServerTimeout, "ServerTimeout", 500},
    {Reason::StoreReadError, "StorageReadError", 500},
    {Reason::Timeout, "Timeout", 504},
    {Reason::TooManyRequests, "TooManyRequests", 429},
    {Reason::BadRequest, "BadRequest", 400},
    {Reason::MethodNotAllowed, "MethodNotAllowed", 405},
    {Reason::NotAcceptable, "NotAcceptable", 406},
    {Reason::RequestEntityTooLarge, "RequestEntityTooLarge", 413},
    {Reason::UnsupportedMediaType, "UnsupportedMediaType", 415},
    {Reason::InternalError, "InternalError", 500},
    {Reason::Expired, "Expired", 410},
    {Reason::ServiceUnavailable, "ServiceUnavailable", 503},
    {Reason::Cancelled, "Cancelled", 499},
    {Reason::Closed, "Closed", 499},
};
const ReasonRow& row(Reason r) { return kReasons[static_cast<std::size_t>(r)]; }
const std::string kEmpty;
const StatusDetails kNoDetails;

std::string quoted(std::string_view resource, std::string_view group, std::string_view name, std::string_view what) {
  std::string m(resource);
  if (!group.empty()) m.append(".").append(group);
  m.append(" \"").append(name).append("\" ").append(what);
  return m;
}
StatusDetails details_for(std::string_view resource, std::string_view name, std::string_view group) {
  StatusDetails d;
  d.name = name;
  d.group = group;
  d.kind = resource;
  return d;
}
}  // namespace

std::string_view to_string(Reason reason) { return row(reason).text; }
int http_code(Reason reason) { return row(reason).code; }

Reason reason_from_string(std::string_view text) {
  if (text.empty()) return Reason::Unknown;
  for (const auto& r : kReasons)
    if (text == r.text) return r.reason;
  return Reason::Unknown;
}

Reason reason_from_http_code(int code) {
  switch (code) {
    case 200: case 201: case 202: return Reason::Success;
    case 400: return Reason::BadRequest;
    case 401: return Reason::Unauthorized;
    case 403: return Reason::Forbidden;
    case 404: return Reason::NotFound;
    case 405: return Reason::MethodNotAllowed;
    case 406: return Reason::NotAcceptable;
    case 409: return Reason::Conflict;
    case 410: return Reason::Gone;
    case 413: return Reason::RequestEntityTooLarge;
    case 415: return Reason::UnsupportedMediaType;
    case 422: return Reason::Invalid;
    case 429: return Reason::TooManyRequests;
    case 500: return Reason::InternalError;
    case 503: return Reason::ServiceUnavailable;
    case 504: return Reason::Timeout;
    default: return Reason::Unknown;
  }
}

Status::Status(Reason reason, std::string message) : Status(reason, std::move(message), {}) {}
Status::Status(Reason reason, std::string message, StatusDetails details) {
  if (reason == Reason::Success) return;
  rep_ = std::make_shared<Rep>();
  rep_->reason = reason;
  rep_->code = http_code(reason);
  rep_->message = std::move(message);
  rep_->details = std::move(details);
}

int Status::code() const { return rep_ ? rep_->code : 200; }
const std::string& Status::message() const { return rep_ ? rep_->message : kEmpty; }
const StatusDetails& Status::details() const { return rep_ ? rep_->details : kNoDetails; }

StatusDetails& Status::mutable_details() {
  if (!rep_) rep_ = std::make_shared<Rep>();
  else if (rep_.use_count() > 1) rep_ = std::make_shared<Rep>(*rep_);
  return rep_->details;
}

void Status::set_code(int code) {
  mutable_details();
  rep_->code = code;
}

Status Status::with_context(std::string_view context) const {
  if (!rep_) return {};
  Status s(rep_->reason, std::string(context) + ": " + rep_->message, rep_->details);
  s.rep_->code = rep_->code;
  return s;
}

std::string Status::to_string() const {
  if (!rep_) return "OK";
  auto t = onebin::to_string(rep_->reason);
  return t.empty() ? rep_->message : std::string(t) + ": " + rep_->message;
}

Status bad_request(std::string message) { return {Reason::BadRequest, std::move(message)}; }
Status internal_error(std::string message) { return {Reason::InternalError, std::move(message)}; }
Status not_found(std::string_view resource, std::string_view name, std::string_view group) {
  return {Reason::NotFound, quoted(resource, group, name, "not found"), details_for(resource, name, group)};
}
Status already_exists(std::string_view resource, std::string_view name, std::string_view group) {
  return {Reason::AlreadyExists, quoted(resource, group, name, "already exists"), details_for(resource, name, group)};
}
Status conflict(std::string_view resource, std::string_view name, std::string_view why, std::string_view group) {
  return {Reason::Conflict, "Operation cannot be fulfilled on " + quoted(resource, group, name, "") .substr(0, quoted(resource, group, name, "").size() - 1) + ": " + std::string(why),
          details_for(resource, name, group)};
}
Status cancelled() { return {Reason::Cancelled, "cancelled"}; }
Status timeout(std::string message) { return {Reason::Timeout, std::move(message)}; }
Status closed() { return {Reason::Closed, "closed"}; }
Status from_errno(std::string_view what, int error) {
  return internal_error(std::string(what) + ": " + std::strerror(error));
}

}  // namespace onebin
