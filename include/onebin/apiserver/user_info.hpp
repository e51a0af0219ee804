// UserInfo: who makes a request, as authentication found it (or, for in-process components, as the composition says).
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apiserver {

struct UserInfo {
  std::string name, uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;

  bool in_group(std::string_view group) const {
    for (const auto& g : groups)
      if (g == group) return true;
    return false;
  }
  bool operator==(const UserInfo&) const = default;
};

inline constexpr std::string_view kAnonymousUser = "system:anonymous";
inline constexpr std::string_view kUnauthenticatedGroup = "system:unauthenticated";
inline constexpr std::string_view kAuthenticatedGroup = "system:authenticated";
inline constexpr std::string_view kMastersGroup = "system:masters";

// A component of this process: a user of system:masters or of what RBAC grants it.
inline UserInfo system_user(std::string name, std::vector<std::string> groups = {}) {
  UserInfo u;
  u.name = std::move(name);
  u.groups = std::move(groups);
  u.groups.emplace_back(kAuthenticatedGroup);
  return u;
}

}  // namespace onebin::apiserver
