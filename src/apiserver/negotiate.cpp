#include "apiserver/negotiate.hpp"

#include "apiserver/request.hpp"

#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <cstdlib>

namespace onebin::apiserver {

std::string_view media_type(Format f) {
  switch (f) {
    case Format::Yaml: return "application/yaml";
    case Format::Cbor: return "application/cbor";
    case Format::Protobuf: return "application/vnd.kubernetes.protobuf";
    default: return "application/json";
  }
}

namespace {

MediaClause parse_clause(std::string_view text) {
  MediaClause c;
  bool first = true;
  for (const std::string& part : split(text, ';')) {
    std::string_view p = trim(part);
    if (first) {
      c.type = to_lower(p);
      first = false;
      continue;
    }
    std::size_t eq = p.find('=');
    if (eq == std::string_view::npos) continue;
    std::string name = to_lower(trim(p.substr(0, eq)));
    std::string_view value = trim(p.substr(eq + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    if (name == "q") c.q = std::strtod(std::string(value).c_str(), nullptr);
    else c.params[std::move(name)] = std::string(value);
  }
  return c;
}

int specificity(const MediaClause& c) {
  if (c.type == "*/*" || c.type == "*") return 0;
  if (ends_with(c.type, "/*")) return 1;
  return 2;
}

bool format_of(std::string_view type, bool watch, bool cbor, Format& out) {
  if (type == "application/json" || type == "*/*" || type == "application/*") out = Format::Json;
  else if (type == "application/vnd.kubernetes.protobuf") out = Format::Protobuf;
  else if (type == "application/yaml" && !watch) out = Format::Yaml;
  else if (cbor && (type == "application/cbor" || (watch && type == "application/cbor-seq"))) out = Format::Cbor;
  else return false;
  return true;
}

bool pretty_wanted(std::string_view user_agent, const net::Query& query) {
  if (query.has("pretty")) return query_bool(query.get("pretty"));
  return starts_with(user_agent, "curl") || starts_with(user_agent, "Wget") || starts_with(user_agent, "Mozilla/5.0");
}

}  // namespace

std::vector<MediaClause> parse_accept(std::string_view header) {
  std::vector<MediaClause> out;
  for (const std::string& part : split(header, ',')) {
    if (trim(part).empty()) continue;
    MediaClause c = parse_clause(part);
    auto after = [&](const MediaClause& o) { return o.q != c.q ? o.q > c.q : specificity(o) >= specificity(c); };
    auto at = std::find_if_not(out.begin(), out.end(), after);  // stays sorted, equals in their order
    out.insert(at, std::move(c));
  }
  return out;
}

bool routes_accept(std::string_view accept, bool cbor, bool only_json) {
  if (accept.empty()) return true;
  for (const std::string& part : split(accept, ',')) {
    std::string_view type = trim(std::string_view(part).substr(0, part.find(';')));
    Format f;
    if (type == "*/*" || (type.find('*') == std::string_view::npos && (format_of(type, false, cbor, f) || format_of(type, true, cbor, f)) && (!only_json || f == Format::Json))) return true;
  }
  return false;
}

std::string Negotiated::content_type(bool watch) const {
  std::string t(media_type(format));
  if (watch && format == Format::Cbor) t += "-seq";
  if (watch && format != Format::Yaml) {
    if (transform != Transform::None) {
      t += ";as=";
      t += transform == Transform::Table ? "Table" : "PartialObjectMetadata";
      t += ";v=" + transform_version + ";g=meta.k8s.io";
    }
    if (format == Format::Protobuf) t += ";stream=watch";
  }
  return t;
}

Result<Negotiated> negotiate(std::string_view accept, std::string_view user_agent, const net::Query& query, bool watch, bool cbor, bool no_protobuf, bool no_table) {
  Negotiated n;
  auto clauses = parse_accept(accept);
  bool found = clauses.empty();
  for (const auto& c : clauses) {
    Format f;
    if (c.q <= 0 || !format_of(c.type, watch, cbor, f)) continue;
    std::string_view as = c.param("as"), v = c.param("v"), g = c.param("g"), stream = c.param("stream"), server = c.param("sv");
    Transform t = Transform::None;
    if (!stream.empty() && (stream != "watch" || f == Format::Yaml)) continue;
    if (!server.empty() && server != "v1") continue;
    if (!as.empty() || !v.empty() || !g.empty()) {
      if (g != "meta.k8s.io" || (v != "v1" && v != "v1beta1")) continue;
      if (as == "Table") t = Transform::Table;
      else if (as == "PartialObjectMetadata") t = Transform::PartialMetadata;
      else if (as == "PartialObjectMetadataList") t = Transform::PartialMetadataList;
      else continue;
      if (t == Transform::Table && (no_table || f == Format::Protobuf)) continue;
    }
    if (no_protobuf && t == Transform::None && f == Format::Protobuf) continue;
    n.format = f;
    n.transform = t;
    n.transform_version = v;
    found = true;
    if (c.param("pretty") == "1" && f == Format::Json) n.pretty = true;
    break;
  }
  if (!found) {
    constexpr const char* kOnly = "only the following media types are accepted: ";
    if (watch && negotiate(accept, user_agent, query, false, cbor, no_protobuf, no_table))
      return Status(Reason::NotAcceptable, std::string(kOnly) + "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch");
    return Status(Reason::NotAcceptable, std::string(kOnly) + "application/json, application/yaml, application/vnd.kubernetes.protobuf");
  }
  if (n.format == Format::Json && !watch && pretty_wanted(user_agent, query)) n.pretty = true;
  return n;
}

Result<Format> body_format(std::string_view content_type, bool cbor) {
  std::string type = to_lower(trim(content_type.substr(0, content_type.find(';'))));
  if (type.empty() || type == "application/json") return Format::Json;
  if (type == "application/vnd.kubernetes.protobuf") return Format::Protobuf;
  if (type == "application/yaml") return Format::Yaml;
  if (type == "application/cbor" && cbor) return Format::Cbor;
  return Status(Reason::UnsupportedMediaType,
                "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, "
                "application/vnd.kubernetes.protobuf");
}

}  // namespace onebin::apiserver
