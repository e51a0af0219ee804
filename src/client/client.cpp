#include <onebin/client/client.hpp>

#include <onebin/api/meta_v1.hpp>
#include <onebin/base/bytes.hpp>

#include <nlohmann/json.hpp>

namespace onebin::client {
namespace {
constexpr char kProtobuf[] = "application/vnd.kubernetes.protobuf";
constexpr char kJson[] = "application/json";

void append(std::string& query, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  if (!query.empty()) query.push_back('&');
  query.append(key).append("=").append(escape_query(value));
}
}  // namespace

std::string escape_query(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) out.push_back(static_cast<char>(c));
    else out.append({'%', kHex[c >> 4], kHex[c & 15]});
  }
  return out;
}

std::string resource_path(const api::ResourceInfo& r, std::string_view ns, std::string_view name, std::string_view subresource) {
  std::string p = r.group.empty() ? "/api/" : "/apis/" + std::string(r.group) + "/";
  p.append(r.version);
  if (!ns.empty() && r.namespaced) p.append("/namespaces/").append(ns);
  p.append("/").append(r.plural);
  if (!name.empty()) p.append("/").append(escape_query(name));
  if (!subresource.empty()) p.append("/").append(subresource);
  return p;
}

Client::Client(Transport& transport, std::string field_manager) : transport_(&transport), field_manager_(std::move(field_manager)) {}

async::Task<Result<std::string>> Client::raw(ApiRequest request) {
  Result<ApiResponse> r = co_await transport_->request(std::move(request));
  if (!r) co_return r.status();
  if (r->code < 200 || r->code > 299) co_return status_from_response(*r);
  co_return Result<std::string>(std::move(r->body));
}

ApiRequest Client::list_request(const api::ResourceInfo& r, std::string_view ns, const ListOptions& o) const {
  ApiRequest q;
  q.path = resource_path(r, ns);
  append(q.query, "labelSelector", o.label_selector);
  append(q.query, "fieldSelector", o.field_selector);
  append(q.query, "resourceVersion", o.resource_version);
  if (o.limit > 0) append(q.query, "limit", std::to_string(o.limit));
  append(q.query, "continue", o.continue_);
  return q;
}

ApiRequest Client::write_request(std::string method, std::string path, std::string protobuf) const {
  ApiRequest q;
  q.method = std::move(method);
  q.path = std::move(path);
  append(q.query, "fieldManager", field_manager_);
  q.content_type = kProtobuf;
  q.body = std::move(protobuf);
  return q;
}

ApiRequest Client::patch_request(std::string path, PatchType type, std::string body) const {
  static constexpr const char* kTypes[] = {"application/json-patch+json", "application/merge-patch+json",
                                           "application/strategic-merge-patch+json", "application/apply-patch+yaml"};
  ApiRequest q;
  q.method = "PATCH";
  q.path = std::move(path);
  append(q.query, "fieldManager", field_manager_);
  if (type == PatchType::Apply) append(q.query, "force", "true");
  q.content_type = kTypes[static_cast<int>(type)];
  q.body = std::move(body);
  return q;
}

ApiRequest Client::delete_request(std::string path, const DeleteOptions& o) const {
  nlohmann::json body = {{"kind", "DeleteOptions"}, {"apiVersion", "v1"}};
  if (o.grace_period_seconds) body["gracePeriodSeconds"] = *o.grace_period_seconds;
  if (!o.propagation_policy.empty()) body["propagationPolicy"] = o.propagation_policy;
  if (!o.uid.empty()) body["preconditions"]["uid"] = o.uid;
  if (!o.resource_version.empty()) body["preconditions"]["resourceVersion"] = o.resource_version;
  ApiRequest q;
  q.method = "DELETE";
  q.path = std::move(path);
  q.content_type = kJson;
  q.body = body.dump();
  return q;
}

Status status_from_response(const ApiResponse& response) {
  auto from_code = [&](std::string message) {
    Reason reason = reason_from_http_code(response.code);
    if (reason == Reason::Success) reason = Reason::Unknown;
    Status s(reason, message.empty() ? "the server answered " + std::to_string(response.code) : std::move(message));
    s.set_code(response.code);
    return s;
  };
  api::meta::v1::Status body;
  if (starts_with(response.content_type, kProtobuf)) {
    auto r = api::from_protobuf<api::meta::v1::Status>(response.body);
    if (!r) return from_code({});
    body = std::move(*r);
  } else {
    auto r = api::from_json<api::meta::v1::Status>(response.body);
    if (!r || r->kind != "Status") return from_code(response.body.substr(0, 1024));
    body = std::move(*r);
  }
  Reason reason = reason_from_string(body.reason);
  if (reason == Reason::Unknown) reason = reason_from_http_code(response.code);
  if (reason == Reason::Success) reason = Reason::Unknown;
  StatusDetails d;
  if (body.details) {
    d.name = body.details->name;
    d.group = body.details->group;
    d.kind = body.details->kind;
    d.uid = body.details->uid;
    d.retry_after_seconds = body.details->retry_after_seconds;
    for (const auto& c : body.details->causes) d.causes.push_back({c.reason, c.message, c.field});
  }
  Status s(reason, body.message, std::move(d));
  s.set_code(response.code);
  return s;
}

}  // namespace onebin::client
