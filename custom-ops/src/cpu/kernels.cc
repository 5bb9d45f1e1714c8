// The table of what was compiled, and the choice of what this processor can run.
#include "cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstdlib>
#include <string_view>

#include "ort_dora/operators.h"
#include "ort_dora/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace ort_dora {
namespace HWY_NAMESPACE {

// Defined for this target in the sources beside this one.
void DoraScale(const DoraScaleProblem&, Parallel&);
void DoraCompose(const DoraComposeProblem&, Parallel&);
void DoraLinear(const DoraLinearProblem&, Parallel&);
void DoraComposeGrad(const DoraComposeGradProblem&, Parallel&);
void DoraLinearBank(const DoraLinearBankProblem&, Parallel&);
void DoraComposeBank(const DoraComposeBankProblem&, Parallel&);

CpuKernels Kernels(const char* isa) {
  return {isa, &DoraScale, &DoraCompose, &DoraLinear, &DoraComposeGrad, &DoraLinearBank, &DoraComposeBank};
}

}  // namespace HWY_NAMESPACE
}  // namespace ort_dora
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ort_dora {
namespace {

// Everything that Highway lets the compiler use for its targets AVX2 and AVX3; the operating system's part included.
bool CpuHasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("aes") &&
         __builtin_cpu_supports("pclmul");
}

bool CpuHasAvx512() {
  return CpuHasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

std::vector<CpuKernels> Detect() {
  const char* limit_text = std::getenv("ORT_DORA_ISA");
  const std::string_view limit = limit_text == nullptr ? "" : limit_text;
  std::vector<CpuKernels> found;
  if (CpuHasAvx512() && limit != "avx2" && limit != "portable") found.push_back(N_AVX3::Kernels("avx512"));
  if (CpuHasAvx2() && limit != "portable") found.push_back(N_AVX2::Kernels("avx2"));
  found.push_back(HWY_STATIC_DISPATCH(Kernels)("portable"));
  return found;
}

}  // namespace

float* ThreadScratch(int64_t floats) {
  thread_local Buffer buffer(0);
  thread_local int64_t size = 0;
  if (floats > size) {
    buffer = Buffer(floats);
    size = floats;
  }
  return buffer.data();
}

const std::vector<CpuKernels>& SupportedCpuKernels() {
  static const auto& kernels = *new std::vector<CpuKernels>(Detect());
  return kernels;
}

}  // namespace ort_dora
#endif  // HWY_ONCE
