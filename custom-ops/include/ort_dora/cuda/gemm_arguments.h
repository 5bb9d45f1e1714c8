// What the Hopper matrix product (gemm_kernel.cuh) is told.
#pragma once

#include <cuda.h>

#include "ort_dora/cuda/gemm_plan.h"

namespace ort_dora::cuda {

constexpr int kGemmThreads = 384;
constexpr int kStoreRows = 16, kStoreColumns = 32;  // of one box of D

// h [rows,rank] = factor·P₀·Aᵀ, computed by the same launch before D: h is then P₁.
//
// A may be the sum of two matrices, high and low parts of a float32 one; then h is stored in two parts too, and the launch
// splits B, which it needs only at the end, by itself.
struct LowRankArguments {
  CUtensorMap a[2];  // as q, for tiles of `tile_columns`
  int a_parts;
  bool a_mn_major;
  int tile_columns;  // kNarrow or WideColumns(N); 0: there is no such phase
  int splits;        // of K
  int rank;
  float factor;
  float* sums;         // [splits,rows,rank]
  void* h;             // [rows,rank]
  void* h_low;         // [rows,rank]; with two parts of A
  const float* b;      // [b_elements], to be split into two arrays; with two parts of A
  void *b_high, *b_low;
  int64_t b_elements;  // a multiple of 4
  uint32_t* counters;  // kLowRankCounters, zeroed by the kernel before this one
};
constexpr int kLowRankCounters = 64;

constexpr int kMostPairs = 4;

struct GemmArguments {
  CUtensorMap p[kMostPairs];  // boxes of 128 rows x 64
  CUtensorMap q[kMostPairs];  // K-major: boxes of N/2 rows x 64; MN-major: 64 deep x 64 columns
  CUtensorMap d;     // boxes of kStoreRows x kStoreColumns; only for kPairs
  LowRankArguments low;
  int pairs;
  bool q_mn_major[kMostPairs];
  int steps[kMostPairs];  // along K, of 64
  int rows, columns;
  void* out;          // D again, for kSplit
  const float* gain;  // [columns]; null, only for kSplit: `factor` everywhere
  const void* bias;   // [columns] or null
  float factor;
  Cluster cluster;
  int group;            // tiles (kPairs: pairs of tiles) of a column that are taken before the next column
  bool wait_for_p1;     // P₁ is written by the kernel before this one
  bool let_next_start;  // the next kernel waits for this one itself
};

}  // namespace ort_dora::cuda
