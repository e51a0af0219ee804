#include "apiserver/request.hpp"

#include <onebin/apimachinery/selectors.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> set) {
  return std::find(set.begin(), set.end(), text) != set.end();
}

// A '/'-separated path: where each part begins in the raw text, and its decoded form.
struct Parts {
  std::vector<std::string> text;
  std::vector<std::size_t> offset;
};

Parts split_path(std::string_view raw) {
  Parts out;
  std::size_t i = 0;
  while (i < raw.size() && raw[i] == '/') ++i;
  std::size_t end = raw.size();
  while (end > i && raw[end - 1] == '/') --end;
  while (i < end) {
    std::size_t slash = std::min(raw.find('/', i), end);
    auto decoded = net::percent_decode(raw.substr(i, slash - i));
    out.text.push_back(decoded ? std::move(*decoded) : std::string(raw.substr(i, slash - i)));
    out.offset.push_back(i);
    i = slash + 1;
  }
  return out;
}

std::string_view verb_of(std::string_view method) {
  if (method == "POST") return "create";
  if (method == "GET" || method == "HEAD") return "get";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return "delete";
  return "";
}

}  // namespace

bool query_bool(std::string_view text) {
  return !(text.empty() || text == "0" || iequals(text, "false"));
}

bool query_flag(const net::Query& query, std::string_view name) {
  std::string_view text = query.get(name);
  return query.has(name) && text != "0" && !iequals(text, "false");
}

RequestInfo parse_request_info(std::string_view method, std::string_view raw_path, const net::Query& query) {
  RequestInfo info;
  auto decoded = net::percent_decode(raw_path);
  info.path = decoded ? std::move(*decoded) : std::string(raw_path);
  info.verb = to_lower(method);
  Parts parts = split_path(raw_path);
  std::size_t at = 0, n = parts.text.size();
  if (n < 3 || !is_one_of(parts.text[0], {"api", "apis"})) return info;
  info.api_prefix = parts.text[at++];
  if (info.api_prefix == "apis") {
    if (n - at < 3) return info;
    info.group = parts.text[at++];
  }
  info.is_resource = true;
  info.version = parts.text[at++];
  info.verb = verb_of(method);
  if (is_one_of(parts.text[at], {"proxy", "watch"}) && n - at >= 2) {
    info.verb = parts.text[at++];
    info.by_path = true;
  }
  if (parts.text[at] == "namespaces" && n - at > 1) {
    info.ns = parts.text[at + 1];
    if (n - at > 2 && !is_one_of(parts.text[at + 2], {"status", "finalize"})) at += 2;
  }
  info.resource = parts.text[at];
  if (n - at >= 2) info.name = parts.text[at + 1];
  if (n - at >= 3 && !(info.by_path && info.verb == "proxy")) {
    info.subresource = parts.text[at + 2];
    std::size_t rest = parts.offset[at + 2];
    rest = raw_path.find('/', rest);
    if (rest != std::string_view::npos) info.rest = std::string(raw_path.substr(rest));
  }
  if (info.name.empty() && info.verb == "get") {
    info.verb = query_flag(query, "watch") ? "watch" : "list";
    if (std::string_view text = query.get("fieldSelector"); !text.empty()) {
      if (auto selector = apimachinery::FieldSelector::parse(text))
        if (auto name = selector->requires_exact_match("metadata.name"))
          if (name->find('/') == std::string::npos && name->find('%') == std::string::npos && *name != "." && *name != "..") info.name = *name;
    }
  }
  if (info.name.empty() && info.verb == "delete") info.verb = "deletecollection";
  if (!info.by_path && is_one_of(info.verb, {"list", "watch", "deletecollection"})) {
    info.label_selector = query.get("labelSelector");
    info.field_selector = query.get("fieldSelector");
  }
  return info;
}

Attributes attributes_of(const UserInfo& user, const RequestInfo& info) {
  Attributes a;
  a.user = &user;
  a.verb = info.verb;
  a.path = info.path;
  a.is_resource = info.is_resource;
  a.ns = info.ns;
  a.group = info.group;
  a.version = info.version;
  a.resource = info.resource;
  a.subresource = info.subresource;
  a.name = info.name;
  a.label_selector = info.label_selector;
  a.field_selector = info.field_selector;
  return a;
}

}  // namespace onebin::apiserver
