# Headers that are fetched, not committed. native-build passes their folders; on its own, CMake asks native-build for them.
set(HWY_INCLUDE_DIR "" CACHE PATH "folder that holds hwy/highway.h (Debian: libhwy-dev)")
set(ORT_INCLUDE_DIR "" CACHE PATH "folder with onnxruntime_cxx_api.h, API 23 or newer (Debian: libonnxruntime-dev)")
set(GTEST_SOURCE_DIR "" CACHE PATH "folder with GoogleTest's sources (Debian: googletest); only for tests")

if(NOT HWY_INCLUDE_DIR OR NOT ORT_INCLUDE_DIR OR (ORT_DORA_TESTS AND NOT GTEST_SOURCE_DIR))
  find_program(NODE_EXECUTABLE node REQUIRED)
  execute_process(
    COMMAND ${NODE_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/scripts/dependencies.js
    OUTPUT_VARIABLE found RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "The headers could not be fetched; see above. Or name their folders: -DHWY_INCLUDE_DIR=… -DORT_INCLUDE_DIR=… -DGTEST_SOURCE_DIR=…")
  endif()
  string(REPLACE "\n" ";" found "${found}")
  foreach(entry IN LISTS found)
    if(entry MATCHES "^([A-Z_]+)=(.+)$")
      if(NOT ${CMAKE_MATCH_1})
        set(${CMAKE_MATCH_1} "${CMAKE_MATCH_2}" CACHE PATH "" FORCE)
      endif()
    endif()
  endforeach()
endif()
