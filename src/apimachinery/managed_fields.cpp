#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/managed_fields.hpp>

#include "managers.hpp"
#include "typed_value.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/schema.hpp>
#include <onebin/base/bytes.hpp>

#include <optional>

namespace onebin::apimachinery {
namespace {

constexpr const char* kBeforeFirstApply = "before-first-apply";
constexpr std::size_t kManagerMax = 128;

struct TypedDocument {
  typed::Type type;
  Document value;
  // A built-in object as it is stored, in place of `value`: compared with what its structs imply, but not copied.
  const Document* stored = nullptr;
  const Document& get() const { return stored ? *stored : value; }
};

bool is_built_in(const TypeSchema* type) { return type && !type->proto.empty(); }

// A document as its structs would hold it, for a built-in kind; else as it is. Without its managedFields.
TypedDocument typed_document(const TypeSchema* type, const Document& object) {
  if (is_built_in(type)) return {typed::root_type(type), typed::structured(*type, object, 0)};
  TypedDocument out{typed::root_type(type), object, nullptr};
  erase_meta(out.value, "managedFields");
  return out;
}

// The same to compare only, without a copy where one can be avoided; `object` must outlive it.
TypedDocument typed_view(const TypeSchema* type, const Document& object) {
  if (is_built_in(type)) return {typed::root_type(type), nullptr, &object};
  return typed_document(type, object);
}

Status unexpected(std::string message) { return {Reason::Unknown, std::move(message)}; }

std::string kind_text(std::string_view api_version, std::string_view kind) {
  std::string out(api_version);
  if (out.find('/') == std::string::npos) out = "/" + out;
  return out.append(", Kind=").append(kind);
}

std::string object_text(const Document& object) {
  return std::string(namespace_of(object)) + "/" + std::string(name_of(object)) + "; " + kind_text(api_version_of(object), kind_of(object));
}

const FieldSet& stripped() {
  static const FieldSet set = [] {
    FieldSet s;
    auto field = [](const char* name) { return PathElement::field(name); };
    s.insert({field("apiVersion")});
    s.insert({field("kind")});
    s.insert({field("metadata")});
    for (const char* name : {"name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion"})
      s.insert({field("metadata"), field(name)});
    return s;
  }();
  return set;
}

// What of a set lies at or below one of the paths, from their part `depth` on.
FieldSet within(const FieldSet& set, const std::vector<const std::vector<std::string_view>*>& paths, std::size_t depth) {
  for (const auto* path : paths)
    if (path->size() == depth) return set;
  FieldSet out;
  for (const auto& [element, below] : set.children) {
    std::vector<const std::vector<std::string_view>*> further;
    for (const auto* path : paths) {
      std::string_view part = (*path)[depth];
      if (part == "*" || (element.kind == PathElement::Kind::Field && element.text == part)) further.push_back(path);
    }
    FieldSet kept = further.empty() ? FieldSet() : within(below, further, depth + 1);
    if (!kept.empty()) out.children.emplace(element, std::move(kept));
  }
  return out;
}

// A set without what a write through the resource cannot own.
void keep_ownable(const ManagedResource& resource, FieldSet& set) {
  set.remove_recursively(resource.reset_fields);
  if (resource.only.empty()) return;
  std::vector<const std::vector<std::string_view>*> paths;
  for (const auto& path : resource.only) paths.push_back(&path);
  set = within(set, paths, 0);
}

struct Conflict {
  ManagerId manager;
  FieldPathElements path;
};

// One operation on one resource: a live object and what it is to become.
class Operation {
 public:
  Operation(const ManagedResource& resource, Managers managers) : resource_(&resource), managers_(std::move(managers)) {}

  Managers& managers() { return managers_; }
  std::vector<Conflict> conflicts;

  // The fields that an update sets; the others lose what they no longer have.
  Result<FieldSet> update(const TypedDocument& live, const TypedDocument& object) {
    reconcile();
    ASSIGN_OR_RETURN(auto changes, take_from_others(live, object, nullptr, true));
    changes.modified.add(std::move(changes.added));
    return std::move(changes.modified);
  }

  // The merged value, none where it equals the live one. Conflicts are left in `conflicts`, with a Conflict status.
  Result<std::optional<Document>> apply(const TypedDocument& live, const Document& configuration, const ManagerId& self, bool force) {
    reconcile();
    auto combined = typed::merge(live.type, live.value, configuration);
    if (!combined) return combined.status().with_context("failed to merge config");
    Document merged = std::move(*combined);
    std::optional<ManagedSet> last;
    if (auto it = managers_.find(self); it != managers_.end()) last = it->second;
    ManagedSet now;
    now.set = typed::field_set(live.type, configuration);
    keep_ownable(*resource_, now.set);
    now.api_version = resource_->api_version;
    if (last) now.time = last->time;
    managers_[self] = std::move(now);
    if (last && !last->set.empty()) {
      auto pruned = prune(merged, *last);
      if (!pruned) return pruned.status().with_context("failed to prune fields");
      merged = std::move(*pruned);
    }
    TypedDocument object{live.type, std::move(merged), nullptr};
    auto changes = take_from_others(live, object, &self, force);
    if (!changes) return changes.status();
    if (typed::equal(live.value, object.value)) return std::optional<Document>();
    return std::optional<Document>(std::move(object.value));
  }

 private:
  // Fields that were recorded before the schema turned atomic or granular.
  void reconcile() {
    for (auto& [id, m] : managers_)
      if (const auto* type = type_of(m.api_version)) typed::reconcile(typed::root_type(type), m.set);
  }

  const TypeSchema* type_of(const std::string& version) const {
    if (version == resource_->api_version) return resource_->type;
    return resource_->type_of_version ? resource_->type_of_version(version) : nullptr;
  }
  bool served(const std::string& version) const { return version == resource_->api_version || type_of(version) != nullptr; }

  // At another version; none where that isn't served.
  Result<std::optional<TypedDocument>> converted(const TypedDocument& object, const std::string& version) const {
    const auto* type = type_of(version);
    if (!type) return std::optional<TypedDocument>();
    if (!resource_->convert) {
      TypedDocument out{typed::root_type(type), object.stored ? typed::structured(*resource_->type, *object.stored, 0) : object.value, nullptr};
      if (out.value.is_object()) out.value["apiVersion"] = version;
      return std::optional<TypedDocument>(std::move(out));
    }
    Document plain = object.get();
    if (object.stored) erase_meta(plain, "managedFields");
    else if (is_built_in(resource_->type)) typed::unstructured(*resource_->type, plain);
    ASSIGN_OR_RETURN(Document other, resource_->convert(plain, version));
    return std::optional<TypedDocument>(typed_document(type, other));
  }

  Result<typed::Comparison> take_from_others(const TypedDocument& live, const TypedDocument& object, const ManagerId* self, bool force) {
    std::map<std::string, typed::Comparison> by_version;
    auto filtered = [&](typed::Comparison c) {
      for (auto* set : {&c.removed, &c.modified, &c.added}) keep_ownable(*resource_, *set);
      return c;
    };
    auto changes = typed::compare(live.type, live.get(), object.get(), live.stored != nullptr);
    if (!changes) return changes.status().with_context("failed to compare objects");
    by_version[resource_->api_version] = filtered(std::move(*changes));
    std::map<ManagerId, FieldSet> taken;
    for (auto it = managers_.begin(); it != managers_.end();) {
      const auto& [id, m] = *it;
      if (self && id == *self) {
        ++it;
        continue;
      }
      auto found = by_version.find(m.api_version);
      if (found == by_version.end()) {
        ASSIGN_OR_RETURN(auto before, converted(live, m.api_version));
        ASSIGN_OR_RETURN(auto after, converted(object, m.api_version));
        if (!before || !after) {
          it = managers_.erase(it);
          continue;
        }
        auto other = typed::compare(before->type, before->value, after->value);
        if (!other) return other.status().with_context("failed to compare objects");
        found = by_version.emplace(m.api_version, filtered(std::move(*other))).first;
      }
      const auto& c = found->second;
      auto lost = m.set.intersection(c.modified);
      lost.add(m.set.intersection(c.added));
      if (!force)
        for (auto& path : lost.paths()) conflicts.push_back({id, std::move(path)});
      lost.add(m.set.intersection(c.removed));
      if (!lost.empty()) taken[id] = std::move(lost);
      ++it;
    }
    if (!conflicts.empty()) return Status(Reason::Conflict, "");
    for (const auto& [id, lost] : taken) {
      managers_[id].set.remove(lost);
    }
    for (auto it = managers_.begin(); it != managers_.end();) it = it->second.set.empty() ? managers_.erase(it) : std::next(it);
    return std::move(by_version[resource_->api_version]);
  }

  // Takes out what this manager applied last time, applies no longer, and nobody else owns.
  Result<Document> prune(const Document& merged_value, const ManagedSet& last) {
    TypedDocument here{typed::root_type(resource_->type), merged_value, nullptr};
    TypedDocument merged = here;
    if (last.api_version != resource_->api_version) {
      ASSIGN_OR_RETURN(auto other, converted(here, last.api_version));
      if (!other) return merged_value;
      merged = std::move(*other);
    }
    const auto named = [](const typed::Type& t, const FieldSet& s) { return typed::with_named_fields(t, s); };
    Document pruned = typed::remove_items(merged.type, merged.value, named(merged.type, last.set));
    ASSIGN_OR_RETURN(pruned, add_back_owned(merged, std::move(pruned), last.api_version));
    auto pruned_set = named(merged.type, typed::field_set(merged.type, pruned));
    auto merged_set = named(merged.type, typed::field_set(merged.type, merged.value));
    auto gone = merged_set.difference(pruned_set).intersection(named(merged.type, last.set));
    Document out = typed::remove_items(merged.type, merged.value, gone);
    if (last.api_version == resource_->api_version) return out;
    return back_from(std::move(out), last.api_version);
  }

  Result<Document> back_from(Document value, const std::string& version) const {
    if (!resource_->convert) {
      if (value.is_object()) value["apiVersion"] = resource_->api_version;
      return value;
    }
    if (const auto* type = type_of(version); is_built_in(type)) typed::unstructured(*type, value);
    ASSIGN_OR_RETURN(Document back, resource_->convert(value, resource_->api_version));
    return typed_document(resource_->type, back).value;
  }

  // What some manager owns stays. Each version's owners are looked at in that version.
  Result<Document> add_back_owned(const TypedDocument& merged, Document pruned, const std::string& version) {
    std::map<std::string, FieldSet> owned;
    for (const auto& [id, m] : managers_) {
      auto& set = owned[m.api_version];
      set = set.union_with(m.set);
    }
    auto keep = [](const TypedDocument& all, const Document& rest, const FieldSet& set) {
      auto all_set = typed::with_named_fields(all.type, typed::field_set(all.type, all.value));
      auto rest_set = typed::with_named_fields(all.type, typed::field_set(all.type, rest));
      auto kept = rest_set.union_with(typed::with_named_fields(all.type, set));
      return typed::remove_items(all.type, all.value, all_set.difference(kept));
    };
    if (auto it = owned.find(version); it != owned.end()) {
      pruned = keep(merged, pruned, it->second);
      owned.erase(it);
    }
    for (const auto& [other, set] : owned) {
      if (!served(other)) continue;
      Document plain_merged = merged.value, plain_pruned = pruned;
      if (version != resource_->api_version) {
        ASSIGN_OR_RETURN(plain_merged, back_from(std::move(plain_merged), version));
        ASSIGN_OR_RETURN(plain_pruned, back_from(std::move(plain_pruned), version));
      }
      TypedDocument all{typed::root_type(resource_->type), std::move(plain_merged), nullptr}, rest{all.type, std::move(plain_pruned), nullptr};
      if (other != resource_->api_version) {
        ASSIGN_OR_RETURN(auto a, converted(all, other));
        ASSIGN_OR_RETURN(auto r, converted(rest, other));
        if (!a || !r) continue;
        all = std::move(*a);
        rest = std::move(*r);
      }
      Document kept = keep(all, rest.value, set);
      if (other != resource_->api_version) {
        ASSIGN_OR_RETURN(kept, back_from(std::move(kept), other));
      }
      if (version != resource_->api_version) {
        ASSIGN_OR_RETURN(auto to, converted({typed::root_type(resource_->type), std::move(kept), nullptr}, version));
        if (!to) continue;
        kept = std::move(to->value);
      }
      pruned = std::move(kept);
    }
    return pruned;
  }

  const ManagedResource* resource_;  // outlives the operation
  Managers managers_;
};

void strip(Managers& managers, const ManagerId& id) {
  auto it = managers.find(id);
  if (it == managers.end()) return;
  it->second.set.remove(stripped());
  if (it->second.set.empty()) managers.erase(it);
}

// Merges what an update set into its manager's entry.
void record_update(const ManagedResource& resource, Managers& managers, FieldSet set, std::string_view manager, WallTime now) {
  set.remove(stripped());
  if (set.empty()) return;
  ManagerId id{std::string(manager.empty() ? "unknown" : manager), "Update", resource.api_version, resource.subresource};
  auto& m = managers[id];
  m.set.add(std::move(set));
  m.api_version = resource.api_version;
  m.time = format_rfc3339(now);
  cap_update_managers(managers, kMaxUpdateManagers);
}

void set_managers(Document& object, const Managers& managers, bool as_text = false) {
  if (managers.empty()) erase_meta(object, "managedFields");
  else set_meta(object, "managedFields", encode_managers(managers, as_text));
}

Document empty_object(const ManagedResource& resource) { return {{"apiVersion", resource.api_version}, {"kind", resource.kind}}; }

bool is_reset(const Document* entries) {
  if (!entries || !entries->is_array()) return false;
  return entries->empty() || (entries->size() == 1 && ((*entries)[0].is_null() || ((*entries)[0].is_object() && (*entries)[0].empty())));
}

// The managers that the write starts from: those that the request states, if they make sense, else the live object's.
Managers managers_of_write(const ManagedResource& resource, const Document* live, const Document& object) {
  auto live_managers = [&]() -> Managers {
    if (!live) return {};
    auto decoded = decode_managers(managed_fields_of(*live));
    return decoded ? std::move(*decoded) : Managers();
  };
  if (!resource.subresource.empty()) return live_managers();
  if (is_reset(find(object, {"metadata", "managedFields"}))) return {};
  auto decoded = decode_managers(managed_fields_of(object));
  if (!decoded || decoded->empty()) return live_managers();
  return std::move(*decoded);
}

Status conflict_status(std::vector<Conflict> conflicts) {
  StatusDetails details;
  for (const auto& c : conflicts)
    details.causes.push_back({"FieldManagerConflict", "conflict with " + c.manager.to_string(), to_string(c.path)});
  std::string message;
  if (conflicts.size() == 1) {
    message = "Apply failed with 1 conflict: conflict with " + conflicts[0].manager.to_string() + ": " + to_string(conflicts[0].path);
  } else {
    message = "Apply failed with " + std::to_string(conflicts.size()) + " conflicts: ";
    const ManagerId* last = nullptr;  // conflicts come grouped by manager
    for (const auto& c : conflicts) {
      if (!last || !(*last == c.manager)) {
        if (last) message += "\n";
        message += "conflicts with " + c.manager.to_string() + ":";
        last = &c.manager;
      }
      message += "\n- " + to_string(c.path);
    }
  }
  return {Reason::Conflict, std::move(message), std::move(details)};
}

// kubectl's server-side apply may take over what its client-side apply set: the fields of the last-applied annotation that
// the live object still has as they were.
FieldSet allowed_by_last_applied(const ManagedResource& resource, const Document& live) {
  auto text = get_string(live, {"metadata", "annotations", kLastAppliedAnnotation});
  if (text.empty()) return {};
  auto last = decode_json(text, nullptr);
  if (!last || !last->is_object() || api_version_of(*last) != resource.api_version) return {};
  auto type = typed::root_type(resource.type);
  if (!typed::validate(type, *last, false).empty()) return {};
  auto changes = typed::compare(type, *last, typed_document(resource.type, live).value);
  if (!changes) return {};
  return typed::field_set(type, *last).difference(changes->modified).difference(changes->added).difference(changes->removed);
}

Status check_configuration(const ManagedResource& resource, const Document& configuration) {
  if (!configuration.is_object()) return bad_request("error decoding patch: not an object");
  if (api_version_of(configuration) != resource.api_version || kind_of(configuration) != resource.kind)
    return bad_request("invalid object type: " + kind_text(api_version_of(configuration), kind_of(configuration)));
  if (const auto* m = find(configuration, {"metadata", "managedFields"}); m && !m->is_null())
    return bad_request("metadata.managedFields must be nil");
  auto problem = typed::validate(typed::root_type(resource.type), configuration, false);
  if (!problem.empty()) return unexpected("failed to create typed patch object (" + object_text(configuration) + "): " + problem);
  return {};
}

void update_last_applied(Document& object, const Document& configuration) {
  if (get_string(object, {"metadata", "annotations", kLastAppliedAnnotation}).empty()) return;
  Document plain = configuration;
  erase_path(plain, {"metadata", "annotations", kLastAppliedAnnotation});
  auto text = go_json(plain) + "\n";
  set_annotation(object, kLastAppliedAnnotation, text);
}

}  // namespace

std::string manager_from_user_agent(std::string_view user_agent) {
  std::string out;
  for (char c : user_agent.substr(0, user_agent.find('/'))) {
    auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u == 0x7F) continue;
    if (out.size() >= kManagerMax) break;
    out += c;
  }
  return out;
}

void expand_managed_fields(Document& object) {
  Document* meta = find_member(object, "metadata");
  Document* entries = meta ? find_member(*meta, "managedFields") : nullptr;
  if (!entries || !entries->is_array()) return;
  for (auto& e : *entries) {
    Document* fields = find_member(e, "fieldsV1");
    if (!fields || !fields->is_binary()) continue;
    const auto& text = fields->get_binary();
    *fields = Document::parse(text.begin(), text.end(), nullptr, false);
  }
}

void track_update(const ManagedResource& resource, const Document* live, Document& object, std::string_view manager, WallTime now, bool as_text) {
  Managers managers = managers_of_write(resource, live, object);
  erase_meta(object, "managedFields");
  // An object that nobody tracks so far is tracked from its first apply only.
  bool is_create = !live || uid_of(*live).empty();
  if (managers.empty() && !is_create) return;
  Operation operation(resource, std::move(managers));
  const Document nothing = empty_object(resource);
  auto set = operation.update(typed_view(resource.type, live ? *live : nothing), typed_view(resource.type, object));
  if (!set) {
    if (live && !managed_fields_of(*live).empty()) set_meta(object, "managedFields", managed_fields_of(*live));
    return;
  }
  record_update(resource, operation.managers(), std::move(*set), manager, now);
  set_managers(object, operation.managers(), as_text);
}

Result<Document> server_side_apply(const ManagedResource& resource, const Document* live, const Document& configuration, std::string_view manager, bool force,
                                   WallTime now) {
  RETURN_IF_ERROR(check_configuration(resource, configuration));
  auto decoded = decode_managers(live ? managed_fields_of(*live) : Document());
  if (!decoded) return unexpected("failed to decode managed fields: " + decoded.status().message());
  const Document nothing = empty_object(resource);
  auto before = typed_document(resource.type, live ? *live : nothing);
  if (decoded->empty() && live) {
    Operation first(resource, {});
    auto set = first.update(typed_document(resource.type, nothing), before);
    if (!set) return unexpected("failed to create manager for existing fields: " + set.status().message());
    *decoded = std::move(first.managers());
    record_update(resource, *decoded, std::move(*set), kBeforeFirstApply, now);
  }
  ManagerId self{std::string(manager.empty() ? "unknown" : manager), "Apply", "", resource.subresource};
  Operation operation(resource, *decoded);
  auto merged = operation.apply(before, configuration, self, force);
  if (!operation.conflicts.empty() && manager == "kubectl" && live) {
    auto allowed = allowed_by_last_applied(resource, *live);
    auto& all = operation.conflicts;
    std::erase_if(all, [&](const Conflict& c) { return allowed.has(c.path); });
    if (all.empty()) {
      operation = Operation(resource, *decoded);
      merged = operation.apply(before, configuration, self, true);
    }
  }
  if (!operation.conflicts.empty()) return conflict_status(std::move(operation.conflicts));
  if (!merged) return merged.status();
  strip(operation.managers(), self);
  Document result;
  if (*merged) {
    result = std::move(**merged);
    if (is_built_in(resource.type)) typed::unstructured(*resource.type, result);
    if (auto it = operation.managers().find(self); it != operation.managers().end()) it->second.time = format_rfc3339(now);
  } else {
    result = live ? *live : nothing;
  }
  if (manager == "kubectl") update_last_applied(result, configuration);
  set_managers(result, operation.managers());
  return result;
}

Result<FieldSet> field_set_of(const TypeSchema* type, const Document& object) {
  auto root = typed::root_type(type);
  if (auto problem = typed::validate(root, object, true); !problem.empty()) return unexpected(std::move(problem));
  return typed::field_set(root, object);
}

}  // namespace onebin::apimachinery
