#include "worker_pool.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <vector>

#include "environment.h"

namespace ort_dora::worker_pool {
namespace {

constexpr auto kExitPatience = std::chrono::seconds(2);

struct Sleeper {
  std::condition_variable wake;
  bool woken = false;
};

}  // namespace

struct Lane::Queue {
  std::deque<Task> tasks;
  std::condition_variable wake;
  bool closed = false;
};

namespace {

// Leaked on purpose: its threads are detached and outlive static destructors.
struct State {
  std::mutex mutex;
  std::condition_variable idle;
  // The thread that fell asleep last wakes first. So jobs that follow one another stay on one thread, with its caches and, above all,
  // its malloc arena: models that are made and freed on threads in turn leave holes in the arenas of all of them.
  std::vector<Sleeper*> sleepers;
  std::deque<Task> queue;
  std::set<Lane::Queue*> lanes;
  std::set<Environment*> environments;
  const size_t limit = std::max(2u, std::thread::hardware_concurrency());
  size_t threads = 0;
  size_t running = 0;
  bool exiting = false;
};

State& state() {
  static State* instance = new State;
  return *instance;
}

// Holds the lock on entry and at the end, not while the task runs.
void RunTask(const Task& task, std::unique_lock<std::mutex>& lock) {
  State& s = state();
  ++s.running;
  lock.unlock();
  task.run(task.data);
  lock.lock();
  --s.running;
  s.idle.notify_all();
}

void LaneLoop(std::shared_ptr<Lane::Queue> queue) {
  State& s = state();
  std::unique_lock<std::mutex> lock(s.mutex);
  for (;;) {
    queue->wake.wait(lock, [&] { return queue->closed || (!queue->tasks.empty() && !s.exiting); });
    if (queue->closed) return;
    const Task task = queue->tasks.front();
    queue->tasks.pop_front();
    RunTask(task, lock);
  }
}

void Remove(std::deque<Task>& tasks, const std::function<bool(const Task&)>& matches) {
  tasks.erase(std::remove_if(tasks.begin(), tasks.end(), matches), tasks.end());
}

void Loop() {
  State& s = state();
  Sleeper sleeper;
  std::unique_lock<std::mutex> lock(s.mutex);
  for (;;) {
    while (s.queue.empty() || s.exiting) {
      sleeper.woken = false;
      s.sleepers.push_back(&sleeper);
      sleeper.wake.wait(lock, [&] { return sleeper.woken; });
    }
    const Task task = s.queue.front();
    s.queue.pop_front();
    RunTask(task, lock);
  }
}

}  // namespace

void Post(Task task) {
  State& s = state();
  std::lock_guard<std::mutex> lock(s.mutex);
  if (s.sleepers.empty() && s.threads < s.limit) {
    try {
      std::thread(Loop).detach();
      ++s.threads;
    } catch (const std::system_error&) {
      if (s.threads == 0) throw;  // else the threads there are take it
    }
  }
  s.queue.push_back(task);
  if (s.sleepers.empty()) return;  // a thread that is busy or starting takes it
  Sleeper* sleeper = s.sleepers.back();
  s.sleepers.pop_back();
  sleeper->woken = true;
  sleeper->wake.notify_one();
}

Lane::Lane() : queue_(std::make_shared<Queue>()) {
  std::thread(LaneLoop, queue_).detach();
  std::lock_guard<std::mutex> lock(state().mutex);
  state().lanes.insert(queue_.get());
}

Lane::~Lane() {
  std::lock_guard<std::mutex> lock(state().mutex);
  state().lanes.erase(queue_.get());
  queue_->closed = true;
  queue_->wake.notify_one();
}

void Lane::Post(Task task) {
  std::lock_guard<std::mutex> lock(state().mutex);
  queue_->tasks.push_back(task);
  queue_->wake.notify_one();
}

bool Lane::Run(Task task) {
  State& s = state();
  struct Waiting {
    Task task;
    bool done;
  } waiting{task, false};
  std::unique_lock<std::mutex> lock(s.mutex);
  queue_->tasks.push_back({[](void* data) {
                             auto* waiting = static_cast<Waiting*>(data);
                             waiting->task.run(waiting->task.data);
                             std::lock_guard<std::mutex> lock(state().mutex);
                             waiting->done = true;
                           },
                           &waiting});
  queue_->wake.notify_one();
  const auto queued = [&] {
    return std::any_of(queue_->tasks.begin(), queue_->tasks.end(), [&](const Task& each) { return each.data == &waiting; });
  };
  s.idle.wait(lock, [&] { return waiting.done || (s.exiting && queued()); });
  Remove(queue_->tasks, [&](const Task& each) { return each.data == &waiting; });
  return waiting.done;
}

void Register(Environment* environment) {
  std::lock_guard<std::mutex> lock(state().mutex);
  state().environments.insert(environment);
}

void Unregister(Environment* environment) {
  std::lock_guard<std::mutex> lock(state().mutex);
  state().environments.erase(environment);
}

void Drop(const std::function<bool(const Task&)>& matches) {
  State& s = state();
  std::lock_guard<std::mutex> lock(s.mutex);
  Remove(s.queue, matches);
  for (Lane::Queue* lane : s.lanes) Remove(lane->tasks, matches);
}

void SettleBeforeExit() {
  State& s = state();
  std::unique_lock<std::mutex> lock(s.mutex);
  s.exiting = true;
  s.idle.notify_all();
  for (Environment* environment : s.environments) environment->CancelAll();
  if (s.idle.wait_for(lock, kExitPatience, [&] { return s.running == 0; })) return;
  // Registered last, it runs first.
  on_exit(
      [](int status, void*) {
        std::fflush(nullptr);
        _exit(status);
      },
      nullptr);
}

}  // namespace ort_dora::worker_pool
