// The built-in tables, for tests that want real kinds.
#pragma once
#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/document.hpp>

#include <catch2/catch.hpp>

namespace tables {
using onebin::apimachinery::Document;
using onebin::apimachinery::TypeSchema;

inline const TypeSchema& type(const char* group, const char* version, const char* kind) {
  const auto* k = onebin::api::find_kind(group, version, kind);
  REQUIRE(k);
  REQUIRE(k->type);
  return *k->type;
}
inline const TypeSchema& deployment() { return type("apps", "v1", "Deployment"); }
inline const TypeSchema& config_map() { return type("", "v1", "ConfigMap"); }
inline const TypeSchema& service() { return type("", "v1", "Service"); }
inline const TypeSchema& pod() { return type("", "v1", "Pod"); }
inline Document json(const char* text) {
  auto d = Document::parse(text, nullptr, false);
  REQUIRE_FALSE(d.is_discarded());
  return d;
}
}  // namespace tables
