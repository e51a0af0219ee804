// metav1.Table: what kubectl get prints. Rows come from the kinds' printers; this is the envelope.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/jsonpath.hpp>
#include <onebin/base/time.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace onebin::apimachinery {

struct TableColumn {
  std::string name;         // "Ready"
  std::string type;         // "string", "integer", "number", "boolean", "date"
  std::string format;       // "name" for the column of names
  std::string description;
  int priority = 0;         // > 0: only with -o wide
};

// What a row carries of the object; the query's includeObject.
enum class IncludeObject : unsigned char { Metadata, None, Object };

struct TableRow {
  Document cells;  // an array, one value a column
  const Document* object = nullptr;  // whole object; outlives the call
};

struct TableList {
  std::string resource_version, continue_token;
  long long remaining_item_count = -1;  // < 0: not stated
};

Document make_table(const std::vector<TableColumn>& columns, const std::vector<TableRow>& rows, IncludeObject include,
                    const TableList& list = {}, std::string_view api_version = "meta.k8s.io/v1");
Document partial_object_metadata(const Document& object, std::string_view api_version = "meta.k8s.io/v1");

// kubectl's AGE of an RFC 3339 time: "5m", "<unknown>" when empty, "<invalid>" where it is no time.
std::string age(std::string_view timestamp, WallTime now);

// Columns of kinds without a printer: Name and Created At, upstream's default table.
std::vector<TableColumn> default_table_columns();
Document default_table_cells(const Document& object);

// A CRD's additionalPrinterColumns, ready to evaluate.
struct PrinterColumn {
  TableColumn column;
  JsonPath path;
};
// One cell, converted to the column's type: null where the path finds nothing.
Document printer_cell(const PrinterColumn& column, const Document& object, WallTime now);

}  // namespace onebin::apimachinery
