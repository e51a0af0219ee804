// What only pods on Windows may say, and what they may not. Such a pod can be stored though no node here runs it.
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/base/bytes.hpp>

#include <re2/re2.h>

#include <algorithm>
#include <functional>

namespace onebin::apiserver {

namespace {

constexpr const char* kNotForWindows = "cannot be set for a windows pod";
constexpr std::size_t kMaxCredentialSpec = 64 * 1024, kMaxDomain = 256, kMaxUser = 104;

void for_each_container(const Check& spec, const std::function<void(const Check&)>& fn) {
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    Check containers = spec[list];
    for (std::size_t i = 0; i < containers.size(); ++i) fn(containers[i]);
  }
}

bool control(char ch) { return static_cast<unsigned char>(ch) < 0x20 || ch == 0x7F; }

bool domain_name(const std::string& domain) {
  static const RE2 netbios(R"(^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$)"), dns(R"(^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$)");
  return RE2::PartialMatch(domain, netbios) || RE2::PartialMatch(domain, dns);
}

// DOMAIN\USER, or the user alone.
void check_user_name(const Check& at) {
  std::string_view text = at.text();
  if (text.empty()) return at.invalid("runAsUserName cannot be an empty string");
  if (std::any_of(text.begin(), text.end(), control)) return at.invalid("runAsUserName cannot contain control characters");
  auto parts = split(text, '\\');
  if (parts.size() > 2) return at.invalid("runAsUserName cannot contain more than one backslash");
  std::string domain(parts.size() == 2 ? parts[0] : std::string_view()), user(parts.back());
  if (domain.size() >= kMaxDomain) at.invalid("runAsUserName's Domain length must be under 256 characters");
  if (parts.size() == 2 && !domain_name(domain)) at.invalid("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
  if (user.empty()) at.invalid("runAsUserName's User cannot be empty");
  else if (user.size() > kMaxUser) at.invalid("runAsUserName's User length must not be longer than 104 characters");
  if (!user.empty() && user.find_first_not_of(". ") == std::string::npos) at.invalid("runAsUserName's User cannot contain only periods or spaces");
  if (user.find_first_of("\"/\\:;|=,+*?<>@[]") != std::string::npos) at.invalid("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
}

}  // namespace

void check_windows_options(const Check& at) {
  if (!at.value().is_object()) return;
  Check name = at["gmsaCredentialSpecName"], spec = at["gmsaCredentialSpec"], user = at["runAsUserName"];
  if (name.set()) name.format(apimachinery::is_dns1123_subdomain);
  if (spec.set() && spec.text().empty()) spec.invalid("gmsaCredentialSpec cannot be an empty string");
  if (spec.text().size() > kMaxCredentialSpec) spec.invalid("gmsaCredentialSpec size must be under 64 KiB");
  if (user.set()) check_user_name(user);
}

void check_host_processes(const Check& spec) {
  Check whole = spec["securityContext"]["windowsOptions"]["hostProcess"];
  std::size_t all = 0, on_host = 0;
  for_each_container(spec, [&](const Check& c) {
    Check own = c["securityContext"]["windowsOptions"]["hostProcess"];
    ++all;
    if (whole.set() && own.set() && whole.flag() != own.flag())
      own.invalid(std::string("pod hostProcess value must be identical if both are specified, was ") + (whole.flag() ? "true" : "false"));
    on_host += own.set() ? own.flag() : whole.flag();
  });
  if (!on_host) return;
  if (on_host != all) spec.invalid_as("", "If pod contains any hostProcess containers then all containers must be HostProcess containers");
  if (!spec["hostNetwork"].flag()) spec["hostNetwork"].invalid_as(false, "hostNetwork must be true if pod contains any hostProcess containers");
}

void check_os(const Check& spec) {
  Check os = spec["os"], name = os["name"];
  if (!os.set() || !name.need()) return;
  if (!name.is("linux") && !name.is("windows")) return name.as(os.path()).unsupported({"linux", "windows"});
  if (name.is("linux")) {
    constexpr const char* kWhy = "windows options cannot be set for a linux pod";
    if (Check w = spec["securityContext"]["windowsOptions"]; w.set()) w.forbidden(kWhy);
    for_each_container(spec, [](const Check& c) {
      if (Check w = c["securityContext"]["windowsOptions"]; w.set()) w.forbidden(kWhy);
    });
    return;
  }
  auto forbid = [](const Check& at, std::initializer_list<const char*> fields) {
    for (const char* f : fields)
      if (at[f].set()) at[f].forbidden(kNotForWindows);
  };
  Check security = spec["securityContext"];
  forbid(security, {"appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy"});
  if (!security["sysctls"].empty()) security["sysctls"].forbidden(kNotForWindows);
  forbid(spec, {"hostUsers", "shareProcessNamespace"});
  for (const char* f : {"hostPID", "hostIPC"})
    if (spec[f].flag()) spec[f].forbidden(kNotForWindows);
  for_each_container(spec, [&](const Check& c) {
    forbid(c["securityContext"], {"appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup"});
  });
}

}  // namespace onebin::apiserver
