// What a plain YAML scalar stands for, as sigs.k8s.io/yaml (go-yaml v2: YAML 1.1) reads it.
#pragma once
#include <onebin/apimachinery/document.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace onebin::apimachinery {

// The value of an unquoted scalar: null, a boolean, a number, or its text. Nothing when JSON can't hold it (.inf, .nan).
std::optional<Document> resolve_plain(const std::string& text);

}  // namespace onebin::apimachinery
