// Tables written as text, row by row, from stored objects: no tree is made of them but of what their printer reads.
#pragma once
#include "apiserver/respond.hpp"

namespace onebin::apiserver {

// A Table's text up to its rows, `"rows":[` with it; without the columns where the client knows them.
Result<std::string> table_head(const Served& served, const apimachinery::TableList& list, std::string_view version, bool columns);
// One row, as JSON.
Status append_table_row(std::string& out, const Served& served, const Bytes& stored, std::string_view include_object, std::string_view version,
                        WallTime now);
// One object's Table, as watches send it.
Status append_object_table(std::string& out, const Served& served, const Bytes& stored, std::string_view include_object, std::string_view version,
                           WallTime now, bool columns);

}  // namespace onebin::apiserver
