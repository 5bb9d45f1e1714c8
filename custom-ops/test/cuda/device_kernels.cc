// The kernels of the device in the place of the processor's, so that the operators' tests run on them as they are.
//
// "cuda" hands over pointers at multiples of 256 bytes, "cuda_unaligned" pointers with the alignment of an element alone.
// Every operator runs twice, on a stream of its own: launched, and captured into a graph and replayed. The results must be
// the same bits, what surrounds the outputs must stay as it was, and the workspace starts out as NaNs.
#include <cuda_runtime_api.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ort_dora/cuda/kernels.h"

namespace ort_dora {
namespace {

void Check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

// Fills and copies of the default stream may still run when they return, and streams of our own do not wait for them.
void WaitForFills() { Check(cudaDeviceSynchronize()); }

constexpr size_t kGuard = 256;
constexpr int kPoison = 0xFF;  // a NaN in each dtype

class DeviceMemory {
 public:
  explicit DeviceMemory(size_t bytes) : bytes_(bytes + 2 * kGuard + 16) {
    Check(cudaMalloc(&data_, bytes_));
    Check(cudaMemset(data_, kPoison, bytes_));
  }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory() { cudaFree(data_); }
  char* at(size_t offset) const { return static_cast<char*>(data_) + kGuard + offset; }
  std::vector<unsigned char> Everything() const {
    std::vector<unsigned char> all(bytes_);
    Check(cudaMemcpy(all.data(), data_, bytes_, cudaMemcpyDeviceToHost));
    return all;
  }

 private:
  void* data_ = nullptr;
  size_t bytes_;
};

// The inputs and outputs of one call on the device, and their copies back.
class Call {
 public:
  explicit Call(bool aligned) : aligned_(aligned) {}

  void Input(const void*& pointer, int64_t elements, DType dtype) {
    if (pointer == nullptr) return;
    const size_t bytes = static_cast<size_t>(elements) * SizeOf(dtype);
    const char* device = Allocate(bytes, dtype);
    if (bytes > 0) Check(cudaMemcpy(const_cast<char*>(device), pointer, bytes, cudaMemcpyHostToDevice));
    pointer = device;
  }
  void Input(const float*& pointer, int64_t elements) {
    const void* data = pointer;
    Input(data, elements, DType::kFloat32);
    pointer = static_cast<const float*>(data);
  }
  void Input(const int32_t*& pointer, int64_t elements) {
    const void* data = pointer;
    Input(data, elements, DType::kFloat32);  // of the same size
    pointer = static_cast<const int32_t*>(data);
  }
  void Input(Matrix& m) { Input(m.data, m.rows * m.cols, m.dtype); }
  void Output(void*& pointer, int64_t elements, DType dtype) {
    if (pointer == nullptr) return;
    const size_t bytes = static_cast<size_t>(elements) * SizeOf(dtype);
    void* host = pointer;
    pointer = Allocate(bytes, dtype);
    outputs_.push_back({host, memory_.size() - 1, bytes, aligned_ ? 0 : SizeOf(dtype)});
  }
  void Output(float*& pointer, int64_t elements) {
    void* data = pointer;
    Output(data, elements, DType::kFloat32);
    pointer = static_cast<float*>(data);
  }

  template <class Problem>
  void Run(const Problem& problem, size_t (*workspace_of)(const Problem&), cudaError_t (*op)(const Problem&, void*, size_t, cudaStream_t)) {
    const size_t bytes = workspace_of(problem);
    const DeviceMemory workspace(bytes);
    cudaStream_t stream;
    Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    WaitForFills();
    Check(op(problem, workspace.at(0), bytes, stream));
    Check(cudaStreamSynchronize(stream));
    Check(cudaGetLastError());
    ExpectIntact(workspace, 0, bytes);
    const std::vector<std::vector<unsigned char>> first = Results();
    for (const Out& out : outputs_) Check(cudaMemset(memory_[out.memory]->at(out.offset), kPoison, out.bytes));
    WaitForFills();

    cudaGraph_t graph;
    cudaGraphExec_t executable;
    Check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    Check(op(problem, workspace.at(0), bytes, stream));
    Check(cudaStreamEndCapture(stream, &graph));
    Check(cudaGraphInstantiate(&executable, graph, 0));
    Check(cudaGraphLaunch(executable, stream));
    Check(cudaStreamSynchronize(stream));
    EXPECT_TRUE(Results() == first) << "a replayed graph gave other bits than a launch";
    Check(cudaGraphExecDestroy(executable));
    Check(cudaGraphDestroy(graph));
    Check(cudaStreamDestroy(stream));
    for (size_t i = 0; i < outputs_.size(); ++i) std::memcpy(outputs_[i].host, first[i].data() + kGuard + outputs_[i].offset, outputs_[i].bytes);
  }

 private:
  struct Out {
    void* host;
    size_t memory, bytes, offset;
  };

  char* Allocate(size_t bytes, DType dtype) {
    memory_.push_back(std::make_unique<DeviceMemory>(bytes));
    return memory_.back()->at(aligned_ ? 0 : SizeOf(dtype));
  }

  std::vector<std::vector<unsigned char>> Results() {
    std::vector<std::vector<unsigned char>> all;
    for (const Out& out : outputs_) {
      ExpectIntact(*memory_[out.memory], out.offset, out.bytes);
      all.push_back(memory_[out.memory]->Everything());
    }
    return all;
  }

  static void ExpectIntact(const DeviceMemory& memory, size_t offset, size_t bytes) {
    const std::vector<unsigned char> all = memory.Everything();
    for (size_t i = 0; i < all.size(); ++i) {
      if (i >= kGuard + offset && i < kGuard + offset + bytes) continue;
      if (all[i] == kPoison) continue;
      ADD_FAILURE() << "wrote outside the output, at byte " << static_cast<int64_t>(i) - static_cast<int64_t>(kGuard + offset) << " of " << bytes;
      return;
    }
  }

  const bool aligned_;
  std::vector<std::unique_ptr<DeviceMemory>> memory_;
  std::vector<Out> outputs_;
};

template <bool aligned>
void Scale(const DoraScaleProblem& host, Parallel&) {
  Call call(aligned);
  DoraScaleProblem p = host;
  call.Input(p.W);
  call.Input(p.A);
  call.Input(p.B);
  call.Input(p.m.data, p.W.rows, p.m.dtype);
  call.Output(p.g, p.W.rows);
  call.Run(p, cuda::ScaleWorkspace, cuda::Scale);
}

template <bool aligned>
void Compose(const DoraComposeProblem& host, Parallel&) {
  Call call(aligned);
  DoraComposeProblem p = host;
  const int64_t size = p.outer * p.channels * p.inner;
  call.Input(p.base, size, p.dtype);
  call.Input(p.lora, size, p.lora_dtype);
  call.Input(p.g, p.channels);
  call.Input(p.bias, p.channels, p.dtype);
  call.Output(p.out, size, p.dtype);
  call.Run(p, cuda::ComposeWorkspace, cuda::Compose);
}

template <bool aligned>
void Linear(const DoraLinearProblem& host, Parallel&) {
  Call call(aligned);
  DoraLinearProblem p = host;
  call.Input(p.x, p.rows * p.W.cols, p.dtype);
  call.Input(p.W);
  call.Input(p.A);
  call.Input(p.B);
  call.Input(p.g, p.W.rows);
  call.Input(p.bias, p.W.rows, p.dtype);
  call.Output(p.y, p.rows * p.W.rows, p.dtype);
  call.Run(p, cuda::LinearWorkspace, cuda::Linear);
}

template <bool aligned>
void ComposeGrad(const DoraComposeGradProblem& host, Parallel&) {
  Call call(aligned);
  DoraComposeGradProblem p = host;
  const int64_t size = p.rows * p.channels;
  call.Input(p.dy, size, p.dtype);
  call.Input(p.base, size, p.dtype);
  call.Input(p.lora, size, p.lora_dtype);
  call.Input(p.g, p.channels);
  call.Output(p.d_base, size, p.dtype);
  call.Output(p.d_lora, size, p.lora_dtype);
  call.Output(p.d_g, p.channels);
  call.Run(p, cuda::ComposeGradWorkspace, cuda::ComposeGrad);
}

void InputBank(Call& call, AdapterBank& bank) {
  call.Input(bank.bank, bank.slots * bank.row_elements, bank.dtype);
  call.Input(bank.gains, bank.slots * bank.row_gains);
  call.Input(bank.scaling, bank.slots);
  call.Input(bank.rank, bank.slots);
  call.Input(bank.slot, bank.runs);
}

template <bool aligned>
void LinearBank(const DoraLinearBankProblem& host, Parallel&) {
  Call call(aligned);
  DoraLinearBankProblem p = host;
  call.Input(p.x, p.rows * p.W.cols, p.dtype);
  call.Input(p.W);
  InputBank(call, p.adapters);
  call.Input(p.bias, p.W.rows, p.dtype);
  call.Output(p.y, p.rows * p.W.rows, p.dtype);
  call.Run(p, cuda::LinearBankWorkspace, cuda::LinearBank);
}

template <bool aligned>
void ComposeBank(const DoraComposeBankProblem& host, Parallel&) {
  Call call(aligned);
  DoraComposeBankProblem p = host;
  call.Input(p.x, p.rows * p.in, p.dtype);
  call.Input(p.base, p.rows * p.channels, p.dtype);
  InputBank(call, p.adapters);
  call.Input(p.bias, p.channels, p.dtype);
  call.Output(p.out, p.rows * p.channels, p.dtype);
  call.Run(p, cuda::ComposeBankWorkspace, cuda::ComposeBank);
}

template <bool aligned>
CpuKernels Kernels(const char* name) {
  CpuKernels kernels{};
  kernels.isa = name;
  kernels.dora_scale = &Scale<aligned>;
  kernels.dora_compose = &Compose<aligned>;
  kernels.dora_linear = &Linear<aligned>;
  kernels.dora_compose_grad = &ComposeGrad<aligned>;
  kernels.dora_linear_bank = &LinearBank<aligned>;
  kernels.dora_compose_bank = &ComposeBank<aligned>;
  return kernels;
}

}  // namespace

const std::vector<CpuKernels>& SupportedCpuKernels() {
  static const std::vector<CpuKernels> kernels{Kernels<true>("cuda"), Kernels<false>("cuda_unaligned")};
  return kernels;
}

}  // namespace ort_dora
