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

}  // namespace ort_dora::cuda
