// Strategic merge patch: lists merge by key as the schema says, with the directives $patch (merge, replace, delete),
// $retainKeys, $deleteFromPrimitiveList/… and $setElementOrder/….
// Source: kubernetes/community, "Strategic Merge Patch" (devel/sig-api-machinery/strategic-merge-patch.md).
#pragma once
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/result.hpp>

namespace onebin::apimachinery {
struct TypeSchema;

// Directives are consumed. Errors: 400 or 422 with upstream's texts ("map: map[…] does not contain declared merge key: name").
Result<Document> apply_strategic_merge_patch(const TypeSchema& schema, Document original, Document patch);

// conform() of what such a patch made. Upstream makes an object of it without JSON in between, and says otherwise what cannot be.
Status conform_map(Document& object, const TypeSchema& type, const DecodeOptions& options = {}, DecodeReport* report = nullptr);

}  // namespace onebin::apimachinery
