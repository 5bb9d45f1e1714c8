// The process's own threads for native work. Not libuv's pool: four runs there would starve every file read, and
// worker.terminate() would wait for them.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>

namespace ort_dora {

class Environment;

namespace worker_pool {

struct Task {
  void (*run)(void* data);
  void* data;
};

// Runs the task on some thread; tasks start in the order of posting.
void Post(Task task);

// One thread for work that must be done one after the other and always on the same thread.
class Lane {
 public:
  Lane();
  // Nothing may be queued any more. What runs is not waited for.
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  void Post(Task task);
  // Runs the task and waits for it. False if the process ends first: it did not run and is not going to.
  bool Run(Task task);

  struct Queue;

 private:
  const std::shared_ptr<Queue> queue_;
};

// Environments whose jobs are cancelled when the process exits.
void Register(Environment* environment);
void Unregister(Environment* environment);

// Drops the queued tasks that `matches` accepts.
void Drop(const std::function<bool(const Task&)>& matches);

// For the end of the process: starts nothing any more, cancels what runs and waits for it, since ONNX Runtime's static objects must
// not go from under a run. It has to happen before exit(): they are made at first use, so that no exit handler comes before all of
// them. A kernel that does not come back within two seconds is left to run, and exit() then ends the process at once, with its status.
void SettleBeforeExit();

}  // namespace worker_pool
}  // namespace ort_dora
