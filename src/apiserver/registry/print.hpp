// Printers: the columns and cells that kubectl get shows, kind by kind.
#pragma once
#include "apiserver/registry/strategy.hpp"

#include <onebin/apimachinery/field_mask.hpp>

#include <initializer_list>

namespace onebin::apiserver {

struct Printer {
  std::vector<apimachinery::TableColumn> columns;
  Document (*cells)(const Document& object, WallTime now) = nullptr;
  // What cells() reads of an object, for kinds that come by the thousand; empty: anything but managedFields.
  std::vector<std::string_view> reads = {};
};
// Null where the kind prints as Name and Created At.
const Printer* find_printer(std::string_view group, std::string_view kind);
// What the printer of a built-in kind reads.
const apimachinery::FieldMask& printed_fields(const KindSchema& kind);

namespace print {

// "Name!" has format name, "X*" is for -o wide, "X#" an integer, "X?" a boolean.
std::vector<apimachinery::TableColumn> columns(std::initializer_list<std::string_view> specs);

// Readers of what may not be there.
std::string text(const Document& o, std::initializer_list<std::string_view> path, std::string_view otherwise = {});
std::int64_t number(const Document& o, std::initializer_list<std::string_view> path);
const Document& list(const Document& o, std::initializer_list<std::string_view> path);  // an empty array where none
std::string name(const Document& o);
std::string created(const Document& o, WallTime now);  // AGE
std::string scalar(const Document& value);             // a number or text as text
std::string joined(const Document& list, std::string_view member, std::string_view separator = ",");
std::string selector(const Document& label_selector);  // "<none>" where it selects everything
std::string first_of(const std::vector<std::string>& items, std::size_t max, std::string_view none);

void add_core(std::map<std::string, Printer>& to);
void add_workloads(std::map<std::string, Printer>& to);
void add_others(std::map<std::string, Printer>& to);

}  // namespace print
}  // namespace onebin::apiserver
