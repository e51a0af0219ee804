// WatchHub: who watches what. A watch first reads history up to the present, then gets what is published; it changes
// over in one step on the loop's thread, so that nothing is missed and nothing comes twice.
#pragma once
#include <onebin/async/channel.hpp>
#include <onebin/storage/store.hpp>

#include "storage/memory_table.hpp"

#include <list>

namespace onebin::storage {

class HistorySource {
 public:
  virtual ~HistorySource() = default;
  // Events of the prefix in (after, upto], as many as are convenient at a time.
  virtual async::Task<Result<HistorySlice>> read_history(std::string prefix, std::int64_t after, std::int64_t upto) = 0;
  // The oldest revision that a watch of the prefix may start after.
  virtual std::int64_t oldest_for(std::string_view prefix) const = 0;
};

class WatchHub {
 public:
  WatchHub(HistorySource& source, WatchLimits limits, std::int64_t revision) : source_(source), limits_(limits), revision_(revision) {}
  WatchHub(const WatchHub&) = delete;
  ~WatchHub() { close(); }

  Result<std::unique_ptr<Watch>> subscribe(std::string prefix, std::int64_t after);
  // Events in order of revision; `revision` is the store's from now on.
  void publish(const std::vector<WatchEvent>& events, std::int64_t revision);
  std::int64_t revision() const { return revision_; }
  std::size_t size() const { return watches_.size(); }
  void close();

 private:
  class HubWatch;
  HistorySource& source_;
  WatchLimits limits_;
  std::int64_t revision_;
  std::list<HubWatch*> watches_;
  bool closed_ = false;
};

}  // namespace onebin::storage
