// Definitions: follows CustomResourceDefinitions and serves what they define: names are accepted or found in conflict, the
// resource is established, its tables are made anew at each change, and its objects are deleted before it goes.
//
// A change of a definition that is served already takes effect inside the feed of the watch cache, so that who reads after a
// write was acknowledged reads by it. What has to wait for storage or to write a status is the worker's.
#pragma once
#include "apiserver/core.hpp"

#include <onebin/client/transport.hpp>

#include <map>
#include <set>

namespace onebin::apiserver {

inline constexpr std::string_view kDefinitionsGroup = "apiextensions.k8s.io";
inline constexpr std::string_view kDefinitionsResource = "customresourcedefinitions";
inline constexpr std::string_view kCleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";

class Definitions {
 public:
  explicit Definitions(Core& core);
  ~Definitions();

  // After the watch cache was filled: serves all that were established, then follows.
  async::Task<Result<void>> start();

  // Not yet told as established, or not told apart from what is being made: whether somebody else's names stand in the way.
  struct Names {
    Document accepted;    // status.acceptedNames
    Document condition;   // NamesAccepted
    bool ok() const { return apimachinery::string_at(condition, "status") == "True"; }
  };
  static Names accept_names(const Document& definition, const std::vector<Document>& others);

 private:
  struct Live {
    std::string uid, group, plural, prefix;
    std::vector<std::string> versions;  // served
    std::string facts;                  // what its tables were made of, to tell a change from a change of status
    std::shared_ptr<WatchCache> cache;
  };

  void on_change(std::string_view name, const Bytes& before, const Bytes& now);
  void refresh(const std::string& name, const Document& definition);
  void withdraw(const std::string& name);
  void unregister(const Live& live);
  void enqueue(std::string name);
  void requeue_group(const std::string& group, const std::string& but);
  std::vector<Document> others_of_group(const std::string& group, const std::string& but) const;
  Result<Document> definition_of(const std::string& name) const;

  async::Task<void> work();
  async::Task<Result<void>> reconcile(std::string name);
  async::Task<Result<void>> establish(std::string name, const Document* definition);
  async::Task<Result<void>> terminate(std::string name, const Document* definition);
  async::Task<Result<void>> delete_instances(std::string name, const Document* definition);
  async::Task<Result<void>> write_status(std::string name, Document definition);

  Core& core_;
  std::unique_ptr<client::Transport> transport_;
  std::map<std::string, Live> live_;  // by the definition's name
  std::set<std::string> queue_;
  std::map<std::string, int> failures_;
  async::WaitQueue wake_;
};

// Sets a condition of status, by its type; keeps lastTransitionTime while its status stays. False: nothing changed.
bool set_condition(Document& definition, Document condition, WallTime now);
bool has_condition(const Document& definition, std::string_view type);  // and it is True
Document make_condition(std::string_view type, bool status, std::string_view reason, std::string_view message);

}  // namespace onebin::apiserver
