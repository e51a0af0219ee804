#include "storage/history_clock.hpp"

#include <algorithm>

namespace onebin::storage {
namespace {
constexpr int kMarks = 16;  // marks that min_age, or max_bytes, is divided into
}

void HistoryClock::add(SteadyTime now, std::int64_t revision, std::int64_t bytes) {
  bytes_ += bytes;
  if (!marks_.empty() && now - marks_.back().first < limits_.min_age / kMarks && marks_.back().bytes < limits_.max_bytes / kMarks) {
    Mark& m = marks_.back();
    m.last = now;
    m.revision = revision;
    m.bytes += bytes;
    return;
  }
  marks_.push_back({now, now, revision, bytes});
}

std::optional<std::int64_t> HistoryClock::due(SteadyTime now) const {
  std::optional<std::int64_t> target;
  if (auto at = next(); at && now >= *at)
    for (const Mark& m : marks_)
      if (m.last + limits_.min_age <= now) target = m.revision;
  if (bytes_ <= limits_.max_bytes) return target;
  std::int64_t left = bytes_;
  for (const Mark& m : marks_) {
    if (left <= limits_.max_bytes / 4 * 3) break;
    left -= m.bytes;
    if (!target || m.revision > *target) target = m.revision;
  }
  return target;
}

std::optional<SteadyTime> HistoryClock::next() const {
  if (marks_.empty()) return std::nullopt;
  return std::max(marks_.front().first + limits_.max_age, marks_.front().last + limits_.min_age);
}

void HistoryClock::compacted(std::int64_t revision) {
  while (!marks_.empty() && marks_.front().revision <= revision) {
    bytes_ -= marks_.front().bytes;
    marks_.pop_front();
  }
}

}  // namespace onebin::storage
