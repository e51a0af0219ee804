#include <onebin/net/http.hpp>

#include <onebin/base/bytes.hpp>

#include <cstring>

namespace onebin::net {

std::string_view Headers::get(std::string_view name) const {
  for (auto& [n, v] : fields_) if (iequals(n, name)) return v;
  return {};
}
bool Headers::has(std::string_view name) const {
  for (auto& [n, v] : fields_) if (iequals(n, name)) return true;
  return false;
}
std::vector<std::string_view> Headers::all(std::string_view name) const {
  std::vector<std::string_view> out;
  for (auto& [n, v] : fields_) if (iequals(n, name)) out.push_back(v);
  return out;
}
bool Headers::has_token(std::string_view name, std::string_view token) const {
  for (auto& [n, v] : fields_) {
    if (!iequals(n, name)) continue;
    std::string_view rest = v;
    while (!rest.empty()) {
      auto comma = rest.find(',');
      if (iequals(trim(rest.substr(0, comma)), token)) return true;
      if (comma == rest.npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  return false;
}
std::vector<std::string> Headers::list(std::string_view name) const {
  std::vector<std::string> out;
  for (std::string_view v : all(name))
    for (const std::string& part : split(v, ',')) {
      std::string_view t = trim(part);
      if (!t.empty()) out.emplace_back(t);
    }
  return out;
}
void Headers::set(std::string name, std::string value) {
  remove(name);
  add(std::move(name), std::move(value));
}
void Headers::remove(std::string_view name) {
  std::erase_if(fields_, [&](const Field& f) { return iequals(f.first, name); });
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Request Entity Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Entity";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
  }
}

namespace {
class StringBody final : public BodyReader {
 public:
  explicit StringBody(std::string body) : body_(std::move(body)) {}
  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override {
    std::size_t n = std::min(size, body_.size() - at_);
    std::memcpy(data, body_.data() + at_, n);
    at_ += n;
    co_return Result<std::size_t>(n);
  }

 private:
  std::string body_;
  std::size_t at_ = 0;
};
}  // namespace

std::unique_ptr<BodyReader> string_body(std::string body) { return std::make_unique<StringBody>(std::move(body)); }

Result<void> Request::set_target(std::string text) {
  target = std::move(text);
  std::string_view rest = target;
  if (auto scheme = rest.find("://"); !rest.empty() && rest[0] != '/' && scheme != rest.npos) {
    auto slash = rest.find('/', scheme + 3);
    host = rest.substr(scheme + 3, slash == rest.npos ? slash : slash - scheme - 3);
    rest = slash == rest.npos ? std::string_view("/") : rest.substr(slash);
  }
  auto mark = rest.find('?');
  query = mark == rest.npos ? std::string_view() : rest.substr(mark + 1);
  raw_path = rest.substr(0, mark);
  auto decoded = percent_decode(raw_path);
  if (!decoded) return bad_request("malformed escape in the request's path");
  path = std::move(*decoded);
  return {};
}

Task<Result<std::string>> Request::read_body(std::size_t limit) {
  std::string all;
  Status too_large(Reason::RequestEntityTooLarge, "limit is " + std::to_string(limit));
  if (content_length >= 0) {
    if (static_cast<std::uint64_t>(content_length) > limit) co_return too_large;
    all.reserve(static_cast<std::size_t>(content_length));
  }
  std::size_t chunk = content_length >= 0 ? static_cast<std::size_t>(content_length) : 16 * 1024;
  chunk = std::max<std::size_t>(1, std::min<std::size_t>(chunk, 256 * 1024));
  std::size_t used = 0;
  for (;;) {
    if (content_length >= 0 && used == static_cast<std::size_t>(content_length)) chunk = 1;
    all.resize(used + chunk);
    Result<std::size_t> n = co_await body->read_some(all.data() + used, chunk);
    if (!n) co_return n.status();
    used += *n;
    if (*n == 0) break;
    if (used > limit) co_return too_large;
    if (content_length < 0) chunk = std::min<std::size_t>(std::max<std::size_t>(chunk, used / 2), 1u << 20);
    else chunk = std::min<std::size_t>(chunk, static_cast<std::size_t>(content_length) - std::min<std::size_t>(used, static_cast<std::size_t>(content_length)));
  }
  all.resize(used);
  co_return Result<std::string>(std::move(all));
}

}  // namespace onebin::net
