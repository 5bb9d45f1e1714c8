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
  explicit Buffer(int64_t floats) : data_(Allocate(floats)) {}
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  static float* Allocate(int64_t floats) {
    const size_t bytes = (static_cast<size_t>(floats) * sizeof(float) + 63) / 64 * 64;
    void* p = std::aligned_alloc(64, bytes == 0 ? 64 : bytes);
    if (p == nullptr) throw std::bad_alloc();
    return static_cast<float*>(p);
  }
  std::unique_ptr<float, Free> data_;
};

// The calling thread's own buffer of at least `floats`; its contents last until the next call on this thread. It is kept
// for later tasks: page faults would cost more than the work. Tasks ask for at most a few hundred KiB.
float* ThreadScratch(int64_t floats);

}  // namespace ort_dora
