// The operators of the domain ort.dora (docs/operators.md) as functions over plain memory.
//
// Notation, in PyTorch's terms: W [out,in], A [r,in], B [out,r], m [out], s = scaling, g = m / ‖W + s·B·A‖ per row.
// Callers guarantee consistent shapes. Sizes may be zero, and element counts may exceed 2^31. Outputs must not overlap
// inputs. Arithmetic is in float32 or better; results are rounded to their type once. Non-finite values propagate.
#pragma once

#include <vector>

#include "ort_dora/parallel.h"
#include "ort_dora/tensor.h"

namespace ort_dora {

// g = m / ‖W + s·B·A‖ per row, without an epsilon (PEFT's DoraLinearLayer.get_weight_norm).
//
// The norm is factored: n² = ‖w‖² + 2s·⟨w·Aᵀ, b⟩ + s²·⟨b·(A·Aᵀ), b⟩, products in float32 over blocks of `in`, sums in
// float64. Where the terms cancel (n² < S/kCancellation, S = (‖w‖ + |s|·β)², β² = Σ_j b_j²·‖a_j‖²) or are not finite, the row
// is computed again from w + s·b·A itself in float64, streamed. Scratch: O(out·r + r²) in all, and a constant a thread.
//
// Error: a dot product of float32 over blocks is off by about 0.3·2⁻²⁴·‖w‖·‖a_j‖ (random signs of roundings), so n² by about
// 0.3·2⁻²⁴·S, and g relative to itself by half of that over n², at most 0.6·2⁻²⁴ at the threshold, plus its rounding to
// float32. kScaleErrorBound leaves room for bad luck over millions of rows.
constexpr double kCancellation = 4;
constexpr double kScaleErrorBound = 0x1p-21;

struct DoraScaleProblem {
  Matrix W, A, B;
  Vector m;
  float scaling = 1;
  float* g = nullptr;  // [out]
};

// base_has_bias false: g·(base + s·lora) + bias. True: base + (g − 1)·(base − bias) + g·s·lora.
// base, lora and out are [outer, channels, inner]; g and bias are [channels]; bias may be absent.
struct DoraComposeProblem {
  const void* base = nullptr;
  const void* lora = nullptr;
  const float* g = nullptr;
  const void* bias = nullptr;
  void* out = nullptr;
  DType dtype = DType::kFloat32;       // of base, bias and out
  DType lora_dtype = DType::kFloat32;  // dtype or float32
  int64_t outer = 0, channels = 0, inner = 1;
  float scaling = 1;
  bool base_has_bias = false;
};

// y = g·(x·Wᵀ + s·(x·Aᵀ)·Bᵀ) + bias for x [rows,in], y [rows,out]. The low-rank product stays in float32.
struct DoraLinearProblem {
  const void* x = nullptr;
  Matrix W, A, B;
  const float* g = nullptr;
  const void* bias = nullptr;  // [out] or absent
  void* y = nullptr;
  DType dtype = DType::kFloat32;  // of x, bias and y; W has it too
  int64_t rows = 0;
  float scaling = 1;
};

// The gradients of g·(base + s·lora): d_base = g·dy, d_lora = s·g·dy, d_g = Σ over rows of dy·(base + s·lora).
// dy, base, lora are [rows, channels]. Every output is optional; d_g is summed in a fixed order in float64.
struct DoraComposeGradProblem {
  const void* dy = nullptr;
  const void* base = nullptr;
  const void* lora = nullptr;
  const float* g = nullptr;
  void* d_base = nullptr;
  void* d_lora = nullptr;  // of lora's dtype
  float* d_g = nullptr;
  DType dtype = DType::kFloat32;       // of dy, base and d_base
  DType lora_dtype = DType::kFloat32;  // dtype or float32
  int64_t rows = 0, channels = 0;
  float scaling = 1;
};

// The operators compiled for one instruction set.
struct CpuKernels {
  const char* isa;  // "avx512", "avx2" or "portable"
  void (*dora_scale)(const DoraScaleProblem&, Parallel&);
  void (*dora_compose)(const DoraComposeProblem&, Parallel&);
  void (*dora_linear)(const DoraLinearProblem&, Parallel&);
  void (*dora_compose_grad)(const DoraComposeGradProblem&, Parallel&);
};

// Those this processor can run, the fastest first; never empty. ORT_DORA_ISA=portable|avx2|avx512 in the environment
// leaves out the faster ones.
const std::vector<CpuKernels>& SupportedCpuKernels();

}  // namespace ort_dora
