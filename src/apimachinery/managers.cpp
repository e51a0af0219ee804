#include "managers.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/base/time.hpp>

#include <algorithm>
#include <tuple>

namespace onebin::apimachinery {
namespace {

std::int64_t seconds(const std::string& time) {
  auto t = time.empty() ? std::nullopt : parse_rfc3339(time);
  return t ? std::chrono::duration_cast<std::chrono::seconds>(t->time_since_epoch()).count() : 0;
}

std::string text(const Document& entry, const char* name) { return std::string(string_at(entry, name)); }

}  // namespace

std::string ManagerId::to_string() const {
  std::string out = go_quote(manager);
  if (!subresource.empty()) out += " with subresource " + go_quote(subresource);
  if (operation == "Update") out += " using " + api_version;
  return out;
}

Result<Managers> decode_managers(const Document& entries) {
  Managers out;
  if (!entries.is_array()) return out;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto& e = entries[i];
    ManagerId id{text(e, "manager"), text(e, "operation"), text(e, "apiVersion"), text(e, "subresource")};
    if (id.operation != "Apply" && id.operation != "Update") return bad_request("operation must be `Apply` or `Update`");
    if (id.api_version.empty()) return bad_request("apiVersion must not be empty");
    auto type = text(e, "fieldsType");
    if (type.empty()) return bad_request("missing fieldsType in managed fields entry " + std::to_string(i));
    if (type != "FieldsV1") return bad_request("invalid fieldsType " + go_quote(type) + " in managed fields entry " + std::to_string(i));
    ManagedSet managed;
    managed.api_version = id.api_version;
    managed.time = text(e, "time");
    if (id.operation == "Apply") id.api_version.clear();
    if (const auto* fields = find_member(e, "fieldsV1"); fields && fields->is_object() && !fields->empty()) {
      ASSIGN_OR_RETURN(managed.set, FieldSet::parse(*fields));
    }
    out.insert_or_assign(std::move(id), std::move(managed));
  }
  return out;
}

Document encode_managers(const Managers& managers, bool as_text) {
  std::vector<const Managers::value_type*> sorted;
  for (const auto& m : managers) sorted.push_back(&m);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    auto key = [](const auto* m) {
      return std::make_tuple(std::string_view(m->first.operation), seconds(m->second.time), std::string_view(m->first.manager),
                             std::string_view(m->second.api_version), std::string_view(m->first.subresource));
    };
    return key(a) < key(b);
  });
  Document out = Document::array();
  for (const auto* m : sorted) {
    Document e = Document::object();
    e["manager"] = m->first.manager;
    e["operation"] = m->first.operation;
    e["apiVersion"] = m->second.api_version;
    e["fieldsType"] = "FieldsV1";
    if (as_text) {
      std::string text = m->second.set.to_json();
      e["fieldsV1"] = Document::binary({text.begin(), text.end()});
    } else {
      e["fieldsV1"] = m->second.set.serialize();
    }
    if (!m->second.time.empty()) e["time"] = m->second.time;
    if (!m->first.subresource.empty()) e["subresource"] = m->first.subresource;
    out.push_back(std::move(e));
  }
  return out;
}

void cap_update_managers(Managers& managers, std::size_t limit) {
  std::vector<ManagerId> updaters;
  for (const auto& [id, m] : managers)
    if (id.operation == "Update") updaters.push_back(id);
  if (updaters.size() <= limit) return;
  std::sort(updaters.begin(), updaters.end(), [&](const auto& a, const auto& b) {
    auto s = seconds(managers[a].time), t = seconds(managers[b].time);
    return s != t ? s < t : a < b;
  });
  std::size_t length = updaters.size();
  std::map<std::string, ManagerId> first_of_version;
  for (const auto& id : updaters) {
    if (length <= limit) break;
    const std::string version = managers[id].api_version;
    auto [first, fresh] = first_of_version.try_emplace(version, id);
    if (fresh) continue;
    ManagerId bucket{"ancient-changes", "Update", version, ""};
    if (!managers.count(bucket)) {
      managers[bucket] = std::move(managers[first->second]);
      managers.erase(first->second);
    }
    if (id == bucket) continue;
    auto& into = managers[bucket];
    into.set = managers[id].set.union_with(into.set);
    into.time = managers[id].time;  // the more recent
    managers.erase(id);
    --length;
  }
}

}  // namespace onebin::apimachinery
