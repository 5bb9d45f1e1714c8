#include "element_type.h"

namespace ort_dora {

ElementLayout LayoutOf(ElementType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT: return {32, napi_float32_array};
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE: return {64, napi_float64_array};
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8: return {8, napi_uint8_array};
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8: return {8, napi_int8_array};
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16: return {16, napi_uint16_array};
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16: return {16, napi_int16_array};
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32: return {32, napi_int32_array};
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32: return {32, napi_uint32_array};
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64: return {64, napi_bigint64_array};
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64: return {64, napi_biguint64_array};
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT4:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT4: return {4, napi_uint8_array};
    default: return {0, napi_uint8_array};
  }
}

}  // namespace ort_dora
