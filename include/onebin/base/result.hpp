// Result<T>: a T or a Status that is not OK.
#pragma once
#include <onebin/base/assert.hpp>
#include <onebin/base/status.hpp>

#include <optional>
#include <utility>

namespace onebin {

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : value_(std::move(value)) {}             // NOLINT: implicit on purpose
  Result(Status status) : status_(std::move(status)) {      // NOLINT
    ONEBIN_ASSERT(!status_.is_ok());
  }
  Result() : status_(Reason::Unknown, "empty result") {}

  bool is_ok() const { return value_.has_value(); }
  explicit operator bool() const { return is_ok(); }
  const Status& status() const { return status_; }  // OK when there is a value
  Reason reason() const { return status_.reason(); }
  bool is(Reason r) const { return status_.is(r); }

  T& value() & { ONEBIN_ASSERT(value_.has_value()); return *value_; }
  const T& value() const& { ONEBIN_ASSERT(value_.has_value()); return *value_; }
  T&& value() && { ONEBIN_ASSERT(value_.has_value()); return std::move(*value_); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T value_or(T other) const& { return value_ ? *value_ : std::move(other); }

 private:
  std::optional<T> value_;
  Status status_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Status status) : status_(std::move(status)) {}  // NOLINT; an OK status is success
  bool is_ok() const { return status_.is_ok(); }
  explicit operator bool() const { return is_ok(); }
  const Status& status() const { return status_; }
  Reason reason() const { return status_.reason(); }
  bool is(Reason r) const { return status_.is(r); }

 private:
  Status status_;
};

}  // namespace onebin

// Return the status of a failed expression from a plain function, or from a coroutine (CO_).
#define ONEBIN_CONCAT2(a, b) a##b
#define ONEBIN_CONCAT(a, b) ONEBIN_CONCAT2(a, b)
#define RETURN_IF_ERROR(expr)                                    \
  do {                                                           \
    if (auto onebin_r_ = (expr); !onebin_r_) return onebin_status_of(onebin_r_); \
  } while (0)
#define CO_RETURN_IF_ERROR(expr)                                 \
  do {                                                           \
    auto onebin_r_ = (expr);                                     \
    if (!onebin_r_) co_return onebin_status_of(onebin_r_);       \
  } while (0)
#define ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                          \
  if (!tmp) return tmp.status();              \
  lhs = std::move(*tmp)
#define CO_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                             \
  if (!tmp) co_return tmp.status();              \
  lhs = std::move(*tmp)
#define ASSIGN_OR_RETURN(lhs, expr) ASSIGN_OR_RETURN_IMPL(ONEBIN_CONCAT(onebin_t_, __LINE__), lhs, expr)
#define CO_ASSIGN_OR_RETURN(lhs, expr) CO_ASSIGN_OR_RETURN_IMPL(ONEBIN_CONCAT(onebin_t_, __LINE__), lhs, expr)

namespace onebin {
inline const Status& onebin_status_of(const Status& s) { return s; }
template <class T>
Status onebin_status_of(const Result<T>& r) { return r.status(); }
}  // namespace onebin
