// Compiles the kernels of linear-inl.h and linear_bank-inl.h once for each instruction set.
#include "cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/linear.cc"
#include <hwy/foreach_target.h>

#include "ort_dora/cpu/linear-inl.h"
#include "ort_dora/cpu/linear_bank-inl.h"
