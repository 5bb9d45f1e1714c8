// Matrix products of a warpgroup on Hopper's tensor cores: D [64,N] += P [64,16] · Q [N,16]ᵀ, P and Q in shared memory (wgmma).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace ort_dora::cuda::hopper {

// A tile in shared memory as a wgmma operand, in the 128-byte swizzle that bulk tensor copies write (PTX ISA, "matrix
// descriptor"). `address` is a multiple of 1024 but for steps along the inner dimension.
// K-major (rows of 64 elements along K): groups of 8 rows are 1024 bytes apart.
// MN-major (rows of 64 elements along N, one row per k): groups of 8 k are 1024 bytes apart, the next 64 elements of N 8192.
template <bool kMnMajor>
__device__ inline uint64_t Operand(uint32_t address) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  constexpr uint64_t kStride = uint64_t{1024 >> 4} << 32, kLeading = uint64_t{kMnMajor ? 8192 >> 4 : 1} << 16;
  return kSwizzle128 | kStride | kLeading | (address & 0x3FFFF) >> 4;
}

// Bytes from one step of 16 along K to the next.
template <bool kMnMajor>
constexpr uint32_t kBytesPerStep = kMnMajor ? 16 * 128 : 16 * 2;

__device__ inline void MmaFence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void MmaCommit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int pending>
__device__ void MmaWait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

// Keeps the compiler from moving reads of the accumulators before the wait.
template <int count>
__device__ void HoldAccumulators(float (&d)[count]) {
#pragma unroll
  for (int i = 0; i < count; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

// D = P·Qᵀ, or D += P·Qᵀ if `accumulate`. T is __nv_bfloat16 or __half; kMnMajor is the layout of Q, kPMnMajor that of P.
template <int N>
struct Mma;

// clang-format off
#define ORT_DORA_REGISTERS_32 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define ORT_DORA_REGISTERS_64 ORT_DORA_REGISTERS_32 ", " "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define ORT_DORA_REGISTERS_80 ORT_DORA_REGISTERS_64 ", " "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define ORT_DORA_REGISTERS_96 ORT_DORA_REGISTERS_80 ", " "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define ORT_DORA_REGISTERS_128 ORT_DORA_REGISTERS_96 ", " "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define ORT_DORA_8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define ORT_DORA_32(i) ORT_DORA_8(i), ORT_DORA_8(i + 8), ORT_DORA_8(i + 16), ORT_DORA_8(i + 24)
#define ORT_DORA_WGMMA(N, TYPE, REGISTERS, P, Q, ACCUMULATE, MAJOR, P_MAJOR, ...)                                                            \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " ACCUMULATE ", 0;\n"                                                              \
               "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" REGISTERS "}, " P ", " Q ", p, 1, 1, " P_MAJOR ", " MAJOR ";\n}" \
               : __VA_ARGS__ : "l"(p), "l"(q), "r"(accumulate), "n"(static_cast<int>(kMnMajor)), "n"(static_cast<int>(kPMnMajor)))
#define ORT_DORA_DEFINE_MMA(N, REGISTERS, P, Q, ACCUMULATE, MAJOR, P_MAJOR, ...)                                              \
  template <>                                                                                                      \
  struct Mma<N> {                                                                                                  \
    template <class T, bool kMnMajor, bool kPMnMajor = false>                                                      \
    static __device__ void Run(float (&d)[N / 2], uint64_t p, uint64_t q, int accumulate) {                        \
      if constexpr (std::is_same_v<T, __half>) {                                                                   \
        ORT_DORA_WGMMA(N, "f16", REGISTERS, P, Q, ACCUMULATE, MAJOR, P_MAJOR, __VA_ARGS__);                                 \
      } else {                                                                                                     \
        ORT_DORA_WGMMA(N, "bf16", REGISTERS, P, Q, ACCUMULATE, MAJOR, P_MAJOR, __VA_ARGS__);                                \
      }                                                                                                            \
    }                                                                                                              \
  };
ORT_DORA_DEFINE_MMA(64, ORT_DORA_REGISTERS_32, "%32", "%33", "%34", "%35", "%36", ORT_DORA_32(0))
ORT_DORA_DEFINE_MMA(128, ORT_DORA_REGISTERS_64, "%64", "%65", "%66", "%67", "%68", ORT_DORA_32(0), ORT_DORA_32(32))
ORT_DORA_DEFINE_MMA(160, ORT_DORA_REGISTERS_80, "%80", "%81", "%82", "%83", "%84", ORT_DORA_32(0), ORT_DORA_32(32), ORT_DORA_8(64), ORT_DORA_8(72))
ORT_DORA_DEFINE_MMA(192, ORT_DORA_REGISTERS_96, "%96", "%97", "%98", "%99", "%100", ORT_DORA_32(0), ORT_DORA_32(32), ORT_DORA_32(64))
ORT_DORA_DEFINE_MMA(256, ORT_DORA_REGISTERS_128, "%128", "%129", "%130", "%131", "%132", ORT_DORA_32(0), ORT_DORA_32(32), ORT_DORA_32(64), ORT_DORA_32(96))
#undef ORT_DORA_DEFINE_MMA
#undef ORT_DORA_WGMMA
#undef ORT_DORA_32
#undef ORT_DORA_8
#undef ORT_DORA_REGISTERS_128
#undef ORT_DORA_REGISTERS_96
#undef ORT_DORA_REGISTERS_80
#undef ORT_DORA_REGISTERS_64
#undef ORT_DORA_REGISTERS_32
// clang-format on

}  // namespace ort_dora::cuda::hopper
