#include "apiserver/webhook/hook_source.hpp"

#include "apiserver/admission/expressions.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

namespace {

constexpr std::string_view kGroup = "admissionregistration.k8s.io";

Hook make_hook(const Document& d) {
  Hook h;
  h.name = string_at(d, "name");
  h.criteria = MatchCriteria::of_webhook(d);
  h.target = WebhookTarget::of(member(d, "clientConfig"));
  for (const auto& v : member(d, "admissionReviewVersions"))
    if (h.review_version.empty() && (v == "v1" || v == "v1beta1")) h.review_version = v.get<std::string>();
  h.ignore_failures = string_at(d, "failurePolicy") == "Ignore";
  h.reinvoke = string_at(d, "reinvocationPolicy") == "IfNeeded";
  std::string_view effects = string_at(d, "sideEffects");
  h.side_effects_told = !effects.empty();
  h.dry_run = effects == "None" || effects == "NoneOnDryRun";
  h.timeout = std::chrono::seconds(apimachinery::int_at(d, "timeoutSeconds", 10));
  if (const Document* c = find_member(d, "matchConditions"); c && !c->empty()) h.match_conditions = std::make_shared<const MatchConditions>(compile_match_conditions(*c));
  return h;
}

}  // namespace

HookSource::HookSource(Lister& lister, bool mutating)
    : lister_(lister), kind_(api::find_kind(kGroup, "v1", mutating ? "MutatingWebhookConfiguration" : "ValidatingWebhookConfiguration")) {
  lister_.subscribe(kGroup, kind_->plural, [this](std::string_view, std::string_view, const Bytes&, const Bytes&) { hooks_.reset(); });
}

void HookSource::add(Hooks& to, const Document& configuration) const {
  std::string name(apimachinery::name_of(configuration));
  std::map<std::string, int> seen;
  for (const auto& w : member(configuration, "webhooks")) {
    Hook h = make_hook(w);
    h.configuration = name;
    h.uid = name + "/" + h.name + "/" + std::to_string(seen[h.name]++);
    to.push_back(std::move(h));
  }
}

std::shared_ptr<const Hooks> HookSource::hooks() {
  if (hooks_) return hooks_;
  auto made = std::make_shared<Hooks>();
  lister_.for_each(kGroup, kind_->plural, "", [&](std::string_view, std::string_view, const Bytes& object) {
    if (Result<Document> d = apimachinery::decode_protobuf(*object, *kind_->type); d) add(*made, *d);
    return true;
  });
  hooks_ = std::move(made);
  return hooks_;
}

}  // namespace onebin::apiserver
