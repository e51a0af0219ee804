// What can be read of encoded objects and lists without decoding them.
#pragma once
#include <onebin/base/result.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace onebin::client {

// Views into the bytes.
struct ObjectHeader {
  std::string_view name, namespace_, uid, resource_version;
};
// Of an object in protobuf with its envelope. BadRequest when the bytes are not one.
Result<ObjectHeader> peek(std::string_view object);

// What objects are indexed by. Of an object in protobuf with its envelope.
std::string controller_of(std::string_view object);  // the uid of the owner that controls it; "/NAMESPACE" where none does
std::string node_of(std::string_view pod);           // spec.nodeName

// A list in protobuf with its envelope. Items are bare messages, views into the bytes.
struct RawList {
  std::string_view resource_version, continue_;
  std::vector<std::string_view> items;
};
Result<RawList> split_list(std::string_view list);

}  // namespace onebin::client
