// What a pod asks for as a whole, beside what its containers ask for.
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/api/quota.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/base/bytes.hpp>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::Quantity;
using apimachinery::string_at;

namespace {

using Amounts = api::ResourceList;

bool huge(std::string_view name) { return starts_with(name, "hugepages-"); }
bool of_whole_pods(std::string_view name) { return name == "cpu" || name == "memory" || huge(name); }

Amounts amounts(const Document& list) {
  Amounts out;
  if (!list.is_object()) return out;
  for (const auto& [name, value] : list.items())
    if (auto q = Quantity::parse(string_at(list, name))) out.emplace(name, *q);
  return out;
}

void raise(Amounts& to, const Amounts& other) {
  for (const auto& [name, q] : other) {
    auto [it, fresh] = to.emplace(name, q);
    if (!fresh && it->second < q) it->second = q;
  }
}

// Of all containers at once: sidecars run beside all that comes later, other init containers alone with those before.
Amounts of_containers(const Document& spec, const char* part) {
  Amounts total, sidecars, peak;
  auto of = [&](const Document& c) { return amounts(member(member(c, "resources"), part)); };
  for (const auto& c : each(spec, "containers")) api::add_to(total, of(c));
  for (const auto& c : each(spec, "initContainers")) {
    Amounts its = of(c);
    if (string_at(c, "restartPolicy") == "Always") {
      api::add_to(total, its);
      api::add_to(sidecars, its);
      its = sidecars;
    } else {
      api::add_to(its, sidecars);
    }
    raise(peak, its);
  }
  raise(total, peak);
  return total;
}

bool all_bound(const Document& spec, const std::string& name) {
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"})
    for (const auto& c : each(spec, list))
      if (!find_member(member(member(c, "resources"), "limits"), name)) return false;
  return true;
}

// What is new in `list` is written to the document.
void write_new(Document& resources, const char* part, const Amounts& list) {
  if (list.empty()) return;
  Document& out = apimachinery::object_at(resources, part);
  for (const auto& [name, q] : list)
    if (!out.contains(name)) out[name] = q.to_string();
}

}  // namespace

void default_pod_resources(Document& spec) {
  Document* resources = find_member(spec, "resources");
  if (!resources || !resources->is_object()) return;
  Amounts requests = amounts(member(*resources, "requests")), limits = amounts(member(*resources, "limits"));
  if (requests.empty() && limits.empty()) return;
  Amounts asked = of_containers(spec, "requests"), bounds = of_containers(spec, "limits");
  for (const auto& [name, q] : bounds)
    if (huge(name) && !requests.count(name)) limits.emplace(name, q);
  for (const auto& [name, q] : asked)
    if (of_whole_pods(name) && !huge(name)) requests.emplace(name, q);
  for (const auto& [name, q] : limits)
    if (of_whole_pods(name)) requests.emplace(name, q);
  for (const auto& [name, q] : requests) {
    auto bound = bounds.find(name);
    if (of_whole_pods(name) && bound != bounds.end() && !limits.count(name) && all_bound(spec, name)) limits.emplace(name, std::max(q, bound->second));
  }
  write_new(*resources, "requests", requests);
  write_new(*resources, "limits", limits);
}

void check_pod_resources(const Check& spec) {
  Check at = spec["resources"], limits = at["limits"], requests = at["requests"];
  if (!at.value().is_object()) return;
  if (spec["os"]["name"].is("windows")) return at.forbidden("may not be set for a windows pod");
  if (at["claims"].set()) at["claims"].forbidden("claims may not be set for Resources at pod-level");
  check_resources(at, spec, true);
  Amounts asked = amounts(requests.value()), bounds = amounts(limits.value());
  for (const auto& [name, q] : of_containers(spec.value(), "requests"))
    if (auto own = asked.find(name); own != asked.end() && q > own->second)
      requests.key(name).invalid_as(own->second.to_string(), "must be greater than or equal to aggregate container requests of " + q.to_string());
  for (const auto& [name, q] : of_containers(spec.value(), "limits"))
    if (auto own = bounds.find(name); huge(name) && own != bounds.end() && q > own->second)
      limits.key(name).invalid_as(own->second.to_string(), "must be greater than or equal to aggregate container limits of " + q.to_string());
  Check containers = spec["containers"].as(at.path().child("containers"));
  for (std::size_t i = 0; i < containers.size(); ++i)
    for (const auto& [name, q] : amounts(containers[i]["resources"]["limits"].value()))
      if (auto own = bounds.find(name); own != bounds.end() && q > own->second)
        containers[i].key(name)["limits"].invalid_as(q.to_string(), "must be less than or equal to pod limits of " + own->second.to_string());
}

}  // namespace onebin::apiserver
