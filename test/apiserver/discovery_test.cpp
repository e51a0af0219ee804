// What is served, compared with a table made from upstream's discovery.
#include "support.hpp"

#include <onebin/base/bytes.hpp>

#include <map>
#include <set>

using namespace onebin;
using namespace onebin::apiserver;
using test::Document;

namespace {

constexpr const char* kUpstream =
#include "discovery.inc"
    ;

std::string joined(const Document& object, const char* name) {
  std::string out;
  if (object.contains(name))
    for (const auto& v : object[name]) out += (out.empty() ? "" : ",") + v.get<std::string>();
  return out.empty() ? "-" : out;
}

std::string kind_text(const Document& resource) {
  if (!resource.contains("responseKind")) return "";
  const Document& k = resource["responseKind"];
  std::string out;
  for (const char* f : {"group", "version", "kind"})
    if (std::string v = k.value(f, ""); !v.empty()) out += (out.empty() ? "" : "/") + v;
  return out;
}

// The line of a resource as the table has it, but for the columns.
std::string line(const std::string& gv, const Document& r) {
  std::string singular = r.value("singularResource", "");
  return join({gv, r["resource"], kind_text(r), r["scope"], singular.empty() ? "-" : singular, joined(r, "shortNames"), joined(r, "categories"), joined(r, "verbs")}, "\t");
}

std::string columns(test::Fixture& f, const std::string& path) {
  Document t = f.send("GET", path, nullptr, "", "application/json;as=Table;v=v1;g=meta.k8s.io").body;
  std::vector<std::string> out;
  if (t.contains("columnDefinitions"))
    for (const auto& c : t["columnDefinitions"]) {
      std::string cell = c["name"].get<std::string>() + ":" + c["type"].get<std::string>();
      if (int p = c.value("priority", 0)) cell += ":" + std::to_string(p);
      out.push_back(cell);
    }
  return out.empty() ? "-" : join(out, ";");
}

}  // namespace

TEST_CASE("groups, versions, resources, verbs, names and columns are upstream's, in upstream's order") {
  test::Fixture f;
  std::vector<std::string> expected, ours;
  for (const auto& l : split(kUpstream, '\n'))
    if (!l.empty() && l[0] != '#') expected.push_back(l);
  for (const char* top : {"/api", "/apis"}) {
    Document d = f.send("GET", top, nullptr, "", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList").body;
    for (const auto& group : d["items"])
      for (const auto& v : group["versions"]) {
        std::string name = group["metadata"].value("name", ""), gv = (name.empty() ? "" : name + "/") + v["version"].get<std::string>();
        for (const auto& r : v["resources"]) {
          bool listed = joined(r, "verbs").find("list") != std::string::npos;
          ours.push_back(line(gv, r) + "\t" + (listed ? columns(f, std::string(top) + "/" + gv + "/" + r["resource"].get<std::string>()) : "-"));
          std::map<std::string, std::string> subs;
          if (r.contains("subresources"))
            for (const auto& s : r["subresources"]) {
              Document e = s;
              e["resource"] = r["resource"].get<std::string>() + "/" + s["subresource"].get<std::string>();
              e["scope"] = r["scope"];
              subs[s["subresource"]] = line(gv, e) + "\t-";
            }
          for (const auto& [sub, text] : subs) ours.push_back(text);
        }
      }
  }
  CHECK(ours.size() == expected.size());
  std::set<std::string> a(expected.begin(), expected.end()), b(ours.begin(), ours.end());
  for (const auto& e : expected) {
    INFO("missing: " << e);
    CHECK(b.count(e) == 1);
  }
  for (const auto& o : ours) {
    INFO("not upstream's: " << o);
    CHECK(a.count(o) == 1);
  }
  if (a == b) CHECK(ours == expected);
}

TEST_CASE("OpenAPI documents are told by their hashes and kept by their tags") {
  test::Fixture f;
  Document index = f.fetch("/openapi/v3").body["paths"];
  std::string url = index["apis/apps/v1"]["serverRelativeURL"];
  test::Answer a = f.fetch(url);
  CHECK(a.code == 200);
  CHECK(a.body["components"]["schemas"].contains("io.k8s.api.apps.v1.Deployment"));
  CHECK(a.body["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["replicas"]["description"].get<std::string>().find("1 by default") != std::string::npos);
  CHECK(f.fetch("/openapi/v3/apis/apps/v1?hash=0123").code == 301);
  CHECK(f.fetch("/openapi/v3/apis/nothing").code == 404);
  CHECK(f.fetch("/openapi/v3/apis/apps").body["paths"].contains("/apis/apps/"));
  CHECK(f.fetch("/openapi/v3/version").body["components"]["schemas"].contains("io.k8s.apimachinery.pkg.version.Info"));
  test::Answer v2 = f.fetch("/openapi/v2");
  CHECK(v2.body["definitions"].size() > 500);
  test::Answer binary = f.fetch("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
  CHECK(binary.content_type == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
  CHECK(binary.text.size() > 200000);
  binary = f.fetch(url, "application/com.github.proto-openapi.spec.v3.v1.0+protobuf");
  CHECK(binary.content_type == "application/com.github.proto-openapi.spec.v3.v1.0+protobuf");
  CHECK(binary.text.substr(0, 7) == "\x0a\x05" "3.0.0");
  CHECK(binary.text.find("io.k8s.api.apps.v1.Deployment") != std::string::npos);
  CHECK(f.fetch("/openapi/v3/version", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf").content_type == binary.content_type);
  CHECK(f.fetch(url, "text/html").code == 406);
}
