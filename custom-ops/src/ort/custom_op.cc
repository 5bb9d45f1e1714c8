#include "ort/custom_op.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <memory>
#include <utility>

namespace ort_dora {
namespace {

ONNXTensorElementDataType ToOnnx(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    case DType::kBFloat16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
    default:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  }
}

std::optional<DType> ToDType(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return DType::kFloat32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return DType::kFloat16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
      return DType::kBFloat16;
    default:
      return {};
  }
}

std::string Name(DType dtype) {
  return dtype == DType::kFloat32 ? "float32" : dtype == DType::kFloat16 ? "float16" : "bfloat16";
}

std::string Name(ONNXTensorElementDataType type) {
  if (const auto dtype = ToDType(type)) return Name(*dtype);
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
      return "float64";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return "int64";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return "int32";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return "int8";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return "uint8";
    default:
      return "ONNX element type " + std::to_string(type);
  }
}

constexpr ONNXTensorElementDataType kAbsent = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;

// No exception may cross into the runtime.
template <class F>
OrtStatus* AsStatus(const OpDefinition& op, F&& work) {
  const auto status = [&](OrtErrorCode code, const char* what) {
    return Ort::GetApi().CreateStatus(code, ("ort.dora " + std::string(op.name) + ": " + what).c_str());
  };
  try {
    work();
    return nullptr;
  } catch (const InputError& error) {
    return status(ORT_INVALID_ARGUMENT, error.what());
  } catch (const std::bad_alloc&) {
    return status(ORT_FAIL, "out of memory");
  } catch (const std::exception& error) {
    return status(ORT_FAIL, error.what());
  }
}

// Reads a node's attributes; `get_float` and `get_int` return the runtime's status for a name.
template <class GetFloat, class GetInt>
Attributes ReadAttributes(const OpDefinition& op, GetFloat get_float, GetInt get_int) {
  Attributes attributes;
  if (op.has_scaling) {
    if (const Ort::Status status{get_float("scaling", &attributes.scaling)}; !status.IsOK()) {
      throw InputError("attribute scaling (float, required): " + status.GetErrorMessage());
    }
  }
  for (const SizeAttribute& size : op.sizes) {
    int64_t& value = attributes.*size.field;
    if (const Ort::Status status{get_int(size.name, &value)}; !status.IsOK()) {
      throw InputError("attribute " + std::string(size.name) + " (int, required): " + status.GetErrorMessage());
    }
    if (value < size.least) {
      throw InputError("attribute " + std::string(size.name) + ": expected " + std::to_string(size.least) + " or more, got " +
                       std::to_string(value));
    }
  }
  // The runtime tells an absent attribute from one of another type only by the read of the other type.
  const auto optional_int = [&](const char* name, int64_t otherwise) {
    int64_t value = otherwise;
    if (Ort::Status{get_int(name, &value)}.IsOK()) return value;
    float mistyped;
    if (Ort::Status{get_float(name, &mistyped)}.IsOK()) {
      throw InputError("attribute " + std::string(name) + ": expected an int, got a float");
    }
    return otherwise;
  };
  for (const FlagAttribute& flag : op.flags) {
    const int64_t value = optional_int(flag.name, 0);
    if (value != 0 && value != 1) {
      throw InputError("attribute " + std::string(flag.name) + ": expected 0 or 1, got " + std::to_string(value));
    }
    attributes.*flag.field = value == 1;
  }
  if (op.has_axis) attributes.axis = optional_int("axis", -1);
  return attributes;
}

Attributes ReadAttributes(const OpDefinition& op, const OrtKernelInfo* info) {
  const OrtApi& api = Ort::GetApi();
  return ReadAttributes(
      op, [&](const char* name, float* out) { return api.KernelInfoGetAttribute_float(info, name, out); },
      [&](const char* name, int64_t* out) { return api.KernelInfoGetAttribute_int64(info, name, out); });
}

Attributes ReadAttributes(const OpDefinition& op, const OrtShapeInferContext* context) {
  const OrtApi& api = Ort::GetApi();
  const auto read = [&](const char* name, OrtOpAttrType type, void* out, size_t size) -> OrtStatus* {
    const OrtOpAttr* attribute = nullptr;
    size_t read_size = 0;
    if (OrtStatus* status = api.ShapeInferContext_GetAttribute(context, name, &attribute)) return status;
    return api.ReadOpAttr(attribute, type, out, size, &read_size);
  };
  return ReadAttributes(
      op, [&](const char* name, float* out) { return read(name, ORT_OP_ATTR_FLOAT, out, sizeof *out); },
      [&](const char* name, int64_t* out) { return read(name, ORT_OP_ATTR_INT, out, sizeof *out); });
}

// As far as a model states it. An unknown rank shows as rank 0, which no input of these operators has.
Shape KnownShape(const OrtTensorTypeAndShapeInfo* info) {
  const OrtApi& api = Ort::GetApi();
  size_t rank = 0;
  Ort::ThrowOnError(api.GetDimensionsCount(info, &rank));
  std::vector<int64_t> sizes(rank);
  std::vector<const char*> symbols(rank);
  Ort::ThrowOnError(api.GetDimensions(info, sizes.data(), rank));
  Ort::ThrowOnError(api.GetSymbolicDimensions(info, symbols.data(), rank));
  if (rank == 0) return {};
  Dims dims(rank);
  for (size_t i = 0; i < rank; ++i) dims[i] = {sizes[i], sizes[i] >= 0 || symbols[i] == nullptr ? "" : symbols[i]};
  return dims;
}

// A name for a size that the model leaves open, different each time: equal names would promise equal sizes.
std::string OpenDimension() {
  static std::atomic<int64_t> count{0};
  return "ort_dora_open_" + std::to_string(++count);
}

void SetOutput(const OrtShapeInferContext* context, size_t index, DType dtype, const Dims& dims) {
  const OrtApi& api = Ort::GetApi();
  OrtTensorTypeAndShapeInfo* raw = nullptr;
  Ort::ThrowOnError(api.CreateTensorTypeAndShapeInfo(&raw));
  const std::unique_ptr<OrtTensorTypeAndShapeInfo, decltype(api.ReleaseTensorTypeAndShapeInfo)> info(
      raw, api.ReleaseTensorTypeAndShapeInfo);
  std::vector<int64_t> sizes;
  std::vector<std::string> names;
  std::vector<const char*> symbols;
  for (const Dim& dim : dims) {
    sizes.push_back(dim.known() ? dim.size : -1);
    names.push_back(dim.known() ? "" : dim.symbol.empty() ? OpenDimension() : dim.symbol);
  }
  for (const std::string& name : names) symbols.push_back(name.c_str());
  Ort::ThrowOnError(api.SetTensorElementType(raw, ToOnnx(dtype)));
  Ort::ThrowOnError(api.SetDimensions(raw, sizes.data(), sizes.size()));
  Ort::ThrowOnError(api.SetSymbolicDimensions(raw, symbols.data(), symbols.size()));
  // Refused for an output that the node leaves out; there is no way to ask first.
  Ort::Status(api.ShapeInferContext_SetOutputTypeShape(context, index, raw)).IsOK();
}

OrtStatus* InferShapes(const ProviderOp& op, const OrtShapeInferContext* context) {
  const OrtApi& api = Ort::GetApi();
  return AsStatus(op.definition, [&] {
    size_t count = 0;
    Ort::ThrowOnError(api.ShapeInferContext_GetInputCount(context, &count));
    std::vector<Shape> inputs(op.definition.inputs.size());
    std::vector<ONNXTensorElementDataType> element_types(inputs.size(), kAbsent);
    for (size_t i = 0; i < std::min(count, inputs.size()); ++i) {
      OrtTensorTypeAndShapeInfo* info = nullptr;  // owned by the context
      Ort::ThrowOnError(api.ShapeInferContext_GetInputTypeShape(context, i, &info));
      Ort::ThrowOnError(api.GetTensorElementType(info, &element_types[i]));
      inputs[i] = KnownShape(info);
    }
    try {
      const Types types = op.Resolve(element_types);
      const std::vector<Shape> outputs = op.definition.infer(ReadAttributes(op.definition, context), inputs);
      for (size_t i = 0; i < outputs.size(); ++i) {
        if (outputs[i].has_value()) SetOutput(context, i, types[op.definition.outputs[i].type], *outputs[i]);
      }
    } catch (const InputError&) {
      // The runtime drops the message of a failed inference and guesses types instead; the kernel's constructor, which
      // comes next, refuses the same with its message.
    }
  });
}

// A node of a loaded model.
class Kernel {
 public:
  Kernel(const ProviderOp& op, const OrtKernelInfo* info)
      : op_(op), attributes_(ReadAttributes(op.definition, info)) {
    const Ort::ConstKernelInfo node(info);
    const std::vector<Port>& ports = op.definition.inputs;
    std::vector<Shape> shapes(ports.size());
    std::vector<ONNXTensorElementDataType> element_types(ports.size(), kAbsent);
    for (size_t i = 0; i < std::min(node.GetInputCount(), ports.size()); ++i) {
      OrtTypeInfo* raw = nullptr;
      if (!Ort::Status{Ort::GetApi().KernelInfo_GetInputTypeInfo(info, i, &raw)}.IsOK()) continue;  // absent
      const Ort::TypeInfo type(raw);
      const auto tensor = type.GetTensorTypeAndShapeInfo();
      element_types[i] = tensor.GetElementType();
      shapes[i] = KnownShape(tensor);
    }
    types_ = op.Resolve(element_types);
    op.definition.infer(attributes_, shapes);
  }

  void Compute(OrtKernelContext* raw) const {
    const Ort::KernelContext context(raw);
    const std::vector<Port>& ports = op_.definition.inputs;
    std::vector<Tensor> inputs(ports.size());
    std::vector<Shape> shapes(ports.size());
    for (size_t i = 0; i < std::min(context.GetInputCount(), ports.size()); ++i) {
      const Ort::ConstValue value = context.GetInput(i);
      if (!value) continue;
      const auto info = value.GetTensorTypeAndShapeInfo();
      Dims dims;
      for (const int64_t size : info.GetShape()) dims.push_back({size, ""});
      shapes[i] = dims;
      inputs[i] = {value.GetTensorRawData(), std::move(dims)};
    }
    for (size_t i = 0; i < ports.size(); ++i) {
      if (!shapes[i].has_value() && !ports[i].optional) throw InputError("input " + std::string(ports[i].name) + ": missing");
    }
    Run run(context, types_, attributes_, std::move(inputs), op_.definition.infer(attributes_, shapes));
    op_.provider.compute(op_.definition, run);
  }

  const ProviderOp& op() const { return op_; }

 private:
  const ProviderOp& op_;
  const Attributes attributes_;
  Types types_;
};

}  // namespace

// The first exception of a task is kept and thrown when all have returned.
class Run::OnOrtThreads final : public Parallel {
 public:
  explicit OnOrtThreads(const Ort::KernelContext& context) : context_(context) {}

  void For(int64_t count, Task task) override {
    if (count <= 0) return;
    if (count == 1) return task(0);
    Job job{task, {}, {}};
    context_.ParallelFor(
        [](void* data, size_t index) {
          Job& shared = *static_cast<Job*>(data);
          try {
            shared.task(static_cast<int64_t>(index));
          } catch (...) {
            if (!shared.failed.exchange(true)) shared.error = std::current_exception();
          }
        },
        static_cast<size_t>(count), /*num_batch: none, threads take task by task*/ 0, &job);
    if (job.error) std::rethrow_exception(job.error);
  }

 private:
  struct Job {
    Task task;
    std::atomic<bool> failed;
    std::exception_ptr error;
  };
  const Ort::KernelContext& context_;
};

Run::Run(const Ort::KernelContext& context, const Types& node_types, const Attributes& node_attributes,
         std::vector<Tensor> node_inputs, std::vector<Shape> output_shapes)
    : types(node_types),
      attributes(node_attributes),
      inputs(std::move(node_inputs)),
      context_(context),
      output_shapes_(std::move(output_shapes)),
      parallel_(std::make_shared<OnOrtThreads>(context)) {}

Matrix Run::matrix(size_t input, DType dtype, bool transposed) const {
  const Dims& dims = shape(input);
  return {inputs[input].data, dtype, dims[transposed ? 1 : 0].size, dims[transposed ? 0 : 1].size, transposed};
}

void* Run::output(size_t index) {
  if (index >= context_.GetOutputCount()) return nullptr;
  std::vector<int64_t> sizes;
  for (const Dim& dim : *output_shapes_[index]) sizes.push_back(dim.size);
  Ort::UnownedValue value = context_.GetOutput(index, sizes.data(), sizes.size());
  return value ? value.GetTensorMutableRawData() : nullptr;
}

ProviderOp::ProviderOp(const OpDefinition& op_definition, const Provider& op_provider, std::vector<DType> dtypes,
                       ONNXTensorElementDataType first)
    : OrtCustomOp{}, definition(op_definition), provider(op_provider), dtypes_(std::move(dtypes)), first_(first) {
  version = kOrtApiVersion;
  GetName = [](const OrtCustomOp* op) { return static_cast<const ProviderOp*>(op)->definition.name; };
  GetExecutionProviderType = [](const OrtCustomOp* op) { return static_cast<const ProviderOp*>(op)->provider.name; };
  GetInputTypeCount = [](const OrtCustomOp* op) { return static_cast<const ProviderOp*>(op)->definition.inputs.size(); };
  GetInputType = [](const OrtCustomOp* op, size_t i) {
    const auto& self = *static_cast<const ProviderOp*>(op);
    if (i == 0) return self.first_;
    // An output of any type gets that of the last input of any type: in DoraComposeGrad, U of lora.
    const std::vector<Port>& outputs = self.definition.outputs;
    const bool has_u = std::any_of(outputs.begin(), outputs.end(), [](const Port& port) { return port.type == Type::kU; });
    return has_u && self.definition.inputs[i].type == Type::kFloat32 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : kAbsent;
  };
  GetInputCharacteristic = [](const OrtCustomOp* op, size_t i) {
    return static_cast<const ProviderOp*>(op)->definition.inputs[i].optional ? INPUT_OUTPUT_OPTIONAL : INPUT_OUTPUT_REQUIRED;
  };
  GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
  GetOutputTypeCount = [](const OrtCustomOp* op) { return static_cast<const ProviderOp*>(op)->definition.outputs.size(); };
  GetOutputType = [](const OrtCustomOp* op, size_t i) {
    const auto& self = *static_cast<const ProviderOp*>(op);
    const Type type = self.definition.outputs[i].type;
    return type == Type::kT ? self.first_ : type == Type::kFloat32 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : kAbsent;
  };
  GetOutputCharacteristic = [](const OrtCustomOp* op, size_t i) {
    return static_cast<const ProviderOp*>(op)->definition.outputs[i].optional ? INPUT_OUTPUT_OPTIONAL : INPUT_OUTPUT_REQUIRED;
  };
  GetVariadicInputMinArity = [](const OrtCustomOp*) { return 1; };
  GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 1; };
  GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
  GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 1; };
  GetStartVersion = [](const OrtCustomOp*) { return 1; };
  GetEndVersion = [](const OrtCustomOp*) { return 1; };
  CreateKernelV2 = [](const OrtCustomOp* op, const OrtApi*, const OrtKernelInfo* info, void** kernel) {
    const auto& self = *static_cast<const ProviderOp*>(op);
    return AsStatus(self.definition, [&] { *kernel = new Kernel(self, info); });
  };
  KernelComputeV2 = [](void* kernel, OrtKernelContext* context) {
    const auto& self = *static_cast<const Kernel*>(kernel);
    return AsStatus(self.op().definition, [&] { self.Compute(context); });
  };
  KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  InferOutputShapeFn = [](const OrtCustomOp* op, OrtShapeInferContext* context) {
    return InferShapes(*static_cast<const ProviderOp*>(op), context);
  };
}

const Provider& CpuProvider() {
  static const Provider provider{"CPUExecutionProvider", [](const OpDefinition& op, Run& run) { op.compute(SupportedCpuKernels().front(), run); }};
  return provider;
}

Types ProviderOp::Resolve(const std::vector<ONNXTensorElementDataType>& inputs) const {
  const std::vector<Port>& ports = definition.inputs;
  const auto refuse = [&](size_t i, const std::string& expected) {
    throw InputError("input " + std::string(ports[i].name) + ": expected " + expected + ", got " + Name(inputs[i]));
  };
  // The first input of a type parameter decides it; T comes first in every operator.
  std::map<Type, size_t> deciding;
  Types types;
  for (size_t i = 0; i < ports.size(); ++i) {
    if (inputs[i] == kAbsent) continue;
    const Type parameter = ports[i].type;
    const std::optional<DType> got = ToDType(inputs[i]);
    if (parameter == Type::kFloat32) {
      if (got != DType::kFloat32) refuse(i, "float32");
      continue;
    }
    if (parameter == Type::kInt32) {
      if (inputs[i] != ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32) refuse(i, "int32");
      continue;
    }
    const auto [decided, first] = deciding.emplace(parameter, i);
    if (!first) {
      if (got != types[parameter]) refuse(i, Name(types[parameter]) + " as " + ports[decided->second].name + " is");
    } else if (parameter == Type::kT) {
      if (!got || std::find(dtypes_.begin(), dtypes_.end(), *got) == dtypes_.end()) {
        std::string expected;
        for (const DType dtype : dtypes_) expected += (expected.empty() ? "" : " or ") + Name(dtype);
        refuse(i, expected);
      }
      types = {*got, *got, *got};
    } else {
      const std::string source = Name(types.T) + " as " + ports[deciding.at(Type::kT)].name + " is";
      if (got != types.T && got != DType::kFloat32) refuse(i, types.T == DType::kFloat32 ? source : source + ", or float32");
      (parameter == Type::kU ? types.U : types.M) = *got;
    }
  }
  return types;
}

}  // namespace ort_dora
