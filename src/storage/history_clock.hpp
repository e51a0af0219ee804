// HistoryClock: how old and how large the history is, in coarse marks, and so up to where it may be compacted.
#pragma once
#include <onebin/storage/store.hpp>

#include <deque>
#include <optional>

namespace onebin::storage {

class HistoryClock {
 public:
  explicit HistoryClock(HistoryLimits limits) : limits_(limits) {}
  void add(SteadyTime now, std::int64_t revision, std::int64_t bytes);
  // The revision to compact to now, if any.
  std::optional<std::int64_t> due(SteadyTime now) const;
  // When due() will next have an answer by age alone.
  std::optional<SteadyTime> next() const;
  void compacted(std::int64_t revision);

 private:
  struct Mark {
    SteadyTime first, last;  // of the writes it stands for
    std::int64_t revision;   // the last of them
    std::int64_t bytes;
  };
  HistoryLimits limits_;
  std::deque<Mark> marks_;
  std::int64_t bytes_ = 0;
};

}  // namespace onebin::storage
