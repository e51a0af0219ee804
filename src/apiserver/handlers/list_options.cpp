#include "apiserver/handlers/list_options.hpp"

#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>

#include <charconv>

namespace onebin::apiserver {

using apimachinery::FieldPath;

namespace {

Result<std::int64_t> number(std::string_view name, std::string_view text) {
  std::int64_t v = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc() || end != text.data() + text.size())
    return bad_request("strconv.ParseInt: parsing " + apimachinery::go_quote(text) + ": invalid syntax");
  (void)name;
  return v;
}

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

}  // namespace

Result<ListOptions> parse_list_options(const RequestContext& c) {
  ListOptions o;
  const auto& q = c.query;
  bool watch = c.info.verb == "watch";
  o.filter.ns = c.served->namespaced() ? c.info.ns : std::string();
  if (auto v = q.get("limit"); !v.empty()) { ASSIGN_OR_RETURN(o.limit, number("limit", v)); }
  if (o.limit < 0) o.limit = 0;
  if (auto v = q.get("timeoutSeconds"); !v.empty()) {
    ASSIGN_OR_RETURN(std::int64_t seconds, number("timeoutSeconds", v));
    o.timeout_seconds = seconds;
  }
  o.continue_token = q.get("continue");
  o.resource_version = q.get("resourceVersion");
  o.match = q.get("resourceVersionMatch");
  o.bookmarks = query_bool(q.get("allowWatchBookmarks"));
  if (q.has("sendInitialEvents") && !q.get("sendInitialEvents").empty()) o.send_initial_events = query_bool(q.get("sendInitialEvents"));
  if (watch && !o.send_initial_events && o.match.empty() && (o.resource_version.empty() || o.resource_version == "0")) {
    o.send_initial_events = true;
    o.match = "NotOlderThan";
  }
  if (Status s = check(o, watch); !s) return s;
  if (!o.resource_version.empty()) {
    auto v = apimachinery::parse_resource_version(o.resource_version);
    if (!v) {
      apimachinery::FieldErrors errors{field_invalid(FieldPath("resourceVersion"), o.resource_version,
                                                     "strconv.ParseUint: parsing " + apimachinery::go_quote(o.resource_version) + ": invalid syntax")};
      return apimachinery::invalid("meta.k8s.io", "ListOptions", "", errors);
    }
    o.revision = static_cast<std::int64_t>(*v);
  }
  if (auto v = q.get("labelSelector"); !v.empty()) {
    auto selector = apimachinery::LabelSelector::parse(v);
    if (!selector) return bad_request(selector.status().message());
    o.filter.labels = std::move(*selector);
    o.has_selectors = o.has_selectors || !o.filter.labels.empty();
  }
  if (auto v = q.get("fieldSelector"); !v.empty()) {
    if (Status s = apply_field_selector(c, v, o); !s) return s;
  }
  // A watch of one object by its path.
  if (!c.info.name.empty() && o.filter.name.empty() && !o.filter.nothing) o.filter.name = c.info.name;
  return o;
}

std::string encode_continue(const Continue& at) {
  Document d = {{"v", "meta.k8s.io/v1"}, {"rv", at.revision}, {"start", at.start + std::string(1, '\0')}};
  return base64url_encode(d.dump());
}

Result<Continue> decode_continue(std::string_view token) {
  auto text = base64url_decode(token);
  if (!text) return bad_request("continue key is not valid: illegal base64 data at input byte 0");
  Document d = Document::parse(*text, nullptr, false);
  if (!d.is_object()) return bad_request("continue key is not valid: not a token of this server");
  if (apimachinery::string_at(d, "v") != "meta.k8s.io/v1") return bad_request("continue key is not valid: server does not recognize this encoded version " + std::string(apimachinery::string_at(d, "v")));
  Continue at;
  at.revision = apimachinery::int_at(d, "rv");
  at.start = apimachinery::string_at(d, "start");
  if (at.revision == 0) return bad_request("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  if (at.start.empty()) return bad_request("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)");
  if (at.start.front() == '/' || at.start.find("..") != std::string::npos || at.start.find("//") != std::string::npos) return bad_request("continue key is not valid: " + at.start);
  if (at.start.back() == '\0') at.start.pop_back();
  return at;
}

}  // namespace onebin::apiserver
