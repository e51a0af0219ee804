// What an HTTP handler sees, whichever version of HTTP, and whether it came by a socket or from inside the process.
#pragma once
#include <onebin/net/stream.hpp>
#include <onebin/net/tls.hpp>
#include <onebin/net/url.hpp>

#include <initializer_list>
#include <utility>
#include <vector>

namespace onebin::net {

// Header fields in order; names compare without case. Names and values given to a server or client are written as they
// are: a value with CR, LF or NUL is dropped by the writer.
class Headers {
 public:
  using Field = std::pair<std::string, std::string>;
  Headers() = default;
  Headers(std::initializer_list<Field> fields) : fields_(fields) {}
  std::string_view get(std::string_view name) const;   // first, "" when absent
  bool has(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;
  // Whether one of the comma-separated tokens of `name`'s values is `token` (without case): Connection, Upgrade, TE.
  bool has_token(std::string_view name, std::string_view token) const;
  // The comma-separated elements of all of `name`'s values, trimmed.
  std::vector<std::string> list(std::string_view name) const;
  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  void set(std::string name, std::string value);       // replaces all
  void remove(std::string_view name);
  std::size_t size() const { return fields_.size(); }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<Field> fields_;
};
std::string_view reason_phrase(int status);

// The bytes of a message's body. One read at a time.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  virtual Task<Result<std::size_t>> read_some(char* data, std::size_t size) = 0;  // 0: the end
};
std::unique_ptr<BodyReader> string_body(std::string body);

struct Request {
  std::string method;
  std::string target;    // as received: path?query
  std::string path;      // decoded
  std::string raw_path;  // not decoded
  std::string query;     // raw; Query::parse reads it
  std::string host;      // Host or :authority
  Headers headers;
  int version = 11;      // 10, 11, 20
  std::int64_t content_length = -1;      // -1: not told
  std::shared_ptr<const PeerInfo> peer;  // never null
  std::unique_ptr<BodyReader> body;      // never null inside a handler

  // Sets target, raw_path, path and query; BadRequest for a malformed escape.
  Result<void> set_target(std::string target);
  // The whole body. RequestEntityTooLarge past `limit` (the server then closes the connection after the answer).
  Task<Result<std::string>> read_body(std::size_t limit);
  Task<Result<std::size_t>> read_some(char* data, std::size_t size) { return body->read_some(data, size); }
};

// The answer. Either send(), or start() then write()... then finish(); or upgrade(). A handler that returns after start()
// is finished for it (its body is then complete); one that returns without an answer gives 500. Calls do not overlap.
// When the client goes away the handler's task is cancelled, and these return Cancelled or Closed.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  // The whole answer: Content-Length is added. For HEAD the body is left out.
  virtual Task<Result<void>> send(int status, Headers headers, std::string_view body) = 0;
  // An answer whose body follows. Without Content-Length among `headers`: chunked (HTTP/1.1), until close (1.0).
  // Nothing need reach the client before the first flush() or full buffer.
  virtual Task<Result<void>> start(int status, Headers headers) = 0;
  // Buffers small chunks (up to 16 KB in all); a full buffer is written out, waiting for the client to take it.
  virtual Task<Result<void>> write(std::string_view chunk) = 0;
  virtual Task<Result<void>> flush() = 0;
  virtual Task<Result<void>> finish() = 0;
  // Ends a started answer so that the client sees it cut short, not complete: closes the connection or resets the stream.
  virtual void abort() = 0;
  // 101 Switching Protocols with `headers` (Upgrade among them; Connection is added). HTTP/1.1 only: BadRequest otherwise.
  // The caller owns the connection from here on.
  virtual Task<Result<StreamPtr>> upgrade(Headers headers) = 0;
  // In place of the server's write_timeout, for answers that a client may rightly leave standing (followed logs). 0: none.
  virtual void set_write_timeout(Duration) {}
  virtual bool started() const = 0;             // send, start or upgrade was called
  virtual int status() const = 0;               // 0 before
  virtual std::uint64_t body_bytes() const = 0; // handed to write() and send()
};

// Request and ResponseWriter live until the task ends.
using Handler = std::function<Task<void>(Request&, ResponseWriter&)>;

}  // namespace onebin::net
