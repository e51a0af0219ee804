// Pods from files: each manifest of a folder is a pod of this node, without the API server; a mirror pod shows it there.
#pragma once
#include "kubelet/pod_util.hpp"

#include <onebin/async/group.hpp>
#include <onebin/client/client.hpp>

#include <functional>
#include <map>
#include <string>

namespace onebin::kubelet {

// A manifest (YAML or JSON) as the pod that runs here: name-NODE, a uid made from its content, node name and annotations set.
Result<core::Pod> static_pod_from(const std::string& text, const std::string& file, const std::string& node_name);
// The pod that shows it in the API.
core::Pod mirror_of(const core::Pod& static_pod, const std::string& node_uid, const std::string& node_name);

class StaticPods {
 public:
  // `changed(uid, pod)`: a pod has come or changed; null: it has gone.
  StaticPods(std::string folder, std::string node_name, std::function<void(const std::string& uid, const core::Pod*)> changed);
  Result<void> start();  // reads the folder, then follows it by inotify
  async::Task<void> stop();
  const std::map<std::string, core::Pod>& pods() const { return pods_; }  // by file

 private:
  void read_all();
  async::Task<void> follow(int fd);
  std::string folder_, node_name_;
  std::function<void(const std::string&, const core::Pod*)> changed_;
  std::map<std::string, core::Pod> pods_;
  async::TaskGroup group_;
};

}  // namespace onebin::kubelet
