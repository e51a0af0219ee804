// A list of texts within a Document.
#pragma once
#include <onebin/apimachinery/document.hpp>

#include <string>
#include <vector>

namespace onebin::apimachinery {

// The texts of `list`, in order; what else is in it is left out, and what is no list has none.
std::vector<std::string> string_list(const Document& list);

}  // namespace onebin::apimachinery
