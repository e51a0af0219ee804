// Whether a user is a node, and which: system:node:NAME in group system:nodes.
#pragma once
#include <onebin/apiserver/user_info.hpp>
#include <onebin/base/bytes.hpp>

#include <optional>
#include <string>

namespace onebin::apiserver {

// None: no node. "": a member of system:nodes whose name is no node's.
inline std::optional<std::string> node_of(const UserInfo& user) {
  constexpr std::string_view kPrefix = "system:node:";
  if (!starts_with(user.name, kPrefix) || !user.in_group("system:nodes")) return std::nullopt;
  return user.name.substr(kPrefix.size());
}

}  // namespace onebin::apiserver
