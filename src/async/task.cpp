#include <onebin/async/loop.hpp>
#include <onebin/async/task.hpp>

namespace onebin::async {

void CancelNode::link(CancelScope& scope) {
  ONEBIN_ASSERT(!scope_);
  scope_ = &scope;
  prev_ = nullptr;
  next_ = scope.head_;
  if (next_) next_->prev_ = this;
  scope.head_ = this;
}

void CancelNode::unlink() {
  if (!scope_) return;
  if (prev_) prev_->next_ = next_; else scope_->head_ = next_;
  if (next_) next_->prev_ = prev_;
  scope_ = nullptr;
  prev_ = next_ = nullptr;
}

CancelScope::CancelScope(CancelScope* parent) {
  if (!parent) return;
  if (parent->cancelled_) cancelled_ = true; else link(*parent);
}

CancelScope::~CancelScope() { ONEBIN_ASSERT(head_ == nullptr); }

void CancelScope::cancel() {
  cancelled_ = true;
  while (CancelNode* n = head_) {
    n->unlink();
    n->on_cancel();
  }
}

void Waiter::wake() {
  unlink();
  Loop::current().post([h = handle_] { h.resume(); });
}

void Waiter::on_cancel() {
  abandon();
  cancelled_ = true;
  Loop::current().post([h = handle_] { h.resume(); });
}

}  // namespace onebin::async
