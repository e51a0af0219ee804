// The bridge from Boost.Asio's handlers to co_await. For .cpp files of async, net and network only: it includes Asio.
//
//   auto [ec, n] = co_await asio_await<boost::system::error_code, std::size_t>(
//       [&](auto handler) { socket.async_read_some(buffer, std::move(handler)); });
//
// Cancelling the awaiting task cancels the operation (ec is then operation_aborted).
#pragma once
#include <onebin/async/loop.hpp>
#include <onebin/async/task.hpp>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>

#include <tuple>

namespace onebin::async {

inline boost::asio::io_context& io_context() {
  return *static_cast<boost::asio::io_context*>(static_cast<RealLoop&>(Loop::current()).native());
}

template <class Init, class... R>
class AsioAwait : private CancelNode {
 public:
  explicit AsioAwait(Init init) : init_(std::move(init)) {}
  AsioAwait(AsioAwait&& o) : init_(std::move(o.init_)) {}

  struct Handler {
    AsioAwait* self;
    using cancellation_slot_type = boost::asio::cancellation_slot;
    cancellation_slot_type get_cancellation_slot() const noexcept { return self->signal_.slot(); }
    void operator()(R... r) {
      self->unlink();
      self->result_.emplace(std::move(r)...);
      self->handle_.resume();
    }
  };

  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> h) {
    handle_ = h;
    CancelScope* scope = h.promise().scope;
    if (scope && scope->cancelled()) {
      result_.emplace(R{}...);
      std::get<0>(*result_) = boost::asio::error::operation_aborted;
      return false;
    }
    if (scope) link(*scope);
    init_(Handler{this});
    return true;
  }
  std::tuple<R...> await_resume() { return std::move(*result_); }

 private:
  void on_cancel() override { signal_.emit(boost::asio::cancellation_type::all); }
  Init init_;
  std::coroutine_handle<> handle_;
  std::optional<std::tuple<R...>> result_;
  boost::asio::cancellation_signal signal_;
};

template <class... R, class Init>
AsioAwait<Init, R...> asio_await(Init init) { return AsioAwait<Init, R...>(std::move(init)); }

}  // namespace onebin::async
