// The objects that a list is made of.
#pragma once
#include "apiserver/handlers/list_options.hpp"

namespace onebin::apiserver {

struct Page {
  std::vector<Bytes> items;
  std::int64_t revision = 0;
  std::string continue_token;
  std::optional<std::int64_t> remaining;
};

// Until the cache is as fresh as `resource_version` asks: "" newest, "0" any, N not older.
Handling wait_fresh(RequestContext* c, std::string resource_version, std::int64_t revision);

// Takes the options' revision. Where a continue token is too old, `go_on` is one that goes on with the newest state.
async::Task<Result<Page>> read_page(RequestContext* c, ListOptions* options, std::string* go_on);

}  // namespace onebin::apiserver
