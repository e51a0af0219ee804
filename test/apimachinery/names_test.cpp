#include <onebin/apimachinery/names.hpp>

#include <catch2/catch.hpp>

using namespace onebin::apimachinery;

TEST_CASE("RFC 1123 labels and subdomains") {
  for (auto ok : {"a", "0", "a-b", "a1"}) CHECK(is_dns1123_label(ok).empty());
  for (auto bad : {"", "-a", "a-", "A", "a_b", "a b"}) CHECK(is_dns1123_label(bad).size() == 1);
  CHECK(is_dns1123_label("a.b") == NameProblems{"must not contain dots"});
  CHECK(is_dns1123_label(std::string(64, 'a')) == NameProblems{"must be no more than 63 characters"});
  CHECK(is_dns1123_label("A") ==
        NameProblems{"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
                     "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"});
  for (auto ok : {"a.b", "a-1.b-2", "x"}) CHECK(is_dns1123_subdomain(ok).empty());
  for (auto bad : {"", ".", "a.", ".a", "a..b", "a.-b", "A.b"}) CHECK(is_dns1123_subdomain(bad).size() == 1);
  CHECK(is_dns1123_subdomain(std::string(254, 'a')) == NameProblems{"must be no more than 253 characters"});
  CHECK(is_dns1123_subdomain("Foo")[0] ==
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'example.com', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')");
  CHECK(is_dns1123_subdomain_with_underscore("_a.b_c").empty());
}

TEST_CASE("RFC 1035 labels start with a letter") {
  CHECK(is_dns1035_label("a1-b").empty());
  CHECK(is_dns1035_label("1a").size() == 1);
  CHECK(is_dns1035_label("a.b").size() == 1);
  CHECK(is_dns1035_label("").size() == 1);
}

TEST_CASE("qualified names") {
  for (auto ok : {"a", "A_b.C-1", "example.com/a", "a/b", "1"}) CHECK(is_qualified_name(ok).empty());
  CHECK(is_qualified_name("/a") == NameProblems{"prefix part must be non-empty"});
  CHECK(is_qualified_name("a/").front() == "name part must be non-empty");
  CHECK(is_qualified_name("Ex.com/a").front().rfind("prefix part a lowercase RFC 1123 subdomain", 0) == 0);
  CHECK(is_qualified_name("a/b/c").front().find("with an optional DNS subdomain prefix and '/'") != std::string::npos);
  CHECK(is_qualified_name(std::string(64, 'x')) == NameProblems{"name part must be no more than 63 bytes"});
  CHECK(is_prefixed_label_key("a") == NameProblems{"must include a prefix (e.g. 'example.com/key')"});
}

TEST_CASE("label values, ports, keys") {
  CHECK(is_valid_label_value("").empty());
  CHECK(is_valid_label_value("a.B_c-1").empty());
  CHECK(is_valid_label_value(".a").size() == 1);
  CHECK(is_valid_label_value(std::string(64, 'x')) == NameProblems{"must be no more than 63 bytes"});
  CHECK(is_valid_port_num(65535).empty());
  CHECK(is_valid_port_num(0) == NameProblems{"must be between 1 and 65535, inclusive"});
  CHECK(is_valid_port_name("http-1").empty());
  CHECK(is_valid_port_name("80") == NameProblems{"must contain at least one letter (a-z)"});
  CHECK(is_valid_port_name("a--b") == NameProblems{"must not contain consecutive hyphens"});
  CHECK(is_valid_port_name("-a") == NameProblems{"must not begin or end with a hyphen"});
  CHECK(is_config_map_key("a.b_C-1").empty());
  CHECK(is_config_map_key("..") == NameProblems{"must not be '..'"});
  CHECK(is_config_map_key("..a") == NameProblems{"must not start with '..'"});
  CHECK(is_config_map_key("a/b").size() == 1);
  CHECK(is_env_var_name("MY_VAR.x-1").empty());
  CHECK(is_env_var_name("1A").size() == 1);
  CHECK(is_relaxed_env_var_name("1 A").empty());
  CHECK(is_relaxed_env_var_name("a=b").size() == 1);
  CHECK(is_valid_path_segment_name(".") == NameProblems{"may not be '.'"});
  CHECK(is_valid_path_segment_name("a/b%") == NameProblems{"may not contain '/'", "may not contain '%'"});
  CHECK(is_valid_percent("10%").empty());
  CHECK(is_valid_percent("%").size() == 1);
  CHECK(is_wildcard_dns1123_subdomain("*.a.b").empty());
  CHECK(is_wildcard_dns1123_subdomain("a.b").size() == 1);
  CHECK(is_http_header_name("X-A").empty());
  CHECK(is_c_identifier("_a1").empty());
}

TEST_CASE("a generateName may end in a dash") {
  CHECK(name_is_dns_subdomain("web-", true).empty());
  CHECK(name_is_dns_subdomain("web-", false).size() == 1);
  CHECK(name_is_dns_label("web-", true).empty());
  CHECK(name_is_dns1035_label("web-", true).empty());
  CHECK(name_is_path_segment(".", true).empty());
}

TEST_CASE("formats that the tables name") {
  CHECK(check_name_format("k8s-short-name", "a-b").empty());
  CHECK(check_name_format("k8s-short-name", std::string(64, 'a')) == NameProblems{"must be no more than 63 bytes"});
  CHECK(check_name_format("k8s-long-name-caseless", "Example.COM").empty());
  CHECK(check_name_format("k8s-long-name-caseless", "a_b").size() == 1);
  CHECK(check_name_format("k8s-uuid", "0123abcd-0123-4567-89ab-0123456789ab").empty());
  CHECK(check_name_format("k8s-uuid", "0123ABCD-0123-4567-89ab-0123456789ab") == NameProblems{"must be a lowercase UUID in 8-4-4-4-12 format"});
  CHECK(check_name_format("k8s-resource-pool-name", "a/b.c").empty());
  CHECK(check_name_format("k8s-resource-pool-name", "a//c") == NameProblems{"segment 1: must not be empty"});
  CHECK(check_name_format("k8s-resource-fully-qualified-name", "example.com/size").empty());
  CHECK(check_name_format("k8s-resource-fully-qualified-name", "size").size() == 1);
  CHECK(check_name_format("k8s-extended-resource-name", "example.com/gpu").empty());
  CHECK(check_name_format("k8s-extended-resource-name", "gpu").size() == 1);
  CHECK(check_name_format("something-else", "\x01").empty());
}
