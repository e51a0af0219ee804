// kube-apiserver's flags that mean something here, into options.
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/apiserver/apiserver.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

using apimachinery::Document;
using apimachinery::member;
using apimachinery::string_at;

std::vector<std::string> list_of(const std::string& value) {
  std::vector<std::string> out;
  for (auto& part : split(value, ','))
    if (!trim(part).empty()) out.emplace_back(trim(part));
  return out;
}

Result<std::int64_t> seconds_of(const std::string& value) {
  auto d = parse_duration(value);
  if (!d) return bad_request("want a duration, as 1h30m");
  return std::chrono::duration_cast<std::chrono::seconds>(*d).count();
}

Result<int> int_of(const std::string& value) {
  char* end = nullptr;
  long n = std::strtol(value.c_str(), &end, 10);
  if (value.empty() || *end || n < 0 || n > INT32_MAX) return bad_request("want a whole number");
  return static_cast<int>(n);
}

Result<bool> bool_of(const std::string& value) {
  if (value == "true" || value.empty()) return true;
  if (value == "false") return false;
  return bad_request("want true or false");
}

// Fields of a line of CSV, quoted where they hold commas.
std::vector<std::string> csv_fields(std::string_view line) {
  std::vector<std::string> out(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') out.back() += line[++i];
    else if (c == '"') quoted = !quoted;
    else if (c == ',' && !quoted) out.emplace_back();
    else out.back() += c;
  }
  return out;
}

// token,user,uid[,"group1,group2"]
Result<void> read_tokens(Options& o, const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, read_file(path, 1u << 20));
  int number = 0;
  for (const auto& line : split(text, '\n')) {
    ++number;
    if (trim(line).empty() || line[0] == '#') continue;
    auto fields = csv_fields(trim(line));
    if (fields.size() < 3 || fields[0].empty() || fields[1].empty())
      return bad_request(path + " line " + std::to_string(number) + ": want token,user,uid and maybe \"group1,group2\"");
    StaticToken t;
    t.token = std::string(trim(fields[0]));
    t.user.name = std::string(trim(fields[1]));
    t.user.uid = std::string(trim(fields[2]));
    if (fields.size() > 3) t.user.groups = list_of(fields[3]);
    o.static_tokens.push_back(std::move(t));
  }
  return {};
}

std::set<std::string> set_of(const Document& list) {
  std::set<std::string> out;
  if (list.is_array())
    for (const auto& e : list)
      if (e.is_string()) out.insert(e.get<std::string>());
  return out;
}

Result<void> read_pod_security(Options& o, const Document& config) {
  const Document &defaults = member(config, "defaults"), &exempt = member(config, "exemptions");
  if (defaults.is_object())
    for (const auto& [key, value] : defaults.items()) {
      bool version = ends_with(key, "-version");
      std::string mode = version ? key.substr(0, key.size() - 8) : key, text = value.is_string() ? value.get<std::string>() : "";
      bool good = (mode == "enforce" || mode == "audit" || mode == "warn") &&
                  (version ? text == "latest" || starts_with(text, "v1.") : text == "privileged" || text == "baseline" || text == "restricted");
      if (!good) return bad_request("PodSecurityConfiguration: defaults." + key + ": " + text + " is not possible");
      o.pod_security.labels[key] = text;
    }
  o.pod_security.exempt_users = set_of(member(exempt, "usernames"));
  o.pod_security.exempt_namespaces = set_of(member(exempt, "namespaces"));
  o.pod_security.exempt_runtime_classes = set_of(member(exempt, "runtimeClasses"));
  return {};
}

// An AdmissionConfiguration.
Result<void> read_admission(Options& o, const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, read_file(path, 1u << 20));
  ASSIGN_OR_RETURN(Document config, apimachinery::decode_yaml(text, nullptr));
  if (string_at(config, "kind") != "AdmissionConfiguration") return bad_request(path + ": want an AdmissionConfiguration");
  const Document& plugins = member(config, "plugins");
  if (!plugins.is_array()) return {};
  for (const auto& p : plugins) {
    std::string name(string_at(p, "name"));
    if (name != "PodSecurity") return bad_request(path + ": the plug-in " + name + " has no configuration here");
    Document of_plugin = member(p, "configuration");
    if (std::string_view file = string_at(p, "path"); !file.empty()) {
      std::string at = file[0] == '/' ? std::string(file) : path.substr(0, path.rfind('/') + 1) + std::string(file);
      ASSIGN_OR_RETURN(std::string more, read_file(at, 1u << 20));
      ASSIGN_OR_RETURN(of_plugin, apimachinery::decode_yaml(more, nullptr));
    }
    RETURN_IF_ERROR(read_pod_security(o, of_plugin).status());
  }
  return {};
}

OidcIssuer& oidc(Options& o) {
  if (o.oidc.empty()) o.oidc.emplace_back();
  return o.oidc.front();
}

using Set = Result<void> (*)(Options& o, const std::string& value);

struct Argument {
  std::string_view name;
  Set set;
};

constexpr char kNoPrefix[] = "-";

template <class T>
Result<void> keep(T& into, Result<T> value) {
  if (!value) return value.status();
  into = std::move(*value);
  return {};
}

constexpr Argument kArguments[] = {
    {"enable-admission-plugins", [](Options& o, const std::string& v) -> Result<void> { for (auto& n : list_of(v)) o.enable_admission_plugins.insert(n); return {}; }},
    {"disable-admission-plugins", [](Options& o, const std::string& v) -> Result<void> { for (auto& n : list_of(v)) o.disable_admission_plugins.insert(n); return {}; }},
    {"admission-control-config-file", read_admission},
    {"default-not-ready-toleration-seconds", [](Options& o, const std::string& v) { return keep(o.not_ready_toleration_seconds, int_of(v)); }},
    {"default-unreachable-toleration-seconds", [](Options& o, const std::string& v) { return keep(o.unreachable_toleration_seconds, int_of(v)); }},
    {"anonymous-auth", [](Options& o, const std::string& v) { return keep(o.anonymous_auth, bool_of(v)); }},
    {"allow-privileged", [](Options& o, const std::string& v) { return keep(o.allow_privileged, bool_of(v)); }},
    {"token-auth-file", read_tokens},
    {"api-audiences", [](Options& o, const std::string& v) -> Result<void> { o.api_audiences = list_of(v); return {}; }},
    {"service-account-issuer", [](Options& o, const std::string& v) -> Result<void> { o.service_account_issuer = v; return {}; }},
    {"service-account-extend-token-expiration", [](Options& o, const std::string& v) { return keep(o.extend_token_expiration, bool_of(v)); }},
    {"service-account-max-token-expiration", [](Options& o, const std::string& v) { return keep(o.max_token_expiration_seconds, seconds_of(v)); }},
    {"audit-policy-file", [](Options& o, const std::string& v) { return keep(o.audit.policy, read_file(v, 1u << 20)); }},
    {"audit-log-path", [](Options& o, const std::string& v) -> Result<void> { o.audit.path = v; return {}; }},
    {"audit-log-maxage", [](Options& o, const std::string& v) { return keep(o.audit.max_age_days, int_of(v)); }},
    {"audit-log-maxbackup", [](Options& o, const std::string& v) { return keep(o.audit.max_backups, int_of(v)); }},
    {"audit-log-maxsize", [](Options& o, const std::string& v) { return keep(o.audit.max_size_mb, int_of(v)); }},
    {"oidc-issuer-url", [](Options& o, const std::string& v) -> Result<void> {
       if (!starts_with(v, "https://")) return bad_request("URL scheme must be https");
       oidc(o).url = v;
       return {};
     }},
    {"oidc-client-id", [](Options& o, const std::string& v) -> Result<void> { oidc(o).client_id = v; return {}; }},
    {"oidc-username-claim", [](Options& o, const std::string& v) -> Result<void> { oidc(o).username_claim = v; return {}; }},
    {"oidc-username-prefix", [](Options& o, const std::string& v) -> Result<void> { oidc(o).username_prefix = v; return {}; }},
    {"oidc-groups-claim", [](Options& o, const std::string& v) -> Result<void> { oidc(o).groups_claim = v; return {}; }},
    {"oidc-groups-prefix", [](Options& o, const std::string& v) -> Result<void> { oidc(o).groups_prefix = v; return {}; }},
    {"oidc-ca-file", [](Options& o, const std::string& v) { return keep(oidc(o).ca_pem, read_file(v, 1u << 20)); }},
    {"oidc-signing-algs", [](Options& o, const std::string& v) -> Result<void> {
       for (const auto& a : list_of(v))
         if (a.size() != 5 || std::string_view("RS,ES,PS").find(a.substr(0, 2)) == std::string_view::npos || (a.substr(2) != "256" && a.substr(2) != "384" && a.substr(2) != "512"))
           return bad_request("unsupported signing algorithm " + a);
       oidc(o).signing_algorithms = list_of(v);
       return {};
     }},
    {"oidc-required-claim", [](Options& o, const std::string& v) -> Result<void> {
       for (const auto& pair : list_of(v)) {
         std::size_t eq = pair.find('=');
         if (eq == std::string::npos) return bad_request("want CLAIM=VALUE");
         oidc(o).required_claims[pair.substr(0, eq)] = pair.substr(eq + 1);
       }
       return {};
     }},
};

}  // namespace

Result<void> apply_arguments(Options& options, const std::vector<std::string>& arguments) {
  bool prefix_given = false;
  for (const auto& text : arguments) {
    std::string_view a = text;
    while (!a.empty() && a[0] == '-') a.remove_prefix(1);
    std::size_t eq = a.find('=');
    std::string name(a.substr(0, eq)), value(eq == std::string_view::npos ? std::string_view() : a.substr(eq + 1));
    auto it = std::find_if(std::begin(kArguments), std::end(kArguments), [&](const Argument& k) { return k.name == name; });
    if (it == std::end(kArguments)) return bad_request("kube-apiserver's flag --" + name + " is not known here");
    Result<void> r = it->set(options, value);
    if (!r) return r.status().with_context("--" + name + "=" + value);
    prefix_given = prefix_given || name == "oidc-username-prefix";
  }
  if (options.audit.policy.empty() != options.audit.path.empty()) return bad_request("--audit-policy-file and --audit-log-path must be specified together");
  if (options.audit.max_size_mb == 0) options.audit.max_size_mb = AuditOptions().max_size_mb;
  for (auto& i : options.oidc) {
    if (i.url.empty() || i.client_id.empty()) return bad_request("--oidc-issuer-url and --oidc-client-id must be specified together");
    // Names from outside must not meet names of the cluster, unless somebody wants just that.
    if (!prefix_given && i.username_claim != "email") i.username_prefix = i.url + "#";
    if (i.username_prefix == kNoPrefix) i.username_prefix.clear();
  }
  return {};
}

}  // namespace onebin::apiserver
