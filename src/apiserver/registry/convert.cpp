#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/registry.hpp"

#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {

using apimachinery::find_member;

namespace {

Document retyped(const Document& d, const KindSchema& kind) {
  Document out = d;
  out["apiVersion"] = kind.api_version();
  out["kind"] = kind.kind;
  return out;
}

void move_member(Document& d, const char* from, const char* to) {
  auto at = d.find(from);
  if (at == d.end()) return;
  Document v = std::move(*at);
  d.erase(at);
  d[to] = std::move(v);
}

// core/v1 Event (stored) and events.k8s.io/v1 Event: the same fields under other names.
constexpr std::pair<const char*, const char*> kEventFields[] = {
    {"involvedObject", "regarding"}, {"message", "note"}, {"source", "deprecatedSource"}, {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"}, {"count", "deprecatedCount"}, {"reportingComponent", "reportingController"},
};

// Protobuf holds no kind of what is inside an object, but a StatefulSet's claims show theirs.
Result<Document> with_claim_kinds(const Document& d) {
  Document out = d;
  Document* spec = find_member(out, "spec");
  Document* claims = spec && spec->is_object() ? find_member(*spec, "volumeClaimTemplates") : nullptr;
  if (claims && claims->is_array())
    for (auto& claim : *claims)
      if (claim.is_object()) {
        claim["apiVersion"] = "v1";
        claim["kind"] = "PersistentVolumeClaim";
      }
  return out;
}

}  // namespace

void set_conversions(Served& served) {
  const KindSchema* kind = served.kind;
  const KindSchema* stored = served.storage_kind;
  if (kind->group == "apps" && kind->kind == "StatefulSet") {
    served.from_storage = with_claim_kinds;
    served.to_storage = [](const Document& d) { return Result<Document>(d); };
    return;
  }
  if (stored == kind) return;
  if (kind->kind == "Event" && kind->group == "events.k8s.io") {
    served.from_storage = [kind](const Document& d) {
      Document out = retyped(d, *kind);
      for (auto [core, events] : kEventFields) move_member(out, core, events);
      return Result<Document>(std::move(out));
    };
    served.to_storage = [stored](const Document& d) {
      Document out = retyped(d, *stored);
      for (auto [core, events] : kEventFields) move_member(out, events, core);
      return Result<Document>(std::move(out));
    };
    return;
  }
  if (kind->kind == "HorizontalPodAutoscaler") return set_autoscaler_conversions(served);
  served.from_storage = [kind](const Document& d) { return Result<Document>(retyped(d, *kind)); };
  served.to_storage = [stored](const Document& d) { return Result<Document>(retyped(d, *stored)); };
}

}  // namespace onebin::apiserver
