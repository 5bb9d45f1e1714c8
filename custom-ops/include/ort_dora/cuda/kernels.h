// The operators on CUDA, compiled: what a framework binds. problems.h says what every launcher keeps to.
#pragma once

#include "ort_dora/cuda/problems.h"

namespace ort_dora::cuda {

size_t ScaleWorkspace(const CudaScaleProblem&);
cudaError_t Scale(const CudaScaleProblem&, void* workspace, size_t workspace_bytes, cudaStream_t);

size_t ComposeWorkspace(const CudaComposeProblem&);
cudaError_t Compose(const CudaComposeProblem&, void* workspace, size_t workspace_bytes, cudaStream_t);

size_t LinearWorkspace(const CudaLinearProblem&);
cudaError_t Linear(const CudaLinearProblem&, void* workspace, size_t workspace_bytes, cudaStream_t);

size_t ComposeGradWorkspace(const CudaComposeGradProblem&);
cudaError_t ComposeGrad(const CudaComposeGradProblem&, void* workspace, size_t workspace_bytes, cudaStream_t);

// Slots, ranks and scalings lie on the device as well: nobody can refuse wrong ones. A run with a slot or a rank out of range becomes NaN.
size_t LinearBankWorkspace(const CudaLinearBankProblem&);
cudaError_t LinearBank(const CudaLinearBankProblem&, void* workspace, size_t workspace_bytes, cudaStream_t);

size_t ComposeBankWorkspace(const CudaComposeBankProblem&);
cudaError_t ComposeBank(const CudaComposeBankProblem&, void* workspace, size_t workspace_bytes, cudaStream_t);

}  // namespace ort_dora::cuda
