#include "engine/archive.hpp"
#include "engine/digest.hpp"
#include "engine/engine_impl.hpp"
#include "engine/layers.hpp"
#include "engine/reference.hpp"
#include "engine/registry.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>

namespace onebin::engine {
namespace {

using async::run_blocking;
using nlohmann::json;

struct Descriptor {
  std::string digest;
  std::uint64_t size = 0;
};

struct RemoteImage {
  std::string top_digest, top_media_type;  // of what the reference names: an index or a manifest
  Descriptor config;
  std::vector<Descriptor> layers;
};

std::string text_of(const json& j, const char* key) {
  auto at = j.find(key);
  return at != j.end() && at->is_string() ? at->get<std::string>() : std::string();
}

Result<Descriptor> descriptor_of(const json& j) {
  if (!j.is_object()) return bad_request("bad manifest");
  Descriptor d{text_of(j, "digest"), j.value("size", std::uint64_t{0})};
  if (!valid_digest(d.digest)) return bad_request("bad manifest: bad digest");
  return d;
}

// The manifest for this platform in an index. Variants (arm v7, v8) are not told apart: the first that fits is taken.
Result<std::string> choose_platform(const json& index) {
  for (const auto& m : index.contains("manifests") ? index["manifests"] : json::array()) {
    if (!m.is_object() || !m.contains("platform") || !m["platform"].is_object()) continue;
    if (text_of(m["platform"], "os") != "linux" || text_of(m["platform"], "architecture") != host_architecture()) continue;
    ASSIGN_OR_RETURN(Descriptor d, descriptor_of(m));
    return d.digest;
  }
  return Status(Reason::NotFound, std::string("the image has nothing for linux/") + host_architecture());
}

Result<RemoteImage> parse_manifest(const std::string& text) {
  json j = json::parse(text, nullptr, false);
  if (!j.is_object() || !j.contains("config") || !j.contains("layers") || !j["layers"].is_array()) return bad_request("not an image manifest");
  RemoteImage image;
  ASSIGN_OR_RETURN(image.config, descriptor_of(j["config"]));
  for (const auto& l : j["layers"]) {
    ASSIGN_OR_RETURN(Descriptor d, descriptor_of(l));
    image.layers.push_back(std::move(d));
  }
  return image;
}

async::Task<Result<RemoteImage>> resolve_image(Registry* registry, std::string what) {
  CO_ASSIGN_OR_RETURN(Registry::Manifest top, co_await registry->manifest(what));
  std::string content = top.content;
  json j = json::parse(content, nullptr, false);
  if (!j.is_object()) co_return bad_request("the manifest is not a JSON object");
  for (int depth = 0; j.contains("manifests"); ++depth) {
    if (depth > 2) co_return bad_request("indexes within indexes within indexes");
    CO_ASSIGN_OR_RETURN(std::string digest, choose_platform(j));
    CO_ASSIGN_OR_RETURN(Registry::Manifest inner, co_await registry->manifest(digest));
    content = std::move(inner.content);
    j = json::parse(content, nullptr, false);
    if (!j.is_object()) co_return bad_request("the manifest is not a JSON object");
  }
  CO_ASSIGN_OR_RETURN(RemoteImage image, parse_manifest(content));
  image.top_digest = top.digest;
  image.top_media_type = top.media_type;
  co_return image;
}

}  // namespace

// One image on its way: its layers' downloads run beside each other, and each is unpacked as soon as those below it are.
struct RuncEngine::Pull {
  Registry* registry = nullptr;
  RemoteImage image;
  ImageRecord record;
  std::string config;
  PullProgress progress;
  ProgressFn report;
  async::Semaphore slots;
  struct Layer {
    bool ready = false;
    Status status;
    std::uint64_t bytes = 0;
    std::string file;  // "" when nothing had to be fetched
    async::WaitQueue changed;
  };
  std::vector<std::unique_ptr<Layer>> layers;
  explicit Pull(unsigned parallel) : slots(std::max(1u, parallel)) {}
  void tell() {
    progress.bytes_done = 0;
    for (const auto& l : layers) progress.bytes_done += l->bytes;
    if (report) report(progress);
  }
};

async::Task<void> RuncEngine::fetch_layer(Pull* pull, std::size_t index) {
  auto& layer = *pull->layers[index];
  const Descriptor blob = pull->image.layers[index];
  std::string target = store_.layer_path(pull->record.layers[index].key());
  auto lock = blob_locks_[blob.digest].lock();
  if (!lock) blob_locks_[blob.digest] = lock = std::make_shared<async::Semaphore>(1);
  Result<void> r = co_await lock->acquire();
  if (r) {
    if (!path_exists(target)) {
      r = co_await pull->slots.acquire();
      if (r) {
        layer.file = store_.downloads_dir() + "/" + digest_hex(blob.digest);
        auto on_bytes = [pull, &layer](std::uint64_t n) {
          layer.bytes = n;
          pull->tell();
        };
        r = co_await pull->registry->download(blob.digest, blob.size, layer.file, on_bytes);
        pull->slots.release();
      }
    }
    lock->release();
  }
  lock.reset();
  if (auto at = blob_locks_.find(blob.digest); at != blob_locks_.end() && at->second.expired()) blob_locks_.erase(at);
  layer.status = r.status();
  layer.ready = true;
  layer.changed.wake_all();
}

async::Task<Result<void>> RuncEngine::unpack_layers(Pull* pull) {
  for (std::size_t i = 0; i < pull->layers.size(); ++i) {
    auto& layer = *pull->layers[i];
    while (!layer.ready) {
      Status s = co_await layer.changed.wait();
      if (!s) co_return s;
    }
    if (!layer.status) co_return layer.status;
    CO_RETURN_IF_ERROR(co_await images_lock_.acquire());
    const ImageStore* store = &store_;
    auto layers = pull->record.layers;
    std::string file = layer.file, digest = pull->image.layers[i].digest;
    Result<std::uint64_t> size = co_await run_blocking([store, layers, i, file, digest]() -> Result<std::uint64_t> {
      Fd fd(file.empty() ? -1 : ::open(file.c_str(), O_RDONLY | O_CLOEXEC));
      struct stat st{};
      if (fd && ::fstat(fd.get(), &st) < 0) return from_errno("stat " + file, errno);
      FileSource source(fd.get(), 0, static_cast<std::uint64_t>(st.st_size));
      auto stored = store_layer(*store, layers, i, source, digest);
      if (!file.empty()) ::unlink(file.c_str());  // a wrong one too: the next attempt begins anew
      return stored;
    });
    images_lock_.release();
    if (!size) co_return size.status();
    pull->record.layers[i].size = *size;
    pull->record.info.size += *size;
    ++pull->progress.layers_done;
    pull->tell();
  }
  co_return Result<void>();
}

async::Task<Result<void>> RuncEngine::pull_layers(Pull* pull) {
  // Pinned: a removal of another image meanwhile must not take layers that are there already.
  for (const auto& l : pull->record.layers) ++pinned_layers_[l.key()];
  async::TaskGroup downloads("pull", co_await async::current_scope());
  for (std::size_t i = 0; i < pull->layers.size(); ++i) downloads.spawn(fetch_layer(pull, i));
  Result<void> r = co_await unpack_layers(pull);
  downloads.cancel();
  co_await downloads.join();
  co_return r;
}

async::Task<Result<void>> RuncEngine::pull_from(Pull* pull, std::string what) {
  CO_ASSIGN_OR_RETURN(pull->image, co_await resolve_image(pull->registry, what));
  CO_ASSIGN_OR_RETURN(pull->config, co_await pull->registry->blob(pull->image.config.digest, pull->image.config.size));
  CO_ASSIGN_OR_RETURN(pull->record.info, parse_image_config(pull->config));
  CO_ASSIGN_OR_RETURN(std::vector<std::string> diff_ids, config_diff_ids(pull->config));
  if (diff_ids.size() != pull->image.layers.size()) co_return bad_request("the image's config and manifest differ in the number of layers");
  auto chains = chain_ids(diff_ids);
  pull->record.layers.clear();
  pull->layers.clear();
  pull->progress = PullProgress{};
  for (std::size_t i = 0; i < diff_ids.size(); ++i) {
    pull->record.layers.push_back({diff_ids[i], chains[i], 0});
    pull->layers.push_back(std::make_unique<Pull::Layer>());
    pull->progress.bytes_total += pull->image.layers[i].size;
  }
  pull->progress.layers_total = static_cast<unsigned>(diff_ids.size());
  Result<void> r = co_await pull_layers(pull);
  if (r) {
    pull->record.manifest_digest = pull->image.top_digest;
    pull->record.manifest_media_type = pull->image.top_media_type;
  }
  co_return r;
}

void RuncEngine::unpin_layers(const ImageRecord& record) {
  for (const auto& l : record.layers) {
    auto at = pinned_layers_.find(l.key());
    if (at != pinned_layers_.end() && --at->second == 0) pinned_layers_.erase(at);
  }
}

async::Task<Result<ImageInfo>> RuncEngine::pull_image(std::string reference, RegistryCredentials credentials, ProgressFn progress) {
  CO_ASSIGN_OR_RETURN(Reference ref, parse_reference(reference, options_.default_registry));
  CO_ASSIGN_OR_RETURN(std::vector<Endpoint> endpoints, endpoints_of(ref, options_.registries));
  CO_RETURN_IF_ERROR(make_dirs(store_.downloads_dir(), 0700));
  Status last = not_found("images", reference);
  for (const auto& endpoint : endpoints) {
    auto registry = Registry::create(endpoint, options_.registries, credentials);
    if (!registry) co_return registry.status();
    Pull pull(options_.max_parallel_downloads);
    pull.registry = registry->get();
    pull.report = progress;
    Result<void> r = co_await pull_from(&pull, ref.digest.empty() ? ref.tag : ref.digest);
    if (!r) {
      unpin_layers(pull.record);
      if (r.is(Reason::Cancelled)) co_return r.status();
      log_info("image not pulled from an endpoint", {{"image", reference}, {"endpoint", endpoint.url}, {"error", r.status()}});
      last = r.status();
      continue;
    }
    if (ref.digest.empty()) pull.record.info.repo_tags = {ref.tagged()};
    pull.record.info.repo_digests = {ref.name() + "@" + pull.image.top_digest};
    ImageRecord pinned = pull.record;
    Result<void> locked = co_await images_lock_.acquire();
    Result<ImageInfo> added = locked.status().is_ok() ? Result<ImageInfo>(ImageInfo{}) : Result<ImageInfo>(locked.status());
    if (locked) {
      added = co_await async::uncancelled(add_image(std::move(pull.record), std::move(pull.config)));
      images_lock_.release();
    }
    unpin_layers(pinned);
    co_return added;
  }
  co_return last.with_context("pull " + reference);
}

}  // namespace onebin::engine
