// Compiles the kernels of compose-inl.h, compose_bank-inl.h and compose_grad-inl.h once for each instruction set.
#include "cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/compose.cc"
#include <hwy/foreach_target.h>

#include "ort_dora/cpu/compose-inl.h"
#include "ort_dora/cpu/compose_bank-inl.h"
#include "ort_dora/cpu/compose_grad-inl.h"
