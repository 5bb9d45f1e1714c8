// Compiles the kernels of include/ort_dora/cpu/linear-inl.h once for each instruction set.
#include "cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/linear.cc"
#include <hwy/foreach_target.h>

#include "ort_dora/cpu/linear-inl.h"
