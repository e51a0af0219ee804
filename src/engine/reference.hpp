// Image references: "registry.k8s.io/pause:3.10@sha256:…" and their familiar short forms ("busybox" is
// docker.io/library/busybox:latest). Source of the grammar: the distribution project's reference specification.
#pragma once
#include <onebin/base/result.hpp>

#include <string>
#include <string_view>

namespace onebin::engine {

struct Reference {
  std::string domain, path;  // "registry.k8s.io", "e2e-test-images/agnhost"
  std::string tag;           // "latest" when neither tag nor digest was written
  std::string digest;        // "" or "sha256:…"
  std::string name() const { return domain + "/" + path; }
  std::string tagged() const { return name() + ":" + tag; }     // "" tag: not to be called
  std::string to_string() const;
};

Result<Reference> parse_reference(std::string_view text, const std::string& default_domain = "docker.io");

}  // namespace onebin::engine
