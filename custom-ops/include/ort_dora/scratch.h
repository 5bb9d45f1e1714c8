// Working memory of the kernels.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace ort_dora {

// Floats aligned to a cache line, uninitialized.
class Buffer {
 public:
  explicit Buffer(int64_t floats) : memory_(Allocate(floats)), data_(Aligned(memory_.get())) {}
  float* data() { return data_; }
  const float* data() const { return data_; }

 private:
  static constexpr size_t kAlignment = 64;

  struct Free {
    void operator()(void* p) const { std::free(p); }
  };

  // Not aligned_alloc: glibc before 2.38 does not find what it gave back again (its bug 14581), and the heap grows for as
  // long as sizes vary.
  static void* Allocate(int64_t floats) {
    void* p = std::malloc(static_cast<size_t>(floats) * sizeof(float) + kAlignment);
    if (p == nullptr) throw std::bad_alloc();
    return p;
  }

  static float* Aligned(void* p) {
    return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(p) + kAlignment - 1) / kAlignment * kAlignment);
  }

  std::unique_ptr<void, Free> memory_;
  float* data_;
};

// The calling thread's own buffer of at least `floats`; its contents last until the next call on this thread. It is kept
// for later tasks: page faults would cost more than the work. Tasks ask for at most a few hundred KiB.
float* ThreadScratch(int64_t floats);

}  // namespace ort_dora
