// WatchSource: everything that one watch gives, in order: the initial state where it was asked for, older events from
// storage's history, then live events from the watch cache.
#pragma once
#include "apiserver/core.hpp"
#include "apiserver/handlers/list_options.hpp"

namespace onebin::apiserver {

class WatchSource {
 public:
  static async::Task<Result<std::unique_ptr<WatchSource>>> open(RequestContext* c, ListOptions options);
  ~WatchSource();
  // What comes next, at least one. Closed at the watch's time limit; Expired with the error that the client gets as an event.
  async::Task<Result<std::vector<WatchItem>>> next();

 private:
  explicit WatchSource(Core& core, Served& served) : core_(core), served_(served) {}
  async::Task<Result<std::vector<WatchItem>>> next_stored();
  async::Task<Result<std::vector<WatchItem>>> next_history();
  async::Task<Result<std::vector<WatchItem>>> converted(std::vector<WatchItem> items);
  void arm(Duration limit);

  Core& core_;
  Served& served_;
  ListOptions options_;
  bool converts_ = false;  // by a webhook; what was asked to be selected is then selected of what that makes
  Filter selected_;
  std::vector<std::pair<std::string, Bytes>> initial_;
  std::size_t initial_at_ = 0;
  bool initial_end_ = false;
  std::int64_t revision_ = 0;
  std::unique_ptr<storage::Watch> history_;
  std::unique_ptr<CacheWatcher> live_;
  Status failed_;
  async::TimerId timer_ = 0;
};

// The bookmark object of a kind.
Result<std::string> bookmark_object(const Served& served, std::int64_t revision, bool initial_end, Format format, Transform transform,
                                    std::string_view transform_version);

}  // namespace onebin::apiserver
