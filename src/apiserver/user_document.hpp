// A user as authentication.k8s.io's UserInfo has it: in reviews, signing requests, what webhooks are asked and what expressions see.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apiserver/user_info.hpp>

namespace onebin::apiserver {

void write_user(apimachinery::Document& into, const UserInfo& user);  // as members of the object `into`
apimachinery::Document user_document(const UserInfo& user);

}  // namespace onebin::apiserver
