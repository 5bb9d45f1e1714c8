#include "ort/custom_op.h"
#include "ort/problems.h"

namespace ort_dora {
namespace {

enum { kX, kW, kA, kB, kG, kBias };

std::vector<Shape> Infer(const Attributes& attributes, const std::vector<Shape>& inputs) {
  ShapeCheck check;
  check.Expect("W", inputs[kW], {"out", "in"}, attributes.transW);
  check.ExpectLast("x", inputs[kX], "in");
  check.Expect("A", inputs[kA], {"r", "in"}, attributes.transA);
  check.Expect("B", inputs[kB], {"out", "r"}, attributes.transB);
  check.Expect("g", inputs[kG], {"out"});
  check.Expect("bias", inputs[kBias], {"out"});
  Shape y = inputs[kX];
  if (y.has_value()) y->back() = check["out"];
  return {y};
}

void Compute(const CpuKernels& kernels, Run& run) { kernels.dora_linear(LinearProblem(run), run.parallel()); }

}  // namespace

DoraLinearProblem LinearProblem(Run& run) {
  const Attributes& attributes = run.attributes;
  DoraLinearProblem p;
  p.x = run.inputs[kX].data;
  p.W = run.matrix(kW, run.types.T, attributes.transW);
  p.A = run.matrix(kA, run.types.U, attributes.transA);
  p.B = run.matrix(kB, run.types.U, attributes.transB);
  p.g = static_cast<const float*>(run.inputs[kG].data);
  p.bias = run.inputs[kBias].data;
  p.dtype = run.types.T;
  p.rows = RowsOf(run.shape(kX));
  p.scaling = attributes.scaling;
  p.y = run.output(0);
  return p;
}

const OpDefinition& DoraLinearOp() {
  static const auto& definition = *new OpDefinition{
      "DoraLinear",
      {{"x", Type::kT}, {"W", Type::kT}, {"A", Type::kU}, {"B", Type::kU}, {"g", Type::kFloat32}, {"bias", Type::kT, true}},
      {{"y", Type::kT}},
      {{"transW", &Attributes::transW}, {"transA", &Attributes::transA}, {"transB", &Attributes::transB}},
      /*has_axis=*/false,
      Infer,
      Compute};
  return definition;
}

}  // namespace ort_dora
