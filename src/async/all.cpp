#include <onebin/async/all.hpp>

#include <onebin/async/group.hpp>

namespace onebin::async {
namespace {

Task<void> run(Task<Result<void>> task, Status* first_error) {
  Result<void> r = co_await std::move(task);
  if (!r && first_error->is_ok()) *first_error = r.status();
}

}  // namespace

Task<Result<void>> all(std::vector<Task<Result<void>>> tasks) {
  Status first_error;
  TaskGroup group("all", co_await current_scope());
  for (auto& t : tasks) group.spawn(run(std::move(t), &first_error));
  co_await group.join();
  co_return Result<void>(first_error);
}

}  // namespace onebin::async
