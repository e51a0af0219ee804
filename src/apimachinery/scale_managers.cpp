#include <onebin/apimachinery/managed_fields.hpp>

#include "managers.hpp"

namespace onebin::apimachinery {
namespace {

constexpr const char* kScaleVersion = "autoscaling/v1";

const FieldPathElements& scale_path() {
  static const FieldPathElements path{PathElement::field("spec"), PathElement::field("replicas")};
  return path;
}

FieldSet only(const FieldPathElements& path) {
  FieldSet s;
  s.insert(path);
  return s;
}

const FieldPathElements* path_of(const ReplicasPaths& paths, const std::string& version) {
  auto it = paths.find(version);
  return it == paths.end() ? nullptr : &it->second;
}

bool owns(const ManagedSet& m, const FieldPathElements& path) { return !path.empty() && m.set.has(path); }

}  // namespace

Result<Document> scale_managers(const Document& parent_entries, const ReplicasPaths& paths) {
  ASSIGN_OR_RETURN(auto parent, decode_managers(parent_entries));
  Managers out;
  for (auto& [id, m] : parent)
    if (const auto* path = path_of(paths, m.api_version); path && owns(m, *path)) out[id] = {only(scale_path()), kScaleVersion, m.time};
  return encode_managers(out);
}

Result<Document> parent_managers(const Document& parent_entries, const Document& scale_entries, const std::string& parent_version, const ReplicasPaths& paths) {
  ASSIGN_OR_RETURN(auto parent, decode_managers(parent_entries));
  ASSIGN_OR_RETURN(auto scale, decode_managers(scale_entries));
  Managers out;
  for (const auto& [id, m] : parent) {
    const auto* path = path_of(paths, m.api_version);
    if (!path) continue;  // of a version that is no more
    if (!owns(m, *path)) {
      out[id] = m;
    } else if (scale.erase(id)) {
      out[id] = m;  // kept what it had
    } else if (FieldSet rest = m.set.difference(only(*path)); !rest.empty()) {
      out[id] = {std::move(rest), m.api_version, m.time};
    }
  }
  const auto* path = path_of(paths, parent_version);
  for (const auto& [id, m] : scale) {
    if (!path || !m.set.has(scale_path())) continue;
    // As upstream: the time is that of the parent's entry of the same name, which a new one does not have.
    auto before = parent.find(id);
    out[id] = {only(*path), parent_version, before == parent.end() ? std::string() : before->second.time};
  }
  return encode_managers(out);
}

}  // namespace onebin::apimachinery
