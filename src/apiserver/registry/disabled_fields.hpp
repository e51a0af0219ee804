// Fields of features that are off.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/schema.hpp>

namespace onebin::apiserver {

void drop_disabled_fields(const apimachinery::KindSchema& kind, apimachinery::Document& object);

}  // namespace onebin::apiserver
