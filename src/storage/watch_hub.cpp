#include "storage/watch_hub.hpp"

namespace onebin::storage {

class WatchHub::HubWatch final : public Watch {
 public:
  HubWatch(WatchHub& hub, std::string prefix, std::int64_t after) : hub_(&hub), prefix_(std::move(prefix)), position_(after) {
    at_ = hub.watches_.insert(hub.watches_.end(), this);
  }
  ~HubWatch() override { leave(); }

  async::Task<Result<std::vector<WatchEvent>>> next() override {
    for (;;) {
      if (!status_) co_return status_;
      if (!live_ && position_ < hub_->revision_) {
        auto events = co_await catch_up();
        if (!events) co_return events.status();
        if (!events->empty()) co_return events;
        continue;
      }
      live_ = true;
      if (!buffer_.empty()) {
        position_ = buffer_.back().kv.mod_revision;
        buffered_bytes_ = 0;
        co_return std::exchange(buffer_, {});
      }
      Status s = co_await arrived_.wait();
      if (!s) co_return s;
    }
  }

  std::int64_t progress() const override { return live_ && hub_ && buffer_.empty() && status_ ? hub_->revision_ : position_; }

  void offer(const std::vector<WatchEvent>& events) {
    if (!live_) return;
    bool any = false;
    for (const auto& e : events) {
      if (!starts_with(e.kv.key, prefix_)) continue;
      buffered_bytes_ += static_cast<std::size_t>(size_of(e));
      if (buffer_.size() >= hub_->limits_.max_events || (buffered_bytes_ > hub_->limits_.max_bytes && !buffer_.empty())) {
        end(Status(Reason::Expired, "the watcher fell too far behind"));
        return;
      }
      buffer_.push_back(e);
      any = true;
    }
    if (any) arrived_.wake_all();
  }

  void end(Status status) {
    status_ = std::move(status);
    buffer_ = {};
    leave();
    arrived_.wake_all();
  }

 private:
  async::Task<Result<std::vector<WatchEvent>>> catch_up() {
    if (position_ < hub_->source_.oldest_for(prefix_)) co_return expire();
    auto slice = co_await hub_->source_.read_history(prefix_, position_, hub_->revision_);
    if (!status_) co_return status_;
    if (!slice) {
      if (!slice.is(Reason::Cancelled)) end(slice.status());
      co_return slice.status();
    }
    // What was compacted meanwhile may be missing from the slice.
    if (position_ < hub_->source_.oldest_for(prefix_)) co_return expire();
    position_ = slice->through;
    live_ = position_ == hub_->revision_;
    co_return std::move(slice->events);
  }
  Status expire() {
    end(revision_expired(position_, hub_->source_.oldest_for(prefix_)));
    return status_;
  }
  void leave() {
    if (!hub_) return;
    hub_->watches_.erase(at_);
    hub_ = nullptr;
  }

  WatchHub* hub_;
  std::list<HubWatch*>::iterator at_;
  std::string prefix_;
  std::int64_t position_;  // every event up to here was returned
  bool live_ = false;      // takes from publish(); before that, from history
  std::vector<WatchEvent> buffer_;
  std::size_t buffered_bytes_ = 0;
  Status status_;
  async::WaitQueue arrived_;
};

Result<std::unique_ptr<Watch>> WatchHub::subscribe(std::string prefix, std::int64_t after) {
  if (closed_) return onebin::closed();
  if (after == 0) after = revision_;
  if (after > revision_) return revision_too_large(after, revision_);
  std::int64_t oldest = source_.oldest_for(prefix);
  if (after < oldest) return revision_expired(after, oldest);
  return std::unique_ptr<Watch>(std::make_unique<HubWatch>(*this, std::move(prefix), after));
}

void WatchHub::publish(const std::vector<WatchEvent>& events, std::int64_t revision) {
  revision_ = revision;
  for (auto at = watches_.begin(); at != watches_.end();) (*at++)->offer(events);  // offer may remove
}

void WatchHub::close() {
  closed_ = true;
  while (!watches_.empty()) watches_.front()->end(onebin::closed());
}

}  // namespace onebin::storage
