// A bound on what one evaluation does beyond what its cost says: values that share their parts can be exponentially larger than the
// steps that made them, and to compare or show one walks through all of it.
#pragma once
#include <cstdint>

namespace onebin::cel {

// Counts for the thread's current evaluation; false when it has done too much.
bool spend(std::uint64_t steps);
bool exhausted();

// For the time of one evaluation. Evaluations nest.
class WorkLimit {
 public:
  explicit WorkLimit(std::int64_t steps);
  ~WorkLimit();
  WorkLimit(const WorkLimit&) = delete;

 private:
  std::int64_t before_;
};

}  // namespace onebin::cel
