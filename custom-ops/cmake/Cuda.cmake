# The CUDA half: kernels as a static library, and the operator library with both providers.
#
# nvcc is run by rules of our own: CMake's CUDA language wants a whole toolkit, which NVIDIA's packages on PyPI are not.
set(ORT_DORA_NVCC "" CACHE FILEPATH "nvcc 12.8 or newer; empty: the CPU library alone")
set(ORT_DORA_CUDA_ARCHITECTURES "80;89;90a;100;120" CACHE STRING "architectures to compile for, as nvcc names them")
if(NOT ORT_DORA_NVCC)
  message(STATUS "ort.dora: no ORT_DORA_NVCC, so the CPU library alone is built")
  return()
endif()

get_filename_component(nvcc ${ORT_DORA_NVCC} REALPATH)
get_filename_component(cuda_root ${nvcc} DIRECTORY)
get_filename_component(cuda_root ${cuda_root} DIRECTORY)
find_library(ORT_DORA_CUDART cudart_static
  PATHS ${cuda_root} PATH_SUFFIXES lib64 lib targets/x86_64-linux/lib NO_DEFAULT_PATH REQUIRED)
find_path(ORT_DORA_CUDA_INCLUDE_DIR cuda_runtime_api.h
  PATHS ${cuda_root} PATH_SUFFIXES include targets/x86_64-linux/include NO_DEFAULT_PATH REQUIRED)

set(cuda_flags -std=c++17 -O3 -I${PROJECT_SOURCE_DIR}/include -isystem ${ORT_DORA_CUDA_INCLUDE_DIR} -Xcompiler=-fPIC,-fvisibility=hidden)
foreach(architecture ${ORT_DORA_CUDA_ARCHITECTURES})
  list(APPEND cuda_flags -gencode=arch=compute_${architecture},code=sm_${architecture})
endforeach()
if(ORT_DORA_WERROR)
  list(APPEND cuda_flags -Werror=all-warnings)
endif()
if(CMAKE_CXX_COMPILER)
  list(APPEND cuda_flags -ccbin=${CMAKE_CXX_COMPILER})
endif()

set(cuda_objects)
foreach(name compose compose_bank compose_grad linear linear_bank linear_gemm linear_stream_bfloat16 linear_stream_float16 linear_stream_float32 scale)
  set(source ${PROJECT_SOURCE_DIR}/src/cuda/${name}.cu)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/cuda/${name}.o)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/cuda
    COMMAND ${ORT_DORA_NVCC} ${cuda_flags} -MD -MF ${object}.d -c ${source} -o ${object}
    DEPENDS ${source} DEPFILE ${object}.d VERBATIM COMMENT "Building CUDA object cuda/${name}.o")
  list(APPEND cuda_objects ${object})
endforeach()

add_library(ort_dora_cuda_kernels STATIC ${cuda_objects})
set_target_properties(ort_dora_cuda_kernels PROPERTIES LINKER_LANGUAGE CXX)
target_include_directories(ort_dora_cuda_kernels PUBLIC include)
target_include_directories(ort_dora_cuda_kernels SYSTEM PUBLIC ${ORT_DORA_CUDA_INCLUDE_DIR})
# The runtime is linked statically: whatever CUDA ONNX Runtime brings along, this library needs the driver alone.
target_link_libraries(ort_dora_cuda_kernels PUBLIC ${ORT_DORA_CUDART} Threads::Threads ${CMAKE_DL_LIBS} rt)

# The operators of both providers: registered in the place of ort_dora_ops by sessions that use CUDA.
get_target_property(operator_sources ort_dora_ops SOURCES)
add_library(ort_dora_ops_cuda SHARED ${operator_sources} src/ort/cuda.cc)
target_compile_definitions(ort_dora_ops_cuda PRIVATE ORT_DORA_CUDA)
target_include_directories(ort_dora_ops_cuda PRIVATE src)
target_include_directories(ort_dora_ops_cuda SYSTEM PRIVATE ${ORT_INCLUDE_DIR})
target_link_libraries(ort_dora_ops_cuda PRIVATE ort_dora_cuda_kernels ort_dora_kernels ort_dora_flags Threads::Threads)
get_target_property(operator_link_options ort_dora_ops LINK_OPTIONS)
target_link_options(ort_dora_ops_cuda PRIVATE ${operator_link_options})
set_target_properties(ort_dora_ops_cuda PROPERTIES LINK_DEPENDS ${PROJECT_SOURCE_DIR}/src/ort/exports.map)

# What benchmarks/kernels/operators.py times.
if(ORT_DORA_BENCH)
  add_library(ort_dora_kernels_bench SHARED ${PROJECT_SOURCE_DIR}/../benchmarks/kernels/c_api.cc)
  set_target_properties(ort_dora_kernels_bench PROPERTIES CXX_VISIBILITY_PRESET default)
  target_link_libraries(ort_dora_kernels_bench PRIVATE ort_dora_cuda_kernels ort_dora_flags)
endif()
