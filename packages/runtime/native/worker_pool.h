// The process's own threads for native work. Not libuv's pool: four runs there would starve every file read, and
// worker.terminate() would wait for them.
#pragma once
#include <cstddef>
#include <functional>

namespace ort_dora {

class Environment;

namespace worker_pool {

struct Task {
  void (*run)(void* data);
  void* data;
};

// Runs the task on some thread; tasks start in the order of posting.
void Post(Task task);

// Environments whose jobs are cancelled when the process exits.
void Register(Environment* environment);
void Unregister(Environment* environment);

// Drops the queued tasks that `matches` accepts.
void Drop(const std::function<bool(const Task&)>& matches);

// From now on, exit() first cancels what runs and waits for it: ONNX Runtime's static destructors must not pull memory
// from under a run. A kernel that does not come back within two seconds ends the process by _exit(), with the same status.
// Call it after ONNX Runtime is loaded, so that it runs before those destructors.
void SettleBeforeExit();

}  // namespace worker_pool
}  // namespace ort_dora
