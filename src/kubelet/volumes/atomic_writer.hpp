// Files of a volume that change all at once: they live in a folder of their own, `..data` is a link to it, and a change
// is one rename of that link. The layout is an interface: programs in containers watch `..data`.
#pragma once
#include <onebin/base/result.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace onebin::kubelet {

struct FileProjection {
  std::string data;
  int mode = 0644;
  std::optional<std::int64_t> owner;
  bool operator==(const FileProjection&) const = default;
};
using Payload = std::map<std::string, FileProjection>;  // by relative path

// `fresh_name` names the new folder ("..2026_11_24_17_16_00.123"), unused so far. `fs_group`: the files' group, which may
// then read them. Blocking. Returns whether anything was changed.
Result<bool> write_atomically(const std::string& folder, const Payload& payload, std::optional<std::int64_t> fs_group,
                              const std::string& fresh_name);

}  // namespace onebin::kubelet
