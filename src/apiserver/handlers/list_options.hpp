// The options of list, watch and deletecollection, from the query.
#pragma once
#include "apiserver/core.hpp"

#include <cstdint>
#include <optional>

namespace onebin::apiserver {

struct ListOptions {
  Filter filter;
  bool has_selectors = false;         // labels or fields beyond the namespace
  std::int64_t limit = 0;
  std::string continue_token;
  std::string resource_version;       // as given
  std::int64_t revision = 0;          // its number, once taken; 0 for "" and "0"
  std::string match;                  // "", "Exact", "NotOlderThan"
  // watch
  std::optional<std::int64_t> timeout_seconds;
  bool bookmarks = false;
  std::optional<bool> send_initial_events;
};
Result<ListOptions> parse_list_options(const RequestContext& c);
// A number of a query, with Go's words where it is none.
Result<std::int64_t> query_number(std::string_view text);
// Reads resource_version. Later than the rest, which upstream checks before its storage looks at the version.
Status take_revision(ListOptions& options, bool watch);

// A place in a paginated list.
struct Continue {
  std::int64_t revision = 0;  // -1: now
  std::string start;          // the last key taken, relative to the list's scope
};
std::string encode_continue(const Continue& at);
Result<Continue> decode_continue(std::string_view token);

}  // namespace onebin::apiserver
