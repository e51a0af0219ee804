#include <onebin/apimachinery/prune.hpp>

#include <onebin/apimachinery/schema.hpp>

namespace onebin::apimachinery {
namespace {

class Pruner {
 public:
  explicit Pruner(std::vector<std::string>* dropped) : dropped_(dropped) {}

  void object(const TypeSchema& type, Document& value, bool embedded) {
    if (++depth_ < 200) walk(type, value, embedded);
    --depth_;
  }

 private:
  void walk(const TypeSchema& type, Document& value, bool embedded) {
    if (type.shape == Shape::Array || type.shape == Shape::Map) {
      items(type.fields[0], value);
      return;
    }
    if (type.shape != Shape::Object || !value.is_object()) return;
    for (auto it = value.begin(); it != value.end();) {
      const FieldSchema* f = type.field(it.key());
      std::size_t length = path_.size();
      if (dropped_) path_.append(path_.empty() ? "" : ".").append(it.key());
      if (f) {
        field(*f, *it);
        ++it;
      } else if (type.preserve_unknown || (embedded && (it.key() == "apiVersion" || it.key() == "kind" || it.key() == "metadata"))) {
        ++it;
      } else {
        if (dropped_) dropped_->push_back(path_);
        it = value.erase(it);
      }
      path_.resize(length);
    }
  }

  void field(const FieldSchema& f, Document& value) {
    if (!f.is_message()) return;
    if (f.is_list() || f.is_map()) items(f, value);
    else object(*f.message, value, f.message->embedded_resource);
  }

  // The items of a list or the values of a map.
  void items(const FieldSchema& f, Document& value) {
    if (!f.is_message() || !value.is_structured()) return;
    std::size_t i = 0;
    for (auto it = value.begin(); it != value.end(); ++it, ++i) {
      std::size_t length = path_.size();
      if (dropped_) path_.append("[").append(value.is_array() ? std::to_string(i) : it.key()).append("]");
      object(*f.message, *it, f.message->embedded_resource);
      path_.resize(length);
    }
  }

  std::vector<std::string>* dropped_;
  std::string path_;
  int depth_ = 0;
};

void drop(const TypeSchema& type, Document& value, int depth);

void drop_in_items(const FieldSchema& f, Document& value, int depth) {
  if (!f.is_message() || !value.is_structured()) return;
  for (auto& v : value) drop(*f.message, v, depth + 1);
}

void drop(const TypeSchema& type, Document& value, int depth) {
  if (depth > 200) return;
  if (type.shape == Shape::Array || type.shape == Shape::Map) {
    drop_in_items(type.fields[0], value, depth);
    return;
  }
  if (type.shape != Shape::Object || !value.is_object()) return;
  for (const auto& f : type.fields) {
    auto it = value.find(f.json_name);
    if (it == value.end()) continue;
    if (it->is_null() && !f.nullable) value.erase(it);
    else if (f.is_list() || f.is_map()) drop_in_items(f, *it, depth);
    else if (f.is_message()) drop(*f.message, *it, depth + 1);
  }
}

}  // namespace

void prune(const TypeSchema& type, Document& object, std::vector<std::string>* dropped) {
  Pruner(dropped).object(type, object, type.embedded_resource);
}

void drop_nulls(const TypeSchema& type, Document& object) { drop(type, object, 0); }

}  // namespace onebin::apimachinery
