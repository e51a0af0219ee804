// Several tasks at the same time, so that what they wait for (a commit, a round trip) is waited for once.
#pragma once
#include <onebin/async/task.hpp>

#include <vector>

namespace onebin::async {

// Awaits every task to its end, whatever the others give; the first error to come, or OK. Cancelled with the caller.
Task<Result<void>> all(std::vector<Task<Result<void>>> tasks);

}  // namespace onebin::async
