// What the CUDA kernels take: the problems of operators.h, with pointers into the memory of the current device.
//
// Every launcher is `cudaError_t Op(const Problem&, void* workspace, size_t workspace_bytes, cudaStream_t)` beside a
// `size_t OpWorkspace(const Problem&)`. It enqueues on the stream and returns: nothing waits, nothing is allocated, nothing
// is kept between calls, so it may be captured into a graph and called from several threads. The workspace is aligned to
// kWorkspaceAlignment, its contents mean nothing before or after. The same inputs give the same bits on the same device.
// Pointers may have the alignment of their elements alone; 16 bytes make them faster.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "ort_dora/operators.h"

namespace ort_dora::cuda {

using CudaScaleProblem = DoraScaleProblem;
using CudaComposeProblem = DoraComposeProblem;
using CudaLinearProblem = DoraLinearProblem;
using CudaComposeGradProblem = DoraComposeGradProblem;
using CudaLinearBankProblem = DoraLinearBankProblem;
using CudaComposeBankProblem = DoraComposeBankProblem;

constexpr size_t kWorkspaceAlignment = 256;

}  // namespace ort_dora::cuda
