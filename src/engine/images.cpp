#include "engine/archive.hpp"
#include "engine/engine_impl.hpp"
#include "engine/export.hpp"
#include "engine/layers.hpp"
#include "engine/reference.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>
#include <set>
#include <sys/stat.h>
#include <sys/statvfs.h>

namespace onebin::engine {
namespace {

using async::run_blocking;

void add_unique(std::vector<std::string>& to, const std::string& value) {
  if (std::find(to.begin(), to.end(), value) == to.end()) to.push_back(value);
}

// Layers unpacked, nothing recorded yet.
Result<ImageRecord> unpack_image(const ImageStore& store, Archive& archive, const Archive::Image& image, const std::string& default_registry) {
  ImageRecord record;
  ASSIGN_OR_RETURN(record.info, parse_image_config(image.config));
  ASSIGN_OR_RETURN(std::vector<std::string> diff_ids, config_diff_ids(image.config));
  if (diff_ids.size() != image.layers.size()) return bad_request("the image's config and manifest differ in the number of layers");
  auto chains = chain_ids(diff_ids);
  for (std::size_t i = 0; i < diff_ids.size(); ++i) record.layers.push_back({diff_ids[i], chains[i], 0});
  for (std::size_t i = 0; i < diff_ids.size(); ++i) {
    ASSIGN_OR_RETURN(auto blob, archive.stream(image.layers[i].name));
    ASSIGN_OR_RETURN(record.layers[i].size, store_layer(store, record.layers, i, *blob, image.layers[i].digest));
    record.info.size += record.layers[i].size;
  }
  record.manifest_digest = image.manifest_digest;
  record.manifest_media_type = image.manifest_media_type;
  for (const auto& text : image.references) {
    ASSIGN_OR_RETURN(Reference ref, parse_reference(text, default_registry));
    if (!ref.tag.empty()) add_unique(record.info.repo_tags, ref.tagged());
    if (!image.manifest_digest.empty()) add_unique(record.info.repo_digests, ref.name() + "@" + image.manifest_digest);
  }
  return record;
}

struct Imported {
  ImageRecord record;
  std::string config;
};

Result<std::vector<Imported>> unpack_archive(const ImageStore* store, const std::string& path, const std::string& default_registry) {
  ASSIGN_OR_RETURN(auto archive, Archive::open(path, store->temp_dir()));
  ASSIGN_OR_RETURN(auto images, archive->images());
  if (images.empty()) return bad_request(path + ": no image for this platform");
  std::vector<Imported> out;
  for (auto& image : images) {
    auto record = unpack_image(*store, *archive, image, default_registry);
    if (!record) return record.status().with_context(image.references.empty() ? image.manifest_digest : image.references[0]);
    out.push_back({std::move(*record), std::move(image.config)});
  }
  return out;
}

Status import_error(const std::string& path, const Status& why) {
  if (starts_with(why.message(), path) || why.is(Reason::Cancelled)) return why;
  return Status(why.reason(), path + ": " + why.message() + " (nothing of it was imported: copy the archive again, or make it anew)");
}

void measure(const std::string& folder, std::uint64_t& bytes, std::uint64_t& inodes) {
  for (const auto& n : list_dir(folder).value_or({})) {
    struct stat st;
    if (::lstat((folder + "/" + n).c_str(), &st) < 0) continue;
    bytes += static_cast<std::uint64_t>(st.st_blocks) * 512;
    ++inodes;
    if (S_ISDIR(st.st_mode)) measure(folder + "/" + n, bytes, inodes);
  }
}

}  // namespace

// Under images_lock_. Joins the record with what is known of the same image, writes it, and takes its names from others.
async::Task<Result<ImageInfo>> RuncEngine::add_image(ImageRecord record, std::string config) {
  record.info.imported_at = record.info.last_used = loop_.clock().wall();
  if (const ImageRecord* known = store_.by_id(record.info.id)) {
    for (const auto& t : known->info.repo_tags) add_unique(record.info.repo_tags, t);
    for (const auto& d : known->info.repo_digests) add_unique(record.info.repo_digests, d);
    record.info.pinned |= known->info.pinned;
    record.info.imported_at = known->info.imported_at;
    if (record.manifest_digest.empty()) {
      record.manifest_digest = known->manifest_digest;
      record.manifest_media_type = known->manifest_media_type;
    }
  }
  const ImageStore* store = &store_;
  Result<void> written = co_await run_blocking([store, record, config] { return store->write(record, config); });
  if (!written) co_return written.status();
  ImageInfo info = record.info;
  std::vector<ImageRecord> changed = store_.commit(std::move(record));
  for (auto& other : changed) {
    Result<void> r = co_await run_blocking([store, other] { return store->write_record(other); });
    if (!r) co_return r.status();
  }
  co_return info;
}

async::Task<Result<std::vector<ImageInfo>>> RuncEngine::import_images(std::string path) {
  CO_RETURN_IF_ERROR(co_await images_lock_.acquire());
  const ImageStore* store = &store_;
  std::string registry = options_.default_registry;
  Result<std::vector<Imported>> unpacked = co_await run_blocking([store, path, registry] { return unpack_archive(store, path, registry); });
  Result<std::vector<ImageInfo>> out = std::vector<ImageInfo>();
  if (!unpacked) out = import_error(path, unpacked.status());
  for (std::size_t i = 0; unpacked && out && i < unpacked->size(); ++i) {
    auto& image = (*unpacked)[i];
    Result<ImageInfo> added = co_await async::uncancelled(add_image(std::move(image.record), std::move(image.config)));
    if (added) out->push_back(std::move(*added));
    else out = added.status();
  }
  images_lock_.release();
  if (!out) co_await drop_unused_layers();
  co_return out;
}

std::vector<ImageInfo> RuncEngine::list_images() {
  std::vector<ImageInfo> out;
  for (const auto& [id, r] : store_.all()) out.push_back(r.info);
  return out;
}

Result<ImageInfo> RuncEngine::image_status(const std::string& reference) {
  const ImageRecord* r = store_.find(reference);
  if (!r) return not_found("images", reference);
  return r->info;
}

async::Task<Result<void>> RuncEngine::remove_image(std::string reference) {
  CO_RETURN_IF_ERROR(co_await images_lock_.acquire());
  const ImageRecord* found = store_.find(reference);
  Result<void> result;
  if (found) {
    ImageRecord record = *found;
    const ImageStore* store = &store_;
    auto parsed = parse_reference(reference, options_.default_registry);
    auto& tags = record.info.repo_tags;
    auto tag = parsed && parsed->digest.empty() ? std::find(tags.begin(), tags.end(), parsed->tagged()) : tags.end();
    if (record.info.id != reference && tag != tags.end() && tags.size() > 1) {
      tags.erase(tag);
      result = co_await run_blocking([store, record] { return store->write_record(record); });
      if (result) store_.commit(std::move(record));
    } else {
      std::string id = record.info.id;
      store_.forget(id);
      result = co_await run_blocking([store, id] { return store->erase_files(id); });
    }
  }
  images_lock_.release();
  co_await drop_unused_layers();
  co_return result;
}

// Layers that neither an image nor a container stands on.
async::Task<void> RuncEngine::drop_unused_layers() {
  Result<void> locked = co_await images_lock_.acquire();
  if (!locked) co_return;
  auto wanted = store_.layers_of_images();
  for (const auto& [id, c] : containers_) wanted.insert(c->record.layer_keys.begin(), c->record.layer_keys.end());
  for (const auto& [key, count] : pinned_layers_) wanted.insert(key);
  const ImageStore* store = &store_;
  Result<void> r = co_await run_blocking([store, wanted]() -> Result<void> {
    ASSIGN_OR_RETURN(std::vector<std::string> names, list_dir(store->layers_dir()));
    for (const auto& n : names) {
      if (!wanted.count(n.substr(0, n.find('.')))) RETURN_IF_ERROR(remove_all(store->layer_path(n)));
    }
    return {};
  });
  images_lock_.release();
  if (!r) log_warn("layers not removed", {{"error", r.status()}});
}

async::Task<Result<ImageInfo>> RuncEngine::tag_image(std::string reference, std::string new_tag) {
  CO_ASSIGN_OR_RETURN(Reference ref, parse_reference(new_tag, options_.default_registry));
  if (ref.tag.empty() || !ref.digest.empty()) co_return bad_request("\"" + new_tag + "\" is not a tag");
  CO_RETURN_IF_ERROR(co_await images_lock_.acquire());
  const ImageRecord* found = store_.find(reference);
  Result<ImageInfo> result = not_found("images", reference);
  if (found) {
    ImageRecord record = *found;
    add_unique(record.info.repo_tags, ref.tagged());
    auto config = read_file(store_.config_path(record.info.id));
    if (!config) result = config.status();
    else result = co_await async::uncancelled(add_image(std::move(record), std::move(*config)));
  }
  images_lock_.release();
  co_return result;
}

async::Task<Result<void>> RuncEngine::export_images(std::vector<std::string> references, std::string path) {
  CO_RETURN_IF_ERROR(co_await images_lock_.acquire());
  std::vector<ExportImage> images;
  Result<void> result;
  for (const auto& reference : references) {
    const ImageRecord* r = store_.find(reference);
    if (!r) {
      result = not_found("images", reference);
      break;
    }
    auto parsed = parse_reference(reference, options_.default_registry);
    bool by_tag = parsed && std::find(r->info.repo_tags.begin(), r->info.repo_tags.end(), parsed->digest.empty() ? parsed->tagged() : "") != r->info.repo_tags.end();
    images.push_back({*r, store_.config_path(r->info.id), by_tag ? std::vector<std::string>{parsed->tagged()} : r->info.repo_tags});
  }
  if (result) {
    const ImageStore* store = &store_;
    result = co_await run_blocking([store, images, path] { return export_archive(*store, images, path); });
  }
  images_lock_.release();
  co_return result;
}

async::Task<Result<ImageFsUsage>> RuncEngine::image_fs_usage() {
  ImageFsUsage u;
  u.mountpoint = options_.root_dir;
  std::set<std::string> counted;
  for (const auto& [id, r] : store_.all()) {
    for (const auto& l : r.layers) {
      if (counted.insert(l.key()).second) u.images_bytes += l.size;
    }
  }
  std::string root = options_.root_dir;
  co_return co_await run_blocking([u, root]() mutable -> Result<ImageFsUsage> {
    measure(root + "/containers", u.containers_bytes, u.inodes_used);
    struct statvfs fs;
    if (::statvfs(root.c_str(), &fs) < 0) return from_errno("statvfs " + root, errno);
    u.capacity_bytes = static_cast<std::uint64_t>(fs.f_blocks) * fs.f_frsize;
    u.available_bytes = static_cast<std::uint64_t>(fs.f_bavail) * fs.f_frsize;
    u.inodes_capacity = fs.f_files;
    u.inodes_free = fs.f_ffree;
    u.inodes_used = fs.f_files - fs.f_ffree;
    return u;
  });
}

}  // namespace onebin::engine
