// Subresources of stored objects, one function each.
#pragma once
#include "apiserver/handlers/handlers.hpp"

namespace onebin::apiserver {

Handling handle_scale(RequestContext* c);
Handling handle_eviction(RequestContext* c);
Handling handle_binding(RequestContext* c, std::string name_from_body_if_empty);
Handling handle_token(RequestContext* c);
// status and the pod's ephemeralcontainers and resize: the whole object, of which a part is written.
Handling handle_part(RequestContext* c, std::string subresource);

// Admission for what is created below an object (TokenRequest, Eviction), of kind `kind`.
Handling admit_created_below(RequestContext* c, const KindSchema* kind, Document* object);

}  // namespace onebin::apiserver
