// Handlers: one function a verb or end point. Each answers the request, or returns the error that the chain answers with.
#pragma once
#include "apiserver/core.hpp"
#include "apiserver/respond.hpp"

namespace onebin::apiserver {

// --- objects
Handling handle_get(RequestContext* c);
Handling handle_list(RequestContext* c);
Handling handle_watch(RequestContext* c);
Handling handle_create(RequestContext* c);
Handling handle_update(RequestContext* c);
Handling handle_patch(RequestContext* c);
Handling handle_delete(RequestContext* c);
Handling handle_delete_collection(RequestContext* c);
// Everything with a subresource.
Handling handle_subresource(RequestContext* c);
// Kinds that are not stored: reviews, componentstatuses.
Handling handle_virtual(RequestContext* c);

// --- the rest
Handling handle_non_resource(RequestContext* c);
// 404 in plain text: nothing is served below this path.
Handling page_not_found(RequestContext* c);

}  // namespace onebin::apiserver
