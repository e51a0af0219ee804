#include "cel/work.hpp"

namespace onebin::cel {
namespace {

constexpr std::int64_t kUnlimited = INT64_MAX;
thread_local std::int64_t left = kUnlimited;

}  // namespace

bool spend(std::uint64_t steps) {
  if (left == kUnlimited) return true;
  left = left < 0 || steps > static_cast<std::uint64_t>(left) ? -1 : left - static_cast<std::int64_t>(steps);
  return left >= 0;
}
bool exhausted() { return left < 0; }

WorkLimit::WorkLimit(std::int64_t steps) : before_(left) { left = steps < before_ ? steps : before_; }
WorkLimit::~WorkLimit() { left = before_; }

}  // namespace onebin::cel
