// The tests of the device's kernels: skipped as a whole where there is no device.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdio>

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::puts("skipped: no CUDA device");
    return 77;  // what CTest is told to take as skipped
  }
  return RUN_ALL_TESTS();
}
