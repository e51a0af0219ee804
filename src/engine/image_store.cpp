#include "engine/image_store.hpp"

#include "engine/digest.hpp"
#include "engine/reference.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <fcntl.h>
#include <sys/stat.h>

namespace onebin::engine {
namespace {

using nlohmann::json;

std::string text_of(const json& j, const char* key) {
  auto at = j.find(key);
  return at != j.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::vector<std::string> texts_of(const json& j, const char* key) {
  std::vector<std::string> out;
  auto at = j.find(key);
  if (at == j.end() || !at->is_array()) return out;
  for (const auto& v : *at) {
    if (v.is_string()) out.push_back(v.get<std::string>());
  }
  return out;
}

std::vector<std::string> keys_of(const json& j, const char* key) {
  std::vector<std::string> out;
  auto at = j.find(key);
  if (at == j.end() || !at->is_object()) return out;
  for (const auto& [k, v] : at->items()) out.push_back(k);
  return out;
}

std::uint64_t number_of(const json& j, const char* key) {
  auto at = j.find(key);
  return at != j.end() && at->is_number_unsigned() ? at->get<std::uint64_t>() : 0;
}

json record_json(const ImageRecord& r) {
  json layers = json::array();
  for (const auto& l : r.layers) layers.push_back({{"diffID", l.diff_id}, {"chainID", l.chain_id}, {"size", l.size}});
  return {{"id", r.info.id},
          {"tags", r.info.repo_tags},
          {"digests", r.info.repo_digests},
          {"layers", layers},
          {"manifestDigest", r.manifest_digest},
          {"manifestMediaType", r.manifest_media_type},
          {"pinned", r.info.pinned},
          {"importedAt", format_rfc3339(r.info.imported_at)}};
}

Result<ImageRecord> record_of(const json& j, const std::string& config) {
  ImageRecord r;
  ASSIGN_OR_RETURN(r.info, parse_image_config(config));
  if (text_of(j, "id") != r.info.id) return bad_request("the config is another image's");
  r.info.repo_tags = texts_of(j, "tags");
  r.info.repo_digests = texts_of(j, "digests");
  r.manifest_digest = text_of(j, "manifestDigest");
  r.manifest_media_type = text_of(j, "manifestMediaType");
  r.info.pinned = j.value("pinned", false);
  r.info.imported_at = parse_rfc3339(text_of(j, "importedAt")).value_or(WallTime{});
  r.info.last_used = r.info.imported_at;
  auto layers = j.find("layers");
  if (layers == j.end() || !layers->is_array()) return bad_request("no layers");
  for (const auto& l : *layers) {
    if (!l.is_object()) return bad_request("bad layer");
    LayerRecord layer{text_of(l, "diffID"), text_of(l, "chainID"), number_of(l, "size")};
    if (!valid_digest(layer.diff_id) || !valid_digest(layer.chain_id)) return bad_request("bad layer");
    r.info.size += layer.size;
    r.layers.push_back(std::move(layer));
  }
  return r;
}

}  // namespace

std::string LayerRecord::key() const { return digest_hex(chain_id).substr(0, 24); }

std::vector<std::string> chain_ids(const std::vector<std::string>& diff_ids) {
  std::vector<std::string> out;
  for (const auto& d : diff_ids) out.push_back(out.empty() ? d : digest_of(out.back() + " " + d));
  return out;
}

Result<std::vector<std::string>> config_diff_ids(const std::string& config) {
  json j = json::parse(config, nullptr, false);
  if (!j.is_object()) return bad_request("the image's config is not a JSON object");
  auto rootfs = j.find("rootfs");
  if (rootfs == j.end() || !rootfs->is_object()) return bad_request("the image's config has no rootfs");
  auto ids = texts_of(*rootfs, "diff_ids");
  if (ids.size() > 127) return bad_request("the image has more than 127 layers");
  for (const auto& id : ids) {
    if (!valid_digest(id)) return bad_request("the image's config has a bad diff_id");
  }
  return ids;
}

Result<ImageInfo> parse_image_config(const std::string& config) {
  json j = json::parse(config, nullptr, false);
  if (!j.is_object()) return bad_request("the image's config is not a JSON object");
  ImageInfo i;
  i.id = digest_of(config);
  i.architecture = text_of(j, "architecture");
  i.os = text_of(j, "os");
  json c = j.contains("config") && j["config"].is_object() ? j["config"] : json::object();
  i.user = text_of(c, "User");
  i.env = texts_of(c, "Env");
  i.entrypoint = texts_of(c, "Entrypoint");
  i.cmd = texts_of(c, "Cmd");
  i.working_dir = text_of(c, "WorkingDir");
  i.stop_signal = text_of(c, "StopSignal");
  i.volumes = keys_of(c, "Volumes");
  i.exposed_ports = keys_of(c, "ExposedPorts");
  if (auto l = c.find("Labels"); l != c.end() && l->is_object()) {
    for (const auto& [k, v] : l->items()) {
      if (v.is_string()) i.labels[k] = v.get<std::string>();
    }
  }
  std::string user = i.user.substr(0, i.user.find(':'));
  std::int64_t uid = 0;
  auto parsed = std::from_chars(user.data(), user.data() + user.size(), uid);
  if (user.empty()) i.uid = 0;
  else if (parsed.ec == std::errc() && parsed.ptr == user.data() + user.size() && uid >= 0) i.uid = uid;
  else i.username = user;
  return i;
}

std::string ImageStore::config_path(const std::string& id) const { return root_ + "/images/" + digest_hex(id) + ".config.json"; }

Result<void> ImageStore::load(const std::set<std::string>& layers_in_use, WallTime now) {
  for (const char* d : {"/images", "/layers"}) RETURN_IF_ERROR(make_dirs(root_ + d, 0700));
  RETURN_IF_ERROR(remove_all(temp_dir()));
  RETURN_IF_ERROR(make_dirs(temp_dir(), 0700));
  for (const auto& n : list_dir(downloads_dir()).value_or({})) {
    struct stat st;
    std::string path = downloads_dir() + "/" + n;
    if (::stat(path.c_str(), &st) == 0 && now - from_unix(st.st_mtime) > 24h) ::unlink(path.c_str());
  }
  images_.clear();
  ASSIGN_OR_RETURN(std::vector<std::string> names, list_dir(root_ + "/images"));
  for (const auto& name : names) {
    if (!ends_with(name, ".json") || ends_with(name, ".config.json")) continue;
    std::string path = root_ + "/images/" + name;
    auto text = read_file(path);
    auto config = read_file(path.substr(0, path.size() - 5) + ".config.json");
    json j = text ? json::parse(*text, nullptr, false) : json();
    auto record = config && j.is_object() ? record_of(j, *config) : Result<ImageRecord>(bad_request("unreadable record"));
    if (record) {
      for (const auto& l : record->layers) {
        if (!path_exists(layer_path(l.key()))) record = Result<ImageRecord>(bad_request("a layer is missing"));
        if (!record) break;
      }
    }
    if (!record) {
      log_warn("image record dropped", {{"file", name}, {"error", record.status()}});
      ::unlink(path.c_str());
      continue;
    }
    std::string id = record->info.id;
    images_[id] = std::move(*record);
  }
  auto wanted = layers_of_images();
  wanted.insert(layers_in_use.begin(), layers_in_use.end());
  ASSIGN_OR_RETURN(std::vector<std::string> layers, list_dir(layers_dir()));
  for (const auto& l : layers) {
    if (!wanted.count(l.substr(0, l.find('.')))) RETURN_IF_ERROR(remove_all(layer_path(l)));
  }
  for (const auto& name : names) {
    if (!ends_with(name, ".config.json")) continue;
    if (!images_.count("sha256:" + name.substr(0, name.size() - 12))) ::unlink((root_ + "/images/" + name).c_str());
  }
  return {};
}

const ImageRecord* ImageStore::by_id(const std::string& id) const {
  auto at = images_.find(id);
  return at == images_.end() ? nullptr : &at->second;
}

const ImageRecord* ImageStore::find(const std::string& reference) const {
  if (auto* r = by_id(reference)) return r;
  bool hex = reference.size() >= 12 && reference.size() <= 64 &&
             std::all_of(reference.begin(), reference.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (hex) {
    auto at = images_.lower_bound("sha256:" + reference);
    if (at != images_.end() && starts_with(at->first, "sha256:" + reference)) return &at->second;
  }
  auto parsed = parse_reference(reference, default_registry_);
  if (!parsed) return nullptr;
  std::string wanted = parsed->digest.empty() ? parsed->tagged() : parsed->name() + "@" + parsed->digest;
  for (const auto& [id, r] : images_) {
    const auto& names = parsed->digest.empty() ? r.info.repo_tags : r.info.repo_digests;
    if (std::find(names.begin(), names.end(), wanted) != names.end()) return &r;
  }
  return nullptr;
}

Result<void> ImageStore::write(const ImageRecord& record, const std::string& config) const {
  Fd dir(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return from_errno("open " + root_, errno);
  if (::syncfs(dir.get()) < 0) return from_errno("sync " + root_, errno);
  RETURN_IF_ERROR(write_file_atomic(config_path(record.info.id), config, 0600));
  return write_record(record);
}

Result<void> ImageStore::write_record(const ImageRecord& record) const {
  std::string text = record_json(record).dump(-1, ' ', false, json::error_handler_t::replace);
  return write_file_atomic(root_ + "/images/" + digest_hex(record.info.id) + ".json", text, 0600);
}

Result<void> ImageStore::erase_files(const std::string& id) const {
  std::string base = root_ + "/images/" + digest_hex(id);
  ::unlink((base + ".json").c_str());
  ::unlink((base + ".config.json").c_str());
  return {};
}

std::vector<ImageRecord> ImageStore::commit(ImageRecord record) {
  std::vector<ImageRecord> changed;
  for (auto& [id, other] : images_) {
    if (id == record.info.id) continue;
    auto& tags = other.info.repo_tags;
    auto end = std::remove_if(tags.begin(), tags.end(), [&](const std::string& t) {
      return std::find(record.info.repo_tags.begin(), record.info.repo_tags.end(), t) != record.info.repo_tags.end();
    });
    if (end == tags.end()) continue;
    tags.erase(end, tags.end());
    changed.push_back(other);
  }
  std::string id = record.info.id;
  images_[id] = std::move(record);
  return changed;
}

void ImageStore::touch(const std::string& id, WallTime now) {
  if (auto at = images_.find(id); at != images_.end()) at->second.info.last_used = now;
}

std::set<std::string> ImageStore::layers_of_images() const {
  std::set<std::string> keys;
  for (const auto& [id, r] : images_) {
    for (const auto& l : r.layers) keys.insert(l.key());
  }
  return keys;
}

}  // namespace onebin::engine
