// JSON Patch (RFC 6902), with the behaviour of the library that kube-apiserver uses: to remove what is not there is an
// error, to replace it is not; an index below 0 counts from the end; copies are bounded.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/result.hpp>

#include <string_view>

namespace onebin::apimachinery {

inline constexpr std::size_t kMaxJsonPatchOperations = 10000;
inline constexpr std::size_t kMaxJsonPatchCopyBytes = 3 * 1024 * 1024;

// `patch` is the array of operations. Errors: 413 over the limits, 422 (Invalid) where an operation cannot be applied,
// 400 where the patch itself is malformed.
Result<Document> apply_json_patch(Document target, const Document& patch);

// A JSON pointer (RFC 6901) resolved in `document`; null pointer where it leads nowhere.
const Document* resolve_json_pointer(const Document& document, std::string_view pointer);

}  // namespace onebin::apimachinery
