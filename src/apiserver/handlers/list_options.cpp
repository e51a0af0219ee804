#include "apiserver/handlers/list_options.hpp"

#include "apiserver/errors.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>

#include <algorithm>
#include <charconv>

namespace onebin::apiserver {

using apimachinery::FieldPath;

namespace {

Status check(const ListOptions& o, bool watch) {
  apimachinery::FieldErrors errors;
  FieldPath match("resourceVersionMatch"), initial("sendInitialEvents");
  if (watch) {
    if (o.send_initial_events && o.match != "NotOlderThan")
      errors.push_back(field_forbidden(match, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
    if (!o.match.empty()) {
      if (!o.send_initial_events)
        errors.push_back(field_forbidden(match, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
      if (o.match != "NotOlderThan") errors.push_back(field_not_supported(match, o.match, {"NotOlderThan"}));
      if (!o.continue_token.empty()) errors.push_back(field_forbidden(match, "resourceVersionMatch is forbidden when continue is provided"));
    }
  } else {
    if (!o.match.empty()) {
      if (o.resource_version.empty())
        errors.push_back(field_forbidden(match, "resourceVersionMatch is forbidden unless resourceVersion is provided"));
      if (!o.continue_token.empty()) errors.push_back(field_forbidden(match, "resourceVersionMatch is forbidden when continue is provided"));
      if (o.match != "Exact" && o.match != "NotOlderThan") errors.push_back(field_not_supported(match, o.match, {"Exact", "NotOlderThan", ""}));
      if (o.match == "Exact" && o.resource_version == "0")
        errors.push_back(field_forbidden(match, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
    }
    if (o.send_initial_events) errors.push_back(field_forbidden(initial, "sendInitialEvents is forbidden for list"));
  }
  if (errors.empty()) return Status::ok();
  return apimachinery::invalid("meta.k8s.io", "ListOptions", "", errors);
}

std::string not_selectable(const Strategy& strategy, std::string_view field) {
  if (strategy.selectable.empty())
    return apimachinery::go_quote(field) + " is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
  return "field label not supported: " + std::string(field);
}

Status apply_field_selector(const RequestContext& c, std::string_view text, ListOptions& o) {
  auto selector = apimachinery::FieldSelector::parse(text);
  if (!selector) return bad_request(selector.status().message());
  for (const auto& r : selector->requirements()) {
    if (r.field == "metadata.name" || r.field == "metadata.namespace") {
      std::string& slot = r.field == "metadata.name" ? o.filter.name : o.filter.ns;
      o.has_selectors = true;
      if (!r.equal) {
        const SelectableField* f = r.field == "metadata.name" ? &c.served->strategy->selectable_field_name() : &c.served->strategy->selectable_field_namespace();
        o.filter.fields.emplace_back(f, r);
      } else if (r.field == "metadata.namespace" && !c.served->namespaced()) {
        if (!r.value.empty()) o.filter.nothing = true;
      } else if (!slot.empty() && slot != r.value) {
        o.filter.nothing = true;
      } else if (r.value.empty()) {
        o.filter.nothing = true;
      } else {
        slot = r.value;
      }
      continue;
    }
    const SelectableField* f = c.served->strategy->selectable_field(r.field);
    if (!f) return bad_request(not_selectable(*c.served->strategy, r.field));
    o.filter.fields.emplace_back(f, r);
    o.has_selectors = true;
  }
  return Status::ok();
}

// A request that names one object by its path: a field selector may say no other name.
Status check_named(const RequestContext& c, ListOptions& o, std::string_view fields) {
  if (c.info.name.empty()) return Status::ok();
  if (auto selector = apimachinery::FieldSelector::parse(fields); selector && !selector->requirements().empty()) {
    auto name = selector->requires_exact_match("metadata.name");
    if (!name || *name != c.info.name) return bad_request("fieldSelector metadata.name doesn't match requested name");
  } else {
    o.filter.name = c.info.name;
  }
  return Status::ok();
}

}  // namespace

Result<std::int64_t> query_number(std::string_view text) {
  std::int64_t v = 0;
  std::string_view digits = starts_with(text, "+") ? text.substr(1) : text;
  auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), v);
  if (ec == std::errc() && end == digits.data() + digits.size() && !(digits.size() < text.size() && starts_with(digits, "-"))) return v;
  bool large = ec == std::errc::result_out_of_range && end == digits.data() + digits.size();
  return bad_request("strconv.ParseInt: parsing " + apimachinery::go_quote(text) + (large ? ": value out of range" : ": invalid syntax"));
}

Result<ListOptions> parse_list_options(const RequestContext& c) {
  ListOptions o;
  const auto& q = c.query;
  bool watch = c.info.verb == "watch";
  o.filter.ns = c.served->namespaced() ? c.info.ns : std::string();
  o.bookmarks = query_flag(q, "allowWatchBookmarks");
  o.resource_version = q.get("resourceVersion");
  o.match = q.get("resourceVersionMatch");
  if (q.has("timeoutSeconds")) { ASSIGN_OR_RETURN(o.timeout_seconds, query_number(q.get("timeoutSeconds"))); }
  if (q.has("limit")) { ASSIGN_OR_RETURN(o.limit, query_number(q.get("limit"))); }
  if (o.limit < 0) o.limit = 0;
  o.continue_token = q.get("continue");
  if (q.has("sendInitialEvents")) o.send_initial_events = query_flag(q, "sendInitialEvents");
  if (auto v = q.get("labelSelector"); !v.empty()) {
    auto selector = apimachinery::LabelSelector::parse(v);
    if (!selector) return bad_request(selector.status().message());
    o.filter.labels = std::move(*selector);
    o.has_selectors = !o.filter.labels.empty();
  }
  std::string_view fields = q.get("fieldSelector");
  if (auto selector = apimachinery::FieldSelector::parse(fields); !selector) return bad_request(selector.status().message());
  if (watch && !o.send_initial_events && o.match.empty() && (o.resource_version.empty() || o.resource_version == "0")) {
    o.send_initial_events = true;
    o.match = "NotOlderThan";
  }
  if (Status s = check(o, watch); !s) return s;
  if (Status s = apply_field_selector(c, fields, o); !s) return s;
  if (Status s = check_named(c, o, fields); !s) return s;
  return o;
}

Status take_revision(ListOptions& o, bool watch) {
  auto v = apimachinery::parse_resource_version(o.resource_version);
  if (v) {
    o.revision = static_cast<std::int64_t>(*v);
    return Status::ok();
  }
  std::string why = resource_version_error(o.resource_version);
  // Of a watch upstream makes no API error of it.
  if (watch) return Status(Reason::Unknown, std::move(why));
  return bad_request("invalid resource version: " + why);
}

std::string encode_continue(const Continue& at) {
  Document d = {{"v", "meta.k8s.io/v1"}, {"rv", at.revision}, {"start", at.start + std::string(1, '\0')}};
  return base64url_encode(d.dump());
}

namespace {

// Go's words for what is no base64 without padding: where it breaks off.
std::string base64_error(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::size_t at = std::min(text.find_first_not_of(kAlphabet), text.size() - text.size() % 4);
  return "illegal base64 data at input byte " + std::to_string(at);
}

// Whether a key stays below the prefix that it is appended to.
bool is_clean(std::string_view key) {
  if (starts_with(key, "/")) key.remove_prefix(1);
  if (key.empty()) return true;
  for (const std::string& part : split(key, '/'))
    if (part.empty() || part == "." || part == "..") return false;
  return true;
}

Status invalid_continue(const std::string& why) { return bad_request("invalid continue token: continue key is not valid" + why); }

}  // namespace

Result<Continue> decode_continue(std::string_view token) {
  auto text = base64url_decode(token);
  if (!text) return invalid_continue(": " + base64_error(token));
  auto d = apimachinery::decode_json(*text, nullptr);
  if (!d) return invalid_continue(": " + d.status().message());
  std::string_view version = apimachinery::string_at(*d, "v");
  if (version != "meta.k8s.io/v1") return invalid_continue(": server does not recognize this encoded version " + std::string(version));
  Continue at;
  at.revision = apimachinery::int_at(*d, "rv");
  at.start = apimachinery::string_at(*d, "start");
  if (at.revision == 0) return invalid_continue(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  if (at.start.empty()) return invalid_continue(": encoded start key empty (version meta.k8s.io/v1)");
  if (!is_clean(at.start)) return invalid_continue(": " + at.start);
  if (at.start.front() == '/') at.start.erase(0, 1);
  if (!at.start.empty() && at.start.back() == '\0') at.start.pop_back();
  return at;
}

}  // namespace onebin::apiserver
