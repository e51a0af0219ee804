// Status: the outcome of an operation, in the shape of metav1.Status, so that an error
// made deep inside a component reaches a client untranslated.
// Source of reasons and codes: Kubernetes API conventions, "Response Status Kind".
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace onebin {

// metav1.StatusReason. `Cancelled` and `Closed` never leave the process: the first says that the
// awaiting task was cancelled, the second that a stream or channel ended.
enum class Reason : std::uint8_t {
  Success,
  Unknown,
  Unauthorized,
  Forbidden,
  NotFound,
  AlreadyExists,
  Conflict,
  Gone,
  Invalid,
  ServerTimeout,
  StoreReadError,
  Timeout,
  TooManyRequests,
  BadRequest,
  MethodNotAllowed,
  NotAcceptable,
  RequestEntityTooLarge,
  UnsupportedMediaType,
  InternalError,
  Expired,
  ServiceUnavailable,
  Cancelled,
  Closed,
};

std::string_view to_string(Reason reason);           // "NotFound"; "" for Success and Unknown
Reason reason_from_string(std::string_view text);    // Unknown when not one of the above
int http_code(Reason reason);                        // 404 for NotFound, ...
Reason reason_from_http_code(int code);              // the inverse, as client-go reads a bare code

// metav1.StatusCause
struct StatusCause {
  std::string type;  // "FieldValueRequired", "FieldValueInvalid", ...
  std::string message;
  std::string field;  // JSON path: "spec.containers[0].name"
};

// metav1.StatusDetails
struct StatusDetails {
  std::string name, group, kind, uid;
  std::vector<StatusCause> causes;
  int retry_after_seconds = 0;
};

// Cheap to move; an OK status holds no memory.
class Status {
 public:
  Status() = default;
  Status(Reason reason, std::string message);
  Status(Reason reason, std::string message, StatusDetails details);
  static Status ok() { return {}; }

  bool is_ok() const { return !rep_; }
  explicit operator bool() const { return is_ok(); }
  Reason reason() const { return rep_ ? rep_->reason : Reason::Success; }
  bool is(Reason r) const { return reason() == r; }
  int code() const;  // HTTP status code; 200 when OK
  const std::string& message() const;
  const StatusDetails& details() const;
  StatusDetails& mutable_details();
  void set_code(int code);
  // The same error with `context + ": "` before its message.
  Status with_context(std::string_view context) const;
  std::string to_string() const;  // "NotFound: pods \"a\" not found"

 private:
  struct Rep {
    Reason reason = Reason::Unknown;
    int code = 0;
    std::string message;
    StatusDetails details;
  };
  std::shared_ptr<Rep> rep_;
};

// Shorthands for the usual errors.
Status bad_request(std::string message);
Status internal_error(std::string message);
Status not_found(std::string_view resource, std::string_view name, std::string_view group = {});
Status already_exists(std::string_view resource, std::string_view name, std::string_view group = {});
Status conflict(std::string_view resource, std::string_view name, std::string_view why, std::string_view group = {});
Status cancelled();
Status timeout(std::string message);
Status closed();
Status from_errno(std::string_view what, int error);  // InternalError, "what: No such file or directory"

}  // namespace onebin
