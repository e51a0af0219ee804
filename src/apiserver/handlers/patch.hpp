// Patches: reading one, and applying it to a document.
#pragma once
#include "apiserver/handlers/objects.hpp"

namespace onebin::apiserver {

struct Patch {
  enum class Type : unsigned char { Json, Merge, StrategicMerge, Apply };
  Type type = Type::Merge;
  Document body;
  Status unreadable;                  // the body is of no use as such a patch: told once the object is known to be there
  std::vector<std::string> problems;  // duplicate and unknown fields of the patch itself
  Document options;      // PatchOptions, for admission
  std::string manager;
  bool force = false;
  apimachinery::FieldValidation validation = apimachinery::FieldValidation::Ignore;
};
async::Task<Result<Patch>> read_patch(RequestContext* c);

// The patched document of `kind`, conforming to its schema. `current` is null only for Apply. Unknown fields become
// warnings of the request, or an error.
Result<Document> apply_patch(RequestContext& c, const Patch& patch, const KindSchema* kind, const apimachinery::ManagedResource& managed,
                             const Document* current);

// Shared with the subresources.
Handling put_object(RequestContext* c, std::string subresource);
Handling patch_object(RequestContext* c, std::string subresource);
Handling send_written(RequestContext* c, const Served* served, Written written);

}  // namespace onebin::apiserver
