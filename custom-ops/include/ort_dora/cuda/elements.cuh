// Elements of the three dtypes on the device: conversions to and from float32, 16-byte vectors, strided views, dispatch.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "ort_dora/tensor.h"

namespace ort_dora::cuda {

__device__ inline float ToFloat(float v) { return v; }
__device__ inline float ToFloat(__half v) { return __half2float(v); }
__device__ inline float ToFloat(__nv_bfloat16 v) { return __bfloat162float(v); }

// Rounds to nearest even.
template <class T>
__device__ inline T FromFloat(float v) {
  if constexpr (sizeof(T) == 4) {
    return v;
  } else if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(v);
  } else {
    return __float2bfloat16_rn(v);
  }
}

// What terms of type T are summed in: float32 in float64, whose roundings then add nothing to the last one, or to those of the tensor cores.
template <class T>
using SumOf = std::conditional_t<sizeof(T) == 4, double, float>;

// The sum over a warp, the same in every lane.
template <class Sum>
__device__ inline Sum WarpSum(Sum v) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(0xFFFFFFFF, v, step);
  return v;
}

// `count` consecutive elements, moved as one if they are aligned to their size.
template <class T, int count>
struct alignas(sizeof(T) * count < 16 ? sizeof(T) * count : 16) Vector {
  T v[count];
};

// Reads what is read once past the first-level cache; a single element, where pointers or sizes do not allow vectors, as any other.
template <class T, int count>
__device__ inline Vector<T, count> LoadStreaming(const T* from) {
  if constexpr (count == 1) {
    return {{*from}};
  } else {
    static_assert(sizeof(T) * count % 16 == 0);
    Vector<T, count> out;
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(out) / 16); ++i) {
      reinterpret_cast<uint4*>(&out)[i] = __ldcs(reinterpret_cast<const uint4*>(from) + i);
    }
    return out;
  }
}

template <class T, int count>
__device__ inline void StoreStreaming(T* to, const Vector<T, count>& v) {
  if constexpr (count == 1) {
    *to = v.v[0];
  } else {
    static_assert(sizeof(T) * count % 16 == 0);
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(v) / 16); ++i) {
      __stcs(reinterpret_cast<uint4*>(to) + i, reinterpret_cast<const uint4*>(&v)[i]);
    }
  }
}

// Element (i, j) of a dense matrix in either layout.
template <class T>
struct Strided {
  const T* data;
  int64_t row_stride, col_stride;
  __device__ float operator()(int64_t i, int64_t j) const { return ToFloat(data[i * row_stride + j * col_stride]); }
};

template <class T>
Strided<T> ToStrided(const Matrix& m) {
  return {static_cast<const T*>(m.data), m.transposed ? 1 : m.cols, m.transposed ? m.rows : 1};
}

template <class T>
struct TypeOf {
  using type = T;
};

// Calls `f` with TypeOf of the device's type for `dtype`.
template <class F>
auto WithType(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kFloat16:
      return f(TypeOf<__half>{});
    case DType::kBFloat16:
      return f(TypeOf<__nv_bfloat16>{});
    default:
      return f(TypeOf<float>{});
  }
}

// Calls `f` with TypeOf T and TypeOf U: U is T or float32.
template <class F>
auto WithTypes(DType T, DType U, F&& f) {
  return WithType(T, [&](auto t) { return U == T ? f(t, t) : f(t, TypeOf<float>{}); });
}

inline bool IsAligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

template <class I>
__host__ __device__ constexpr I CeilDiv(I a, I b) {
  return (a + b - 1) / b;
}

// Bytes from one part of a workspace to the next.
constexpr size_t Padded(size_t bytes) { return (bytes + 255) / 256 * 256; }

// What is asked of the current device, and where the answer goes.
struct DeviceQuery {
  cudaDeviceAttr attribute;
  int* value;
};
inline cudaError_t AskDevice(std::initializer_list<DeviceQuery> queries) {
  int device = 0;
  if (const cudaError_t error = cudaGetDevice(&device); error != cudaSuccess) return error;
  for (const DeviceQuery& query : queries) {
    if (const cudaError_t error = cudaDeviceGetAttribute(query.value, query.attribute, device); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

inline cudaError_t MultiprocessorCount(int* count) { return AskDevice({{cudaDevAttrMultiProcessorCount, count}}); }

// Whether the current device runs the code of sm_90a.
inline bool IsHopper() {
  int major = 0, minor = 0;
  return AskDevice({{cudaDevAttrComputeCapabilityMajor, &major}, {cudaDevAttrComputeCapabilityMinor, &minor}}) == cudaSuccess && major == 9 && minor == 0;
}

// What the launchers of the streaming kernels go by.
struct StreamDevice {
  int multiprocessors = 0, major = 0;
  int shared_memory = 0;  // what the attribute that is asked for says: that of a multiprocessor, or of a block
  static cudaError_t Current(cudaDeviceAttr shared_memory, StreamDevice* d) {
    return AskDevice({{cudaDevAttrMultiProcessorCount, &d->multiprocessors}, {cudaDevAttrComputeCapabilityMajor, &d->major}, {shared_memory, &d->shared_memory}});
  }
};

}  // namespace ort_dora::cuda
