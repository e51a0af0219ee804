// The table of functions. A signature is written in letters: b bool, i int, u uint, d double, s string, y bytes, t timestamp,
// r duration, D dyn; A, B, K, V parameters; L list of, M map of, O optional of, Y type of what follows; capitals of the extensions'
// own types as below. "s.s>b" is a member of a text that takes a text and gives a bool.
#include "cel/functions.hpp"
#include "cel/implementations.hpp"

#include <onebin/base/assert.hpp>

#include <algorithm>
#include <map>

namespace onebin::cel {
namespace {

constexpr std::uint32_t of(std::initializer_list<ValueKind> kinds) {
  std::uint32_t out = 0;
  for (ValueKind k : kinds) out |= 1u << static_cast<unsigned>(k);
  return out;
}
using K = ValueKind;
constexpr std::uint32_t kComparable = of({K::Bool, K::Int, K::Uint, K::Double, K::String, K::Bytes, K::Timestamp, K::Duration});
constexpr std::uint32_t kGuarded = 0, kOpen = ~0u;

struct Row {
  const char* name;
  Implementation run;
  std::uint32_t operands;  // kGuarded, kOpen, or the kinds that the first argument may have
  const char* overloads;   // "id:signature id:signature"; "*" before: for each comparable type, "+": for each that can be summed
  const char* prefix = "";  // for "$" in ids
};

constexpr const char* kRelation =
    "$_bool:bb>b $_int64:ii>b $_int64_double:id>b $_int64_uint64:iu>b $_uint64:uu>b $_uint64_double:ud>b $_uint64_int64:ui>b $_double:dd>b "
    "$_double_int64:di>b $_double_uint64:du>b $_string:ss>b $_bytes:yy>b $_timestamp:tt>b $_duration:rr>b";

const Row kRows[] = {
    {"_?_:_", nullptr, kOpen, "conditional:bAA>A"},
    {"_&&_", nullptr, kOpen, "logical_and:bb>b"},
    {"_||_", nullptr, kOpen, "logical_or:bb>b"},
    {"!_", fn::not_, kOpen, "logical_not:b>b"},
    {"@not_strictly_false", nullptr, kOpen, "not_strictly_false:b>b"},
    {"_==_", nullptr, kOpen, "equals:AA>b"},
    {"_!=_", nullptr, kOpen, "not_equals:AA>b"},
    {"_+_", fn::add, of({K::Int, K::Uint, K::Double, K::String, K::Bytes, K::List, K::Duration, K::Timestamp}),
     "add_bytes:yy>y add_double:dd>d add_duration_duration:rr>r add_duration_timestamp:rt>t add_timestamp_duration:tr>t add_int64:ii>i "
     "add_list:LALA>LA add_string:ss>s add_uint64:uu>u"},
    {"_-_", fn::subtract, of({K::Int, K::Uint, K::Double, K::Duration, K::Timestamp}),
     "subtract_double:dd>d subtract_duration_duration:rr>r subtract_int64:ii>i subtract_timestamp_duration:tr>t "
     "subtract_timestamp_timestamp:tt>r subtract_uint64:uu>u"},
    {"_*_", fn::multiply, of({K::Int, K::Uint, K::Double}), "multiply_double:dd>d multiply_int64:ii>i multiply_uint64:uu>u"},
    {"_/_", fn::divide, of({K::Int, K::Uint, K::Double}), "divide_double:dd>d divide_int64:ii>i divide_uint64:uu>u"},
    {"_%_", fn::modulo, of({K::Int, K::Uint}), "modulo_int64:ii>i modulo_uint64:uu>u"},
    {"-_", fn::negate, of({K::Int, K::Double, K::Duration}), "negate_double:d>d negate_int64:i>i"},
    {"_<_", fn::less, kComparable, kRelation, "less"},
    {"_<=_", fn::less_equals, kComparable, kRelation, "less_equals"},
    {"_>_", fn::greater, kComparable, kRelation, "greater"},
    {"_>=_", fn::greater_equals, kComparable, kRelation, "greater_equals"},
    {"_[_]", nullptr, kOpen, "index_list:LAi>A index_map:MABA>B optional_list_index_int:OLVi>OV optional_map_index_value:OMKVK>OV"},
    {"_[?_]", nullptr, kOpen,
     "list_optindex_optional_int:LVi>OV optional_list_optindex_optional_int:OLVi>OV map_optindex_optional_value:MKVK>OV "
     "optional_map_optindex_optional_value:OMKVK>OV"},
    {"_?._", nullptr, kOpen, "select_optional_field:Ds>OV"},
    {"@in", fn::in, kOpen, "in_list:ALA>b in_map:AMAB>b"},
    {"size", fn::size, of({K::String, K::Bytes, K::List, K::Map, K::Ip, K::Cidr}),
     "size_bytes:y>i bytes_size:y.>i size_list:LA>i list_size:LA.>i size_map:MAB>i map_size:MAB.>i size_string:s>i string_size:s.>i"},
    {"type", fn::type, kOpen, "type:A>YA"},
    {"bool", fn::to_bool, kGuarded, "bool_to_bool:b>b string_to_bool:s>b"},
    {"bytes", fn::to_bytes, kGuarded, "bytes_to_bytes:y>y string_to_bytes:s>y"},
    {"double", fn::to_double, kGuarded, "double_to_double:d>d int64_to_double:i>d string_to_double:s>d uint64_to_double:u>d"},
    {"duration", fn::to_duration, kGuarded, "duration_to_duration:r>r string_to_duration:s>r"},
    {"dyn", fn::dyn, kOpen, "to_dyn:A>D"},
    {"int", fn::to_int, kGuarded,
     "int64_to_int64:i>i double_to_int64:d>i duration_to_int64:r>i string_to_int64:s>i timestamp_to_int64:t>i uint64_to_int64:u>i"},
    {"string", fn::to_string, kGuarded,
     "string_to_string:s>s bool_to_string:b>s bytes_to_string:y>s double_to_string:d>s duration_to_string:r>s int64_to_string:i>s "
     "timestamp_to_string:t>s uint64_to_string:u>s ip_to_string:I>s cidr_to_string:C>s"},
    {"timestamp", fn::to_timestamp, kGuarded, "timestamp_to_timestamp:t>t int64_to_timestamp:i>t string_to_timestamp:s>t"},
    {"uint", fn::to_uint, kGuarded, "uint64_to_uint64:u>u double_to_uint64:d>u int64_to_uint64:i>u string_to_uint64:s>u"},
    {"getFullYear", fn::full_year, kGuarded, "timestamp_to_year:t.>i timestamp_to_year_with_tz:t.s>i"},
    {"getMonth", fn::month, kGuarded, "timestamp_to_month:t.>i timestamp_to_month_with_tz:t.s>i"},
    {"getDayOfYear", fn::day_of_year, kGuarded, "timestamp_to_day_of_year:t.>i timestamp_to_day_of_year_with_tz:t.s>i"},
    {"getDayOfMonth", fn::day_of_month, kGuarded, "timestamp_to_day_of_month:t.>i timestamp_to_day_of_month_with_tz:t.s>i"},
    {"getDate", fn::date, kGuarded, "timestamp_to_day_of_month_1_based:t.>i timestamp_to_day_of_month_1_based_with_tz:t.s>i"},
    {"getDayOfWeek", fn::day_of_week, kGuarded, "timestamp_to_day_of_week:t.>i timestamp_to_day_of_week_with_tz:t.s>i"},
    {"getHours", fn::hours, kGuarded, "timestamp_to_hours:t.>i timestamp_to_hours_with_tz:t.s>i duration_to_hours:r.>i"},
    {"getMinutes", fn::minutes, kGuarded, "timestamp_to_minutes:t.>i timestamp_to_minutes_with_tz:t.s>i duration_to_minutes:r.>i"},
    {"getSeconds", fn::seconds, kGuarded, "timestamp_to_seconds:t.>i timestamp_to_seconds_tz:t.s>i duration_to_seconds:r.>i"},
    {"getMilliseconds", fn::milliseconds, kGuarded,
     "timestamp_to_milliseconds:t.>i timestamp_to_milliseconds_with_tz:t.s>i duration_to_milliseconds:r.>i"},
    // Texts.
    {"contains", fn::contains, kOpen, "contains_string:s.s>b"},
    {"endsWith", fn::ends_with, kOpen, "ends_with_string:s.s>b"},
    {"startsWith", fn::starts_with, kOpen, "starts_with_string:s.s>b"},
    {"matches", fn::matches, of({K::String}), "matches:ss>b matches_string:s.s>b"},
    {"charAt", fn::char_at, kGuarded, "string_char_at_int:s.i>s"},
    {"indexOf", fn::index_of, kGuarded, "string_index_of_string:s.s>i string_index_of_string_int:s.si>i list_a_index_of_int:LA.A>i"},
    {"lastIndexOf", fn::last_index_of, kGuarded,
     "string_last_index_of_string:s.s>i string_last_index_of_string_int:s.si>i list_a_last_index_of_int:LA.A>i"},
    {"lowerAscii", fn::lower_ascii, kGuarded, "string_lower_ascii:s.>s"},
    {"upperAscii", fn::upper_ascii, kGuarded, "string_upper_ascii:s.>s"},
    {"replace", fn::replace, kGuarded, "string_replace_string_string:s.ss>s string_replace_string_string_int:s.ssi>s"},
    {"split", fn::split, kGuarded, "string_split_string:s.s>Ls string_split_string_int:s.si>Ls"},
    {"substring", fn::substring, kGuarded, "string_substring_int:s.i>s string_substring_int_int:s.ii>s"},
    {"trim", fn::trim, kGuarded, "string_trim:s.>s"},
    {"join", fn::join, kGuarded, "list_join:Ls.>s list_join_string:Ls.s>s"},
    {"strings.quote", fn::quote, kGuarded, "strings_quote:s>s"},
    {"format", fn::format, kGuarded, "string_format:s.LD>s"},
    {"find", fn::find, kGuarded, "string_find_string:s.s>s"},
    {"findAll", fn::find_all, kGuarded, "string_find_all_string:s.s>Ls string_find_all_string_int:s.si>Ls"},
    {"jsonpatch.escapeKey", fn::escape_key, kGuarded, "string_jsonpatch_escapeKey_string:s>s", "patches"},
    // Lists, sets, maps, optionals.
    {"slice", fn::slice, kGuarded, "list_slice:LT.ii>LT"},
    {"flatten", fn::flatten, kOpen, "list_flatten:LLT.>LT list_flatten_int:LD.i>LD"},
    {"sort", fn::sort, of({K::List}), "*list_%_sort:L@.>L@"},
    {"@sortByAssociatedKeys", fn::sort_by_keys, of({K::List}), "*list_%_sortByAssociatedKeys:LT.L@>LT"},
    {"lists.range", fn::range, kGuarded, "lists_range:i>Li"},
    {"reverse", fn::reverse, kGuarded, "list_reverse:LT.>LT"},
    {"distinct", fn::distinct, kGuarded, "list_distinct:LT.>LT"},
    {"isSorted", fn::is_sorted, kGuarded, "*list_%_is_sorted_bool:L@.>b"},
    {"sum", fn::sum, kGuarded, "+list_%_sum_%:L@.>@"},
    {"min", fn::min, kGuarded, "*list_%_min_%:L@.>@"},
    {"max", fn::max, kGuarded, "*list_%_max_%:L@.>@"},
    {"includes", fn::includes, kGuarded, "list_includes_dyn_dyn:D.D>b"},
    {"sets.contains", fn::sets_contains, kGuarded, "list_sets_contains_list:LTLT>b"},
    {"sets.equivalent", fn::sets_equivalent, kGuarded, "list_sets_equivalent_list:LTLT>b"},
    {"sets.intersects", fn::sets_intersects, kGuarded, "list_sets_intersects_list:LTLT>b"},
    {"cel.@mapInsert", fn::map_insert, kGuarded, "@mapInsert_map_key_value:MKVKV>MKV @mapInsert_map_map:MKVMKV>MKV"},
    {"optional.of", fn::optional_of, kGuarded, "optional_of:V>OV"},
    {"optional.ofNonZeroValue", fn::optional_of_non_zero, kGuarded, "optional_ofNonZeroValue:V>OV"},
    {"optional.none", fn::optional_none, kGuarded, "optional_none:>OV"},
    {"value", fn::value, kGuarded, "optional_value:OV.>V"},
    {"hasValue", fn::has_value, kGuarded, "optional_hasValue:OV.>b"},
    {"or", nullptr, kOpen, "optional_or_optional:OV.OV>OV"},
    {"orValue", nullptr, kOpen, "optional_orValue_value:OV.V>V"},
    {"last", fn::last, kGuarded, "list_last:LV.>OV"},
    {"first", fn::first, kGuarded, "list_first:LV.>OV"},
    {"optional.unwrap", fn::unwrap, kGuarded, "optional_unwrap:LOV>LV"},
    {"unwrapOpt", fn::unwrap, kGuarded, "optional_unwrapOpt:LOV.>LV"},
    // URLs, addresses.
    {"url", fn::url, kGuarded, "string_to_url:s>U"},
    {"getScheme", fn::get_scheme, kGuarded, "url_get_scheme:U.>s"},
    {"getHost", fn::get_host, kGuarded, "url_get_host:U.>s"},
    {"getHostname", fn::get_hostname, kGuarded, "url_get_hostname:U.>s"},
    {"getPort", fn::get_port, kGuarded, "url_get_port:U.>s"},
    {"getEscapedPath", fn::get_escaped_path, kGuarded, "url_get_escaped_path:U.>s"},
    {"getQuery", fn::get_query, kGuarded, "url_get_query:U.>MsLs"},
    {"isURL", fn::is_url, kGuarded, "is_url_string:s>b"},
    {"ip", fn::ip, kGuarded, "string_to_ip:s>I cidr_ip:C.>I"},
    {"family", fn::family, kGuarded, "ip_family:I.>i"},
    {"ip.isCanonical", fn::ip_is_canonical, kGuarded, "ip_is_canonical:s>b"},
    {"isUnspecified", fn::is_unspecified, kGuarded, "ip_is_unspecified:I.>b"},
    {"isLoopback", fn::is_loopback, kGuarded, "ip_is_loopback:I.>b"},
    {"isLinkLocalMulticast", fn::is_link_local_multicast, kGuarded, "ip_is_link_local_multicast:I.>b"},
    {"isLinkLocalUnicast", fn::is_link_local_unicast, kGuarded, "ip_is_link_local_unicast:I.>b"},
    {"isGlobalUnicast", fn::is_global_unicast, kGuarded, "ip_is_global_unicast:I.>b"},
    {"isIP", fn::is_ip, kGuarded, "is_ip:s>b"},
    {"cidr", fn::cidr, kGuarded, "string_to_cidr:s>C"},
    {"containsIP", fn::contains_ip, kGuarded, "cidr_contains_ip_string:C.s>b cidr_contains_ip_ip:C.I>b"},
    {"containsCIDR", fn::contains_cidr, kGuarded, "cidr_contains_cidr_string:C.s>b cidr_contains_cidr:C.C>b"},
    {"prefixLength", fn::prefix_length, kGuarded, "cidr_prefix_length:C.>i"},
    {"masked", fn::masked, kGuarded, "cidr_masked:C.>C"},
    {"isCIDR", fn::is_cidr, kGuarded, "is_cidr:s>b"},
    // Quantities, versions, formats.
    {"quantity", fn::quantity, kGuarded, "string_to_quantity:s>Q"},
    {"isQuantity", fn::is_quantity, kGuarded, "is_quantity_string:s>b"},
    {"sign", fn::sign, kGuarded, "quantity_sign:Q>i"},
    {"isGreaterThan", fn::is_greater_than, kGuarded, "quantity_is_greater_than:Q.Q>b semver_is_greater_than:S.S>b"},
    {"isLessThan", fn::is_less_than, kGuarded, "quantity_is_less_than:Q.Q>b semver_is_less_than:S.S>b"},
    {"compareTo", fn::compare_to, kGuarded, "quantity_compare_to:Q.Q>i semver_compare_to:S.S>i"},
    {"asApproximateFloat", fn::as_float, kGuarded, "quantity_get_float:Q.>d"},
    {"asInteger", fn::as_integer, kGuarded, "quantity_get_int:Q.>i"},
    {"isInteger", fn::is_integer, kGuarded, "quantity_is_integer:Q.>b"},
    {"add", fn::quantity_add, kGuarded, "quantity_add:Q.Q>Q quantity_add_int:Q.i>Q"},
    {"sub", fn::quantity_sub, kGuarded, "quantity_sub:Q.Q>Q quantity_sub_int:Q.i>Q"},
    {"semver", fn::semver, kGuarded, "string_to_semver:s>S string_bool_to_semver:sb>S"},
    {"isSemver", fn::is_semver, kGuarded, "is_semver_string:s>b is_semver_string_bool:sb>b"},
    {"major", fn::major, kGuarded, "semver_major:S.>i"},
    {"minor", fn::minor, kGuarded, "semver_minor:S.>i"},
    {"patch", fn::patch, kGuarded, "semver_patch:S.>i"},
    {"validate", fn::validate, kGuarded, "format-validate:F.s>OLs"},
    {"format.named", fn::format_named, kGuarded, "format-named:s>OF"},
    // Authorization.
    {"path", fn::authz_path, kGuarded, "authorizer_path:Z.s>P"},
    {"group", fn::authz_group, kGuarded, "authorizer_group:Z.s>G"},
    {"serviceAccount", fn::authz_service_account, kGuarded, "authorizer_serviceaccount:Z.ss>Z"},
    {"resource", fn::authz_resource, kGuarded, "groupcheck_resource:G.s>R"},
    {"subresource", fn::authz_subresource, kGuarded, "resourcecheck_subresource:R.s>R"},
    {"namespace", fn::authz_namespace, kGuarded, "resourcecheck_namespace:R.s>R"},
    {"name", fn::authz_name, kGuarded, "resourcecheck_name:R.s>R"},
    {"check", fn::authz_check, kGuarded, "pathcheck_check:P.s>X resourcecheck_check:R.s>X"},
    {"errored", fn::authz_errored, kGuarded, "decision_errored:X.>b"},
    {"error", fn::authz_error, kGuarded, "decision_error:X.>s"},
    {"allowed", fn::authz_allowed, kGuarded, "decision_allowed:X.>b"},
    {"reason", fn::authz_reason, kGuarded, "decision_reason:X.>s"},
    {"fieldSelector", fn::authz_field_selector, kGuarded, "authorizer_fieldselector:R.s>R"},
    {"labelSelector", fn::authz_label_selector, kGuarded, "authorizer_labelselector:R.s>R"},
};
constexpr const char* kFormats[] = {"dns1123Label", "dns1123Subdomain", "dns1035Label", "qualifiedName", "dns1123LabelPrefix",
                                    "dns1123SubdomainPrefix", "dns1035LabelPrefix", "labelValue", "uri", "uuid", "byte", "date", "datetime"};

// All functions, made once from the rows.
class Table {
 public:
  Table() {
    for (const Row& row : kRows) {
      Function& f = add(row.name, row.run);
      f.guard = row.operands == kGuarded ? Guard::Guarded : row.operands == kOpen ? Guard::Open : Guard::Operand;
      f.operands = row.operands;
      f.patches_only = std::string_view(row.prefix) == "patches";
      read(f, row.overloads, row.prefix);
    }
    for (const char* name : kFormats) {
      std::string full = std::string("format.") + name;
      Function& f = add(full, fn::format_constant);
      read(f, (full + ":>F").c_str(), "");
    }
  }
  const Function* find(std::string_view name) const {
    auto it = functions_.find(name);
    return it == functions_.end() ? nullptr : &it->second;
  }

 private:
  Function& add(std::string name, Implementation run) {
    Function& f = functions_[name];
    f.name = std::move(name);
    f.run = run;
    return f;
  }
  void read(Function& f, std::string_view text, std::string_view prefix) {
    static constexpr std::pair<const char*, char> kTypes[] = {{"int", 'i'}, {"uint", 'u'}, {"double", 'd'}, {"duration", 'r'},
                                                              {"bool", 'b'}, {"timestamp", 't'}, {"string", 's'}, {"bytes", 'y'}};
    std::size_t count = text[0] == '*' ? 8 : text[0] == '+' ? 4 : 0;
    for (std::size_t i = 0; i < count; ++i) {
      std::string one;
      for (char c : text.substr(1)) one += c == '%' ? std::string(kTypes[i].first) : std::string(1, c == '@' ? kTypes[i].second : c);
      read(f, one, prefix);
    }
    if (count) return;
    while (!text.empty()) {
      std::size_t end = std::min(text.find(' '), text.size());
      overload(f, text.substr(0, end), prefix);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }
  void overload(Function& f, std::string_view text, std::string_view prefix) {
    Overload o;
    std::size_t colon = text.find(':');
    o.id = text.substr(0, colon);
    if (o.id[0] == '$') o.id = std::string(prefix) + o.id.substr(1);
    text.remove_prefix(colon + 1);
    while (text[0] != '>') {
      if (text[0] == '.') o.member = true, text.remove_prefix(1);
      else o.args.push_back(type(text, o));
    }
    text.remove_prefix(1);
    o.result = type(text, o);
    f.overloads.push_back(std::move(o));
  }
  const Type* type(std::string_view& text, Overload& o) {
    char c = text[0];
    text.remove_prefix(1);
    switch (c) {
      case 'L': return pool_.list_of(type(text, o));
      case 'O': return pool_.optional_of(type(text, o));
      case 'Y': return pool_.type_of(type(text, o));
      case 'M': {
        const Type* key = type(text, o);
        return pool_.map_of(key, type(text, o));
      }
      case 'A': case 'B': case 'K': case 'V': case 'T': o.generic = true; return pool_.param(std::string(1, c));
      default: break;
    }
    static constexpr std::string_view kLetters = "biudsytrDQUICFSZPGRX";
    static const Type* const kTypes[] = {&types::boolean, &types::integer, &types::uinteger, &types::real, &types::string, &types::bytes,
                                         &types::timestamp, &types::duration, &types::dyn, &types::quantity, &types::url, &types::ip,
                                         &types::cidr, &types::format, &types::semver, &types::authorizer, &types::path_check,
                                         &types::group_check, &types::resource_check, &types::decision};
    std::size_t i = kLetters.find(c);
    ONEBIN_ASSERT(i != std::string_view::npos);
    return kTypes[i];
  }

  Schemas pool_;
  std::map<std::string, Function, std::less<>> functions_;
};

}  // namespace

const Function* find_function(std::string_view name) {
  static const Table table;
  return table.find(name);
}

const Type* find_type_name(std::string_view name) {
  static const Type* const kTypes[] = {&types::boolean, &types::bytes, &types::real, &types::duration, &types::integer, &types::list, &types::map,
                                       &types::null, &types::string, &types::timestamp, &types::type, &types::uinteger, &types::optional,
                                       &types::ip, &types::cidr};
  for (const Type* t : kTypes)
    if (t->name == name) return t;
  return nullptr;
}

bool fits(const Type& type, const Value& value) {
  switch (type.kind) {
    case TypeKind::Dyn:
    case TypeKind::Param: return true;
    case TypeKind::Object:
    case TypeKind::Opaque: return value.type_of().name == type.name;
    default: return value.type_of().kind == type.kind && !value.is(ValueKind::Preserved);
  }
}

}  // namespace onebin::cel
