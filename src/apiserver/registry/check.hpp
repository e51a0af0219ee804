// Check: a place in an object while it is validated: the value, its path, and where errors go. Absent values read as null.
#pragma once
#include "apiserver/allocators.hpp"

#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/names.hpp>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apiserver {

class Check {
 public:
  using Document = apimachinery::Document;
  using FieldErrors = apimachinery::FieldErrors;
  using FieldPath = apimachinery::FieldPath;

  Check(const Document& value, FieldPath path, FieldErrors& errors) : value_(&value), path_(std::move(path)), errors_(&errors) {}

  Check operator[](std::string_view member) const;
  Check operator[](const char* member) const { return (*this)[std::string_view(member)]; }
  Check operator[](std::size_t index) const;
  Check operator[](int index) const { return (*this)[static_cast<std::size_t>(index)]; }
  Check key(const std::string& name) const;           // of a map
  Check as(FieldPath path) const { return Check(*value_, std::move(path), *errors_); }  // the same value under another path

  const Document& value() const { return *value_; }
  const FieldPath& path() const { return path_; }
  FieldErrors& errors() const { return *errors_; }
  bool set() const { return !value_->is_null(); }
  bool empty() const;                     // absent, "", [], {}
  std::string_view text() const;
  std::int64_t number(std::int64_t otherwise = 0) const;
  bool flag() const { return value_->is_boolean() && value_->get<bool>(); }
  std::size_t size() const { return value_->is_structured() ? value_->size() : 0; }
  bool is(std::string_view text) const { return this->text() == text; }

  // Errors at this place.
  void required(std::string detail = {}) const;
  void invalid(std::string detail) const;              // shows the value; "" where it is an absent text
  void invalid_as(Document shown, std::string detail) const;
  void forbidden(std::string detail = {}) const;
  void unsupported(std::initializer_list<const char*> supported) const;
  void internal(std::string detail) const;
  void duplicate() const;
  void duplicate_of(Document shown) const;
  void too_long(int max) const;
  void too_many(int max) const;
  void each_problem(const apimachinery::NameProblems& problems) const;
  void add(FieldErrors more) const { apimachinery::append(*errors_, std::move(more)); }

  // Rules. True where the value passes.
  bool need(std::string detail = {}) const;            // neither absent nor empty
  bool one_of(std::initializer_list<const char*> supported) const;
  bool nonnegative() const;                            // "must be greater than or equal to 0"
  bool range(std::int64_t min, std::int64_t max) const;  // "must be between 1 and 65535, inclusive"
  bool at_most_bytes(int max) const;
  bool named(apimachinery::NameRule rule) const;
  bool format(apimachinery::NameProblems (*rule)(std::string_view)) const;
  // need(), then format().
  bool need(apimachinery::NameProblems (*rule)(std::string_view)) const { return need() && format(rule); }
  bool unchanged(const Check& old) const;              // "field is immutable"

 private:
  const Document* value_;
  FieldPath path_;
  FieldErrors* errors_;
};

// Names and addresses in the words of upstream's validation.
apimachinery::NameProblems path_segment(std::string_view value);
// A CIDR; without one: bits are -1.
struct Network {
  IpAddress base;
  int prefix = -1;
  int width() const { return base.v6 ? 128 : 32; }
  IpAddress masked() const;
  bool strict_subset_of(const Network& other) const;
  std::string to_string() const;  // of the masked address
};
std::optional<Network> parse_network(std::string_view text);  // also with leading zeros, which are then an error of their own
void check_address(const Check& at, bool canonical);   // an address in a form that every program reads alike
void check_network(const Check& at, bool canonical);   // CIDR likewise, no bits set beyond its prefix
// "example.com/name": a DNS name, a slash, and a path of printable characters.
void check_domain_prefixed_path(const Check& at);
// A domain-prefixed name as that of a finalizer.
void check_qualified_name(const Check& at);
void check_csi_driver_name(const Check& at);
void check_quantity_nonnegative(const Check& at);

}  // namespace onebin::apiserver
