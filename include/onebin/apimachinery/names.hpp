// Names: the formats that object names, labels and the like must have. Each check returns the descriptions of what is
// wrong, empty when the value is fine. The texts are part of the interface: clients and tests compare them.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apimachinery {

using NameProblems = std::vector<std::string>;

NameProblems is_dns1123_label(std::string_view value);
NameProblems is_dns1123_subdomain(std::string_view value);
NameProblems is_dns1123_subdomain_with_underscore(std::string_view value);
NameProblems is_dns1035_label(std::string_view value);
NameProblems is_wildcard_dns1123_subdomain(std::string_view value);
NameProblems is_qualified_name(std::string_view value);  // a label key
NameProblems is_prefixed_label_key(std::string_view value);
NameProblems is_valid_label_value(std::string_view value);
NameProblems is_c_identifier(std::string_view value);
NameProblems is_valid_port_num(long long port);
NameProblems is_valid_port_name(std::string_view port);
NameProblems is_valid_group_id(long long gid);
NameProblems is_valid_user_id(long long uid);
NameProblems is_valid_percent(std::string_view percent);
NameProblems is_http_header_name(std::string_view value);
NameProblems is_env_var_name(std::string_view value);
NameProblems is_relaxed_env_var_name(std::string_view value);
NameProblems is_config_map_key(std::string_view value);
NameProblems is_in_range(long long value, long long min, long long max);
// REST path segments (RBAC names, and every name at the least): not "." or "..", no '/' or '%'.
NameProblems is_valid_path_segment_name(std::string_view name);
NameProblems is_valid_path_segment_prefix(std::string_view name);

// How a kind's metadata.name is checked. `prefix`: the text is a generateName, to which more is appended.
using NameRule = NameProblems (*)(std::string_view name, bool prefix);
NameProblems name_is_dns_subdomain(std::string_view name, bool prefix);
NameProblems name_is_dns_label(std::string_view name, bool prefix);
NameProblems name_is_dns1035_label(std::string_view name, bool prefix);
NameProblems name_is_path_segment(std::string_view name, bool prefix);

// A format that the schema tables name: "k8s-short-name", "k8s-long-name", "k8s-label-key", "k8s-uuid", … Unknown ones accept all.
NameProblems check_name_format(std::string_view format, std::string_view value);

std::string max_len_error(int length);
std::string regex_error(std::string_view message, std::string_view regex, const std::vector<std::string>& examples = {});
std::string inclusive_range_error(long long low, long long high);

}  // namespace onebin::apimachinery
