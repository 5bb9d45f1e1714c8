#include "ort/custom_op.h"
#include "ort/problems.h"

namespace ort_dora {
namespace {

enum { kBase, kLora, kG, kBias };

size_t Axis(const Attributes& attributes, const Dims& base) {
  const auto rank = static_cast<int64_t>(base.size());
  const int64_t axis = attributes.axis < 0 ? attributes.axis + rank : attributes.axis;
  if (axis < 0 || axis >= rank) {
    throw InputError("attribute axis: " + std::to_string(attributes.axis) + " is not an axis of base, which is " + ToString(base));
  }
  return static_cast<size_t>(axis);
}

std::vector<Shape> Infer(const Attributes& attributes, const std::vector<Shape>& inputs) {
  ShapeCheck check;
  const Shape& base = inputs[kBase].has_value() ? inputs[kBase] : inputs[kLora];
  check.ExpectEqual("lora", inputs[kLora], "base", inputs[kBase]);
  if (base.has_value()) check.Expect("base", Dims{(*base)[Axis(attributes, *base)]}, {"channels"});
  check.Expect("g", inputs[kG], {"channels"});
  check.Expect("bias", inputs[kBias], {"channels"});
  return {base};
}

void Compute(const CpuKernels& kernels, Run& run) { kernels.dora_compose(ComposeProblem(run), run.parallel()); }

}  // namespace

DoraComposeProblem ComposeProblem(Run& run) {
  const Dims& base = run.shape(kBase);
  const size_t axis = Axis(run.attributes, base);
  DoraComposeProblem p;
  p.outer = 1;
  for (size_t i = 0; i < base.size(); ++i) (i < axis ? p.outer : i == axis ? p.channels : p.inner) *= i == axis ? 1 : base[i].size;
  p.channels = base[axis].size;
  p.base = run.inputs[kBase].data;
  p.lora = run.inputs[kLora].data;
  p.g = static_cast<const float*>(run.inputs[kG].data);
  p.bias = run.inputs[kBias].data;
  p.dtype = run.types.T;
  p.lora_dtype = run.types.U;
  p.scaling = run.attributes.scaling;
  p.base_has_bias = run.attributes.base_has_bias;
  p.out = run.output(0);
  return p;
}

const OpDefinition& DoraComposeOp() {
  static const auto& definition = *new OpDefinition{
      "DoraCompose",
      {{"base", Type::kT}, {"lora", Type::kU}, {"g", Type::kFloat32}, {"bias", Type::kT, true}},
      {{"y", Type::kT}},
      {{"base_has_bias", &Attributes::base_has_bias}},
      /*has_axis=*/true,
      Infer,
      Compute};
  return definition;
}

}  // namespace ort_dora
