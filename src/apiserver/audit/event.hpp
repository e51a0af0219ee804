// One request's way into the audit log: what is gathered of it, and a line at each of its stages.
#pragma once
#include "apiserver/audit/log.hpp"
#include "apiserver/audit/policy.hpp"

#include <onebin/apimachinery/document.hpp>

#include <map>

namespace onebin::apiserver {

struct RequestContext;

class AuditEvent {
 public:
  // `c` must outlive it; its user is known, or nobody where authentication failed.
  AuditEvent(AuditLog& log, const RequestContext& c, AuditDecision decision);

  AuditLevel level() const { return decision_.level; }
  bool wants_response() const { return level() == AuditLevel::RequestResponse; }

  void impersonated(const UserInfo& user);
  // What the request brought, as it was decoded; a patch only from Request on.
  void object(const apimachinery::Document& object);
  void patch(const apimachinery::Document& patch);
  // The first value of a key stays.
  void annotate(std::string key, std::string value);
  void refused(const Status& status) { refused_ = status; }
  // The answer: its code, and where it is wanted its body. A Status is part of the event at every level.
  void answered(int code) { code_ = code; }
  void answered_with(std::string_view content_type, std::string body);

  void write(AuditStage stage);

 private:
  std::string line(AuditStage stage) const;
  apimachinery::Document reference() const;
  apimachinery::Document response_status() const;

  AuditLog& log_;
  const RequestContext& c_;
  AuditDecision decision_;
  apimachinery::Document user_, impersonated_, request_, response_, status_;  // null: none
  std::string name_, ns_, uid_, resource_version_;  // of the object, where the path does not say
  std::map<std::string, std::string> annotations_;
  Status refused_;
  int code_ = 0;
};

// The policy and the log that requests are held against.
class Auditor {
 public:
  // None where no policy is given.
  static Result<std::unique_ptr<Auditor>> make(const AuditOptions& options, Clock& clock);
  // Null where the policy wants nothing of the request.
  std::shared_ptr<AuditEvent> begin(const RequestContext& c) const;

 private:
  AuditPolicy policy_;
  std::unique_ptr<AuditLog> log_;
};

}  // namespace onebin::apiserver
