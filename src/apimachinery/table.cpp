#include <onebin/apimachinery/table.hpp>

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>

namespace onebin::apimachinery {

Document partial_object_metadata(const Document& object, std::string_view api_version) {
  Document out = {{"kind", "PartialObjectMetadata"}, {"apiVersion", std::string(api_version)}};
  const auto* meta = find(object, {"metadata"});
  out["metadata"] = meta ? *meta : Document::object();
  return out;
}

Document make_table(const std::vector<TableColumn>& columns, const std::vector<TableRow>& rows, IncludeObject include, const TableList& list,
                    std::string_view api_version) {
  Document meta = Document::object();
  if (!list.resource_version.empty()) meta["resourceVersion"] = list.resource_version;
  if (!list.continue_token.empty()) meta["continue"] = list.continue_token;
  if (list.remaining_item_count >= 0) meta["remainingItemCount"] = list.remaining_item_count;
  Document definitions = Document::array();
  for (const auto& c : columns)
    definitions.push_back({{"name", c.name}, {"type", c.type}, {"format", c.format}, {"description", c.description}, {"priority", c.priority}});
  Document out_rows = Document::array();
  for (const auto& r : rows) {
    Document row = {{"cells", r.cells}};
    if (include != IncludeObject::None && r.object)
      row["object"] = include == IncludeObject::Object ? *r.object : partial_object_metadata(*r.object, api_version);
    out_rows.push_back(std::move(row));
  }
  return {{"kind", "Table"},
          {"apiVersion", std::string(api_version)},
          {"metadata", std::move(meta)},
          {"columnDefinitions", std::move(definitions)},
          {"rows", std::move(out_rows)}};
}

std::string age(std::string_view timestamp, WallTime now) {
  if (timestamp.empty()) return "<unknown>";
  auto t = parse_rfc3339(timestamp);
  if (!t) return "<invalid>";
  Duration d = now - *t;
  if (d < -2s) return "<invalid>";
  return human_duration(d < 0s ? Duration(0) : d);
}

std::vector<TableColumn> default_table_columns() {
  return {{"Name", "string", "name", "Name of the object, unique within its namespace", 0},
          {"Created At", "date", "", "Time at which the object was created, by the server's clock", 0}};
}

Document default_table_cells(const Document& object) {
  return Document::array({std::string(name_of(object)), std::string(creation_timestamp_of(object))});
}

Document printer_cell(const PrinterColumn& column, const Document& object, WallTime now) {
  const auto* v = column.path.first(object);
  if (!v || v->is_null()) return nullptr;
  const auto& type = column.column.type;
  if (type == "string") {
    if (v->is_string()) return *v;
    if (v->is_number_float()) return go_float(v->get<double>());
    return go_json(*v);
  }
  if (type == "integer" && v->is_number()) return v->is_number_float() ? Document(static_cast<std::int64_t>(v->get<double>())) : *v;
  if (type == "number" && v->is_number()) return v->get<double>();
  if (type == "boolean" && v->is_boolean()) return *v;
  if (type == "date" && v->is_string()) return age(v->get_ref<const std::string&>(), now);
  return nullptr;
}

}  // namespace onebin::apimachinery
