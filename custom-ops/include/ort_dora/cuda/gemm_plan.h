// Which tiles, and how many blocks on each, for a product of a given size: a model of the kernel's time on Hopper.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>

namespace ort_dora::cuda {

constexpr int kTileRows = 128, kTileDepth = 64;

// How the blocks of a cluster work together (gemm_kernel.cuh).
enum class Cluster {
  kPairs,  // two blocks, two tiles above one another, tile after tile
  kSplit,  // one tile, each block a part of K
};

struct GemmPlan {
  int tile_columns = 256;  // N of the kernel
  Cluster cluster = Cluster::kPairs;
  int blocks = 2;  // of a cluster
  int group = 8;   // tiles, or pairs of tiles, of a column before the next column
};

// The tiles of the low-rank phase have one of two widths; the wide ones depend on the kernel's own.
constexpr int kNarrow = 64;
constexpr int WideColumns(int tile_columns) { return tile_columns >= 192 ? 192 : tile_columns >= 128 ? 128 : kNarrow; }

struct LowRankPlan {
  int tile_columns = 0;  // 0: h is computed by a launch of its own
  int splits = 1;        // of K
  int clusters = 0;      // of the launch: all that are resident at once
};

inline int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Units of work: pairs of tiles, or tiles. Each is taken by one cluster.
inline int64_t Units(const GemmPlan& plan, int64_t rows, int64_t columns) {
  const int64_t unit_rows = plan.cluster == Cluster::kPairs ? 2 * kTileRows : kTileRows;
  return CeilDivide(rows, unit_rows) * CeilDivide(columns, plan.tile_columns);
}

// Clusters of so many blocks, one a multiprocessor, that 132 multiprocessors hold at once: those of a cluster are neighbours, and
// neighbourhoods differ in size (seen on an H200).
inline int64_t ResidentClusters(int blocks, int multiprocessors) {
  constexpr int kOf132[] = {0, 132, 66, 39, 30, 22, 17, 15, 15};
  return std::max<int64_t>(int64_t{kOf132[blocks]} * multiprocessors / 132, 1);
}

// Cycles. For a step of 64 along K the tensor cores of a multiprocessor (2048 multiply-adds of 16 bits a cycle) take 4 N, the copies
// into its shared memory about one for 40 bytes (measured); of a pair's Q each block copies half.
inline double EstimatedCycles(const GemmPlan& plan, int64_t rows, int64_t columns, int64_t steps, int multiprocessors) {
  constexpr double kStorePairs = 1500, kStoreSplit = 4000, kMeet = 4000;
  const bool pairs = plan.cluster == Cluster::kPairs;
  const int64_t clusters = ResidentClusters(plan.blocks, multiprocessors);
  const double waves = static_cast<double>(CeilDivide(Units(plan, rows, columns), clusters));
  const double n = plan.tile_columns, bytes = 128.0 * kTileRows + (pairs ? 64 : 128) * n;
  const double step = std::max(4 * n, bytes / 40);
  if (pairs) return waves * (static_cast<double>(steps) * step + kStorePairs);
  return waves * (static_cast<double>(CeilDivide(steps, plan.blocks)) * step + kStoreSplit + kMeet * (plan.blocks - 1));
}

// What a product is limited to, or followed by.
struct PlanLimits {
  bool pairs = false;           // D can be written in boxes
  bool only_pairs = false;      // and must be
  bool k_major = false;         // so are all Q, and tiles may have 160 columns
  bool low_rank_phase = false;  // comes first if all blocks are resident
};

inline GemmPlan ChoosePlan(int64_t rows, int64_t columns, int64_t steps, const PlanLimits& limits, int multiprocessors) {
  // Split products are short, and wait for the sum of h at their end.
  constexpr double kWaitForLowRank = 8000;
  GemmPlan best;
  double least = -1;
  const auto consider = [&](const GemmPlan& plan) {
    double cycles = EstimatedCycles(plan, rows, columns, steps, multiprocessors);
    if (limits.low_rank_phase && plan.cluster == Cluster::kSplit) cycles += kWaitForLowRank;
    if (least < 0 || cycles < least) best = plan, least = cycles;
  };
  for (const int n : {256, 192, 160, 128, 64}) {
    if (n == 160 && !limits.k_major) continue;
    if (limits.pairs) consider({n, Cluster::kPairs, 2, 8});
    for (int blocks = 1; blocks <= 8 && !limits.only_pairs; ++blocks) {
      if (blocks == 1 || blocks <= steps) consider({n, Cluster::kSplit, blocks, 16});
    }
  }
  return best;
}

// How the blocks of the launch that computes D by `plan` compute h [rows,rank] first: `resident` clusters of them.
inline LowRankPlan ChooseLowRankPlan(const GemmPlan& plan, int64_t rows, int64_t rank, int64_t steps, int resident) {
  const bool pairs = plan.cluster == Cluster::kPairs;
  const int64_t workers = pairs ? resident : int64_t{resident} * plan.blocks;
  LowRankPlan best;
  double least = -1;
  for (const int columns : {WideColumns(plan.tile_columns), kNarrow}) {
    const int64_t tiles = CeilDivide(rows, pairs ? 2 * kTileRows : kTileRows) * CeilDivide(rank, columns);
    const double step = std::max(4.0 * columns, (128.0 * kTileRows + (pairs ? 64 : 128) * columns) / 40);
    for (int64_t splits = 1; splits <= std::min<int64_t>(steps, 64) && (splits == 1 || tiles * splits <= workers); ++splits) {
      constexpr double kStore = 1500, kBytes = 1700;  // that the device moves to and from its L2 cache in a cycle
      const double waves = static_cast<double>(CeilDivide(tiles * splits, workers));
      const double traffic = 8.0 * static_cast<double>(splits * rows * rank) / kBytes;
      const double cycles = waves * (static_cast<double>(CeilDivide(steps, splits)) * step + kStore) + traffic;
      if (least < 0 || cycles < least) best = {columns, static_cast<int>(splits), resident}, least = cycles;
    }
  }
  return best;
}

}  // namespace ort_dora::cuda
