// How the element-wise kernels cover [rows, channels]: blocks of threads that each keep to a few channels and go down a strip
// of rows, so that what belongs to a channel is read once a strip.
#pragma once

#include <algorithm>

#include "ort_dora/cuda/elements.cuh"

namespace ort_dora::cuda {

constexpr int kStripThreads = 256;

struct StripPlace {
  int64_t channel;   // the first of the thread's channels
  int64_t row, end;  // rows row, row + height, … below end
  int64_t strip;
  int line;  // 0 … height − 1
};

struct Strips {
  int64_t rows, channels;
  int64_t across;  // blocks side by side
  int64_t strips;  // blocks one below another
  int64_t depth;   // rows a strip
  int width;       // threads side by side; a power of two
  int height;      // rows that a block covers at once

  // For threads of `channels_each`: about so many blocks, and at least eight rows a thread.
  static Strips For(int64_t rows, int64_t channels, int channels_each, int blocks) {
    Strips s{rows, channels, 1, 1, rows, 1, kStripThreads};
    const int64_t vectors = CeilDiv<int64_t>(channels, channels_each);
    while (s.width < 64 && s.width < vectors) s.width *= 2;
    s.height = kStripThreads / s.width;
    s.across = CeilDiv<int64_t>(vectors, s.width);
    const int64_t wanted = std::max<int64_t>(1, blocks / s.across);
    s.depth = std::max<int64_t>(CeilDiv(rows, wanted), 8 * s.height);
    s.depth = CeilDiv<int64_t>(s.depth, s.height) * s.height;
    s.strips = CeilDiv(rows, s.depth);
    return s;
  }

  unsigned blocks() const { return static_cast<unsigned>(across * strips); }

  template <int channels_each>
  __device__ StripPlace Place() const {
    const int64_t strip = blockIdx.x / across;
    const int line = static_cast<int>(threadIdx.x) / width;
    const int64_t vector = blockIdx.x % across * width + threadIdx.x % width;
    return {vector * channels_each, strip * depth + line, min((strip + 1) * depth, rows), strip, line};
  }
};

// kWidth neighbouring elements in registers.
template <class T, int kWidth>
struct StripValues {
  Vector<T, kWidth> values;
  __device__ void Load(const T* from) { values = LoadStreaming<T, kWidth>(from); }
  __device__ void Store(T* to) const { StoreStreaming(to, values); }
  __device__ float operator[](int i) const { return ToFloat(values.v[i]); }
  __device__ void Set(int i, float v) { values.v[i] = FromFloat<T>(v); }
};

}  // namespace ort_dora::cuda
