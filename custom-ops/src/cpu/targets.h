// Which instruction sets the kernels are compiled for. Included before <hwy/highway.h>.
//
// Highway's bits for AVX3 (AVX-512 F/BW/DQ/VL), AVX2 (with FMA, F16C, BMI2), and its baselines SSE2, EMU128 and SCALAR:
// the others between them would cost compile time and code and serve processors of before 2013.
#pragma once
#define HWY_DISABLED_TARGETS (~((1LL << 8) | (1LL << 9) | (1LL << 14) | (1LL << 61) | (1LL << 62)))
