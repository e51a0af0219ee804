// The policies, namespaces and pods that policy rules are made of, and what has changed since they were last written. Pure.
#pragma once
#include <onebin/proxy/policy.hpp>

#include <functional>

namespace onebin::proxy {

// The cluster's pods as they are now, which the state does not keep.
class PolicyPods {
 public:
  virtual ~PolicyPods() = default;
  virtual std::optional<PolicyPod> get(const std::string& key) const = 0;
  virtual void for_each(const std::function<void(const std::string& key, const PolicyPod& pod)>& fn) const = 0;
};

class PolicyState {
 public:
  // `dns`: addresses where the node answers for the cluster's DNS.
  PolicyState(const PolicyPods& pods, std::vector<Ip> dns) : pods_(pods), dns_(std::move(dns)) {}

  void set_policy(const std::string& key, std::optional<Policy> policy);
  void set_namespace(const std::string& name, std::optional<Labels> labels);
  // What PolicyPods has of this pod has changed.
  void change_pod(const std::string& key, const std::optional<PolicyPod>& before, const std::optional<PolicyPod>& now);
  // PolicyPods is empty, and what is known of namespaces goes too; with no policy left and nothing to write.
  void forget_cluster();
  bool changed() const { return wide_ || !pods_before_.empty() || !namespaces_before_.empty(); }
  std::size_t size() const { return policies_.size(); }
  bool selects(const PolicyPod& pod) const;  // whether a policy does

  struct Change {
    network::nft::Table from, to;
  };
  Change take();                     // from one partial table to another, which it regards as written
  network::nft::Table everything();  // all of it as it should be; regards it as written

 private:
  using Each = std::function<void(const std::string& key, const PolicyPod& pod)>;
  void for_each_pod(const Each& fn) const;
  const Labels& labels_of(const std::string& ns) const;
  const Labels& labels_before(const std::string& ns) const;
  void settle(PolicyView view);
  void take_pods(Change& c, const PolicyView& next) const;

  const PolicyPods& pods_;
  std::vector<Ip> dns_;
  std::map<std::string, std::shared_ptr<const Policy>> policies_;
  std::map<std::string, Labels> namespaces_;
  std::map<std::string, PolicyPod> local_;
  std::multimap<Ip, std::string> owners_;  // an address that changes hands may be told of in either order
  PolicyView written_;

  bool wide_ = false;                                         // the view is to be made anew
  std::map<std::string, std::optional<PolicyPod>> pods_before_;  // as written, of those that have changed
  std::map<std::string, Labels> namespaces_before_;
};

}  // namespace onebin::proxy
