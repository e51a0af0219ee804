// Admission: plug-ins that may change (admit) and then refuse (validate) a write or a connect, after authorization and
// before the strategy validates. Order and meaning as upstream's chain.
#pragma once
#include "apiserver/lister.hpp"
#include "apiserver/request.hpp"

#include <onebin/apimachinery/document.hpp>
#include <onebin/async/task.hpp>
#include <onebin/base/time.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apiserver {

using apimachinery::Document;

class AuditEvent;

enum class Operation : unsigned char { Create, Update, Delete, Connect };
std::string_view to_string(Operation op);  // "CREATE"

struct AdmissionAttributes {
  Operation operation = Operation::Create;
  std::string group, version, kind;      // of the object: for a subresource its own ("autoscaling","v1","Scale")
  std::string resource_group, resource_version, resource, subresource;
  std::string ns, name;                  // name "" for a create with generateName whose name is not made yet
  bool dry_run = false;
  bool collection = false;               // a deletion of one object among many
  const UserInfo* user = nullptr;
  AuditEvent* audit = nullptr;           // null: the request is not audited
  Document* object = nullptr;            // null for Delete and most Connects; admit() may change it
  // The stored object before, decoded at the first call; null for Create and Connect. Valid during the call.
  const Document* old_object() const {
    if (!old_ && load_old) old_ = load_old();
    return old_;
  }
  const Document* options = nullptr;     // CreateOptions, UpdateOptions, DeleteOptions
  std::function<const Document*()> load_old;
  std::vector<std::string>* warnings = nullptr;  // become Warning headers
  std::optional<SteadyTime> deadline;    // of the request
  std::string* other_reason = nullptr;   // takes the reason of a refusal that is none of those that Reason has

  // The chain admits twice where a webhook changed the object after others had seen it (reinvocationPolicy IfNeeded).
  struct Rounds {
    bool wanted = false, second = false;
    std::set<std::string> invoked, again;  // webhooks by their uid: called and may be again; to be called again
    Document after_webhooks;               // the object as the webhooks left it
    void call_again() { again.merge(invoked); invoked.clear(); }
  } rounds;

  void warn(std::string text) const { if (warnings) warnings->push_back(std::move(text)); }
  bool is(std::string_view g, std::string_view r, std::string_view sub = {}) const {
    return resource_group == g && resource == r && subresource == sub;
  }

 private:
  mutable const Document* old_ = nullptr;
};

class AdmissionPlugin {
 public:
  virtual ~AdmissionPlugin() = default;
  virtual std::string_view name() const = 0;
  virtual bool handles(Operation op) const = 0;
  // A cheap test, so that a plug-in costs nothing for what does not concern it.
  virtual bool concerns(const AdmissionAttributes&) const { return true; }
  // It hands the whole object to others, its managedFields too (see track_update()).
  virtual bool shows_object() const { return false; }
  virtual async::Task<Result<void>> admit(AdmissionAttributes& a);
  virtual async::Task<Result<void>> validate(const AdmissionAttributes& a);
};

class AdmissionChain {
 public:
  void add(std::unique_ptr<AdmissionPlugin> plugin) { plugins_.push_back(std::move(plugin)); }
  async::Task<Result<void>> admit(AdmissionAttributes* a) const;
  async::Task<Result<void>> validate(const AdmissionAttributes* a) const;
  std::size_t size() const { return plugins_.size(); }

 private:
  std::vector<std::unique_ptr<AdmissionPlugin>> plugins_;
};

// 403 in upstream's words: `pods "a" is forbidden: why`.
Status admission_forbidden(const AdmissionAttributes& a, std::string_view why);

}  // namespace onebin::apiserver
