// JSON Merge Patch (RFC 7386).
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/result.hpp>

namespace onebin::apimachinery {

Document apply_merge_patch(Document target, const Document& patch);
// The smallest merge patch that leads from `before` to `after`; {} where they are equal. Both are objects.
Document create_merge_patch(const Document& before, const Document& after);

}  // namespace onebin::apimachinery
