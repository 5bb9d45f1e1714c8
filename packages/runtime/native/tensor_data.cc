#include "tensor_data.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "errors.h"

namespace ort_dora {
namespace {

Napi::Error Bad(Napi::Env env, const char* name, const std::string& what) {
  return InvalidArgument(env, std::string("'") + name + "': " + what);
}

// Memory in use by a run must not be pulled from under it.
void RefuseResizable(Napi::Env env, Napi::Value array, const char* name) {
  const Napi::Value resizable = array.As<Napi::Object>().Get("buffer").As<Napi::Object>().Get("resizable");
  if (resizable.IsBoolean() && resizable.As<Napi::Boolean>().Value()) {
    throw Bad(env, name, "expected data in a fixed-length ArrayBuffer, got a resizable one");
  }
}

SharedValue ReadStrings(Napi::Env env, Napi::Value data, const std::vector<int64_t>& dims, size_t count, const char* name) {
  if (!data.IsArray()) throw Bad(env, name, "data of type string must be an array of strings");
  const Napi::Array array = data.As<Napi::Array>();
  if (array.Length() != count) {
    throw Bad(env, name, "data has " + std::to_string(array.Length()) + " strings, dims need " + std::to_string(count));
  }
  std::vector<std::string> strings(count);
  std::vector<const char*> pointers(count);
  for (uint32_t i = 0; i < count; ++i) {
    const Napi::Value item = array.Get(i);
    if (!item.IsString()) throw Bad(env, name, "data[" + std::to_string(i) + "] is not a string");
    strings[i] = item.As<Napi::String>().Utf8Value();
    pointers[i] = strings[i].c_str();
  }
  Ort::AllocatorWithDefaultOptions allocator;
  auto value = std::make_shared<Ort::Value>(Ort::Value::CreateTensor(allocator, dims.data(), dims.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING));
  if (count != 0) value->FillStringTensor(pointers.data(), count);
  return value;
}

}  // namespace

std::vector<int64_t> ReadDims(Napi::Env env, Napi::Value value, const char* name, size_t* count) {
  if (!value.IsArray()) throw Bad(env, name, "dims must be an array of non-negative integers");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<int64_t> dims(array.Length());
  *count = 1;
  // The element count must stay exact in 64 bits, also times the bits of an element.
  constexpr size_t kLimit = std::numeric_limits<size_t>::max() / 64;
  for (uint32_t i = 0; i < dims.size(); ++i) {
    const Napi::Value item = array.Get(i);
    const double dim = item.IsNumber() ? item.As<Napi::Number>().DoubleValue() : -1;
    if (!(dim >= 0 && dim <= 9007199254740991.0) || dim != std::floor(dim)) throw Bad(env, name, "dims must be non-negative integers");
    dims[i] = static_cast<int64_t>(dim);
    if (dims[i] != 0 && *count > kLimit / static_cast<size_t>(dims[i])) throw Bad(env, name, "dims are too large");
    *count *= static_cast<size_t>(dims[i]);
  }
  return dims;
}

SharedValue ReadTensor(Napi::Env env, int type_code, Napi::Value data, Napi::Value dims_value, const char* name, Lending lending) {
  const auto type = static_cast<ElementType>(type_code);
  size_t count = 0;
  const std::vector<int64_t> dims = ReadDims(env, dims_value, name, &count);
  if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) {
    if (lending == Lending::kInPlace) throw Bad(env, name, "a string output cannot be written into an array");
    return ReadStrings(env, data, dims, count, name);
  }
  const ElementLayout layout = LayoutOf(type);
  if (layout.bits == 0) throw Bad(env, name, "element type " + std::to_string(type_code) + " is not supported");
  if (!data.IsTypedArray()) throw Bad(env, name, "data must be a typed array");
  napi_typedarray_type kind;
  size_t length = 0, offset = 0;
  void* memory = nullptr;
  napi_value buffer;
  Check(env, napi_get_typedarray_info(env, data, &kind, &length, &memory, &buffer, &offset));
  if (kind != layout.array && !(kind == napi_uint8_clamped_array && layout.array == napi_uint8_array)) {
    throw Bad(env, name, "the class of the typed array does not fit the element type");
  }
  const size_t bytes = layout.Bytes(count);
  if (length * layout.ArrayElementBytes() != bytes) {
    throw Bad(env, name, "data has " + std::to_string(length * layout.ArrayElementBytes()) + " bytes, dims need " + std::to_string(bytes));
  }
  try {
    if (lending == Lending::kCopySmall && bytes < kShareFrom) {
      Ort::AllocatorWithDefaultOptions allocator;
      auto value = std::make_shared<Ort::Value>(Ort::Value::CreateTensor(allocator, dims.data(), dims.size(), type));
      if (bytes != 0) std::memcpy(value->GetTensorMutableRawData(), memory, bytes);
      return value;
    }
    if (lending != Lending::kBlocking) RefuseResizable(env, data, name);
    static char empty[8];  // ONNX Runtime refuses a null pointer, for no elements too
    return std::make_shared<Ort::Value>(Ort::Value::CreateTensor(CpuMemory(), bytes != 0 ? memory : empty, bytes, dims.data(), dims.size(), type));
  } catch (const Ort::Exception& e) {
    throw Bad(env, name, e.what());
  }
}

void WriteTensor(Napi::Env env, const SharedValue& value, const char* name, Napi::Array out, uint32_t at) {
  if (!value->IsTensor()) throw Fail(env, "NOT_SUPPORTED", std::string("output '") + name + "' is not a tensor");
  const auto shape = value->GetTensorTypeAndShapeInfo();
  const ElementType type = shape.GetElementType();
  if (!IsOnCpu(*value)) throw Fail(env, "NOT_SUPPORTED", std::string("output '") + name + "' is not in CPU memory");
  Napi::Value data;
  if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) {
    data = StringsOf(env, *value);
  } else {
    const ElementLayout layout = LayoutOf(type);
    if (layout.bits == 0) {
      throw Fail(env, "NOT_SUPPORTED", std::string("output '") + name + "' has element type " + std::to_string(type) + ", which no typed array carries");
    }
    const size_t bytes = layout.Bytes(shape.GetElementCount());
    data = TypedArrayOver(env, layout, bytes, BufferOf(env, value, bytes, kShareFrom));
  }
  out.Set(at, Napi::Number::New(env, type));
  out.Set(at + 1, data);
  out.Set(at + 2, DimsOf(env, shape.GetShape()));
}

Napi::Value BufferOf(Napi::Env env, const SharedValue& value, size_t bytes, size_t share_from) {
  napi_value buffer = nullptr;
  void* memory = bytes != 0 ? value->GetTensorMutableRawData() : nullptr;
  if (bytes != 0 && bytes >= share_from) {
    auto owner = std::make_unique<SharedValue>(value);
    const napi_status status = napi_create_external_arraybuffer(
        env, memory, bytes, [](napi_env, void*, void* hint) { delete static_cast<SharedValue*>(hint); }, owner.get(), &buffer);
    if (status == napi_ok) {
      owner.release();
      return Napi::Value(env, buffer);
    }
    if (status != napi_no_external_buffers_allowed) throw Napi::Error::New(env);
  }
  void* copy = nullptr;
  Check(env, napi_create_arraybuffer(env, bytes, &copy, &buffer));
  if (bytes != 0) std::memcpy(copy, memory, bytes);
  return Napi::Value(env, buffer);
}

Napi::Value TypedArrayOver(Napi::Env env, const ElementLayout& layout, size_t bytes, Napi::Value buffer) {
  napi_value array;
  Check(env, napi_create_typedarray(env, layout.array, bytes / layout.ArrayElementBytes(), buffer, 0, &array));
  return Napi::Value(env, array);
}

Napi::Array StringsOf(Napi::Env env, const Ort::Value& value) {
  const size_t count = value.GetTensorTypeAndShapeInfo().GetElementCount();
  Napi::Array out = Napi::Array::New(env, count);
  for (size_t i = 0; i < count; ++i) out[static_cast<uint32_t>(i)] = Napi::String::New(env, value.GetStringTensorElement(i));
  return out;
}

Napi::Array DimsOf(Napi::Env env, const std::vector<int64_t>& dims) {
  Napi::Array out = Napi::Array::New(env, dims.size());
  for (size_t i = 0; i < dims.size(); ++i) out[static_cast<uint32_t>(i)] = Napi::Number::New(env, static_cast<double>(dims[i]));
  return out;
}

size_t ByteLength(const Ort::Value& value) {
  const auto info = value.GetTensorTypeAndShapeInfo();
  return LayoutOf(info.GetElementType()).Bytes(info.GetElementCount());
}

const Ort::MemoryInfo& CpuMemory() {
  static const auto* memory = new Ort::MemoryInfo("Cpu", OrtDeviceAllocator, 0, OrtMemTypeDefault);  // outlives static destructors
  return *memory;
}

bool IsOnCpu(const Ort::Value& value) { return value.GetTensorMemoryInfo().GetDeviceType() == OrtMemoryInfoDeviceType_CPU; }

}  // namespace ort_dora
