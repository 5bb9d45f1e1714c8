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

// Leaked on purpose: its threads are detached and outlive static destructors.
struct State {
  std::mutex mutex;
  std::condition_variable idle;
  // The thread that fell asleep last wakes first. So jobs that follow one another stay on one thread, with its caches and, above all,
  // its malloc arena: models that are made and freed on threads in turn leave holes in the arenas of all of them.
  std::vector<Sleeper*> sleepers;
  std::deque<Task> queue;
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
    ++s.running;
    lock.unlock();
    task.run(task.data);
    lock.lock();
    if (--s.running == 0) s.idle.notify_all();
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
  s.queue.erase(std::remove_if(s.queue.begin(), s.queue.end(), matches), s.queue.end());
}

void SettleBeforeExit() {
  State& s = state();
  std::unique_lock<std::mutex> lock(s.mutex);
  s.exiting = true;
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
