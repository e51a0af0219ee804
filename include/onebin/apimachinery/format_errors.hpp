// Errors of texts that have a format, and of one requirement of a label selector.
#pragma once
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/selectors.hpp>

#include <string_view>

namespace onebin::apimachinery {

// A format that the tables name (see check_name_format); of a name of several parts it shows the part.
FieldErrors check_format(std::string_view format, std::string_view value, const FieldPath& path);
FieldErrors validate_label_requirement(const Document& requirement, const FieldPath& path, LabelSelectorValidation options = {});

}  // namespace onebin::apimachinery
