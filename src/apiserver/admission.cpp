#include "apiserver/admission.hpp"

#include "apiserver/errors.hpp"

#include <onebin/apimachinery/managed_fields.hpp>

namespace onebin::apiserver {

std::string_view to_string(Operation op) {
  switch (op) {
    case Operation::Create: return "CREATE";
    case Operation::Update: return "UPDATE";
    case Operation::Delete: return "DELETE";
    case Operation::Connect: return "CONNECT";
  }
  return "";
}

async::Task<Result<void>> AdmissionPlugin::admit(AdmissionAttributes&) { co_return Result<void>(); }
async::Task<Result<void>> AdmissionPlugin::validate(const AdmissionAttributes&) { co_return Result<void>(); }

async::Task<Result<void>> AdmissionChain::admit(AdmissionAttributes* a) const {
  do {
    a->rounds.second = a->rounds.wanted;
    for (const auto& p : plugins_) {
      if (!p->handles(a->operation) || !p->concerns(*a)) continue;
      if (a->object && p->shows_object()) apimachinery::expand_managed_fields(*a->object);
      Result<void> r = co_await p->admit(*a);
      if (!r) co_return r;
    }
  } while (a->rounds.wanted && !a->rounds.second);
  co_return Result<void>();
}

async::Task<Result<void>> AdmissionChain::validate(const AdmissionAttributes* a) const {
  for (const auto& p : plugins_) {
    if (!p->handles(a->operation) || !p->concerns(*a)) continue;
    if (a->object && p->shows_object()) apimachinery::expand_managed_fields(*a->object);
    Result<void> r = co_await p->validate(*a);
    if (!r) co_return r;
  }
  co_return Result<void>();
}

Status admission_forbidden(const AdmissionAttributes& a, std::string_view why) {
  std::string name = a.name;
  if (name.empty() && a.object) {
    name = apimachinery::name_of(*a.object);
    if (name.empty()) name = apimachinery::string_at(apimachinery::member(*a.object, "metadata"), "generateName");
    if (name.empty()) name = "Unknown";
  }
  return forbidden(a.resource_group, a.resource, name, why);
}

}  // namespace onebin::apiserver
