// Impersonation: acting as another user by the headers Impersonate-User, -Group, -Uid and -Extra-KEY, where the requester
// holds the right: the verb `impersonate` on what is named, or the constrained verbs of KEP-5284, which also say what may be
// done in the other's name ("impersonate:user-info" on the user and "impersonate-on:user-info:list" on the request).
#pragma once
#include "apiserver/authorizer.hpp"

#include <onebin/net/http.hpp>

#include <optional>

namespace onebin::apiserver {

// Whom the headers name; none where they name nobody; BadRequest where they name parts of a user without the user.
Result<std::optional<UserInfo>> wanted_user(const net::Headers& headers);

// The user that the request goes on as. `request` is what is asked, by the requester; all it points to outlives the task.
async::Task<Result<UserInfo>> impersonate(Authorizer* authorizer, UserInfo wanted, Attributes request);

// 403 in upstream's words: `pods "p" is forbidden: User "u" cannot get resource "pods" in API group "" ...`.
Status forbidden_request(const Attributes& attributes, const std::string& reason);

}  // namespace onebin::apiserver
