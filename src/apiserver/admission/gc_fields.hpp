// What the garbage collector changes of an object, and may whatever the object's kind demands.
#pragma once
#include "apiserver/admission.hpp"

namespace onebin::apiserver {

// Whether an update changes only owners and finalizers.
inline bool only_gc_fields_change(const AdmissionAttributes& a) {
  const Document* before = a.operation == Operation::Update ? a.old_object() : nullptr;
  if (!before || !a.object) return false;
  Document x = *a.object, y = *before;
  for (Document* d : {&x, &y})
    if (Document* meta = apimachinery::find_member(*d, "metadata"); meta && meta->is_object())
      for (const char* f : {"ownerReferences", "finalizers", "managedFields"}) meta->erase(f);
  return apimachinery::same_value(x, y);
}

}  // namespace onebin::apiserver
