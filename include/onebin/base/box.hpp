// Box<T>: an optional value on the heap, copied deeply. As std::optional in use; for members that would make their owner
// large, or whose type is not complete yet (recursive types).
#pragma once
#include <onebin/base/assert.hpp>

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace onebin {

template <class T>
class Box {
 public:
  using value_type = T;
  Box() = default;
  Box(std::nullopt_t) {}                                            // NOLINT: implicit, as std::optional
  Box(const T& value) : p_(new T(value)) {}                         // NOLINT
  Box(T&& value) : p_(new T(std::move(value))) {}                   // NOLINT
  // Templates, since std::optional may not be named of an incomplete type.
  template <class U>
    requires std::is_same_v<U, T>
  Box(const std::optional<U>& o) : p_(o ? new T(*o) : nullptr) {}   // NOLINT
  template <class U>
    requires std::is_same_v<U, T>
  Box(std::optional<U>&& o) : p_(o ? new T(std::move(*o)) : nullptr) {}  // NOLINT
  Box(const Box& o) : p_(o.p_ ? new T(*o.p_) : nullptr) {}
  Box(Box&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  ~Box() { delete p_; }
  Box& operator=(Box o) noexcept { std::swap(p_, o.p_); return *this; }

  explicit operator bool() const { return p_ != nullptr; }
  bool has_value() const { return p_ != nullptr; }
  T& operator*() { ONEBIN_ASSERT(p_ != nullptr); return *p_; }
  const T& operator*() const { ONEBIN_ASSERT(p_ != nullptr); return *p_; }
  T* operator->() { ONEBIN_ASSERT(p_ != nullptr); return p_; }
  const T* operator->() const { ONEBIN_ASSERT(p_ != nullptr); return p_; }
  T& value() { return **this; }
  const T& value() const { return **this; }
  T value_or(T other) const { return p_ ? *p_ : std::move(other); }
  T* get() { return p_; }  // null when empty
  const T* get() const { return p_; }
  std::optional<T> to_optional() const { return p_ ? std::optional<T>(*p_) : std::nullopt; }
  template <class U>
    requires std::is_same_v<U, T>
  operator std::optional<U>() const { return to_optional(); }  // NOLINT

  template <class... A>
  T& emplace(A&&... a) { *this = Box(T{std::forward<A>(a)...}); return *p_; }
  // The value, made first when there is none.
  T& ensure() { if (!p_) p_ = new T(); return *p_; }
  void reset() { delete std::exchange(p_, nullptr); }

  friend bool operator==(const Box& a, const Box& b) { return a.p_ && b.p_ ? *a.p_ == *b.p_ : a.p_ == b.p_; }
  friend bool operator==(const Box& a, std::nullopt_t) { return a.p_ == nullptr; }

 private:
  T* p_ = nullptr;
};

}  // namespace onebin
