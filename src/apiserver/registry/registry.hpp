// Registry: what is served: each kind at each of its versions, with its strategy and the cache of its storage identity.
#pragma once
#include "apiserver/cache/cacher.hpp"
#include "apiserver/registry/strategy.hpp"

#include <onebin/apimachinery/managed_fields.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onebin::apiserver {

struct CustomKind;  // crd/custom_kind.hpp

// One resource at one version. A custom one may go while a request uses it: who awaits holds it (shared_from_this).
struct Served : std::enable_shared_from_this<Served> {
  const KindSchema* kind = nullptr;
  const KindSchema* storage_kind = nullptr;  // what is stored; the same object where nothing is converted
  WatchCache* cache = nullptr;               // null: nothing is stored (reviews)
  StrategyPtr strategy;
  bool json_stored = false;                  // custom resources
  std::shared_ptr<const CustomKind> custom;  // of a custom resource: its tables, and what they are made of
  std::string api_version;                   // "apps/v1"
  apimachinery::ManagedResource managed, managed_status;
  // Conversions between the storage version's document and this version's; null: none needed.
  std::function<Result<Document>(const Document&)> from_storage, to_storage;
  std::uint32_t id = 0;                      // distinguishes encodings in shared deliveries

  std::string_view group() const { return kind->group; }
  std::string_view resource() const { return kind->plural; }
  bool namespaced() const { return kind->namespaced; }
  bool converts() const { return static_cast<bool>(from_storage); }
  std::string storage_key(std::string_view ns, std::string_view name) const;
};

class Registry {
 public:
  // Every built-in kind that is served by default, its cache added to `cacher` (before its start()).
  void add_builtins(Cacher& cacher);

  Served* find(std::string_view group, std::string_view version, std::string_view resource) const;
  // The version that discovery prefers.
  Served* preferred(std::string_view group, std::string_view resource) const;
  bool has_group(std::string_view group) const { return groups_.count(std::string(group)) > 0; }
  bool built_in(std::string_view group) const;
  bool has_group_version(std::string_view group, std::string_view version) const;
  // In discovery order: groups by priority, the group's versions by priority.
  std::vector<std::string> groups() const { return group_order_; }
  std::vector<std::string> versions(std::string_view group) const;
  std::vector<Served*> resources(std::string_view group, std::string_view version) const;
  std::vector<Served*> all() const;

  // Custom resources: their groups come after the built-in ones, by name; versions by Kubernetes' own order of them.
  void add(std::shared_ptr<Served> served);
  void remove(std::string_view group, std::string_view version, std::string_view resource);
  // Counts changes, for what is derived from the registry (discovery, OpenAPI).
  std::uint64_t generation() const { return generation_; }
  void changed_elsewhere() { ++generation_; }  // what an aggregated API server serves

 private:
  std::map<std::string, std::vector<std::string>> groups_;  // group -> versions, preferred first
  std::vector<std::string> group_order_;
  void place_group(const std::string& group, bool custom);
  std::map<std::pair<std::string, std::string>, std::vector<std::shared_ptr<Served>>> served_;
  std::size_t builtin_groups_ = 0;
  std::uint64_t generation_ = 0;
  std::uint32_t next_id_ = 1;
};

// What the field manager must know of a subresource: what its writes may own is less than the object.
apimachinery::ManagedResource managed_part(const Served& served, std::string_view subresource);

// Kubernetes' order of versions: v2, v1, v1beta2, v1beta1, v1alpha1, then others by name.
bool version_before(std::string_view a, std::string_view b);

// Sets from_storage and to_storage where what is stored is not what is served (registry/convert.cpp).
void set_conversions(Served& served);

}  // namespace onebin::apiserver
