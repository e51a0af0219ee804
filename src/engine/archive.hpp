// Image archives: an OCI layout (folder or tar), or what `docker save` writes; tars may be compressed. Everything blocks.
#pragma once
#include "engine/image_store.hpp"
#include "engine/source.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onebin::engine {

class Archive {
 public:
  // A compressed tar is unpacked to a file in temp_dir first, as its parts are read out of order.
  static Result<std::unique_ptr<Archive>> open(const std::string& path, const std::string& temp_dir);

  struct Layer {
    std::string name;    // of the member
    std::string digest;  // "" in docker archives
  };
  struct Image {
    std::string config;  // text
    std::vector<std::string> references;  // as written
    std::vector<Layer> layers;
    std::string manifest_digest, manifest_media_type;  // "" in docker archives
  };
  Result<std::vector<Image>> images();
  Result<std::unique_ptr<Source>> stream(const std::string& name);

 private:
  struct Member {
    std::uint64_t offset = 0, size = 0;
    std::string link;  // another member's name
  };
  Result<void> index_tar(int fd, std::uint64_t size);
  const Member* member(const std::string& name) const;
  bool has(const std::string& name) const;
  Result<std::string> text(const std::string& name);
  Result<std::string> blob(const std::string& digest);  // verified
  Result<std::vector<Image>> docker_images(const std::string& manifest);
  Result<std::vector<Image>> oci_images(const std::string& index);
  Result<void> add_manifest(const std::string& digest, const std::string& media_type, const std::string& name, int depth, std::vector<Image>& out);

  std::string folder_;  // an OCI layout's, else empty
  Fd file_;
  std::map<std::string, Member> members_;
  std::vector<Fd> open_;  // of members that are streamed from a folder
};

const char* host_architecture();  // Go's name: "amd64"
bool is_index_media_type(const std::string& media_type);
bool is_manifest_media_type(const std::string& media_type);

}  // namespace onebin::engine
