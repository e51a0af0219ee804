#include "apiserver/webhook/client.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/net/tls_error.hpp>

namespace onebin::apiserver {

using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::string_at;

namespace {

constexpr std::size_t kMaxAnswer = 32u << 20, kShown = 1024;

// What a client makes of an answer that is no success, as client-go has it.
std::string refusal(int code, std::string_view body) {
  switch (code) {
    case 400: return "the server rejected our request for an unknown reason";
    case 401: return "the server has asked for the client to provide credentials";
    case 403: return body.empty() ? std::string("the server does not allow access to the requested resource") : std::string(body);
    case 404: return "the server could not find the requested resource";
    case 405: return "the server does not allow this method on the requested resource";
    case 406: return "the server was unable to respond with a content type that the client supports";
    case 409: return "the server reported a conflict";
    case 410: return "the resource requested is no longer available";
    case 413: return "Request entity too large: " + std::string(body);
    case 415: return "the body of the request was in an unknown format - accepted media types include: ";
    case 422: return "the server rejected our request due to an error in our request";
    case 429: return "the server has received too many requests and has asked us to try again later";
    case 503: return "the server is currently unable to handle the request";
    case 504: return "the server was unable to return a response in the time allotted, but may still be processing the request";
    default:
      if (code >= 500) return "an error on the server (" + go_quote(body.empty() ? std::string_view("unknown") : body) + ") has prevented the request from succeeding";
      return "the server responded with the status code " + std::to_string(code) + " but did not return more details";
  }
}

std::string transport_error(const Status& s) {
  if (s.is(Reason::Timeout)) return "context deadline exceeded";
  if (net::is_unknown_authority(s)) return "tls: failed to verify certificate: x509: certificate signed by unknown authority";
  return s.message();
}

async::Task<Result<net::WholeResponse>> exchange(net::HttpClient* client, net::ClientRequest request) {
  co_return co_await client->fetch(std::move(request), kMaxAnswer);
}

}  // namespace

WebhookTarget WebhookTarget::of(const Document& c) {
  WebhookTarget t;
  if (auto ca = base64_decode(string_at(c, "caBundle")); ca && !trim(*ca).empty()) t.ca_pem = std::move(*ca);
  const Document& service = member(c, "service");
  if (service.is_object()) {
    t.ns = string_at(service, "namespace");
    t.service = string_at(service, "name");
    t.port = static_cast<std::uint16_t>(apimachinery::int_at(service, "port", 443));
    t.path = string_at(service, "path");
    t.base = "https://" + t.service + "." + t.ns + ".svc:" + std::to_string(t.port);
  } else if (std::string_view url = string_at(c, "url"); !url.empty()) {
    Result<net::Url> parsed = net::parse_url(url);
    if (!parsed) {
      t.unusable = "Unparsable URL: " + parsed.status().message();
      return t;
    }
    t.base = parsed->scheme + "://" + parsed->authority();
    t.path = parsed->path;
  } else {
    t.unusable = "webhook configuration must have either service or URL";
  }
  if (t.path.empty() || t.path[0] != '/') t.path.insert(0, "/");
  return t;
}

async::Task<Result<Document>> call_webhook(Core* core, const WebhookTarget* t, std::string body, Duration limit, bool tell_limit) {
  net::ClientRequest q;
  q.method = "POST";
  q.target = t->path;
  if (tell_limit) q.target += "?timeout=" + std::to_string((limit + 1s - Duration(1)) / 1s) + "s";
  const std::string where = "Post " + go_quote(t->base + q.target) + ": ";
  q.headers.add("Content-Type", "application/json");
  q.headers.add("Accept", "application/json, */*");
  q.body = std::move(body);
  ServerAddress address;
  address.base_url = t->base;
  address.ca_pem = t->ca_pem;
  if (!t->service.empty()) {
    address.server_name = t->service + "." + t->ns + ".svc";
    Result<ServiceEndpoint> endpoint = resolve_service(*core, t->ns, t->service, t->port);
    if (!endpoint) co_return endpoint.status().with_context(std::string_view(where).substr(0, where.size() - 2));
    address.endpoint = std::move(*endpoint);
  }
  Result<std::shared_ptr<net::HttpClient>> client = core->servers->get(address);
  if (!client) co_return client.status();
  Result<net::WholeResponse> answer = co_await async::with_timeout(limit, exchange(client->get(), std::move(q)));
  if (answer.is(Reason::Cancelled)) co_return answer.status();
  if (!answer) co_return Status(answer.reason(), where + transport_error(answer.status()));
  if (!answer->ok() || answer->status > 206) co_return Status(Reason::InternalError, refusal(answer->status, trim(std::string_view(answer->body).substr(0, kShown))));
  Result<Document> d = apimachinery::decode_json(answer->body, nullptr);
  if (!d) co_return Status(Reason::InternalError, "couldn't get version/kind; json parse error: " + d.status().message());
  if (!d->is_object()) co_return Status(Reason::InternalError, "couldn't get version/kind; the answer is no JSON object");
  co_return d;
}

}  // namespace onebin::apiserver
