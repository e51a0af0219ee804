// The persistent volume controller: binds claims to volumes, provisions local paths, reclaims what is released.
#include "controllers.hpp"
#include "volume_plan.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>
#include <onebin/client/latest.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
constexpr Duration kNodeLimit = 30s;  // a node's answer
constexpr char kDefaultClass[] = "storageclass.kubernetes.io/is-default-class", kDefaultClassBeta[] = "storageclass.beta.kubernetes.io/is-default-class";
// Keys of the one queue: both kinds are worked on by one worker, so that no two decisions about a volume overlap.
const std::string kClaim = "claim ", kVolume = "volume ";

class VolumeBinder final : public Controller {
 public:
  explicit VolumeBinder(Context& c)
      : Controller(c, "persistent-volume-binder"), volume_informer_(c.informers->get<Volume>()), claim_informer_(c.informers->get<Claim>()),
        classes_(c.informers->get<StorageClass>()), pods_(c.informers->get<v1::Pod>()), volumes_(volume_informer_), claims_(claim_informer_) {
    needs(volume_informer_);
    needs(claim_informer_);
    needs(classes_);
    needs(pods_);
    volume_informer_.on_event([this](const std::string& name, const Volume* before, const Volume* now) { on_volume(name, before, now); });
    claim_informer_.on_event([this](const std::string& key, const Claim* before, const Claim* now) { on_claim(key, before, now); });
    classes_.add_handler([this](const std::string&, const Bytes&, const Bytes&) { ask_unbound(); });
    pods_.on_event([this](const std::string&, const v1::Pod* before, const v1::Pod* now) { on_pod(before, now); });
  }

 private:
  static std::string claim_key(const Volume& v) { return v.spec.claim_ref ? client::object_key(v.spec.claim_ref->namespace_, v.spec.claim_ref->name) : ""; }
  void ask_unbound() {
    for (const auto& key : unbound_) queue_.add(kClaim + key);
  }

  void on_volume(const std::string& name, const Volume* before, const Volume* now) {
    std::string was = before ? claim_key(*before) : "", is = now ? claim_key(*now) : "";
    if (!was.empty() && was != is) of_claim_[was].erase(name);
    if (!is.empty()) of_claim_[is].insert(name);
    if (!was.empty() && of_claim_[was].empty()) of_claim_.erase(was);
    for (const auto& key : {was, is})
      if (!key.empty()) queue_.add(kClaim + key);
    if (!now) return;
    queue_.add(kVolume + name);
    if (now->status.phase == "Available" && (!before || before->status.phase != "Available" || !(before->spec == now->spec) || before->metadata.labels != now->metadata.labels))
      ask_unbound();
  }

  void on_claim(const std::string& key, const Claim* before, const Claim* now) {
    if (now && !now->metadata.annotations.count(client::kBindCompleted)) unbound_.insert(key);
    else unbound_.erase(key);
    if (now) queue_.add(kClaim + key);
    auto it = of_claim_.find(key);
    if (it != of_claim_.end())
      for (const auto& name : it->second) queue_.add(kVolume + name);
    const Claim& c = now ? *now : *before;
    if (!c.spec.volume_name.empty()) queue_.add(kVolume + c.spec.volume_name);
  }

  // Which pods wait for a claim is only told in an event.
  void on_pod(const v1::Pod* before, const v1::Pod* now) {
    for (const v1::Pod* p : {before, now}) {
      if (!p || !p->spec.node_name.empty() || p->status.phase == "Succeeded" || p->status.phase == "Failed") continue;
      for (const auto& v : p->spec.volumes) {
        std::string claim = client::claim_name(p->metadata.name, v);
        if (claim.empty()) continue;
        std::string key = client::object_key(p->metadata.namespace_, claim);
        if (p == now) {
          if (waiting_[key].insert(p->metadata.name).second && unbound_.count(key)) queue_.add(kClaim + key);
        } else if (auto it = waiting_.find(key); it != waiting_.end()) {
          bool still = now && now->spec.node_name.empty();
          if (!still && it->second.erase(p->metadata.name) && it->second.empty()) waiting_.erase(it);
        }
      }
    }
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    Status s;
    if (key.starts_with(kClaim)) s = co_await sync_claim(key.substr(kClaim.size()));
    else s = co_await sync_volume(key.substr(kVolume.size()));
    co_return ReconcileResult{s.is(Reason::NotFound) ? Status() : s};
  }

  // --- Claims

  std::string default_class() const {
    std::optional<StorageClass> best;
    classes_.for_each([&](const std::string&, const StorageClass& c) {
      auto yes = [&](const char* k) {
        auto it = c.metadata.annotations.find(k);
        return it != c.metadata.annotations.end() && it->second == "true";
      };
      if (!yes(kDefaultClass) && !yes(kDefaultClassBeta)) return;
      if (!best || c.metadata.creation_timestamp > best->metadata.creation_timestamp ||
          (c.metadata.creation_timestamp == best->metadata.creation_timestamp && c.metadata.name < best->metadata.name))
        best = c;
    });
    return best ? best->metadata.name : "";
  }

  async::Task<Status> sync_claim(std::string key) {
    std::optional<Claim> claim = claims_.get(key);
    if (!claim) co_return Status();
    std::vector<Volume> all;
    bool search = claim->spec.volume_name.empty() && !claim->metadata.annotations.count(client::kBindCompleted);
    if (search) volumes_.for_each([&](const std::string&, const Volume& v) { all.push_back(v); });
    ClaimView view;
    for (const auto& v : all) view.volumes.push_back(&v);
    std::optional<Volume> named = claim->spec.volume_name.empty() ? std::nullopt : volumes_.get(claim->spec.volume_name);
    view.named = named ? &*named : nullptr;
    std::string class_name = client::class_of(*claim);
    std::optional<StorageClass> c = class_name.empty() ? std::nullopt : classes_.get(class_name);
    view.storage_class = c ? &*c : nullptr;
    if (search && !client::names_class(*claim)) view.default_class = default_class();
    if (auto it = waiting_.find(key); it != waiting_.end()) view.waiting_pods.assign(it->second.begin(), it->second.end());
    ClaimPlan plan = plan_claim(*claim, view);
    if (!plan.notes_once || claim->status.phase != plan.phase)
      for (auto& n : plan.notes) events_.event(client::ref_of(*claim), n.type, n.reason, n.message);
    switch (plan.action) {
      case ClaimPlan::Do::Bind: {
        std::optional<Volume> volume = volumes_.get(plan.name);
        if (!volume) co_return Status();
        co_return co_await bind(std::move(*claim), std::move(*volume));
      }
      case ClaimPlan::Do::SetClass:
        claim->spec.storage_class_name = plan.name;
        co_return co_await write(std::move(*claim));
      case ClaimPlan::Do::Provision: {
        if (running_.insert(kClaim + key).second) group_.spawn(provision(key, std::move(*claim), std::move(*c)));
        co_return Status();
      }
      case ClaimPlan::Do::SetPhase: {
        if (!set_claim_phase(*claim, plan.phase, nullptr)) co_return plan.failure;
        Status s = co_await write(std::move(*claim), "status");
        co_return s ? plan.failure : s;
      }
    }
    co_return Status();
  }

  // Volume first: a claim that is said to be bound has a volume that nobody else can get.
  async::Task<Status> bind(Claim claim, Volume volume) {
    if (client::bind_to_claim(volume, claim)) {
      Status s = co_await write(&volume);
      if (!s) co_return s;
    }
    if (volume.status.phase != "Bound") {
      volume.status.phase = "Bound";
      volume.status.message.clear();
      Status s = co_await write(&volume, "status");
      if (!s) co_return s;
    }
    if (bind_to_volume(claim, volume)) {
      Result<Claim> r = co_await client_.update(std::move(claim));
      if (!r) co_return r.status();
      claim = std::move(*r);
      claims_.put(claim);
    }
    if (!set_claim_phase(claim, "Bound", &volume)) co_return Status();
    co_return co_await write(std::move(claim), "status");
  }

  async::Task<Status> write(Claim claim, std::string subresource = {}) {
    Result<Claim> r = co_await client_.update(std::move(claim), std::move(subresource));
    if (r) claims_.put(std::move(*r));
    co_return r.status();
  }
  // `volume` becomes what the server made of it.
  async::Task<Status> write(Volume* volume, std::string subresource = {}) {
    Result<Volume> r = co_await client_.update(*volume, std::move(subresource));
    if (!r) co_return r.status();
    *volume = std::move(*r);
    volumes_.put(*volume);
    co_return Status();
  }

  // --- Provisioning

  async::Task<void> provision(std::string key, Claim claim, StorageClass c) {
    Status s = co_await provision_claim(std::move(claim), std::move(c));
    running_.erase(kClaim + key);
    if (s) queue_.forget(kClaim + key);
    else if (!s.is(Reason::Cancelled) && !s.is(Reason::NotFound)) queue_.add_rate_limited(kClaim + key);
  }

  Status refuse(const Claim& claim, std::string why) {
    events_.event(client::ref_of(claim), "Warning", "ProvisioningFailed", std::move(why));
    return Status();  // until something changes
  }

  async::Task<Status> provision_claim(Claim claim, StorageClass c) {
    Provisioner by = provisioner_of(c);
    if (!by.error.empty()) co_return refuse(claim, by.error);
    std::string name = by.local_path ? c.provisioner : by.external;
    auto& notes = claim.metadata.annotations;
    if (notes[client::kStorageProvisioner] != name || notes[client::kStorageProvisionerBeta] != name) {
      notes[client::kStorageProvisioner] = notes[client::kStorageProvisionerBeta] = name;
      Result<Claim> r = co_await client_.update(std::move(claim));
      if (!r) co_return r.status();
      claim = std::move(*r);
      claims_.put(claim);
    }
    if (by.local_path) co_return co_await provision_local_path(std::move(claim), std::move(c));
    events_.event(client::ref_of(claim), "Normal", "ExternalProvisioning",
                  "Waiting for a volume to be created either by the external provisioner '" + name +
                      "' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.");
    co_return Status();
  }

  async::Task<Status> provision_local_path(Claim claim, StorageClass c) {
    std::string why = local_path_refusal(claim, c);
    if (!why.empty()) co_return refuse(claim, "Failed to provision volume with StorageClass " + apimachinery::go_quote(c.metadata.name) + ": " + why);
    if (volumes_.get(volume_name_of(claim))) co_return Status();
    std::string node_name = claim.metadata.annotations[client::kSelectedNode];
    Result<v1::Node> node = co_await client_.get<v1::Node>("", node_name);
    Status failure = node.status();
    std::string path;
    if (node) {
      Result<std::string> made = co_await ask_node(node_name, "PUT", volume_name_of(claim));
      failure = made.status();
      if (made) path = std::move(*made);
    }
    if (!failure) {
      events_.event(client::ref_of(claim), "Warning", "ProvisioningFailed",
                    "Failed to provision volume with StorageClass " + apimachinery::go_quote(c.metadata.name) + ": " + failure.message());
      // The scheduler is to choose again.
      claim.metadata.annotations.erase(client::kSelectedNode);
      Status s = co_await write(std::move(claim));
      co_return s;
    }
    auto label = node->metadata.labels.find("kubernetes.io/hostname");
    std::string hostname = label == node->metadata.labels.end() ? node_name : label->second;
    Volume volume = local_path_volume(claim, c, node_name, hostname, path);
    std::string name = volume.metadata.name;
    Result<Volume> r = co_await client_.create("", std::move(volume));
    if (!r && !r.is(Reason::AlreadyExists)) co_return r.status();
    events_.event(client::ref_of(claim), "Normal", "ProvisioningSucceeded", "Successfully provisioned volume " + name + " using " + c.provisioner);
    co_return Status();
  }

  // The node's directory of a volume: PUT makes it and answers with its path, DELETE removes it with all that is in it.
  async::Task<Result<std::string>> ask_node(std::string node, std::string method, std::string volume) {
    client::ApiRequest q;
    q.method = std::move(method);
    q.path = client::resource_path(api::resource_of<v1::Node>(), "", node, "proxy") + "/localVolumes/" + volume;
    q.accept = "*/*";
    Result<client::ApiResponse> r = co_await async::with_timeout(kNodeLimit, client_.transport().request(std::move(q)));
    if (!r) co_return r.status();
    if (r->code / 100 != 2) co_return Status(Reason::InternalError, "node " + node + ": " + r->body);
    co_return std::move(r->body);
  }

  // --- Volumes

  async::Task<Status> sync_volume(std::string name) {
    std::optional<Volume> volume = volumes_.get(name);
    if (!volume) co_return Status();
    std::optional<Claim> claim;
    if (volume->spec.claim_ref && !volume->spec.claim_ref->uid.empty()) {
      const std::string key = claim_key(*volume), uid = volume->spec.claim_ref->uid;
      claim = claims_.get(key);
      bool over = volume->status.phase == "Released" || volume->status.phase == "Failed";
      // Data may hang on this: the cache is not believed when it says that the claim is gone.
      if ((!claim && !over) || (claim && claim->metadata.uid != uid)) {
        auto [ns, claim_name] = client::split_key(key);
        Result<Claim> now = co_await client_.get<Claim>(ns, claim_name);
        if (!now && !now.is(Reason::NotFound)) co_return now.status();
        claim = now ? std::optional<Claim>(std::move(*now)) : std::nullopt;
      }
    }
    VolumePlan plan = plan_volume(*volume, claim ? &*claim : nullptr);
    switch (plan.action) {
      case VolumePlan::Do::SetPhase: co_return co_await set_phase(&*volume, plan.phase, "");
      case VolumePlan::Do::AskClaim: queue_.add(kClaim + claim_key(*volume)); co_return Status();
      case VolumePlan::Do::Mismatch:
        events_.event(client::ref_of(*volume), "Warning", "VolumeMismatch",
                      "Cannot bind PersistentVolume to requested PersistentVolumeClaim " + apimachinery::go_quote(claim->metadata.name) + " due to incompatible volumeMode.");
        events_.event(client::ref_of(*claim), "Warning", "VolumeMismatch",
                      "Cannot bind PersistentVolume " + apimachinery::go_quote(name) + " to requested PersistentVolumeClaim due to incompatible volumeMode.");
        co_return Status();
      case VolumePlan::Do::Unbind: {
        unbind(*volume);
        Status s = co_await write(&*volume);
        if (!s) co_return s;
        co_return co_await set_phase(&*volume, plan.phase, "");
      }
      case VolumePlan::Do::Reclaim: co_return co_await reclaim(std::move(*volume), plan.phase);
    }
    co_return Status();
  }

  async::Task<Status> set_phase(Volume* volume, std::string phase, std::string message) {
    if (volume->status.phase == phase) co_return Status();
    volume->status.phase = std::move(phase);
    volume->status.message = std::move(message);
    Status s = co_await write(volume, "status");
    co_return s;
  }

  async::Task<Status> fail(Volume* volume, std::string reason, std::string message) {
    if (volume->status.phase == "Failed") co_return Status();
    Status s = co_await set_phase(volume, "Failed", message);
    if (s) events_.event(client::ref_of(*volume), "Warning", std::move(reason), std::move(message));
    co_return s;
  }

  async::Task<Status> reclaim(Volume volume, std::string phase) {
    if (volume.status.phase != "Failed") {
      Status s = co_await set_phase(&volume, std::move(phase), "");
      if (!s) co_return s;
    }
    ReclaimPlan plan = plan_reclaim(volume);
    if (plan.action == ReclaimPlan::Do::Fail) co_return co_await fail(&volume, plan.reason, plan.message);
    if (plan.action == ReclaimPlan::Do::DeleteLocalPath && running_.insert(kVolume + volume.metadata.name).second) group_.spawn(delete_local_path(std::move(volume)));
    co_return Status();
  }

  async::Task<void> delete_local_path(Volume volume) {
    std::string key = kVolume + volume.metadata.name;
    Status s = co_await delete_data(std::move(volume));
    running_.erase(key);
    if (s || s.is(Reason::NotFound)) queue_.forget(key);
    else if (!s.is(Reason::Cancelled)) queue_.add_rate_limited(key);
  }

  async::Task<Status> delete_data(Volume volume) {
    std::string node_name = volume.metadata.annotations[client::kSelectedNode];
    Result<v1::Node> node = co_await client_.get<v1::Node>("", node_name);
    if (!node && !node.is(Reason::NotFound)) co_return node.status();
    // With its node the data has gone.
    if (node) {
      Result<std::string> gone = co_await ask_node(node_name, "DELETE", volume.metadata.name);
      if (!gone) {
        Status marked = co_await fail(&volume, "VolumeFailedDelete", gone.status().message());
        if (!marked) log_debug("a volume's failure was not written", {{"volume", volume.metadata.name}, {"error", marked}});
        co_return gone.status();
      }
    }
    auto& f = volume.metadata.finalizers;
    if (auto it = std::find(f.begin(), f.end(), kControllerFinalizer); it != f.end()) {
      f.erase(it);
      Status s = co_await write(&volume);
      if (!s) co_return s;
    }
    client::DeleteOptions options;
    options.uid = volume.metadata.uid;
    Result<void> r = co_await client_.remove<Volume>("", volume.metadata.name, options);
    co_return r.status();
  }

  client::Informer<Volume>& volume_informer_;
  client::Informer<Claim>& claim_informer_;
  client::Informer<StorageClass>& classes_;
  client::Informer<v1::Pod>& pods_;
  client::Latest<Volume> volumes_;
  client::Latest<Claim> claims_;
  std::set<std::string> unbound_;                            // claims that are not bound
  std::map<std::string, std::set<std::string>> of_claim_;    // volumes by the claim that they name
  std::map<std::string, std::set<std::string>> waiting_;     // pods without a node by claim
  std::set<std::string> running_;                            // what is being provisioned or deleted
};

}  // namespace

std::unique_ptr<Controller> make_persistent_volume_binder(Context& c) { return std::make_unique<VolumeBinder>(c); }

}  // namespace onebin::controller
