#include "apiserver/user_document.hpp"

namespace onebin::apiserver {

using apimachinery::Document;

void write_user(Document& into, const UserInfo& user) {
  if (!user.name.empty()) into["username"] = user.name;
  if (!user.uid.empty()) into["uid"] = user.uid;
  if (!user.groups.empty()) into["groups"] = user.groups;
  if (!user.extra.empty()) into["extra"] = user.extra;
}

Document user_document(const UserInfo& user) {
  Document d = Document::object();
  write_user(d, user);
  return d;
}

}  // namespace onebin::apiserver
