// DoraLinear for many rows on Hopper: from problems to launches of gemm_kernel.cuh.
#include "ort_dora/cuda/linear_gemm.h"

#include "ort_dora/cuda/elements.cuh"
#include "ort_dora/cuda/gemm_kernel.cuh"
#include "ort_dora/cuda/tensor_map.h"

namespace ort_dora::cuda {
namespace {

int Steps(int64_t depth) { return static_cast<int>(CeilDivide(depth, kTileDepth)); }

// Q [columns, depth] for tiles of so many columns. It is MN-major where it is stored transposed.
cudaError_t EncodeQ(const Matrix& q, int tile_columns, CUtensorMap* map) {
  return EncodeMap({q.data, StoredRows(q), StoredColumns(q), q.transposed ? kTileDepth : tile_columns / 2, 64}, map);
}

// Appends a pair to the K loop: P [rows, depth] and Q [columns, depth].
cudaError_t AddPair(const void* p, int64_t rows, const Matrix& q, int tile_columns, GemmArguments* a) {
  const int which = a->pairs++;
  a->steps[which] = Steps(q.cols);
  a->q_mn_major[which] = q.transposed;
  const cudaError_t error = EncodeMap({p, rows, q.cols, kTileRows, kTileDepth}, &a->p[which]);
  return error != cudaSuccess ? error : EncodeQ(q, tile_columns, &a->q[which]);
}

struct Launch {
  const GemmPlan& plan;
  int64_t clusters = 0;
  bool after_predecessor_starts = false;  // the kernel waits for the one before it by itself
  bool all_at_once = false;
  cudaStream_t stream = nullptr;

  template <class T, int N>
  cudaError_t Enqueue(const GemmArguments& a) const {
    cudaLaunchAttribute attributes[3] = {};
    cudaLaunchConfig_t config = Configure<N>(attributes);
    if (after_predecessor_starts) {
      attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
      attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
    }
    if (all_at_once) {
      attributes[config.numAttrs].id = cudaLaunchAttributeCooperative;
      attributes[config.numAttrs++].val.cooperative = 1;
    }
    if (const cudaError_t error = Allow<T, N>(); error != cudaSuccess) return error;
    return cudaLaunchKernelEx(&config, GemmKernel<T, N>, a);
  }

  // Clusters that the device holds at once.
  template <class T, int N>
  cudaError_t Resident(int* count) const {
    cudaLaunchAttribute attributes[1] = {};
    const cudaLaunchConfig_t config = Configure<N>(attributes);
    if (const cudaError_t error = Allow<T, N>(); error != cudaSuccess) return error;
    return cudaOccupancyMaxActiveClusters(count, GemmKernel<T, N>, &config);
  }

 private:
  template <class T, int N>
  static cudaError_t Allow() {
    return cudaFuncSetAttribute(GemmKernel<T, N>, cudaFuncAttributeMaxDynamicSharedMemorySize, GemmLayout<N>::kBytes);
  }

  template <int N>
  cudaLaunchConfig_t Configure(cudaLaunchAttribute* attributes) const {
    attributes[0].id = cudaLaunchAttributeClusterDimension;
    attributes[0].val.clusterDim = {static_cast<unsigned>(plan.blocks), 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(std::max<int64_t>(clusters, 1) * plan.blocks));
    config.blockDim = dim3(kGemmThreads);
    config.dynamicSmemBytes = GemmLayout<N>::kBytes;
    config.stream = stream;
    config.attrs = attributes;
    config.numAttrs = 1;
    return config;
  }
};

// Calls `f` with the element type and the tile width as values.
template <class F>
cudaError_t WithKernel(DType dtype, int tile_columns, F&& f) {
  const auto with_columns = [&](auto type) {
    switch (tile_columns) {
      case 64:
        return f(type, std::integral_constant<int, 64>());
      case 128:
        return f(type, std::integral_constant<int, 128>());
      case 160:
        return f(type, std::integral_constant<int, 160>());
      case 192:
        return f(type, std::integral_constant<int, 192>());
      case 256:
        return f(type, std::integral_constant<int, 256>());
      default:
        return cudaErrorInvalidValue;
    }
  };
  return dtype == DType::kFloat16 ? with_columns(__half()) : with_columns(__nv_bfloat16());
}

cudaError_t Enqueue(DType dtype, const Launch& launch, GemmArguments& a) {
  a.cluster = launch.plan.cluster;
  a.group = launch.plan.group;
  if (launch.clusters * launch.plan.blocks >= int64_t{1} << 31) return cudaErrorInvalidValue;
  return WithKernel(dtype, launch.plan.tile_columns, [&](auto type, auto columns) { return launch.Enqueue<decltype(type), columns.value>(a); });
}

// Before a launch with a low-rank phase: its counters, and the parts of a float32 A (`elements` 0: there are none).
template <class T>
__global__ void Prepare(uint32_t* counters, const float* a, T* high, T* low, int64_t elements) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  hopper::LaunchDependents();
  if (blockIdx.x == 0 && threadIdx.x < kLowRankCounters) counters[threadIdx.x] = 0;
  gemm::SplitAll(a, high, low, elements, static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, static_cast<int64_t>(gridDim.x) * blockDim.x);
#endif
}

bool SplitsAdapters(const CudaLinearProblem& p) { return p.A.rows > 0 && p.A.dtype == DType::kFloat32; }

// Where things are in the workspace, in bytes; each low part follows its high part.
struct Workspace {
  size_t counters, h, a, b, sums, end;
  Workspace(const CudaLinearProblem& p, const LinearGemmPlans& plans) {
    const size_t r = static_cast<size_t>(p.A.rows), parts = SplitsAdapters(p) ? 2 : 1;
    counters = 0;
    h = After(counters, kLowRankCounters * sizeof(uint32_t));
    a = After(h, parts * Half(static_cast<size_t>(p.rows) * r));
    b = After(a, parts == 2 ? 2 * Half(r * static_cast<size_t>(p.W.cols)) : 0);
    sums = After(b, parts == 2 ? 2 * Half(static_cast<size_t>(p.W.rows) * r) : 0);
    end = After(sums, plans.low.tile_columns == 0 ? 0 : static_cast<size_t>(plans.low.splits) * static_cast<size_t>(p.rows) * r * sizeof(float));
  }
  // Bytes of an array of 16-bit elements.
  static size_t Half(size_t elements) { return After(0, elements * 2); }

 private:
  static size_t After(size_t start, size_t bytes) { return (start + bytes + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment; }
};

}  // namespace

bool LinearGemmSupports(const CudaLinearProblem& p) {
  if (!IsHopper()) return false;
  const int64_t in = p.W.cols, out = p.W.rows, r = p.A.rows;
  if (p.dtype == DType::kFloat32 || p.W.dtype != p.dtype || out == 0) return false;
  if (!CanCopyBoxes(p.x, p.rows, in) || !CanCopyBoxes(p.W)) return false;
  if (r == 0) return true;
  if (r % 8 != 0 || p.B.dtype != p.A.dtype || !CanCopyBoxes(p.A) || !CanCopyBoxes(p.B)) return false;
  // The parts of float32 numbers need bfloat16's exponents; D in boxes, so that there is a low-rank phase.
  return p.A.dtype == p.dtype || (p.dtype == DType::kBFloat16 && CanCopyBoxes(p.y, p.rows, out));
}

cudaError_t ChooseLinearGemmPlans(const CudaLinearProblem& p, LinearGemmPlans* plans) {
  int multiprocessors = 0;
  if (const cudaError_t error = MultiprocessorCount(&multiprocessors); error != cudaSuccess) return error;
  const int64_t in = p.W.cols, out = p.W.rows, r = p.A.rows;
  const bool split = SplitsAdapters(p);
  const int steps = Steps(in) + (split ? 3 : 1) * Steps(r);
  PlanLimits limits;
  limits.pairs = CanCopyBoxes(p.y, p.rows, out);
  limits.only_pairs = split;
  limits.k_major = !p.W.transposed && !p.A.transposed && !p.B.transposed;
  limits.low_rank_phase = r > 0;
  plans->y = ChoosePlan(p.rows, out, steps, limits, multiprocessors);
  if (r == 0) return cudaSuccess;
  int resident = 0;
  const Launch launch{plans->y};
  const cudaError_t error = WithKernel(p.dtype, plans->y.tile_columns, [&](auto type, auto columns) {
    return launch.Resident<decltype(type), columns.value>(&resident);
  });
  if (error != cudaSuccess) return error;
  const int64_t units = Units(plans->y, p.rows, out);
  if (plans->y.cluster == Cluster::kPairs || units <= resident) {
    plans->low = ChooseLowRankPlan(plans->y, p.rows, r, (split ? 2 : 1) * Steps(in), plans->y.cluster == Cluster::kPairs ? resident : static_cast<int>(units));
  } else {
    limits = {};
    limits.k_major = !p.A.transposed;
    plans->h = ChoosePlan(p.rows, r, Steps(in), limits, multiprocessors);
  }
  return cudaSuccess;
}

size_t LinearGemmWorkspace(const CudaLinearProblem& p, const LinearGemmPlans& plans) {
  return p.A.rows == 0 ? 0 : Workspace(p, plans).end;
}

size_t LinearGemmWorkspace(const CudaLinearProblem& p) {
  LinearGemmPlans plans;
  return ChooseLinearGemmPlans(p, &plans) == cudaSuccess ? LinearGemmWorkspace(p, plans) : 0;
}

cudaError_t LinearGemm(const CudaLinearProblem& p, const LinearGemmPlans& plans, void* workspace, size_t bytes, cudaStream_t stream) {
  const int64_t out = p.W.rows, r = p.A.rows;
  const bool pairs = plans.y.cluster == Cluster::kPairs, low_rank_phase = r > 0 && plans.low.tile_columns != 0, split = SplitsAdapters(p);
  if (bytes < LinearGemmWorkspace(p, plans) || (split && !low_rank_phase)) return cudaErrorInvalidValue;
  const Workspace at(p, plans);
  char* const memory = static_cast<char*>(workspace);
  const size_t h_bytes = Workspace::Half(static_cast<size_t>(p.rows) * static_cast<size_t>(r));
  const size_t a_bytes = Workspace::Half(static_cast<size_t>(p.A.rows) * static_cast<size_t>(p.A.cols));
  const size_t b_bytes = Workspace::Half(static_cast<size_t>(p.B.rows) * static_cast<size_t>(p.B.cols));

  GemmArguments y = {};
  cudaError_t error = AddPair(p.x, p.rows, p.W, plans.y.tile_columns, &y);
  const auto add = [&](const void* h, const Matrix& b) {
    if (error == cudaSuccess) error = AddPair(h, p.rows, b, plans.y.tile_columns, &y);
  };
  if (split) {
    Matrix high = p.B, low = p.B;
    high.data = memory + at.b, low.data = memory + at.b + b_bytes;
    add(memory + at.h, high), add(memory + at.h, low), add(memory + at.h + h_bytes, high);
  } else if (r > 0) {
    add(memory + at.h, p.B);
  }
  if (error == cudaSuccess && pairs) error = EncodeMap({p.y, p.rows, out, kStoreRows, kStoreColumns}, &y.d);
  if (error != cudaSuccess) return error;
  y.rows = static_cast<int>(p.rows), y.columns = static_cast<int>(out);
  y.out = p.y;
  y.gain = p.g;
  y.bias = p.bias;
  y.factor = 1;

  Launch launch{plans.y};
  launch.stream = stream;
  launch.clusters = Units(plans.y, p.rows, out);
  if (low_rank_phase) {
    LowRankArguments& low = y.low;
    low.a_parts = split ? 2 : 1;
    for (int part = 0; part < low.a_parts && error == cudaSuccess; ++part) {
      Matrix a = p.A;
      if (split) a.data = memory + at.a + part * a_bytes;
      error = EncodeQ(a, plans.low.tile_columns, &low.a[part]);
    }
    if (error != cudaSuccess) return error;
    low.a_mn_major = p.A.transposed;
    low.tile_columns = plans.low.tile_columns, low.splits = plans.low.splits;
    low.rank = static_cast<int>(r);
    low.factor = p.scaling;
    low.counters = reinterpret_cast<uint32_t*>(memory + at.counters);
    low.h = memory + at.h, low.h_low = memory + at.h + h_bytes;
    low.sums = reinterpret_cast<float*>(memory + at.sums);
    if (split) {
      low.b = static_cast<const float*>(p.B.data), low.b_elements = out * r;
      low.b_high = memory + at.b, low.b_low = memory + at.b + b_bytes;
    }
    launch.clusters = plans.low.clusters;
    launch.after_predecessor_starts = launch.all_at_once = true;
    constexpr int kThreads = 256;
    const int64_t elements = split ? r * p.A.cols : 0, blocks = std::clamp<int64_t>(elements / (4 * kThreads), 1, 1024);
    Prepare<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(low.counters, static_cast<const float*>(split ? p.A.data : nullptr),
                                                                    reinterpret_cast<__nv_bfloat16*>(memory + at.a),
                                                                    reinterpret_cast<__nv_bfloat16*>(memory + at.a + a_bytes), elements);
    error = cudaGetLastError();
  } else {
    if (pairs) {
      int multiprocessors = 0;
      error = MultiprocessorCount(&multiprocessors);
      launch.clusters = std::min<int64_t>(launch.clusters, multiprocessors / 2);
    }
    if (r > 0 && error == cudaSuccess) {
      GemmArguments h = {};
      error = AddPair(p.x, p.rows, p.A, plans.h.tile_columns, &h);
      h.rows = static_cast<int>(p.rows), h.columns = static_cast<int>(r);
      h.out = memory + at.h;
      h.factor = p.scaling;
      h.let_next_start = true;
      Launch before{plans.h};
      before.stream = stream;
      before.clusters = Units(plans.h, p.rows, r);
      if (error == cudaSuccess) error = Enqueue(p.dtype, before, h);
      y.wait_for_p1 = launch.after_predecessor_starts = true;
    }
  }
  return error != cudaSuccess ? error : Enqueue(p.dtype, launch, y);
}

cudaError_t LinearGemm(const CudaLinearProblem& p, void* workspace, size_t bytes, cudaStream_t stream) {
  LinearGemmPlans plans;
  const cudaError_t error = ChooseLinearGemmPlans(p, &plans);
  return error != cudaSuccess ? error : LinearGemm(p, plans, workspace, bytes, stream);
}

}  // namespace ort_dora::cuda
