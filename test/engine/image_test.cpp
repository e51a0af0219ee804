#include "fixture.hpp"

#include "engine/archive.hpp"
#include "engine/reference.hpp"
#include "engine/unpack.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <zlib.h>
#include <zstd.h>

using namespace engine_test;

namespace {

std::string gzip(const std::string& data) {
  z_stream z{};
  REQUIRE(::deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(::deflateBound(&z, data.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  z.avail_in = static_cast<uInt>(data.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  REQUIRE(::deflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(z.total_out);
  ::deflateEnd(&z);
  return out;
}

std::string zstd(const std::string& data) {
  std::string out(::ZSTD_compressBound(data.size()), '\0');
  out.resize(::ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
  return out;
}

struct Folder {
  Folder() {
    char name[] = "/tmp/onebin-unpack-XXXXXX";
    REQUIRE(::mkdtemp(name));
    path = name;
    REQUIRE(make_dirs(path + "/root").is_ok());
  }
  ~Folder() { (void)remove_all(path); }
  Result<UnpackStats> unpack(const std::string& tar) {
    MemorySource source(tar);
    return unpack_layer(source, path + "/root");
  }
  std::string read(const std::string& name) { return read_file(path + "/root/" + name).value_or("(none)"); }
  std::string path;
};

// An OCI layout in a folder.
void write_layout(const std::string& dir, const TestImage& image, const std::function<std::string(const std::string&)>& pack, bool index_in_index) {
  REQUIRE(make_dirs(dir + "/blobs/sha256").is_ok());
  auto put = [&](const std::string& data) {
    REQUIRE(write_file(dir + "/blobs/sha256/" + digest_hex(digest_of(data)), data).is_ok());
    return nlohmann::json{{"digest", digest_of(data)}, {"size", data.size()}};
  };
  nlohmann::json layers = nlohmann::json::array();
  for (const auto& l : image.layers) layers.push_back(put(pack(l)));
  nlohmann::json manifest = {{"schemaVersion", 2}, {"config", put(image_config(image))}, {"layers", layers}};
  auto m = put(manifest.dump());
  m["mediaType"] = "application/vnd.oci.image.manifest.v1+json";
  m["platform"] = {{"os", "linux"}, {"architecture", host_architecture()}};
  if (index_in_index) {
    auto foreign = m;
    foreign["platform"]["architecture"] = "s390x";
    foreign["digest"] = digest_of("not here");
    nlohmann::json inner = {{"schemaVersion", 2}, {"manifests", {foreign, m}}};
    m = put(inner.dump());
    m["mediaType"] = "application/vnd.oci.image.index.v1+json";
  }
  m["annotations"] = {{"org.opencontainers.image.ref.name", image.reference}};
  REQUIRE(write_file(dir + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})").is_ok());
  REQUIRE(write_file(dir + "/index.json", nlohmann::json{{"schemaVersion", 2}, {"manifests", {m}}}.dump()).is_ok());
}

}  // namespace

TEST_CASE("References are read as the other tools read them") {
  auto full = [](const char* text) {
    auto r = parse_reference(text);
    return r ? r->to_string() : "error";
  };
  CHECK(full("busybox") == "docker.io/library/busybox:latest");
  CHECK(full("busybox:1.37") == "docker.io/library/busybox:1.37");
  CHECK(full("me/app") == "docker.io/me/app:latest");
  CHECK(full("registry.k8s.io/e2e-test-images/agnhost:2.66.1") == "registry.k8s.io/e2e-test-images/agnhost:2.66.1");
  CHECK(full("localhost:5000/a") == "localhost:5000/a:latest");
  std::string digest = "sha256:" + std::string(64, 'a');
  CHECK(full(("a@" + digest).c_str()) == "docker.io/library/a@" + digest);
  CHECK(full(("a:b@" + digest).c_str()) == "docker.io/library/a:b@" + digest);
  for (const char* bad : {"", "A", "a:", "a//b", "a@sha256:12", "-a", "a:b:c/d", "a b", "a/../b", "a:.x"}) CHECK(full(bad) == "error");
}

TEST_CASE("A layer's files, folders, links, owners, modes and times are made as written") {
  Folder f;
  TarEntry dir;
  dir.type = TarEntry::Type::Directory;
  dir.path = "./srv/";
  dir.mode = 02775;
  dir.uid = 5;
  dir.gid = 6;
  dir.mtime = 1000000;
  TarEntry fifo;
  fifo.type = TarEntry::Type::Fifo;
  fifo.path = "srv/fifo";
  fifo.mode = 0640;
  TarEntry dev;
  dev.type = TarEntry::Type::CharDevice;
  dev.path = "srv/null";
  dev.major = 1;
  dev.minor = 3;
  dev.mode = 0666;
  TarEntry attributes;
  attributes.path = "srv/x";
  attributes.xattrs = {{"user.k", std::string("v\n\0w", 4)}, {"trusted.overlay.opaque", "y"}, {"user.overlay.opaque", "y"}};
  std::string long_name = std::string(120, 'n') + "/" + std::string(200, 'm');
  auto tar = TarBuilder().raw(dir).file("srv/suid", "s", 04755, 7).file("implied/deep/file", "d").symlink("srv/up", "../../../etc").hardlink("srv/same", "srv/suid")
                 .raw(fifo).raw(dev).raw(attributes).file(long_name, "long").file("srv/suid2", "two").done();
  auto r = f.unpack(tar);
  INFO(r.status().to_string());
  REQUIRE(r.is_ok());
  struct stat st;
  REQUIRE(::stat((f.path + "/root/srv").c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 02775);
  CHECK(st.st_uid == 5);
  CHECK(st.st_mtime == 1000000);
  REQUIRE(::stat((f.path + "/root/srv/suid").c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 04755);
  CHECK(st.st_uid == 7);
  CHECK(st.st_nlink == 2);
  REQUIRE(::lstat((f.path + "/root/srv/null").c_str(), &st) == 0);
  CHECK(S_ISCHR(st.st_mode));
  CHECK(st.st_rdev == makedev(1, 3));
  char value[16];
  CHECK(::getxattr((f.path + "/root/srv/x").c_str(), "user.k", value, sizeof value) == 4);
  CHECK(::getxattr((f.path + "/root/srv/x").c_str(), "trusted.overlay.opaque", value, sizeof value) == -1);
  CHECK(f.read("implied/deep/file") == "d");
  CHECK(f.read(long_name) == "long");
}

TEST_CASE("Hostile layers touch nothing outside their root") {
  Folder f;
  REQUIRE(write_file(f.path + "/victim", "safe").is_ok());
  auto attempt = [&](const std::string& tar) { (void)f.unpack(tar); };
  attempt(TarBuilder().file("../victim", "x").done());
  attempt(TarBuilder().file("/../../" + f.path + "/victim", "x").done());
  attempt(TarBuilder().symlink("l", "..").file("l/victim", "x").done());
  attempt(TarBuilder().symlink("abs", f.path).file("abs/victim", "x").done());
  attempt(TarBuilder().symlink("direct", f.path + "/victim").file("direct", "x").done());
  attempt(TarBuilder().hardlink("h", "../victim").file("h", "x").done());
  attempt(TarBuilder().symlink("l2", "..").hardlink("h2", "l2/victim").file("h2", "x").done());
  attempt(TarBuilder().symlink("l3", "..").file("l3/.wh.victim", "").done());
  attempt(TarBuilder().file(".wh...", "").done());
  attempt(TarBuilder().file(".wh.", "").done());
  attempt(TarBuilder().symlink("l4", "..").file("l4/.wh..wh..opq", "").done());
  attempt(TarBuilder().dir("d").symlink("d", "..").file("d/victim", "x").done());
  TarEntry through;
  through.type = TarEntry::Type::Directory;
  through.path = "l5";
  through.mode = 0;
  attempt(TarBuilder().symlink("l5", "..").raw(through).done());
  CHECK(read_file(f.path + "/victim").value_or("") == "safe");
  // A path that leads out is refused by name, not bent into the root.
  for (const auto& tar : {TarBuilder().file("a/../../up", "x").done(), TarBuilder().file("there", "x").hardlink("a", "../there").done()}) {
    auto refused = f.unpack(tar);
    REQUIRE_FALSE(refused.is_ok());
    CHECK(refused.status().message().find("leads out of the image") != std::string::npos);
    CHECK(refused.status().message().find("..") != std::string::npos);
  }
  CHECK(f.unpack(TarBuilder().file("a/../inside", "x").done()).is_ok());
  CHECK(f.read("inside") == "x");
  struct stat st;
  REQUIRE(::stat(f.path.c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0700);
  CHECK(list_dir(f.path)->size() == 2);
  TarEntry whiteout;
  whiteout.type = TarEntry::Type::CharDevice;
  whiteout.path = "w";
  CHECK(!f.unpack(TarBuilder().raw(whiteout).done()).is_ok());
}

TEST_CASE("Cut and corrupt archives are errors") {
  std::string tar = TarBuilder().dir("d").file("d/f", std::string(5000, 'x')).file("g", "y").done();
  for (std::size_t cut : {std::size_t{100}, std::size_t{600}, std::size_t{1100}, std::size_t{3000}, std::size_t{6200}}) {
    Folder f;
    CHECK(!f.unpack(tar.substr(0, cut)).is_ok());
  }
  std::string wrong = tar;
  wrong[520] = 'z';
  Folder f;
  CHECK(!f.unpack(wrong).is_ok());
  for (const auto& packed : {gzip(tar), zstd(tar)}) {
    MemorySource whole(packed);
    auto plain = decompress(whole);
    CHECK(read_whole(*plain, 1 << 20).value_or("") == tar);
    MemorySource half(packed.substr(0, packed.size() / 2));
    auto cut = decompress(half);
    CHECK(!read_whole(*cut, 1 << 20).is_ok());
    std::string twice = packed + packed;
    MemorySource two(twice);
    auto both = decompress(two);
    CHECK(read_whole(*both, 1 << 20).value_or("") == tar + tar);
  }
}

TEST_CASE("Images: docker archives and OCI layouts, folders and tars, every compression, layers shared") {
  Fixture f;
  f.open();
  TestImage base = busybox_image();
  TestImage derived = base;
  derived.reference = "example.test/derived:2";
  derived.layers.push_back(TarBuilder().file("etc/.wh.group", "").file("bin/.wh.seq", "").dir("data").file("data/a", "lower").file("data/sub/b", "lower").done());
  derived.layers.push_back(TarBuilder().file("data/sub/.wh..wh..opq", "").file("data/sub/c", "upper").file("tmp/kept", "k").symlink("usr", "data").file("usr/through", "t").done());
  std::string expected = "a\nsub\nthrough\nc\nk\n1777\n";
  auto check = [&](const std::string& reference) {
    auto config = Fixture::shell("ls /data /data/sub | grep -v : | grep .; cat /tmp/kept; echo; test -e /etc/group || test -e /bin/seq || stat -c %a /tmp");
    config.command = {"/bin/busybox", "sh", "-c", "busybox ls /data | grep .; busybox ls /data/sub; busybox cat /tmp/kept; echo; test -e /etc/group || test -e /bin/seq || busybox stat -c %a /tmp"};
    config.image = reference;
    CHECK(f.run_script(config) == expected);
  };
  SECTION("docker archive, two images that share a layer") {
    f.import({base, derived});
    CHECK(list_dir(f.options.root_dir + "/layers")->size() == 2 * 3);
    check("example.test/derived:2");
    REQUIRE(f.run(f.engine->remove_image("example.test/derived:2")).is_ok());
    CHECK(list_dir(f.options.root_dir + "/layers")->size() == 2);
    CHECK(f.engine->image_status("example.test/derived:2").is(Reason::NotFound));
    CHECK(f.engine->image_status("example.test/busybox:1").is_ok());
  }
  SECTION("docker archive, compressed") {
    REQUIRE(write_file(f.dir + "/a.tar.gz", gzip(docker_archive({derived}))).is_ok());
    REQUIRE(f.run(f.engine->import_images(f.dir + "/a.tar.gz")).is_ok());
    check("example.test/derived:2");
  }
  SECTION("OCI layout folder, gzip layers") {
    write_layout(f.dir + "/oci", derived, gzip, false);
    auto r = f.run(f.engine->import_images(f.dir + "/oci"));
    INFO(r.status().to_string());
    REQUIRE(r.is_ok());
    REQUIRE((*r)[0].repo_digests.size() == 1);
    CHECK(f.engine->image_status((*r)[0].repo_digests[0])->id == (*r)[0].id);
    CHECK(f.engine->image_status((*r)[0].id.substr(7, 12))->id == (*r)[0].id);
    check("example.test/derived:2");
    check((*r)[0].id);
  }
  SECTION("OCI layout with an index of platforms, zstd layers, as a tar") {
    write_layout(f.dir + "/oci", derived, zstd, true);
    TarBuilder tar;
    auto names = list_dir(f.dir + "/oci/blobs/sha256");
    for (const auto& n : *names) tar.file("./blobs/sha256/" + n, *read_file(f.dir + "/oci/blobs/sha256/" + n));
    tar.file("./index.json", *read_file(f.dir + "/oci/index.json")).file("./oci-layout", *read_file(f.dir + "/oci/oci-layout"));
    REQUIRE(write_file(f.dir + "/oci.tar", tar.done()).is_ok());
    auto r = f.run(f.engine->import_images(f.dir + "/oci.tar"));
    INFO(r.status().to_string());
    REQUIRE(r.is_ok());
    check("example.test/derived:2");
  }
  SECTION("export, and import again elsewhere") {
    f.import({base, derived});
    REQUIRE(f.run(f.engine->export_images({"example.test/derived:2", "example.test/busybox:1"}, f.dir + "/out.tar")).is_ok());
    REQUIRE(f.run(f.engine->remove_image("example.test/derived:2")).is_ok());
    REQUIRE(f.run(f.engine->remove_image("example.test/busybox:1")).is_ok());
    CHECK(list_dir(f.options.root_dir + "/layers")->empty());
    auto r = f.run(f.engine->import_images(f.dir + "/out.tar"));
    INFO(r.status().to_string());
    REQUIRE(r.is_ok());
    CHECK(r->size() == 2);
    check("example.test/derived:2");
  }
}

TEST_CASE("Images: names move, tags are removed one by one, layers in use stay") {
  Fixture f;
  f.open();
  TestImage one = busybox_image(), two = busybox_image();
  two.config["Env"] = {"PATH=/bin", "FROM_IMAGE=second"};
  std::string first = f.import({one}).id;
  std::string second = f.import({two}).id;
  CHECK(first != second);
  CHECK(f.engine->image_status("example.test/busybox:1")->id == second);
  CHECK(f.engine->image_status(first)->repo_tags.empty());
  REQUIRE(f.run(f.engine->tag_image(second, "other.test/x:9")).is_ok());
  CHECK(f.engine->image_status("other.test/x:9")->repo_tags.size() == 2);
  std::string s = f.sandbox();
  std::string c = f.start(s, Fixture::shell("cat /etc/passwd > /dev/null && sleep 1000"));
  REQUIRE(f.run(f.engine->remove_image("example.test/busybox:1")).is_ok());
  CHECK(f.engine->image_status("other.test/x:9")->repo_tags == std::vector<std::string>{"other.test/x:9"});
  REQUIRE(f.run(f.engine->remove_image(second)).is_ok());
  REQUIRE(f.run(f.engine->remove_image(first)).is_ok());
  CHECK(f.run(f.engine->remove_image(first)).is_ok());
  CHECK(f.engine->list_images().empty());
  f.abandon();
  f.open();
  CHECK(f.exec(c, {"cat", "/etc/passwd"}).exit_code == 0);
  auto usage = f.run(f.engine->image_fs_usage());
  REQUIRE(usage.is_ok());
  CHECK(usage->capacity_bytes > 0);
  CHECK(f.run(f.engine->remove_container(c)).is_ok());
  CHECK(list_dir(f.options.root_dir + "/layers")->empty());
}

TEST_CASE("Images that lie about their content leave nothing") {
  Fixture f;
  f.open();
  TestImage image = busybox_image();
  write_layout(f.dir + "/oci", image, gzip, false);
  auto failing = [&] {
    auto r = f.run(f.engine->import_images(f.dir + "/oci"));
    CHECK(!r.is_ok());
    CHECK(f.engine->list_images().empty());
    CHECK(list_dir(f.options.root_dir + "/layers")->empty());
    CHECK(list_dir(f.options.root_dir + "/tmp")->empty());
  };
  SECTION("a layer") {
    std::string blob = digest_hex(digest_of(gzip(image.layers[0])));
    REQUIRE(write_file(f.dir + "/oci/blobs/sha256/" + blob, gzip(TarBuilder().file("evil", "x").done())).is_ok());
    failing();
  }
  SECTION("a config") {
    std::string blob = digest_hex(digest_of(image_config(image)));
    REQUIRE(write_file(f.dir + "/oci/blobs/sha256/" + blob, "{}").is_ok());
    failing();
  }
  SECTION("a layer that ends too early") {
    std::string blob = digest_hex(digest_of(gzip(image.layers[0])));
    std::string whole = gzip(image.layers[0]);
    REQUIRE(write_file(f.dir + "/oci/blobs/sha256/" + blob, whole.substr(0, whole.size() / 2)).is_ok());
    failing();
  }
  SECTION("no image at all") {
    REQUIRE(remove_all(f.dir + "/oci").is_ok());
    REQUIRE(write_file(f.dir + "/oci", "hello").is_ok());
    failing();
  }
}
