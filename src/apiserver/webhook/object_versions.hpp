// The objects of a request in other versions of their resource.
#pragma once
#include "apiserver/admission/rule_matching.hpp"
#include "apiserver/core.hpp"

namespace onebin::apiserver {

// `object`, which is of the request's kind, as `match` wants it; and back.
async::Task<Result<Document>> object_as_matched(Core* core, const AdmissionAttributes* a, const Match* match, Document object);
async::Task<Result<Document>> object_as_requested(Core* core, const AdmissionAttributes* a, const Match* match, Document object);

// The table of what a matched object is; null where there is none.
const apimachinery::TypeSchema* type_of_matched(const Registry& registry, const Match& match);
// Canonical values, nothing that the kind does not have, and its defaults: what becomes of an object that somebody wrote.
// BadRequest where a value is of the wrong type.
Status conform_matched(const Registry& registry, const Match& match, Document& object);
void default_matched(const Registry& registry, const Match& match, Document& object);

}  // namespace onebin::apiserver
