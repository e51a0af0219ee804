// Controllers against an API server in memory, on a simulated loop: what they write is what the API has.
#pragma once
#include "../apiserver/support.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/controller/manager.hpp>

#include <initializer_list>
#include <map>
#include <memory>
#include <string>

namespace onebin::controller::test {

using apimachinery::Document;

class Cluster : public apiserver::test::Fixture {
 public:
  // `names` are the controllers that run, as --disable takes them.
  explicit Cluster(std::set<std::string> names, std::string roots = {}) {
    Options o;
    o.rng = &rng;
    o.root_ca_pem = std::move(roots);
    for (const auto& name : controller_names())
      if (!names.count(name)) o.disabled.insert(name);
    manager_ = std::make_unique<Manager>([this](const std::string& user) -> client::Transport& { return transport_of(user); }, std::move(o));
    manager_->start();
    settle();
  }
  ~Cluster() {
    run(manager_->stop());
    manager_.reset();
    transports_.clear();
  }

  void settle(Duration d = std::chrono::milliseconds(200)) {
    for (Duration step = std::chrono::milliseconds(20); d > Duration(0); d -= step) {
      while (loop->run_ready()) {}
      loop->run_for(step);
    }
  }
  // What the kubelet would say of a pod.
  void set_pod(const std::string& name, const std::string& phase, bool ready) {
    Document condition = {{"type", "Ready"}, {"status", ready ? "True" : "False"}, {"lastTransitionTime", format_rfc3339(loop->clock().wall())}};
    auto a = send("PATCH", "/api/v1/namespaces/default/pods/" + name + "/status",
                  {{"status", {{"phase", phase}, {"conditions", Document::array({condition})}}}}, "application/strategic-merge-patch+json");
    INFO(a.text);
    CHECK(a.code == 200);
    settle();
  }
  void run_pod(const std::string& name) { set_pod(name, "Running", true); }
  // Names of a collection's items, in order.
  std::vector<std::string> names(const std::string& path) {
    std::vector<std::string> out;
    for (const auto& item : items(path)) out.push_back(item["metadata"]["name"]);
    return out;
  }
  Document items(const std::string& path) {
    auto a = get(path);
    INFO(a.text);
    REQUIRE(a.code == 200);
    return a.body["items"];
  }
  std::vector<std::string> pods() { return names("/api/v1/namespaces/default/pods"); }
  void create(const std::string& path, Document body) {
    auto a = post(path, std::move(body));
    INFO(a.text);
    REQUIRE(a.code == 201);
    settle();
  }
  void patch(const std::string& path, Document body) {
    auto a = send("PATCH", path, std::move(body), "application/merge-patch+json");
    INFO(a.text);
    REQUIRE(a.code == 200);
    settle();
  }
  void remove(const std::string& path) {
    auto a = send("DELETE", path);
    INFO(a.text);
    CHECK(a.code / 100 == 2);
    settle();
  }
  // Pods without a node go at once.
  void remove_pod(const std::string& name) { remove("/api/v1/namespaces/default/pods/" + name + "?gracePeriodSeconds=0"); }
  bool has_event(const std::string& reason) {
    settle();
    for (const auto& e : items("/api/v1/namespaces/default/events"))
      if (e["reason"] == reason) return true;
    return false;
  }

 private:
  client::Transport& transport_of(const std::string& user) {
    auto& slot = transports_[user];
    if (slot) return *slot;
    std::vector<std::string> groups;
    if (user == "system:apiserver") groups = {std::string(apiserver::kMastersGroup)};
    if (user.starts_with("system:serviceaccount:")) groups = {"system:serviceaccounts", "system:serviceaccounts:kube-system"};
    slot = server->local_transport(apiserver::system_user(user, std::move(groups)));
    return *slot;
  }
  std::map<std::string, std::unique_ptr<client::Transport>> transports_;
  std::unique_ptr<Manager> manager_;
};

inline Document pod_template(const std::string& app, const std::string& image = "busybox:1") {
  Document container = {{"name", "c"}, {"image", image}};
  return {{"metadata", {{"labels", {{"app", app}}}}}, {"spec", {{"containers", Document::array({container})}}}};
}
inline Document selector(const std::string& app) { return {{"matchLabels", {{"app", app}}}}; }
inline Document object(const std::string& api_version, const std::string& kind, const std::string& name, Document spec) {
  return {{"apiVersion", api_version}, {"kind", kind}, {"metadata", {{"name", name}}}, {"spec", std::move(spec)}};
}

}  // namespace onebin::controller::test
