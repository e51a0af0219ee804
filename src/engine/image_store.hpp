// Images on disk, below the engine's root:
//   images/<config digest>.json         the record: names, layers, sizes (written last, with fsync)
//   images/<config digest>.config.json  the image's config, byte for byte
//   layers/<key>/, layers/<key>.size     a layer unpacked over its parents; key: the first 24 digits of its chain id
//   downloads/<blob digest>             parts of compressed layers, which a later pull goes on with; a day at most
//   tmp/                                what is under way; emptied at start
// A layer counts only once a record names it: at start the others are removed, so that an interruption leaves nothing
// half-done. Compressed layers are not kept; export packs the folders again.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/engine/types.hpp>

#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace onebin::engine {

struct LayerRecord {
  std::string diff_id;   // digest of the uncompressed tar
  std::string chain_id;  // OCI image spec, "Layer ChainID"
  std::uint64_t size = 0;  // bytes in files
  std::string key() const;
};

struct ImageRecord {
  ImageInfo info;
  std::vector<LayerRecord> layers;  // lowest first
  std::string manifest_digest, manifest_media_type;
};

std::vector<std::string> chain_ids(const std::vector<std::string>& diff_ids);
Result<ImageInfo> parse_image_config(const std::string& config);
// diff_ids of a config; BadRequest when they are not digests.
Result<std::vector<std::string>> config_diff_ids(const std::string& config);

class ImageStore {
 public:
  ImageStore(std::string root, std::string default_registry) : root_(std::move(root)), default_registry_(std::move(default_registry)) {}
  // Blocking; reads the records and removes what is half-done. `layers_in_use`: keys that containers stand on.
  Result<void> load(const std::set<std::string>& layers_in_use, WallTime now);

  const std::string& root() const { return root_; }
  std::string layers_dir() const { return root_ + "/layers"; }
  std::string layer_path(const std::string& key) const { return layers_dir() + "/" + key; }
  std::string temp_dir() const { return root_ + "/tmp"; }
  std::string downloads_dir() const { return root_ + "/downloads"; }
  std::string config_path(const std::string& id) const;

  const ImageRecord* find(const std::string& reference) const;  // see Engine::image_status
  const ImageRecord* by_id(const std::string& id) const;
  const std::map<std::string, ImageRecord>& all() const { return images_; }

  // Blocking; syncs the file system once, then writes config and record. No change in memory: see commit().
  Result<void> write(const ImageRecord& record, const std::string& config) const;
  Result<void> write_record(const ImageRecord& record) const;
  Result<void> erase_files(const std::string& id) const;
  // Loop thread. Takes the record in; names that it carries are taken from other images. Gives those others, to be written anew.
  std::vector<ImageRecord> commit(ImageRecord record);
  void forget(const std::string& id) { images_.erase(id); }
  void touch(const std::string& id, WallTime now);  // last_used; in memory only
  std::set<std::string> layers_of_images() const;

 private:
  std::string root_, default_registry_;
  std::map<std::string, ImageRecord> images_;  // by id
};

}  // namespace onebin::engine
