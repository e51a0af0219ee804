#include "apiserver/audit/writer.hpp"

#include "apiserver/audit/event.hpp"

namespace onebin::apiserver {
namespace {

constexpr std::size_t kMostKept = 8u << 20;   // of a body; a longer one is left out
constexpr std::size_t kStatusSize = 16 * 1024;  // a deletion's answer that may be a Status

}  // namespace

void AuditedWriter::begins(int status, const net::Headers& headers) {
  if (!c_ || !c_->audit) return;
  c_->audit->answered(status);
  bool lasts = is_long_running(*c_);
  keeps_ = !lasts && (c_->audit->wants_response() || c_->info.verb == "delete");
  type_ = headers.get("Content-Type");
  if (lasts) c_->audit->write(AuditStage::ResponseStarted);
}

void AuditedWriter::keep(std::string_view part) {
  if (!keeps_) return;
  if (body_.size() + part.size() <= (c_->audit->wants_response() ? kMostKept : kStatusSize)) {
    body_ += part;
    return;
  }
  keeps_ = false;
  body_ = std::string();
}

async::Task<Result<void>> AuditedWriter::send(int status, net::Headers headers, std::string_view body) {
  begins(status, headers);
  keep(body);
  return to_.send(status, std::move(headers), body);
}

async::Task<Result<void>> AuditedWriter::start(int status, net::Headers headers) {
  begins(status, headers);
  return to_.start(status, std::move(headers));
}

async::Task<Result<void>> AuditedWriter::write(std::string_view chunk) {
  keep(chunk);
  return to_.write(chunk);
}

async::Task<Result<net::StreamPtr>> AuditedWriter::upgrade(net::Headers headers) {
  begins(101, headers);
  return to_.upgrade(std::move(headers));
}

void AuditedWriter::complete(const Result<void>& handled) {
  if (!c_ || !c_->audit) return;
  AuditEvent& e = *c_->audit;
  if (!handled && !handled.is(Reason::Cancelled)) e.refused(handled.status());  // a watch that its client left has not failed
  if (keeps_ && !body_.empty()) e.answered_with(type_, std::move(body_));
  e.write(c_->user.name.empty() ? AuditStage::ResponseStarted : AuditStage::ResponseComplete);
}

}  // namespace onebin::apiserver
