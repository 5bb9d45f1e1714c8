// An operator as this library describes it, and as ONNX Runtime wants it described.
#pragma once

#include <vector>

#include "ort/api.h"
#include "ort/shape.h"
#include "ort_dora/operators.h"

namespace ort_dora {

// The dtype of an input or output: one of the node's type parameters, float32, or (inputs only) int32. U and M are T or float32.
enum class Type { kT, kU, kM, kFloat32, kInt32 };

struct Port {
  const char* name;
  Type type;
  bool optional = false;
};

// What a node's type parameters stand for.
struct Types {
  DType T = DType::kFloat32, U = T, M = T;
  DType operator[](Type type) const {
    return type == Type::kT ? T : type == Type::kU ? U : type == Type::kM ? M : DType::kFloat32;
  }
};

// Every attribute of the domain with its default; an operator reads those that it has.
struct Attributes {
  float scaling = 1;  // required where an operator has it
  bool transW = false, transA = false, transB = false;
  bool base_has_bias = false;
  int64_t axis = -1;
  int64_t offset_a = 0, offset_b = 0, offset_g = 0, max_rank = 0;  // required where an operator has them
};

struct FlagAttribute {
  const char* name;
  bool Attributes::*field;
};

// A required int of at least `least`.
struct SizeAttribute {
  const char* name;
  int64_t Attributes::*field;
  int64_t least = 0;
};

struct Tensor {
  const void* data = nullptr;  // null where an optional input is absent
  Shape shape;
};

// One run of one node.
class Run {
 public:
  Run(const Ort::KernelContext& context, const Types& types, const Attributes& attributes, std::vector<Tensor> inputs,
      std::vector<Shape> output_shapes);

  const Types& types;
  const Attributes& attributes;
  const std::vector<Tensor> inputs;

  const Dims& shape(size_t input) const { return *inputs[input].shape; }
  // Input `input`, of two extents, as a matrix of the given orientation.
  Matrix matrix(size_t input, DType dtype, bool transposed) const;
  // The memory of an output, allocated now; null where the node has no such output.
  void* output(size_t index);
  Parallel& parallel() { return *parallel_; }
  const Ort::KernelContext& context() const { return context_; }

 private:
  class OnOrtThreads;
  const Ort::KernelContext& context_;
  const std::vector<Shape> output_shapes_;
  std::shared_ptr<Parallel> parallel_;
};

struct OpDefinition {
  const char* name;
  std::vector<Port> inputs;
  std::vector<Port> outputs;
  std::vector<FlagAttribute> flags;  // int attributes, 0 (default) or 1
  bool has_axis = false;
  // Checks the inputs' shapes and returns the outputs'. Called when a model is loaded, with what is known then, and at
  // each run. Throws InputError.
  std::vector<Shape> (*infer)(const Attributes&, const std::vector<Shape>& inputs);
  void (*compute)(const CpuKernels&, Run&);
  std::vector<SizeAttribute> sizes = {};
  bool has_scaling = true;
};

// Who runs a node.
struct Provider {
  const char* name;  // as the runtime has it
  void (*compute)(const OpDefinition&, Run&);
};
const Provider& CpuProvider();
const Provider& CudaProvider();  // of the library that is built with CUDA

// An operator on one provider, for nodes whose first input is of one element type, as ONNX Runtime takes it. It must
// outlive every session.
//
// The other inputs are of any type to the runtime: were they declared, it would refuse wrong ones before this library is
// asked, without saying which input is wrong. For the same reason there is one for each element type that no kernel takes.
// The first is declared because the runtime derives the outputs' types from declarations where it knows no shapes.
class ProviderOp : public OrtCustomOp {
 public:
  // `dtypes`: what T may be; `first`: the element type of the first input, among them or not.
  ProviderOp(const OpDefinition& definition, const Provider& provider, std::vector<DType> dtypes, ONNXTensorElementDataType first);

  // What the types of a node's inputs make of the type parameters. Throws InputError for those that do not fit.
  Types Resolve(const std::vector<ONNXTensorElementDataType>& inputs) const;

  const OpDefinition& definition;
  const Provider& provider;

 private:
  const std::vector<DType> dtypes_;
  const ONNXTensorElementDataType first_;
};

const OpDefinition& DoraScaleOp();
const OpDefinition& DoraComposeOp();
const OpDefinition& DoraLinearOp();
const OpDefinition& DoraComposeGradOp();
const OpDefinition& DoraLinearBankOp();
const OpDefinition& DoraComposeBankOp();

}  // namespace ort_dora
