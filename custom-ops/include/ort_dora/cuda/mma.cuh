// Matrix products of a warp on tensor cores (mma.sync), and asynchronous copies to shared memory: sm_80 and newer.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace ort_dora::cuda {

// c [16,8] += a [16,16] · b [16,8] for 16-bit elements. Lane (g, t) = (lane / 4, lane % 4) holds a of rows g and g + 8, b of
// column g, both at k = 2t, 2t + 1, 2t + 8, 2t + 9, and c of rows g and g + 8 at columns 2t, 2t + 1.
template <class T>
__device__ inline void Mma16(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  if constexpr (std::is_same_v<T, __half>) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  } else {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  }
}

// c [16,8] += a [16,8] · b [8,8] in TF32: lane (g, t) holds a of rows g and g + 8 and b of column g at k = t, t + 4.
__device__ inline void MmaTf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// A float32 as the sum of two TF32 numbers; what is left is below 2⁻²² of it. An infinity or NaN is whole in `high`.
struct SplitTf32 {
  uint32_t high, low;
};
__device__ inline SplitTf32 Split(float v) {
  SplitTf32 s;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(s.high) : "f"(v));
  const float rest = isfinite(v) ? v - __uint_as_float(s.high) : 0.0f;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(s.low) : "f"(rest));
  return s;
}

// 16 bytes to shared memory, zeros if not `valid`; complete after the group they are committed to.
__device__ inline void CopyAsync(uint32_t to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
__device__ inline void CopyAsync(uint32_t to, const void* from) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
// The same through the first-level cache, for what other warps of the multiprocessor read too.
__device__ inline void CopyAsyncShared(uint32_t to, const void* from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
__device__ inline void CopyCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending>
__device__ inline void CopyWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

__device__ inline uint4 LoadShared16(uint32_t address) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(address) : "memory");
  return v;
}

// Of 16 bytes of operands, the four that are word i.
__device__ inline uint32_t Word(const uint4& v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

}  // namespace ort_dora::cuda
