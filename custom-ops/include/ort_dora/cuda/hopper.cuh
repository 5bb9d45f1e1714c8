// The instructions of sm_90a that C++ has no name for: barriers in shared memory, bulk tensor copies, clusters, registers.
// Names and semantics are those of the PTX ISA manual (8.7: mbarrier, cp.async.bulk.tensor, barrier.cluster, setmaxnreg).
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace ort_dora::cuda::hopper {

// Where instructions take an address in shared memory as 32 bits.
__device__ inline uint32_t SharedAddress(const void* pointer) { return static_cast<uint32_t>(__cvta_generic_to_shared(pointer)); }

// ---- Clusters -----------------------------------------------------------------------------------------------------

__device__ inline uint32_t ClusterRank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

__device__ inline uint32_t ClusterBlocks() {
  uint32_t blocks;
  asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(blocks));
  return blocks;
}

// The same variable in the shared memory of another block of the cluster.
__device__ inline uint32_t InBlock(uint32_t shared_address, uint32_t rank) {
  uint32_t address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address), "r"(rank));
  return address;
}

// All threads of all blocks of the cluster meet; what they wrote to shared memory before is visible after.
__device__ inline void ClusterBarrier() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

__device__ inline float4 LoadFromCluster(uint32_t address) {
  float4 v;
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(address));
  return v;
}

// ---- Barriers in shared memory ------------------------------------------------------------------------------------

__device__ inline void BarrierInit(uint32_t barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

// Before the cluster barrier that lets others use freshly initialized barriers.
__device__ inline void BarrierInitFence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

__device__ inline void ArriveExpecting(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

__device__ inline void ArriveInBlock(uint32_t barrier, uint32_t rank) {
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(InBlock(barrier, rank)) : "memory");
}

// Returns when the phase of this parity is complete. With ORT_DORA_BOUNDED_WAIT a wait that cannot end is an error instead
// of a hang (seconds; for tests).
__device__ inline void Wait(uint32_t barrier, uint32_t parity) {
#ifdef ORT_DORA_BOUNDED_WAIT
  int64_t tries = 0;
#endif
  for (;;) {
    uint32_t done;
    asm volatile(
        "{\n.reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
    if (done) return;
#ifdef ORT_DORA_BOUNDED_WAIT
    if (++tries > 5'000'000) __trap();
#endif
  }
}

// The `threads` of this block that name the same barrier (1 … 15) meet.
__device__ inline void NamedBarrier(int name, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(name), "r"(threads) : "memory");
}

// Arrives without waiting.
__device__ inline void NamedArrive(int name, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(name), "r"(threads) : "memory");
}

// ---- Small copies in the background ---------------------------------------------------------------------------------

// Four bytes from device memory to shared memory, or zero.
__device__ inline void CopyWord(uint32_t to, const void* from, bool or_zero) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(or_zero ? 0 : 4) : "memory");
}
__device__ inline void WaitForWords() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// ---- Bulk tensor copies -------------------------------------------------------------------------------------------

__device__ inline void PrefetchMap(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<uint64_t>(&map)) : "memory");
}

// The box at (column, row) of a two-dimensional tensor into this block's shared memory; completes on `barrier`.
__device__ inline void LoadBox(uint32_t to, const CUtensorMap& map, uint32_t barrier, int column, int row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(to),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(barrier), "r"(column), "r"(row)
      : "memory");
}

// The same into every block of the cluster whose bit is set, at the same place, on the barrier at the same place.
__device__ inline void LoadBoxInto(uint16_t blocks, uint32_t to, const CUtensorMap& map, uint32_t barrier, int column, int row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4}], [%2], "
      "%5;" ::"r"(to),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(barrier), "r"(column), "r"(row), "h"(blocks)
      : "memory");
}

__device__ inline void StoreBox(const CUtensorMap& map, uint32_t from, int column, int row) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(reinterpret_cast<uint64_t>(&map)),
               "r"(from), "r"(column), "r"(row)
               : "memory");
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

// Until at most `pending` of this thread's stores still read shared memory.
template <int pending>
__device__ void WaitForStoresToRead() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(pending) : "memory");
}

// Until all of this thread's stores have been done.
__device__ inline void WaitForStores() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }

// What this thread wrote to shared memory by ordinary stores is visible to copies that follow.
__device__ inline void FenceForCopies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// The same for what was written to device memory, by this thread or before what it has acquired.
__device__ inline void FenceForCopiesFromGlobal() { asm volatile("fence.proxy.async.global;" ::: "memory"); }

// ---- Counters in device memory ------------------------------------------------------------------------------------

// Adds one after everything that this thread wrote, or saw written behind a barrier.
__device__ inline void AddReleased(uint32_t* counter) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
}

__device__ inline void WaitForCount(const uint32_t* counter, uint32_t count) {
#ifdef ORT_DORA_BOUNDED_WAIT
  int64_t tries = 0;
#endif
  for (;;) {
    uint32_t seen;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
    if (seen == count) return;
    __nanosleep(20);
#ifdef ORT_DORA_BOUNDED_WAIT
    if (++tries > 20'000'000) __trap();
#endif
  }
}

// ---- Kernels that follow one another ------------------------------------------------------------------------------

// The next kernel in the stream may start (programmatic dependent launch).
__device__ inline void LaunchDependents() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

// Until the kernel before this one has finished and its writes are visible, to copies too.
__device__ inline void WaitForPredecessor() {
  asm volatile("griddepcontrol.wait;\nfence.proxy.async.global;" ::: "memory");
}

// ---- Registers ----------------------------------------------------------------------------------------------------

template <int count>
__device__ void GiveUpRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
}
template <int count>
__device__ void TakeRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
}

// Four 8x8 matrices of 16-bit elements from the registers of a warp (as wgmma and mma lay them out) to shared memory; lane i
// names the address of row i % 8 of matrix i / 8.
__device__ inline void StoreMatrices(uint32_t address, const uint32_t (&m)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(m[0]), "r"(m[1]), "r"(m[2]),
               "r"(m[3])
               : "memory");
}

}  // namespace ort_dora::cuda::hopper
