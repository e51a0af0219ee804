// What creating and updating share, inside handlers/.
#pragma once
#include "apiserver/handlers/objects.hpp"

namespace onebin::apiserver {

// The common part of metadata's validation and, with `schema`, what the tables state.
void validate_common(const Served& served, const Document& object, const Document* old, bool schema, FieldErrors& errors);
Status invalid_object(const Served& served, const Document& object, const FieldErrors& errors);

// Ends a reservation as failed unless told otherwise.
class Reserved {
 public:
  explicit Reserved(std::unique_ptr<Strategy::Reservation> r) : r_(std::move(r)) {}
  Reserved(Reserved&&) = default;
  Reserved& operator=(Reserved&& o) noexcept { finish(false); r_ = std::move(o.r_); return *this; }
  ~Reserved() { finish(false); }
  void finish(bool stored) { if (r_) std::exchange(r_, nullptr)->finish(stored); }

 private:
  std::unique_ptr<Strategy::Reservation> r_;
};

}  // namespace onebin::apiserver
