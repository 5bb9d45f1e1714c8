// How a kernel spreads its work: over the caller's threads, whatever they are.
#pragma once

#include <cstdint>
#include <type_traits>

namespace ort_dora {

// A reference to a callable of the form void(int64_t task); it does not own what it refers to.
class Task {
 public:
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, Task>>>
  Task(F&& f)  // NOLINT: implicit, as std::function is
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, int64_t task) { (*static_cast<std::remove_reference_t<F>*>(object))(task); }) {}
  void operator()(int64_t task) const { call_(object_, task); }

 private:
  void* object_;
  void (*call_)(void*, int64_t);
};

class Parallel {
 public:
  virtual ~Parallel() = default;
  // Runs task(0) … task(count − 1), each once, in any order and on any thread; returns when all have finished, and
  // throws what one of them threw. Tasks must not depend on one another's progress.
  virtual void For(int64_t count, Task task) = 0;
};

// Runs every task on the calling thread.
class Serial final : public Parallel {
 public:
  void For(int64_t count, Task task) override {
    for (int64_t i = 0; i < count; ++i) task(i);
  }
};

}  // namespace ort_dora
