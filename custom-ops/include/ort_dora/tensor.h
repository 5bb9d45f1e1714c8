// Views of dense arrays: what the kernels take instead of a framework's tensors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ort_dora {

enum class DType { kFloat32, kFloat16, kBFloat16 };

// Storage of the half-precision types; arithmetic is done in float32.
struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

constexpr size_t SizeOf(DType dtype) { return dtype == DType::kFloat32 ? 4 : 2; }

// A matrix of `rows` x `cols`. Stored row by row, or, if `transposed`, column by column (that is, as the row-major
// cols x rows matrix that an ONNX MatMul takes as its right operand). `data` may be null when there are no elements.
struct Matrix {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
  int64_t rows = 0;
  int64_t cols = 0;
  bool transposed = false;
};

// `data` is null where an optional vector is absent.
struct Vector {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
};

// Calls `f` with a pointer of the element type that `dtype` names.
template <class F>
auto WithElements(const void* data, DType dtype, F&& f) {
  switch (dtype) {
    case DType::kFloat16:
      return f(static_cast<const Float16*>(data));
    case DType::kBFloat16:
      return f(static_cast<const BFloat16*>(data));
    default:
      return f(static_cast<const float*>(data));
  }
}

// The same for an adapter's tensor beside elements of type T: it has their type, or float32.
template <class T, class F>
auto WithAdapterElements(const void* data, DType dtype, F&& f) {
  return dtype == DType::kFloat32 ? f(static_cast<const float*>(data)) : f(static_cast<const T*>(data));
}

template <class F>
auto WithMutableElements(void* data, DType dtype, F&& f) {
  switch (dtype) {
    case DType::kFloat16:
      return f(static_cast<Float16*>(data));
    case DType::kBFloat16:
      return f(static_cast<BFloat16*>(data));
    default:
      return f(static_cast<float*>(data));
  }
}

}  // namespace ort_dora
