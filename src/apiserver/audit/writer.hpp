// AuditedWriter: an answer's way past the audit log, which notes its code, its beginning where it lasts, and its body where
// that is wanted.
#pragma once
#include "apiserver/core.hpp"

namespace onebin::apiserver {

class AuditedWriter final : public net::ResponseWriter {
 public:
  explicit AuditedWriter(net::ResponseWriter& to) : to_(to) {}
  // From now on; `c` is of this request and its event may come later.
  void follow(RequestContext* c) { c_ = c; }

  async::Task<Result<void>> send(int status, net::Headers headers, std::string_view body) override;
  async::Task<Result<void>> start(int status, net::Headers headers) override;
  async::Task<Result<void>> write(std::string_view chunk) override;
  async::Task<Result<void>> flush() override { return to_.flush(); }
  async::Task<Result<void>> finish() override { return to_.finish(); }
  void abort() override { to_.abort(); }
  async::Task<Result<net::StreamPtr>> upgrade(net::Headers headers) override;
  void set_write_timeout(Duration timeout) override { to_.set_write_timeout(timeout); }
  bool started() const override { return to_.started(); }
  int status() const override { return to_.status(); }
  std::uint64_t body_bytes() const override { return to_.body_bytes(); }

  // The answer is over: its last line.
  void complete(const Result<void>& handled);

 private:
  void begins(int status, const net::Headers& headers);
  void keep(std::string_view part);

  net::ResponseWriter& to_;
  RequestContext* c_ = nullptr;
  std::string type_, body_;
  bool keeps_ = false;
};

}  // namespace onebin::apiserver
