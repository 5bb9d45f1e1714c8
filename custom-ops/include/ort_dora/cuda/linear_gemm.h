// DoraLinear for many rows on Hopper (sm_90a): h = s·x·Aᵀ, rounded to the type of x as PEFT does, then y = g·(x·Wᵀ + h·Bᵀ) + bias as
// one product over K = in and K = r, rounded once. Both in one launch where its blocks fit the device at once.
// docs/decisions/0009-hopper-gemm.md
#pragma once

#include "ort_dora/cuda/gemm_plan.h"
#include "ort_dora/cuda/problems.h"

namespace ort_dora::cuda {

// Whether LinearGemm takes this problem on the current device: Hopper; 16-bit x and W of one type, A and B of that type too or, beside bfloat16, of
// float32; what bulk copies need (rows of x, W, A, B as they are stored, and of y beside float32 A and B, are multiples of 8 elements at 16 bytes,
// and r is a multiple of 8).
bool LinearGemmSupports(const CudaLinearProblem&);

size_t LinearGemmWorkspace(const CudaLinearProblem&);
cudaError_t LinearGemm(const CudaLinearProblem&, void* workspace, size_t workspace_bytes, cudaStream_t);

// The same by plans of the caller's; for the benchmark and the tests.
struct LinearGemmPlans {
  GemmPlan y;
  LowRankPlan low;
  GemmPlan h;  // where low.tile_columns is 0
};
cudaError_t ChooseLinearGemmPlans(const CudaLinearProblem&, LinearGemmPlans*);
size_t LinearGemmWorkspace(const CudaLinearProblem&, const LinearGemmPlans&);
cudaError_t LinearGemm(const CudaLinearProblem&, const LinearGemmPlans&, void* workspace, size_t workspace_bytes, cudaStream_t);

}  // namespace ort_dora::cuda
