// What each file of functions implements.
#pragma once
#include "cel/functions.hpp"

namespace onebin::cel::fn {

#define ONEBIN_CEL_FUNCTIONS(X)                                                                                                        \
  X(not_) X(add) X(subtract) X(multiply) X(divide) X(modulo) X(negate) X(less) X(less_equals) X(greater) X(greater_equals) X(in) X(size) \
  X(type) X(to_bool) X(to_bytes) X(to_double) X(to_duration) X(dyn) X(to_int) X(to_string) X(to_timestamp) X(to_uint)                 \
  X(full_year) X(month) X(day_of_year) X(day_of_month) X(date) X(day_of_week) X(hours) X(minutes) X(seconds) X(milliseconds)          \
  X(contains) X(ends_with) X(starts_with) X(matches) X(char_at) X(index_of) X(last_index_of) X(lower_ascii) X(upper_ascii)            \
  X(replace) X(split) X(substring) X(trim) X(join) X(quote) X(format) X(find) X(find_all) X(escape_key)                               \
  X(slice) X(flatten) X(sort) X(sort_by_keys) X(range) X(reverse) X(distinct) X(is_sorted) X(sum) X(min) X(max) X(includes)           \
  X(sets_contains) X(sets_equivalent) X(sets_intersects) X(map_insert)                                                                \
  X(optional_of) X(optional_of_non_zero) X(optional_none) X(value) X(has_value) X(last) X(first) X(unwrap)                            \
  X(url) X(get_scheme) X(get_host) X(get_hostname) X(get_port) X(get_escaped_path) X(get_query) X(is_url)                             \
  X(ip) X(family) X(ip_is_canonical) X(is_unspecified) X(is_loopback) X(is_link_local_multicast) X(is_link_local_unicast)             \
  X(is_global_unicast) X(is_ip) X(cidr) X(contains_ip) X(contains_cidr) X(prefix_length) X(masked) X(is_cidr)                         \
  X(quantity) X(is_quantity) X(sign) X(is_greater_than) X(is_less_than) X(compare_to) X(as_float) X(as_integer) X(is_integer)         \
  X(quantity_add) X(quantity_sub) X(semver) X(is_semver) X(major) X(minor) X(patch) X(validate) X(format_named) X(format_constant)    \
  X(authz_path) X(authz_group) X(authz_service_account) X(authz_resource) X(authz_subresource) X(authz_namespace) X(authz_name)       \
  X(authz_check) X(authz_errored) X(authz_error) X(authz_allowed) X(authz_reason) X(authz_field_selector) X(authz_label_selector)

#define ONEBIN_CEL_DECLARE(name) Value name(const CallSite& call);
ONEBIN_CEL_FUNCTIONS(ONEBIN_CEL_DECLARE)
#undef ONEBIN_CEL_DECLARE

inline Value no_overload() { return Value::error("no such overload"); }
inline Value text(std::string_view t) { return Value::string(std::string(t)); }

}  // namespace onebin::cel::fn
