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

// The adapters of many users, one a slot: every slot has a row of the bank and a row of the gains, in which those of one
// module lie at fixed offsets (in elements): A [max_rank,in], B [out,max_rank], zero where the adapter's rank is less, and
// g [out]. The rows of x are `runs` equal consecutive runs; run i takes the adapter in slot[i], −1: none.
//
// Callers guarantee runs ≥ 1 and a divisor of the rows, −1 ≤ slot[i] < slots, 0 ≤ rank ≤ max_rank for those slots, and that A,
// B and g lie within their rows.
struct AdapterBank {
  const void* bank = nullptr;  // [slots, row_elements]
  const float* gains = nullptr;  // [slots, row_gains]
  const float* scaling = nullptr;  // [slots]
  const int32_t* rank = nullptr;  // [slots]
  const int32_t* slot = nullptr;  // [runs]
  DType dtype = DType::kFloat32;  // of the bank
  int64_t slots = 0, row_elements = 0, row_gains = 0, runs = 1;
  int64_t offset_a = 0, offset_b = 0, offset_g = 0, max_rank = 0;
};

// y = g·(x·Wᵀ + s·(x·Aᵀ)·Bᵀ) + bias with the adapter of each row's run, x·Wᵀ + bias where it has none. What a run gets
// depends on its own rows and slot alone, bit for bit, whatever runs are beside it.
struct DoraLinearBankProblem {
  const void* x = nullptr;
  Matrix W;
  AdapterBank adapters;
  const void* bias = nullptr;  // [out] or absent
  void* y = nullptr;
  DType dtype = DType::kFloat32;  // of x, bias and y; W has it too
  int64_t rows = 0;
};

// DoraCompose over base [rows,out] and lora = (x·Aᵀ)·Bᵀ with the adapter of each row's run; base (+ bias) where it has none.
// Runs do not depend on one another, as above.
struct DoraComposeBankProblem {
  const void* x = nullptr;
  const void* base = nullptr;
  AdapterBank adapters;
  const void* bias = nullptr;
  void* out = nullptr;
  DType dtype = DType::kFloat32;  // of x, base, bias and out
  int64_t rows = 0, in = 0, channels = 0;
  bool base_has_bias = false;
};

// The operators compiled for one instruction set.
struct CpuKernels {
  const char* isa;  // "avx512", "avx2" or "portable"
  void (*dora_scale)(const DoraScaleProblem&, Parallel&);
  void (*dora_compose)(const DoraComposeProblem&, Parallel&);
  void (*dora_linear)(const DoraLinearProblem&, Parallel&);
  void (*dora_compose_grad)(const DoraComposeGradProblem&, Parallel&);
  void (*dora_linear_bank)(const DoraLinearBankProblem&, Parallel&);
  void (*dora_compose_bank)(const DoraComposeBankProblem&, Parallel&);
};

// Those this processor can run, the fastest first; never empty. ORT_DORA_ISA=portable|avx2|avx512 in the environment
// leaves out the faster ones.
const std::vector<CpuKernels>& SupportedCpuKernels();

}  // namespace ort_dora
