// FlowSchemas: each says in its status whether the priority level that it names is there. Upstream's API server does this
// itself, and so under its name.
#include "controllers.hpp"

#include <onebin/api/flowcontrol_v1.hpp>

#include <nlohmann/json.hpp>

namespace onebin::controller {
namespace {

using api::flowcontrol::v1::FlowSchema;
using api::flowcontrol::v1::FlowSchemaCondition;
using api::flowcontrol::v1::PriorityLevelConfiguration;

FlowSchemaCondition dangling(const std::string& level, bool there) {
  FlowSchemaCondition c;
  c.type = "Dangling";
  c.status = there ? "False" : "True";
  c.reason = there ? "Found" : "NotFound";
  c.message = "This FlowSchema references the PriorityLevelConfiguration object named \"" + level + "\" " + (there ? "and it exists" : "but there is no such object");
  return c;
}

class FlowSchemas final : public Controller {
 public:
  explicit FlowSchemas(Context& c)
      : Controller(c, "flow-schema-status-controller"), server_(c.transport_of("system:apiserver"), "kube-apiserver"), schemas_(c.informers->get<FlowSchema>()),
        levels_(c.informers->get<PriorityLevelConfiguration>()) {
    needs(schemas_);
    needs(levels_);
    schemas_.add_handler([this](const std::string& key, const Bytes&, const Bytes& now) {
      if (now) queue_.add(key);
    });
    levels_.add_handler([this](const std::string&, const Bytes& before, const Bytes& now) {
      if (!before == !now) return;  // it came or went
      for (const auto& [key, schema] : schemas_.items()) queue_.add(key);
    });
  }

 private:
  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<FlowSchema> s = schemas_.get(key);
    if (!s) co_return ReconcileResult{};
    const std::string& level = s->spec.priority_level_configuration.name;
    FlowSchemaCondition wanted = dangling(level, levels_.get(level).has_value());
    for (const auto& c : s->status.conditions)
      if (c.type == wanted.type && c.status == wanted.status && c.reason == wanted.reason && c.message == wanted.message) co_return ReconcileResult{};
    nlohmann::json patch;
    patch["apiVersion"] = "flowcontrol.apiserver.k8s.io/v1";
    patch["kind"] = "FlowSchema";
    patch["metadata"]["name"] = key;
    patch["status"]["conditions"] = {{{"type", wanted.type}, {"status", wanted.status}, {"reason", wanted.reason}, {"message", wanted.message},
                                      {"lastTransitionTime", format_rfc3339(context_.now())}}};
    client::ApiRequest q = server_.patch_request(client::resource_path(api::resource_of<FlowSchema>(), "", key, "status"), PatchType::Apply, patch.dump());
    q.query = "fieldManager=api-priority-and-fairness-config-consumer-v1&force=true";
    Result<std::string> r = co_await server_.raw(std::move(q));
    co_return ReconcileResult{r.is(Reason::NotFound) ? Status() : r.status()};
  }

  Client server_;
  client::Informer<FlowSchema>& schemas_;
  client::Informer<PriorityLevelConfiguration>& levels_;
};

}  // namespace

std::unique_ptr<Controller> make_flow_schema_controller(Context& c) { return std::make_unique<FlowSchemas>(c); }

}  // namespace onebin::controller
