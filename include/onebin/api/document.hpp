// Structs from and to Documents; apart from codec.hpp since it needs nlohmann in full.
#pragma once
#include <onebin/api/codec.hpp>
#include <onebin/apimachinery/document.hpp>

namespace onebin::api {

template <class T>
apimachinery::Document to_document(const T& object) {
  apimachinery::Document out;
  detail::to_document(&object, info_of<T>(), out);
  return out;
}

}  // namespace onebin::api
