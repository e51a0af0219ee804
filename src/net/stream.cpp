#include <onebin/net/stream.hpp>

#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>
#include <onebin/async/timer.hpp>

#include "net/buffer.hpp"

#include <cstring>

namespace onebin::net {

Task<Result<void>> Stream::write_v(std::span<const std::string_view> parts) {
  std::string all;
  std::size_t size = 0;
  for (std::string_view p : parts) size += p.size();
  all.reserve(size);
  for (std::string_view p : parts) all += p;
  Result<void> r = co_await write(all);
  co_return r;
}
Task<Result<void>> Stream::wait_readable() { co_return Result<void>(); }
std::optional<Result<std::size_t>> Stream::try_read_some(char*, std::size_t) { return std::nullopt; }
void Stream::set_write_timeout(Duration) {}

namespace {

// One direction of a memory pipe.
struct Lane {
  std::size_t capacity;
  std::string data;
  std::size_t at = 0;      // consumed so far
  bool ended = false;      // the writer is through
  bool gone = false;       // the reader is through
  async::WaitQueue readers, writers;
  std::size_t size() const { return data.size() - at; }
};

class PipeEnd final : public Stream {
 public:
  PipeEnd(std::shared_ptr<Lane> in, std::shared_ptr<Lane> out) : in_(std::move(in)), out_(std::move(out)) {}
  ~PipeEnd() override { PipeEnd::close(); }

  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override {
    for (;;) {
      if (auto r = try_read_some(data, size)) co_return std::move(*r);
      Status s = co_await in_->readers.wait();
      if (!s) co_return s;
    }
  }
  std::optional<Result<std::size_t>> try_read_some(char* data, std::size_t size) override {
    if (closed_) return Result<std::size_t>(closed());
    if (in_->size() == 0) {
      if (in_->ended) return Result<std::size_t>(std::size_t{0});
      return std::nullopt;
    }
    std::size_t n = std::min(size, in_->size());
    std::memcpy(data, in_->data.data() + in_->at, n);
    in_->at += n;
    if (in_->size() == 0) { in_->data.clear(); in_->at = 0; }
    in_->writers.wake_all();
    return Result<std::size_t>(n);
  }
  Task<Result<void>> wait_readable() override {
    while (!closed_ && in_->size() == 0 && !in_->ended) {
      Status s = co_await in_->readers.wait();
      if (!s) co_return s;
    }
    co_return closed_ ? Result<void>(closed()) : Result<void>();
  }
  Task<Result<void>> write(std::string_view data) override {
    while (!data.empty()) {
      if (closed_ || out_->ended || out_->gone) co_return closed();
      std::size_t room = out_->capacity - std::min(out_->capacity, out_->size());
      if (room == 0) {
        Result<void> w = co_await wait_for_room();
        if (!w) co_return w.status();
        continue;
      }
      std::size_t n = std::min(room, data.size());
      out_->data.erase(0, out_->at);
      out_->at = 0;
      out_->data.append(data.data(), n);
      data.remove_prefix(n);
      out_->readers.wake_all();
    }
    co_return Result<void>();
  }
  Task<Result<void>> shutdown_write() override {
    if (closed_) co_return closed();
    out_->ended = true;
    out_->readers.wake_all();
    co_return Result<void>();
  }
  void close() override {
    if (closed_) return;
    closed_ = true;
    out_->ended = true;
    in_->gone = true;
    for (Lane* l : {in_.get(), out_.get()}) { l->readers.wake_all(); l->writers.wake_all(); }
  }
  void set_write_timeout(Duration limit) override { write_limit_ = limit; }

 private:
  static Task<Result<void>> wait_in(async::WaitQueue& queue) {
    Status s = co_await queue.wait();
    co_return Result<void>(s);
  }
  Task<Result<void>> wait_for_room() {
    if (write_limit_ <= Duration::zero()) return wait_in(out_->writers);
    return async::with_timeout(write_limit_, wait_in(out_->writers));
  }
  std::shared_ptr<Lane> in_, out_;
  bool closed_ = false;
  Duration write_limit_{};
};

class PrefixStream final : public Stream {
 public:
  PrefixStream(std::string prefix, StreamPtr inner) : prefix_(std::move(prefix)), inner_(std::move(inner)) {}
  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override {
    if (at_ < prefix_.size()) co_return take(data, size);
    Result<std::size_t> r = co_await inner_->read_some(data, size);
    co_return r;
  }
  std::optional<Result<std::size_t>> try_read_some(char* data, std::size_t size) override {
    if (at_ < prefix_.size()) return Result<std::size_t>(take(data, size));
    return inner_->try_read_some(data, size);
  }
  Task<Result<void>> wait_readable() override {
    if (at_ < prefix_.size()) return Stream::wait_readable();
    return inner_->wait_readable();
  }
  Task<Result<void>> write(std::string_view data) override { return inner_->write(data); }
  Task<Result<void>> write_v(std::span<const std::string_view> parts) override { return inner_->write_v(parts); }
  Task<Result<void>> shutdown_write() override { return inner_->shutdown_write(); }
  void close() override { inner_->close(); }
  void set_write_timeout(Duration limit) override { inner_->set_write_timeout(limit); }

 private:
  std::size_t take(char* data, std::size_t size) {
    std::size_t n = std::min(size, prefix_.size() - at_);
    std::memcpy(data, prefix_.data() + at_, n);
    at_ += n;
    if (at_ == prefix_.size()) { prefix_ = std::string(); at_ = 0; }
    return n;
  }
  std::string prefix_;
  std::size_t at_ = 0;
  StreamPtr inner_;
};

}  // namespace

std::pair<StreamPtr, StreamPtr> make_pipe(std::size_t capacity) {
  auto a = std::make_shared<Lane>(), b = std::make_shared<Lane>();
  a->capacity = b->capacity = std::max<std::size_t>(capacity, 1);
  return {std::make_unique<PipeEnd>(a, b), std::make_unique<PipeEnd>(b, a)};
}

StreamPtr with_prefix(std::string prefix, StreamPtr inner) {
  if (prefix.empty()) return inner;
  return std::make_unique<PrefixStream>(std::move(prefix), std::move(inner));
}

Task<Result<void>> read_exactly(Stream& from, char* data, std::size_t size) {
  while (size > 0) {
    Result<std::size_t> n = co_await from.read_some(data, size);
    if (!n) co_return n.status();
    if (*n == 0) co_return closed();
    data += *n;
    size -= *n;
  }
  co_return Result<void>();
}

Task<Result<std::string>> read_all(Stream& from, std::size_t limit) {
  std::string all;
  Buffer buffer;
  for (;;) {
    Result<std::size_t> n = co_await from.read_some(buffer.data(), Buffer::kSize);
    if (!n) co_return n.status();
    if (*n == 0) co_return Result<std::string>(std::move(all));
    if (all.size() + *n > limit) co_return Status(Reason::RequestEntityTooLarge, "more than " + std::to_string(limit) + " bytes");
    all.append(buffer.data(), *n);
  }
}

namespace {
Task<Result<std::uint64_t>> copy_noting(Stream& from, Stream& to, SteadyTime* moved) {
  std::uint64_t total = 0;
  for (;;) {
    Result<void> w = co_await from.wait_readable();
    if (!w) co_return w.status();
    Buffer buffer;
    // The buffer is kept while there is more to read at once, and given back before the next wait.
    Result<std::size_t> n = co_await from.read_some(buffer.data(), Buffer::kSize);
    while (n && *n > 0) {
      if (moved) *moved = async::Loop::current().now();
      Result<void> put = co_await to.write(std::string_view(buffer.data(), *n));
      if (!put) co_return put.status();
      total += *n;
      auto more = from.try_read_some(buffer.data(), Buffer::kSize);
      if (!more) break;
      n = std::move(*more);
    }
    if (!n) co_return n.status();
    if (*n == 0) co_return Result<std::uint64_t>(total);
  }
}

struct Splice {
  Stream& a;
  Stream& b;
  SteadyTime moved;
  Status error;
  async::TaskGroup copies;
  async::TaskGroup watch;
  int open = 2;
  Splice(Stream& x, Stream& y, async::CancelScope* scope) : a(x), b(y), copies("splice", scope), watch("splice", scope) {}
};

Task<void> splice_half(Splice& s, Stream& from, Stream& to) {
  Result<std::uint64_t> r = co_await copy_noting(from, to, &s.moved);
  if (r) {
    // A target that cannot be half-closed is fully closed once the other direction ends as well.
    (void)co_await to.shutdown_write();
  } else {
    if (s.error.is_ok()) s.error = r.status();
    s.a.close();
    s.b.close();
  }
  --s.open;
}

Task<void> splice_watch(Splice& s, Duration idle) {
  for (;;) {
    SteadyTime until = s.moved + idle;
    Status slept = co_await async::sleep_until(until);
    if (!slept) co_return;
    if (s.moved + idle > until) continue;
    if (s.error.is_ok()) s.error = timeout("nothing moved");
    s.a.close();
    s.b.close();
    co_return;
  }
}
}  // namespace

Task<Result<std::uint64_t>> copy(Stream& from, Stream& to) { return copy_noting(from, to, nullptr); }

Task<Result<void>> splice(Stream& a, Stream& b, Duration idle) {
  Splice s(a, b, co_await async::current_scope());
  s.moved = async::Loop::current().now();
  s.copies.spawn(splice_half(s, a, b));
  s.copies.spawn(splice_half(s, b, a));
  if (idle > Duration::zero()) s.watch.spawn(splice_watch(s, idle));
  co_await s.copies.join();
  s.watch.cancel();
  co_await s.watch.join();
  a.close();
  b.close();
  co_return Result<void>(s.error);
}

}  // namespace onebin::net
