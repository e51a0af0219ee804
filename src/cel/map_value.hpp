// The maps that expressions make, and values as messages show them.
#pragma once
#include <onebin/cel/value.hpp>

#include <unordered_map>

namespace onebin::cel {

class HashMap : public MapValue {
 public:
  std::size_t size() const override { return entries_.size(); }
  bool find(const Value& key, Value& out) const override;
  Values keys() const override;
  void put(Value key, Value value);  // replaces
  const std::vector<std::pair<Value, Value>>& entries() const { return entries_; }
  std::string object_type;  // "Object.spec": made by Object.spec{...}; "" of a map

 private:
  static std::string text_of(const Value& key);
  std::vector<std::pair<Value, Value>> entries_;  // in the order in which they came
  std::unordered_map<std::string, std::size_t> index_;
};

// Go's %v of a value: what "no such key: x" shows.
std::string display(const Value& value);

}  // namespace onebin::cel
