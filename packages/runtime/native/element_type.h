// The element types that cross the boundary, and the typed arrays that carry them.
#pragma once
#include <napi.h>

#include <cstddef>

#include "ort_library.h"

namespace ort_dora {

using ElementType = ONNXTensorElementDataType;

struct ElementLayout {
  size_t bits;  // of one element; 0: no typed array carries this type
  napi_typedarray_type array;

  // Bytes of `count` elements; 4-bit types are packed two to a byte.
  size_t Bytes(size_t count) const { return (count * bits + 7) / 8; }
  size_t ArrayElementBytes() const { return bits < 8 ? 1 : bits / 8; }
};

ElementLayout LayoutOf(ElementType type);

}  // namespace ort_dora
