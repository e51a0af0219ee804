#include "engine/users.hpp"

#include "engine/at_root.hpp"

#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <charconv>
#include <optional>

namespace onebin::engine {
namespace {

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t v = 0;
  auto r = std::from_chars(text.data(), text.data() + text.size(), v);
  if (r.ec != std::errc() || r.ptr != text.data() + text.size() || v < 0 || v > 0xfffffffeLL) return std::nullopt;
  return v;
}

struct PasswdEntry {
  std::string name;
  std::int64_t uid = 0, gid = 0;
};
struct GroupEntry {
  std::string name;
  std::int64_t gid = 0;
  std::vector<std::string> members;
};

std::vector<PasswdEntry> parse_passwd(const std::string& text) {
  std::vector<PasswdEntry> out;
  for (const auto& line : split(text, '\n')) {
    auto f = split(line, ':');
    if (f.size() < 4) continue;
    auto uid = number(f[2]), gid = number(f[3]);
    if (uid && gid) out.push_back({f[0], *uid, *gid});
  }
  return out;
}

std::vector<GroupEntry> parse_group(const std::string& text) {
  std::vector<GroupEntry> out;
  for (const auto& line : split(text, '\n')) {
    auto f = split(line, ':');
    if (f.size() < 3) continue;
    if (auto gid = number(f[2])) out.push_back({f[0], *gid, f.size() > 3 ? split(f[3], ',') : std::vector<std::string>()});
  }
  return out;
}

void add(std::vector<std::int64_t>& groups, std::int64_t gid) {
  if (std::find(groups.begin(), groups.end(), gid) == groups.end()) groups.push_back(gid);
}

}  // namespace

Result<ResolvedUser> resolve_user(const ContainerConfig& config, const std::string& image_user, const std::string& passwd, const std::string& group) {
  std::string user, wanted_group;
  if (config.run_as_user) {
    user = std::to_string(*config.run_as_user);
  } else if (!config.run_as_username.empty()) {
    user = config.run_as_username;
  } else {
    auto colon = image_user.find(':');
    user = image_user.substr(0, colon);
    if (colon != std::string::npos) wanted_group = image_user.substr(colon + 1);
  }
  if (config.run_as_group) wanted_group = std::to_string(*config.run_as_group);
  auto users = parse_passwd(passwd);
  auto groups = parse_group(group);

  ResolvedUser r;
  std::string name;
  auto uid = user.empty() ? std::optional<std::int64_t>(0) : number(user);
  auto entry = std::find_if(users.begin(), users.end(), [&](const PasswdEntry& e) { return uid ? e.uid == *uid : e.name == user; });
  if (entry != users.end()) {
    r.uid = entry->uid;
    r.gid = entry->gid;
    name = entry->name;
  } else if (uid) {
    r.uid = *uid;
  } else {
    return bad_request("the image has no user \"" + user + "\"");
  }
  if (!wanted_group.empty()) {
    auto gid = number(wanted_group);
    if (!gid) {
      auto g = std::find_if(groups.begin(), groups.end(), [&](const GroupEntry& e) { return e.name == wanted_group; });
      if (g == groups.end()) return bad_request("the image has no group \"" + wanted_group + "\"");
      gid = g->gid;
    }
    r.gid = *gid;
  }
  add(r.groups, r.gid);
  for (auto g : config.supplemental_groups) add(r.groups, g);
  if (!config.supplemental_groups_strict && !name.empty()) {
    for (const auto& g : groups) {
      if (std::find(g.members.begin(), g.members.end(), name) != g.members.end()) add(r.groups, g.gid);
    }
  }
  return r;
}

Result<ResolvedUser> resolve_user(const ContainerConfig& config, const std::string& image_user, const std::string& rootfs) {
  auto passwd = read_in_root(rootfs, "etc/passwd", 4u << 20).value_or("");
  auto group = read_in_root(rootfs, "etc/group", 4u << 20).value_or("");
  return resolve_user(config, image_user, passwd, group);
}

}  // namespace onebin::engine
