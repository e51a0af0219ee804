// MemberSlots: an object's members by the fields of its type, from one pass over both, which are sorted by name, in place of
// a search for each field. Valid as long as the object's members stay.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/schema.hpp>

#include <algorithm>
#include <memory>

namespace onebin::apimachinery {

// D: Document or const Document.
template <class D>
class MemberSlots {
 public:
  // Null or no object: no members.
  MemberSlots(const TypeSchema& type, D* object) {
    std::size_t n = type.fields.size();
    if (n > kInline) {
      more_ = std::make_unique<D*[]>(n);
      slots_ = more_.get();
    } else {
      std::fill_n(inline_, n, nullptr);
      slots_ = inline_;
    }
    if (!object || !object->is_object()) return;
    auto at = type.by_name.begin(), end = type.by_name.end();
    for (auto& [name, value] : object->template get_ref<Members&>()) {
      at = std::lower_bound(at, end, std::string_view(name), [&](std::uint16_t i, std::string_view k) { return name_less(type.fields[i].json_name, k); });
      if (at == end) return;
      if (type.fields[*at].json_name == name) slots_[*at++] = &value;
    }
  }
  MemberSlots(const MemberSlots&) = delete;
  MemberSlots& operator=(const MemberSlots&) = delete;

  // By the field's index; null where the object has none.
  D* operator[](std::size_t field) const { return slots_[field]; }

 private:
  using Members = std::conditional_t<std::is_const_v<D>, const Document::object_t, Document::object_t>;
  static constexpr std::size_t kInline = 48;

  D* inline_[kInline];
  std::unique_ptr<D*[]> more_;
  D** slots_;
};

}  // namespace onebin::apimachinery
