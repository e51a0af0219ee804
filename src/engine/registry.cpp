#include "engine/registry.hpp"

#include "engine/digest.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <nlohmann/json.hpp>

#include <cerrno>
#include <fcntl.h>
#include <regex>
#include <sys/stat.h>

namespace onebin::engine {
namespace {

using nlohmann::json;

constexpr std::size_t manifest_limit = 8u << 20;
constexpr std::size_t write_size = 512 * 1024;
constexpr int max_redirects = 8;
constexpr int max_stalled_attempts = 4;
constexpr const char* manifest_types =
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, */*;q=0.1";

bool is_loopback(const std::string& domain) {
  std::string host = domain.substr(0, domain.rfind(':'));
  return host == "localhost" || starts_with(host, "127.") || domain == "localhost" || host == "[::1]";
}

const RegistryAccess* access_of(const RegistriesConfig& config, const net::Url& url) {
  for (const auto& name : {url.authority(), url.host + ":" + std::to_string(url.port), url.host}) {
    if (auto at = config.configs.find(name); at != config.configs.end()) return &at->second;
  }
  if (url.host == "registry-1.docker.io") {
    if (auto at = config.configs.find("docker.io"); at != config.configs.end()) return &at->second;
  }
  return nullptr;
}

std::string text_of(const json& j, const char* key) {
  auto at = j.find(key);
  return at != j.end() && at->is_string() ? at->get<std::string>() : std::string();
}

// A registry's own words for an error, when it has any.
std::string error_text(const std::string& body) {
  json j = json::parse(body, nullptr, false);
  if (!j.is_object() || !j.contains("errors") || !j["errors"].is_array() || j["errors"].empty() || !j["errors"][0].is_object()) return {};
  const auto& e = j["errors"][0];
  std::string code = text_of(e, "code"), message = text_of(e, "message");
  return code + (code.empty() || message.empty() ? "" : ": ") + message;
}

Status error_of(int status, const std::string& what, const std::string& body) {
  std::string text = what + ": " + std::to_string(status) + " " + std::string(net::reason_phrase(status));
  if (auto more = error_text(body); !more.empty()) text += " (" + more + ")";
  return Status(reason_from_http_code(status), std::move(text));
}

class RegistryClient final : public Registry {
 public:
  RegistryClient(Endpoint endpoint, net::Url base, const RegistriesConfig& config, RegistryCredentials credentials)
      : endpoint_(std::move(endpoint)), base_(std::move(base)), config_(config), credentials_(std::move(credentials)) {
    if (auto* access = access_of(config_, base_); access && credentials_.empty()) credentials_ = access->credentials;
    if (!credentials_.registry_token.empty()) authorization_ = "Bearer " + credentials_.registry_token;
  }

  async::Task<Result<Manifest>> manifest(std::string what) override {
    net::Headers headers;
    headers.add("Accept", manifest_types);
    std::string name = endpoint_.repository + ":" + what;
    auto response = co_await get("/v2/" + endpoint_.repository + "/manifests/" + what, headers);
    if (!response) co_return response.status();
    auto body = co_await (*response)->read_body(manifest_limit);
    if (!body) co_return body.status();
    if ((*response)->status != 200) co_return error_of((*response)->status, "manifest of " + name, *body);
    Manifest m;
    m.media_type = std::string(trim((*response)->headers.get("Content-Type")));
    m.media_type = m.media_type.substr(0, m.media_type.find(';'));
    m.digest = digest_of(*body);
    if (valid_digest(what) && m.digest != what) co_return bad_request("manifest of " + name + ": its content is " + m.digest);
    m.content = std::move(*body);
    co_return m;
  }

  async::Task<Result<std::string>> blob(std::string digest, std::uint64_t size) override {
    if (size > manifest_limit) co_return bad_request("blob " + digest + " is too large for a configuration");
    auto response = co_await get(blob_target(digest), {});
    if (!response) co_return response.status();
    auto body = co_await (*response)->read_body(manifest_limit);
    if (!body) co_return body.status();
    if ((*response)->status != 200) co_return error_of((*response)->status, "blob " + digest, *body);
    if (digest_of(*body) != digest) co_return bad_request("blob " + digest + ": its content is " + digest_of(*body));
    co_return std::move(*body);
  }

  async::Task<Result<void>> download(std::string digest, std::uint64_t size, std::string path, std::function<void(std::uint64_t)> on_bytes) override {
    Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    struct stat st;
    if (!file || ::fstat(file.get(), &st) < 0) co_return from_errno("open " + path, errno);
    std::uint64_t at = static_cast<std::uint64_t>(st.st_size);
    if (at > size) at = 0;
    on_bytes(at);
    for (int stalled = 0; at < size;) {
      std::uint64_t before = at;
      Result<void> r = co_await fetch_part(digest, size, file.get(), &at, &on_bytes);
      if (r) break;
      if (r.is(Reason::Cancelled)) co_return r;
      stalled = at > before ? 0 : stalled + 1;
      bool hopeless = r.is(Reason::NotFound) || r.is(Reason::Unauthorized) || r.is(Reason::Forbidden) || r.is(Reason::BadRequest);
      if (hopeless || stalled >= max_stalled_attempts) co_return r;
      CO_RETURN_IF_ERROR(co_await async::sleep_for(250ms * (1 << stalled)));
    }
    if (::ftruncate(file.get(), static_cast<off_t>(size)) < 0) co_return from_errno("truncate " + path, errno);
    if (at != size) co_return bad_request("blob " + digest + " has " + std::to_string(at) + " bytes, not " + std::to_string(size));
    co_return Result<void>();
  }

 private:
  std::string blob_target(const std::string& digest) const { return "/v2/" + endpoint_.repository + "/blobs/" + digest; }

  async::Task<Result<void>> fetch_part(std::string digest, std::uint64_t size, int file, std::uint64_t* at, std::function<void(std::uint64_t)>* on_bytes) {
    net::Headers headers;
    if (*at > 0) headers.add("Range", "bytes=" + std::to_string(*at) + "-");
    auto response = co_await get(blob_target(digest), headers);
    if (!response) co_return response.status();
    int status = (*response)->status;
    if (status != 200 && status != 206) {
      auto body = co_await (*response)->read_body(64 * 1024);
      co_return error_of(status, "blob " + digest, body ? *body : std::string());
    }
    if (status == 200) *at = 0;  // the server sends all of it
    std::string buffer;
    for (bool end = false; !end;) {
      std::size_t have = buffer.size();
      buffer.resize(have + 64 * 1024);
      Result<std::size_t> n = co_await (*response)->read_some(buffer.data() + have, 64 * 1024);
      buffer.resize(have + (n ? *n : 0));
      end = !n || *n == 0;
      if (*at + buffer.size() > size) co_return bad_request("blob " + digest + " is longer than its manifest says");
      if (!end && buffer.size() < write_size) continue;
      std::uint64_t offset = *at;
      Result<void> written = co_await async::run_blocking([file, offset, &buffer]() -> Result<void> {
        for (std::size_t done = 0; done < buffer.size();) {
          ssize_t w = ::pwrite(file, buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
          if (w < 0 && errno != EINTR) return from_errno("write a download", errno);
          if (w > 0) done += static_cast<std::size_t>(w);
        }
        return {};
      });
      CO_RETURN_IF_ERROR(written);
      *at += buffer.size();
      buffer.clear();
      (*on_bytes)(*at);
      if (!n) co_return n.status();
    }
    if (*at < size) co_return Status(Reason::ServiceUnavailable, "blob " + digest + " ended too early");
    co_return Result<void>();
  }

  Result<net::HttpClient*> client_for(const net::Url& url) {
    std::string origin = url.scheme + "://" + url.authority();
    if (auto at = clients_.find(origin); at != clients_.end()) return at->second.get();
    net::ClientConfig c;
    c.base_url = origin;
    c.body_stall_timeout = 60s;
    c.user_agent = "onebin/" ONEBIN_VERSION;
    if (url.scheme == "https") {
      net::TlsClientConfig tls;
      tls.system_roots = true;
      if (auto* access = access_of(config_, url)) {
        tls.insecure = access->insecure_skip_verify;
        auto load = [](const std::string& path, std::string& into) -> Result<void> {
          if (path.empty()) return {};
          ASSIGN_OR_RETURN(into, read_file(path));
          return {};
        };
        RETURN_IF_ERROR(load(access->ca_file, tls.ca_pem));
        RETURN_IF_ERROR(load(access->cert_file, tls.certificate_pem));
        RETURN_IF_ERROR(load(access->key_file, tls.key_pem));
      }
      ASSIGN_OR_RETURN(auto context, net::TlsClientContext::create(tls));
      c.tls = [context] { return context; };
    }
    ASSIGN_OR_RETURN(auto client, net::HttpClient::create(std::move(c)));
    auto* raw = client.get();
    clients_[origin] = std::move(client);
    return raw;
  }

  // GET with authentication and redirects. The authorization goes to the registry itself only.
  async::Task<Result<net::ClientResponsePtr>> get(std::string target, net::Headers headers) {
    std::string path = base_.path;
    if (!path.empty() && path.back() == '/') path.pop_back();
    target = path + target;
    if (!endpoint_.name_space.empty()) target += "?ns=" + net::percent_encode(endpoint_.name_space);
    for (int attempt = 0; attempt < 2; ++attempt) {
      CO_ASSIGN_OR_RETURN(net::HttpClient * client, client_for(base_));
      net::ClientRequest request;
      request.target = target;
      request.headers = headers;
      if (!authorization_.empty()) request.headers.add("Authorization", authorization_);
      Result<net::ClientResponsePtr> response = co_await client->request(std::move(request));
      if (!response) co_return response.status().with_context(endpoint_.url);
      if ((*response)->status != 401 || attempt > 0) co_return co_await follow(std::move(*response), base_, headers);
      auto challenge = parse_challenge(join_values((*response)->headers.all("WWW-Authenticate")));
      auto body = co_await (*response)->read_body(64 * 1024);
      if (!challenge) co_return error_of(401, endpoint_.url, body ? *body : std::string());
      response->reset();
      Result<void> r = co_await authenticate(std::move(*challenge));
      if (!r) co_return r.status();
    }
    co_return internal_error("unreachable");
  }

  static std::string join_values(const std::vector<std::string_view>& values) {
    std::string out;
    for (auto v : values) out += (out.empty() ? "" : ", ") + std::string(v);
    return out;
  }

  async::Task<Result<net::ClientResponsePtr>> follow(net::ClientResponsePtr response, net::Url from, net::Headers headers) {
    for (int hops = 0; hops < max_redirects; ++hops) {
      int s = response->status;
      if (s != 301 && s != 302 && s != 303 && s != 307 && s != 308) co_return std::move(response);
      std::string location(response->headers.get("Location"));
      response.reset();
      if (!location.empty() && location[0] == '/') location = from.scheme + "://" + from.authority() + location;
      auto url = net::parse_url(location);
      if (!url || (url->scheme != "https" && url->scheme != "http")) co_return bad_request("bad redirect to \"" + location + "\"");
      if (from.scheme == "https" && url->scheme == "http") co_return bad_request("a redirect from https to http is not followed");
      from = *url;
      CO_ASSIGN_OR_RETURN(net::HttpClient * client, client_for(from));
      net::ClientRequest request;
      request.target = from.target();
      request.headers = headers;
      if (from.scheme == base_.scheme && from.authority() == base_.authority() && !authorization_.empty()) {
        request.headers.add("Authorization", authorization_);
      }
      Result<net::ClientResponsePtr> next = co_await client->request(std::move(request));
      if (!next) co_return next.status().with_context(from.authority());
      response = std::move(*next);
    }
    co_return bad_request("too many redirects");
  }

  async::Task<Result<void>> authenticate(Challenge challenge) {
    std::string basic = credentials_.username.empty() && credentials_.password.empty()
                            ? std::string()
                            : "Basic " + base64_encode(credentials_.username + ":" + credentials_.password);
    if (challenge.scheme == "basic") {
      if (basic.empty()) co_return Status(Reason::Unauthorized, endpoint_.url + ": authentication required");
      authorization_ = basic;
      co_return Result<void>();
    }
    auto realm = net::parse_url(challenge.parameters["realm"]);
    if (!realm) co_return bad_request(endpoint_.url + ": bad authentication realm");
    if (base_.scheme == "https" && realm->scheme != "https") co_return bad_request(endpoint_.url + ": the authentication realm is not https");
    std::string scope = challenge.parameters["scope"];
    if (scope.empty()) scope = "repository:" + endpoint_.repository + ":pull";
    net::Query query = net::Query::parse(realm->query);
    query.add("service", challenge.parameters["service"]);
    query.add("scope", scope);
    net::ClientRequest request;
    if (!credentials_.identity_token.empty()) {
      query.add("grant_type", "refresh_token");
      query.add("client_id", "onebin");
      query.add("refresh_token", credentials_.identity_token);
      request.method = "POST";
      request.target = realm->path.empty() ? "/" : realm->path;
      request.headers.add("Content-Type", "application/x-www-form-urlencoded");
      request.body = query.encode();
    } else {
      request.target = (realm->path.empty() ? "/" : realm->path) + "?" + query.encode();
      if (!basic.empty()) request.headers.add("Authorization", basic);
    }
    CO_ASSIGN_OR_RETURN(net::HttpClient * client, client_for(*realm));
    auto answer = co_await client->fetch(std::move(request), 1u << 20);
    if (!answer) co_return answer.status().with_context(realm->authority());
    if (!answer->ok()) co_return error_of(answer->status, "token from " + realm->authority(), answer->body);
    json j = json::parse(answer->body, nullptr, false);
    std::string token = j.is_object() ? text_of(j, "token") : std::string();
    if (token.empty() && j.is_object()) token = text_of(j, "access_token");
    if (token.empty()) co_return Status(Reason::Unauthorized, realm->authority() + " gave no token");
    authorization_ = "Bearer " + token;
    co_return Result<void>();
  }

  Endpoint endpoint_;
  net::Url base_;
  const RegistriesConfig& config_;
  RegistryCredentials credentials_;
  std::string authorization_;
  std::map<std::string, std::unique_ptr<net::HttpClient>> clients_;
};

// An endpoint as written in a mirror list: with or without scheme, with or without "/v2".
std::string endpoint_url(std::string text) {
  if (text.find("://") == std::string::npos) text = (is_loopback(text.substr(0, text.find('/'))) ? "http://" : "https://") + text;
  while (ends_with(text, "/")) text.pop_back();
  if (ends_with(text, "/v2")) text.resize(text.size() - 3);
  return text;
}

Result<std::string> rewrite(const RegistryMirror& mirror, const std::string& repository) {
  for (const auto& [pattern, replacement] : mirror.rewrites) {
    try {
      std::regex re(pattern);
      if (std::regex_search(repository, re)) return std::regex_replace(repository, re, replacement, std::regex_constants::format_first_only);
    } catch (const std::regex_error&) {
      return bad_request("registries: bad regular expression \"" + pattern + "\"");
    }
  }
  return repository;
}

}  // namespace

Result<std::vector<Endpoint>> endpoints_of(const Reference& reference, const RegistriesConfig& config) {
  std::vector<Endpoint> out;
  auto mirror = config.mirrors.find(reference.domain);
  if (mirror == config.mirrors.end()) mirror = config.mirrors.find("*");
  if (mirror != config.mirrors.end()) {
    for (const auto& e : mirror->second.endpoints) {
      ASSIGN_OR_RETURN(std::string repository, rewrite(mirror->second, reference.path));
      out.push_back({endpoint_url(e), repository, reference.domain});
    }
  }
  std::string own = reference.domain == "docker.io" ? "https://registry-1.docker.io" : endpoint_url(reference.domain);
  out.push_back({own, reference.path, ""});
  return out;
}

std::optional<Challenge> parse_challenge(std::string_view header) {
  Challenge best;
  for (std::size_t at = 0; at < header.size();) {
    auto skip = [&] { while (at < header.size() && (header[at] == ' ' || header[at] == ',')) ++at; };
    auto token = [&] {
      std::size_t begin = at;
      while (at < header.size() && header[at] != ' ' && header[at] != ',' && header[at] != '=') ++at;
      return std::string(header.substr(begin, at - begin));
    };
    skip();
    Challenge c;
    c.scheme = to_lower(token());
    while (at < header.size()) {
      skip();
      std::size_t before = at;
      std::string key = to_lower(token());
      if (at >= header.size() || header[at] != '=' || key.empty()) {
        at = before;  // the next challenge's scheme
        break;
      }
      ++at;
      std::string value;
      if (at < header.size() && header[at] == '"') {
        for (++at; at < header.size() && header[at] != '"'; ++at) {
          if (header[at] == '\\' && at + 1 < header.size()) ++at;
          value += header[at];
        }
        if (at < header.size()) ++at;
      } else {
        value = token();
      }
      c.parameters[key] = value;
    }
    if (c.scheme == "bearer") return c;
    if (c.scheme == "basic") best = c;
    if (c.scheme.empty()) break;
  }
  if (best.scheme.empty()) return std::nullopt;
  return best;
}

Result<std::unique_ptr<Registry>> Registry::create(Endpoint endpoint, const RegistriesConfig& config, RegistryCredentials credentials) {
  ASSIGN_OR_RETURN(net::Url url, net::parse_url(endpoint.url));
  if (url.scheme != "http" && url.scheme != "https") return bad_request("registry endpoint \"" + endpoint.url + "\": neither http nor https");
  return std::unique_ptr<Registry>(new RegistryClient(std::move(endpoint), std::move(url), config, std::move(credentials)));
}

}  // namespace onebin::engine
