#include "apiserver/webhook/object_versions.hpp"

#include "apiserver/crd/conversion.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/custom_schema.hpp>
#include <onebin/apimachinery/defaulting.hpp>

namespace onebin::apiserver {
namespace {

const Served* find(const Registry& registry, const GroupVersionResource& r) { return registry.find(r.group, r.version, r.resource); }

// What is served as the matched resource, if the object is of its kind: not so the body of a subresource with a kind of its own.
const Served* main_kind(const Registry& registry, const Match& m) {
  const Served* s = find(registry, m.resource);
  return s && s->kind->kind == m.kind.kind && s->kind->group == m.kind.group && s->kind->version == m.kind.version ? s : nullptr;
}

async::Task<Result<Document>> convert(Core* core, Match from, Match to, Document object) {
  if (from.kind == to.kind) co_return object;
  const Served *source = main_kind(core->registry, from), *target = main_kind(core->registry, to);
  if (!source || !target) co_return object;
  if (source->custom) {
    auto held = source->shared_from_this();
    co_return co_await convert_custom(core, held.get(), to.kind.api_version(), std::move(object));
  }
  if (source->to_storage) {
    Result<Document> stored = source->to_storage(object);
    if (!stored) co_return stored;
    object = std::move(*stored);
  }
  if (!target->from_storage) co_return object;
  co_return target->from_storage(object);
}

Match requested(const AdmissionAttributes& a) { return {resource_of_request(a), kind_of_request(a)}; }

}  // namespace

async::Task<Result<Document>> object_as_matched(Core* core, const AdmissionAttributes* a, const Match* match, Document object) {
  co_return co_await convert(core, requested(*a), *match, std::move(object));
}

async::Task<Result<Document>> object_as_requested(Core* core, const AdmissionAttributes* a, const Match* match, Document object) {
  co_return co_await convert(core, *match, requested(*a), std::move(object));
}

const apimachinery::TypeSchema* type_of_matched(const Registry& registry, const Match& m) {
  if (const Served* s = main_kind(registry, m)) return s->kind->type;
  const KindSchema* k = api::find_kind(m.kind.group, m.kind.version, m.kind.kind);
  return k ? k->type : nullptr;
}

Status conform_matched(const Registry& registry, const Match& m, Document& object) {
  const auto* type = type_of_matched(registry, m);
  if (!type) return Status::ok();
  Status s = apimachinery::conform(object, *type);
  object["apiVersion"] = m.kind.api_version();
  object["kind"] = m.kind.kind;
  return s;
}

void default_matched(const Registry& registry, const Match& m, Document& object) {
  if (const Served* s = main_kind(registry, m)) s->strategy->apply_defaults(object);
  else if (const auto* type = type_of_matched(registry, m)) apimachinery::apply_defaults(*type, object);
}

}  // namespace onebin::apiserver
