// The operators on the CUDA provider: their problems to the kernels of cuda/kernels.h, on the runtime's stream and with working
// memory from its arena.
#include "ort_dora/cuda/kernels.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "ort/problems.h"

namespace ort_dora {
namespace {

// Memory of the node's device, given back when the kernels are enqueued: the arena hands it on in the order of the stream.
class Workspace {
 public:
  Workspace(const Run& run, size_t bytes) {
    if (bytes == 0) return;
    const Ort::KernelContext& context = run.context();
    const OrtMemoryInfo* info = context.GetInput(0).GetTensorMemoryInfo();
    OrtAllocator* allocator = nullptr;
    Ort::ThrowOnError(Ort::GetApi().KernelContext_GetAllocator(context.GetOrtKernelContext(), info, &allocator));
    allocator_.reset(allocator);
    // Through the context and not the allocator: it tells the arena the stream.
    Ort::ThrowOnError(Ort::GetApi().KernelContext_GetScratchBuffer(context.GetOrtKernelContext(), info, bytes, &data_));
  }
  ~Workspace() {
    if (data_ != nullptr) allocator_->Free(allocator_.get(), data_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  void* data() const { return data_; }

 private:
  struct Release {
    void operator()(OrtAllocator* allocator) const { Ort::GetApi().ReleaseAllocator(allocator); }
  };
  std::unique_ptr<OrtAllocator, Release> allocator_;
  void* data_ = nullptr;
};

template <class Problem>
void Launch(const Run& run, const Problem& problem, size_t (*workspace_bytes)(const Problem&),
            cudaError_t (*op)(const Problem&, void*, size_t, cudaStream_t)) {
  const size_t bytes = workspace_bytes(problem);
  const Workspace workspace(run, bytes);
  auto* stream = static_cast<cudaStream_t>(run.context().GetGPUComputeStream());
  const cudaError_t error = op(problem, workspace.data(), bytes, stream);
  if (error != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(error));
}

void Compute(const OpDefinition& op, Run& run) {
  const std::string_view name = op.name;
  if (name == "DoraScale") {
    Launch(run, ScaleProblem(run), cuda::ScaleWorkspace, cuda::Scale);
  } else if (name == "DoraCompose") {
    Launch(run, ComposeProblem(run), cuda::ComposeWorkspace, cuda::Compose);
  } else if (name == "DoraLinear") {
    Launch(run, LinearProblem(run), cuda::LinearWorkspace, cuda::Linear);
  } else if (name == "DoraComposeGrad") {
    Launch(run, ComposeGradProblem(run), cuda::ComposeGradWorkspace, cuda::ComposeGrad);
  } else if (name == "DoraLinearBank") {
    Launch(run, LinearBankProblem(run), cuda::LinearBankWorkspace, cuda::LinearBank);
  } else if (name == "DoraComposeBank") {
    Launch(run, ComposeBankProblem(run), cuda::ComposeBankWorkspace, cuda::ComposeBank);
  } else {
    throw std::logic_error("no CUDA kernel");
  }
}

}  // namespace

const Provider& CudaProvider() {
  static const Provider provider{"CUDAExecutionProvider", Compute};
  return provider;
}

}  // namespace ort_dora
